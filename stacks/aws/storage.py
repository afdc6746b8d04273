"""File systems (FSx for Lustre, EFS) and the pods' access to the buckets. Called by `program`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pulumi

from meshctl.model.deployment import Deployment, FileSystem, Workload
from stacks.aws import arns
from stacks.aws.cluster import Eks, declare_role, trust
from stacks.aws.network import Network, named
from stacks.resources import AwsProvider, AwsResource, part

_LUSTRE_PORTS = ((988, 988), (1018, 1023))  # FSx for Lustre, "File system access control with Amazon VPC"
_NFS_PORTS = ((2049, 2049),)
_CHANGES = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
_ROLE_NAME_MAX = 64  # IAM API, CreateRole


def declare_file_systems(
    deployment: Deployment, network: Network, eks: Eks, aws: AwsProvider
) -> dict[str, pulumi.Output[Any]]:
    """The file systems; returns what their volumes need, as `<storage>.<property>`."""
    late: dict[str, pulumi.Output[Any]] = {}
    for system in deployment.file_systems:
        if system.service == "fsx-lustre":
            late |= _lustre(deployment, system, network, eks, aws)
        elif system.service == "efs":
            late |= _efs(deployment, system, network, eks, aws)
    return late


def _lustre(
    deployment: Deployment, system: FileSystem, network: Network, eks: Eks, aws: AwsProvider
) -> dict[str, pulumi.Output[Any]]:
    group = _group(deployment, system, _LUSTRE_PORTS, network, eks, aws)
    configuration: dict[str, Any] = {"DeploymentType": system.deployment_type, "DataCompressionType": "LZ4"}
    if system.per_unit_throughput:
        configuration["PerUnitStorageThroughput"] = system.per_unit_throughput
    lustre = AwsResource.declare(
        "fsx:FileSystem",
        f"storage/{system.name}:lustre",
        {
            "FileSystemType": "LUSTRE",
            "FileSystemTypeVersion": "2.15",
            "StorageCapacity": system.size_gib,
            "StorageType": "SSD",
            "SubnetIds": network.private((system.zone,) if system.zone else ())[:1],
            "SecurityGroupIds": [group.get("GroupId")],
            "LustreConfiguration": configuration,
            "Tags": named(f"{deployment.cluster.name}-{system.name}"),
        },
        outputs=["FileSystemId", "DNSName", "MountName"],
        provider=aws,
        timeout_s=3600,
    )
    found: dict[str, pulumi.Output[Any]] = {
        f"{system.name}.file_system_id": lustre.get("FileSystemId"),
        f"{system.name}.dns_name": lustre.get("DNSName"),
        # known only once the file system is: read from the state, which keeps the API's own description
        f"{system.name}.mount_name": part(lustre.get("LustreConfiguration"), "MountName"),
    }
    return found


def _efs(
    deployment: Deployment, system: FileSystem, network: Network, eks: Eks, aws: AwsProvider
) -> dict[str, pulumi.Output[Any]]:
    group = _group(deployment, system, _NFS_PORTS, network, eks, aws)
    efs = AwsResource.declare(
        "efs:FileSystem",
        f"storage/{system.name}:efs",
        {
            "Encrypted": True,
            "ThroughputMode": "elastic",
            "Tags": named(f"{deployment.cluster.name}-{system.name}"),
        },
        outputs=["FileSystemId"],
        provider=aws,
    )
    zones = [subnet.zone for subnet in network.subnets if not subnet.public]
    for zone, subnet_id in zip(zones, network.private(), strict=True):
        AwsResource.declare(
            "efs:MountTarget",
            f"storage/{system.name}:mount-target-{zone}",
            {"FileSystemId": efs.get("FileSystemId"), "SubnetId": subnet_id, "SecurityGroups": [group.get("GroupId")]},
            provider=aws,
        )
    return {f"{system.name}.file_system_id": efs.get("FileSystemId")}


def _group(
    deployment: Deployment,
    system: FileSystem,
    ports: tuple[tuple[int, int], ...],
    network: Network,
    eks: Eks,
    aws: AwsProvider,
) -> AwsResource:
    """A security group that lets the cluster's nodes, and the file system's own servers, reach it."""
    name = f"{deployment.cluster.name}-{system.name}"
    group = AwsResource.declare(
        "ec2:SecurityGroup",
        f"storage/{system.name}:security-group",
        {
            "GroupName": name,
            "Description": f"access to the file system {system.name}",
            "VpcId": network.vpc_id,
            "Tags": named(name),
        },
        outputs=["GroupId"],
        provider=aws,
    )
    sources = [{"GroupId": eks.security_group_id}, {"GroupId": group.get("GroupId")}]
    AwsResource.declare(
        "ec2:SecurityGroupIngress",
        f"storage/{system.name}:ingress",
        {
            "GroupId": group.get("GroupId"),
            "IpPermissions": [
                {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "UserIdGroupPairs": sources}
                for first, last in ports
            ],
        },
        provider=aws,
    )
    return group


def declare_bucket_access(deployment: Deployment, eks: Eks, aws: AwsProvider) -> list[AwsResource]:
    """For each workload that uses buckets a role of its own, given to its service account by EKS Pod Identity."""
    policies = {workload.name: bucket_policy(deployment, workload) for workload in deployment.workloads}
    return [_bucket_access(deployment, workload, policy, eks, aws) for workload, policy in policies.items() if policy]


def _bucket_access(deployment: Deployment, workload: str, policy: str, eks: Eks, aws: AwsProvider) -> AwsResource:
    role, _ = declare_role(
        deployment,
        "buckets",
        role_name(deployment.cluster.name, workload),
        trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
        (),
        aws,
        subject=f"workload/{workload}",
    )
    allowed = AwsResource.declare(
        "iam:RolePolicy",
        f"workload/{workload}:bucket-policy",
        {"RoleName": role.get("RoleName"), "PolicyName": "buckets", "PolicyDocument": policy},
        provider=aws,
    )
    return AwsResource.declare(
        "eks:PodIdentityAssociation",
        f"workload/{workload}:pod-identity",
        {
            "clusterName": eks.name,
            "namespace": deployment.namespace,
            "serviceAccount": workload,  # each workload runs under its own
            "roleArn": role.get("Arn"),
        },
        provider=aws,
        depends_on=[allowed],
    )


def role_name(cluster: str, workload: str) -> str:
    """The name of a workload's role: at most 64 characters, IAM's limit, the same every time."""
    name = f"{cluster}-workload-{workload}"
    if len(name) <= _ROLE_NAME_MAX:
        return name
    return f"{name[: _ROLE_NAME_MAX - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def bucket_policy(deployment: Deployment, workload: Workload) -> str:
    """An IAM policy document: list and read the buckets that the workload uses, change those that it may write.

    It uses what it mounts, and the store of its checkpoints. Empty for a workload that uses no bucket.
    """
    written = {mount.storage for mount in workload.mounts if mount.kind == "object" and not mount.read_only}
    written |= {workload.checkpoint.storage} if workload.checkpoint else set()
    used = written | {mount.storage for mount in workload.mounts if mount.kind == "object"}
    buckets = {s.name: arns.bucket(deployment, s.bucket) for s in deployment.object_stores if s.name in used}
    if not buckets:
        return ""
    changed = [f"{arn}/*" for name, arn in buckets.items() if name in written]
    statements = [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": list(buckets.values())},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{arn}/*" for arn in buckets.values()]},
        {"Effect": "Allow", "Action": _CHANGES, "Resource": changed},
    ]
    document = {"Version": "2012-10-17", "Statement": [item for item in statements if item["Resource"]]}
    return json.dumps(document, sort_keys=True)

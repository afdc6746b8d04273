"""File systems (FSx for Lustre, EFS) and the pods' access to the buckets. Called by `program`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pulumi

from meshctl.model.deployment import Deployment, ExistingFileSystem, FileSystem, Workload
from stacks.aws import arns
from stacks.aws.cluster import Eks, declare_role, trust
from stacks.aws.network import Network, name_tags
from stacks.resources import AwsProvider, AwsResource, part

_LUSTRE_PORTS = ((988, 988), (1018, 1023))  # FSx for Lustre, "File system access control with Amazon VPC"
_NFS_PORTS = ((2049, 2049),)
_CHANGES = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]


@dataclass
class FileSystems:
    """What the volumes need, as `<storage>.<property>`, and the ways to the file systems: these must be there before
    the first pod, and until the last one is gone. A mount whose server can't be reached any more hangs, and the pod
    with it.
    """

    late: dict[str, pulumi.Output[Any]] = field(default_factory=dict)
    ways: list[AwsResource] = field(default_factory=list)


def declare_file_systems(deployment: Deployment, network: Network, eks: Eks, aws: AwsProvider) -> FileSystems:
    made = FileSystems()
    for system in deployment.file_systems:
        if system.service not in ("fsx-lustre", "efs"):
            continue
        if system.existing is not None:
            made.late |= _deferred_values_of_existing(system.name, system.existing)
        if system.existing is not None and system.service == "fsx-lustre":
            continue  # it has its way from the start, in a subnet and with security groups of its owner's
        group = _group(deployment, system, network, aws)
        if system.existing is not None:
            made.ways += _mount_targets(system, network, group, system.existing.id, aws)
            made.ways.append(_opened(system, group, eks, _NFS_PORTS, aws))
        elif system.service == "fsx-lustre":
            made.late |= _lustre(deployment, system, network, group, aws)
            made.ways.append(_opened(system, group, eks, _LUSTRE_PORTS, aws))
        else:
            late, targets = _efs(deployment, system, network, group, aws)
            made.late |= late
            made.ways += [*targets, _opened(system, group, eks, _NFS_PORTS, aws)]
    return made


def _lustre(
    deployment: Deployment, system: FileSystem, network: Network, group: AwsResource, aws: AwsProvider
) -> dict[str, pulumi.Output[Any]]:
    # the file servers talk to each other; FSx refuses a group that doesn't let them, so the rule comes first. It
    # doesn't wait for the cluster, whose group is known ten minutes later
    everything = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group.get("GroupId")}]}]
    itself = _rule(system, "ingress-itself", group, everything, aws)
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
            "Tags": name_tags(f"{deployment.cluster.name}-{system.name}"),
        },
        outputs=["FileSystemId", "DNSName", "MountName"],
        provider=aws,
        depends_on=[itself],
        timeout_s=3600,
    )
    outputs: dict[str, pulumi.Output[Any]] = {
        f"{system.name}.file_system_id": lustre.get("FileSystemId"),
        f"{system.name}.dns_name": lustre.get("DNSName"),
        # known only once the file system is: read from the state, which keeps the API's own description
        f"{system.name}.mount_name": part(lustre.get("LustreConfiguration"), "MountName"),
    }
    return outputs


def _efs(
    deployment: Deployment, system: FileSystem, network: Network, group: AwsResource, aws: AwsProvider
) -> tuple[dict[str, pulumi.Output[Any]], list[AwsResource]]:
    """What its volume needs, and its mount targets."""
    efs = AwsResource.declare(
        "efs:FileSystem",
        f"storage/{system.name}:efs",
        {
            "Encrypted": True,
            "ThroughputMode": "elastic",
            "Tags": name_tags(f"{deployment.cluster.name}-{system.name}"),
        },
        outputs=["FileSystemId"],
        provider=aws,
    )
    targets = _mount_targets(system, network, group, efs.get("FileSystemId"), aws)
    return {f"{system.name}.file_system_id": efs.get("FileSystemId")}, targets


def _mount_targets(
    system: FileSystem, network: Network, group: AwsResource, file_system_id: pulumi.Input[str], aws: AwsProvider
) -> list[AwsResource]:
    """One in each zone: ways to the file system, which go without a file of it. A file system of one zone takes one
    there only."""
    only = system.existing.zone if system.existing is not None else ""
    zones = [subnet.zone for subnet in network.subnets if not subnet.public and only in ("", subnet.zone)]
    return [
        AwsResource.declare(
            "efs:MountTarget",
            f"storage/{system.name}:mount-target-{zone}",
            {"FileSystemId": file_system_id, "SubnetId": subnet_id, "SecurityGroups": [group.get("GroupId")]},
            provider=aws,
        )
        for zone, subnet_id in zip(zones, network.private((only,) if only else ()), strict=True)
    ]


def _deferred_values_of_existing(name: str, existing: ExistingFileSystem) -> dict[str, pulumi.Output[Any]]:
    values = {"file_system_id": existing.id, "dns_name": existing.dns_name, "mount_name": existing.mount_name}
    return {f"{name}.{key}": pulumi.Output.from_input(value) for key, value in values.items()}


def _group(deployment: Deployment, system: FileSystem, network: Network, aws: AwsProvider) -> AwsResource:
    """The security group of a file system: closed, until a rule opens it."""
    name = f"{deployment.cluster.name}-{system.name}"
    return AwsResource.declare(
        "ec2:SecurityGroup",
        f"storage/{system.name}:security-group",
        {
            "GroupName": name,
            "Description": f"access to the file system {system.name}",
            "VpcId": network.vpc_id,
            "Tags": name_tags(name),
        },
        outputs=["GroupId"],
        provider=aws,
    )


def _opened(
    system: FileSystem, group: AwsResource, eks: Eks, ports: tuple[tuple[int, int], ...], aws: AwsProvider
) -> AwsResource:
    """The rule that lets the cluster's nodes in."""
    nodes = [{"GroupId": eks.security_group_id}]
    permissions = [
        {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "UserIdGroupPairs": nodes} for first, last in ports
    ]
    return _rule(system, "ingress", group, permissions, aws)


def _rule(
    system: FileSystem, name: str, group: AwsResource, permissions: list[dict[str, Any]], aws: AwsProvider
) -> AwsResource:
    return AwsResource.declare(
        "ec2:SecurityGroupIngress",
        f"storage/{system.name}:{name}",
        {"GroupId": group.get("GroupId"), "IpPermissions": permissions},
        provider=aws,
    )


def declare_bucket_access(deployment: Deployment, eks: Eks, aws: AwsProvider) -> list[AwsResource]:
    """For each workload that uses buckets a role of its own, given to its service account by EKS Pod Identity."""
    policies = {workload.name: bucket_policy(deployment, workload) for workload in deployment.workloads}
    return [_bucket_access(deployment, workload, policy, eks, aws) for workload, policy in policies.items() if policy]


def _bucket_access(deployment: Deployment, workload: str, policy: str, eks: Eks, aws: AwsProvider) -> AwsResource:
    role, _ = declare_role(
        deployment,
        "buckets",
        f"{deployment.cluster.name}-workload-{workload}",
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


def declare_tier_access(deployment: Deployment, eks: Eks, aws: AwsProvider) -> list[AwsResource]:
    """What lets a WEKA cluster keep cold data in buckets of the mesh: its containers have their nodes' own role."""
    policy = tier_policy(deployment)
    if not policy:
        return []
    role = eks.node_role.get("RoleName")
    inputs = {"RoleName": role, "PolicyName": "weka-tier", "PolicyDocument": policy}
    return [AwsResource.declare("iam:RolePolicy", "neuralmesh:tier-policy", inputs, provider=aws)]


def tier_policy(deployment: Deployment) -> str:
    """An IAM policy document; empty where nothing is tiered. Objects are put, read and deleted,
    and tagged only where a user of WEKA asks for it (docs.weka.io, "Manage object stores"); not tried."""
    mesh = deployment.neural_mesh
    tiers = {system.tier for system in deployment.file_systems if system.service == "neuralmesh" and system.tier}
    if mesh is None or mesh.joined is not None or not tiers:
        return ""
    buckets = [arns.bucket(deployment, store.bucket) for store in deployment.object_stores if store.name in tiers]
    statements = [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": buckets},
        {"Effect": "Allow", "Action": ["s3:GetObject", *_CHANGES], "Resource": [f"{arn}/*" for arn in buckets]},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


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

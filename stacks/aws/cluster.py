"""The EKS cluster: roles, control plane, OIDC provider, add-ons, kubeconfig. Called by `program`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pulumi

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import scaling
from stacks.aws import arns
from stacks.aws.network import Network
from stacks.resources import AwsProvider, AwsResource, aws_tags, part

_CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
_NODE_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonSSMManagedInstanceCore",
)
_NETWORK_PLUGIN = "vpc-cni"
# With EFA machines it keeps some addresses ready on each node, not a whole network interface's beside the one in use,
# which are 100 of the subnet for a p5 ("MINIMUM_IP_TARGET" and "WARM_IP_TARGET", README of amazon-vpc-cni-k8s).
_WARM_ADDRESSES = {"MINIMUM_IP_TARGET": "10", "WARM_IP_TARGET": "5"}
# With nodes on which a policy of WEKA makes interfaces it keeps to a node's first one: WEKA takes every other one for
# itself, also one that the plugin has attached, and the pods that have their addresses from that one are cut off (seen
# on EKS: github.com/mbookham7/mb-weka-operator-csi-blog, weka-eks-terraform/eks.tf at 9b8ebcee). With 16 addresses in
# each of its slots the first one is enough for all pods that the kubelet takes, whose number goes by all interfaces of
# the network card, which are 15 at the most ("MAX_ENI" and "ENABLE_PREFIX_DELEGATION", the same README).
ONE_INTERFACE = {"ENABLE_PREFIX_DELEGATION": "true", "MAX_ENI": "1", **_WARM_ADDRESSES}
# In place before the first node joins; the others need nodes to run on.
_ADDONS_BEFORE_NODES = (_NETWORK_PLUGIN, "kube-proxy", "eks-pod-identity-agent")

_EBS_DRIVER = "aws-ebs-csi-driver"

_LOGS_KEPT_DAYS = 30
_ROLE_NAME_MAX = 64  # IAM API, CreateRole


@dataclass(frozen=True)
class Eks:
    """`name`, `security_group_id` and `kubeconfig` are unknown until the cluster exists."""

    cluster: AwsResource
    name: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    node_role: AwsResource
    before_nodes: tuple[pulumi.Resource, ...]


def trust(service: str, *actions: str) -> str:
    """An assume-role policy document for one AWS service."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions or ("sts:AssumeRole",))}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def role_name(name: str) -> str:
    """The name as IAM takes it: at most 64 characters, and the same every time."""
    if len(name) <= _ROLE_NAME_MAX:
        return name
    return f"{name[: _ROLE_NAME_MAX - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def declare_logs(deployment: Deployment, aws: AwsProvider) -> AwsResource:
    """The log group of the control plane. The network waits for it, so that a destroy deletes it after all else: EKS
    writes its last lines some time after the cluster is gone, and makes the group anew for them
    (terraform-aws-eks issues 2446 and 2763). Minutes go by while the NAT gateways end."""
    return AwsResource.declare(
        "logs:LogGroup",
        "cluster:logs",
        # the name that EKS writes to ("Send control plane logs to CloudWatch Logs")
        {"logGroupName": f"/aws/eks/{deployment.cluster.name}/cluster", "retentionInDays": _LOGS_KEPT_DAYS},
        provider=aws,
    )


def declare_cluster(deployment: Deployment, network: Network, logs: AwsResource, aws: AwsProvider) -> Eks:
    prefix = deployment.cluster.name
    cluster_role, cluster_policies = declare_role(
        deployment, "cluster", f"{prefix}-cluster", trust("eks.amazonaws.com"), _CLUSTER_POLICIES, aws
    )
    node_role, node_policies = declare_role(
        deployment, "nodes", f"{prefix}-nodes", trust("ec2.amazonaws.com"), _NODE_POLICIES, aws
    )
    cluster = _control_plane(deployment, network, cluster_role, [*cluster_policies, logs], aws)
    name = cluster.get("name")
    AwsResource.declare(
        "iam:OpenIDConnectProvider",
        "cluster:oidc-provider",
        {
            "Url": part(cluster.get("identity"), "oidc", "issuer"),
            "ClientIDList": ["sts.amazonaws.com"],
        },
        provider=aws,
    )
    settings = {_NETWORK_PLUGIN: _network_settings(deployment)}
    before = [
        _addon(deployment, addon, name, aws, [], configuration=settings.get(addon)) for addon in _ADDONS_BEFORE_NODES
    ]
    return Eks(
        cluster=cluster,
        name=name,
        security_group_id=part(cluster.get("resourcesVpcConfig"), "clusterSecurityGroupId"),
        kubeconfig=_kubeconfig(deployment, cluster),
        node_role=node_role,
        before_nodes=(*node_policies, *before),
    )


def _control_plane(
    deployment: Deployment, network: Network, role: AwsResource, after: list[AwsResource], aws: AwsProvider
) -> AwsResource:
    return AwsResource.declare(
        "eks:Cluster",
        "cluster:eks",
        {
            "name": deployment.cluster.name,
            "version": deployment.cluster.version or None,
            "roleArn": role.get("Arn"),
            "resourcesVpcConfig": {"subnetIds": network.of_control_plane(), **endpoint_access(deployment)},
            # the API's own default mode (CONFIG_MAP) knows no access entries
            "accessConfig": {
                "authenticationMode": "API_AND_CONFIG_MAP",
                # an access entry lets the maker in, which can be seen and taken away; clusters of older releases stay
                "bootstrapClusterCreatorAdminPermissions": not deployment.cluster.maker,
            },
            "logging": {"clusterLogging": [{"types": ["api", "audit", "authenticator"], "enabled": True}]},
            # EKS upgrades the cluster at the end of standard support; by its default, EXTENDED, the price rises sixfold
            "upgradePolicy": {"supportType": "STANDARD"},
        },
        outputs=["endpoint", "certificateAuthority", "identity"],
        provider=aws,
        depends_on=after,
        # a cluster stays in the zones that it was made in: one that has more subnets keeps them
        # and keeps its policy at the end of support, which decides whether EKS upgrades it by itself
        ignore_changes=["resourcesVpcConfig.subnetIds", "upgradePolicy", *version_left_alone(deployment, "version")],
        timeout_s=1800,
    )


def declare_admins(deployment: Deployment, eks: Eks, aws: AwsProvider) -> list[AwsResource]:
    """Access entries of those who administer the cluster: its maker, where EKS does not let that one in by itself, and
    `kubernetes.admins`. A principal has one entry, whichever of them it is."""
    maker, admins = deployment.cluster.maker, deployment.cluster.admins
    others = [principal for principal in admins if principal != maker]
    entries = [_admin(deployment, eks, principal, _admin_names(principal), aws) for principal in others]
    if not maker:
        return entries
    # of a first `up` that was cut off, the entry can be there by its other name
    before = _admin_names(maker) if maker in admins else ()
    return [_admin(deployment, eks, maker, ("cluster:maker", "cluster:maker-policy"), aws, before), *entries]


def _admin_names(principal: str) -> tuple[str, str]:
    """Of the entry, and of the policy that is associated with it."""
    name = f"{principal.rpartition('/')[2]}-{hashlib.sha256(principal.encode()).hexdigest()[:8]}"
    return f"cluster:admin-{name}", f"cluster:admin-policy-{name}"


def _admin(
    deployment: Deployment,
    eks: Eks,
    principal: str,
    names: tuple[str, str],
    aws: AwsProvider,
    names_before: tuple[str, ...] = (),
) -> AwsResource:
    entry = AwsResource.declare(
        "eks:AccessEntry",
        names[0],
        {"clusterName": eks.name, "principalArn": principal},
        outputs=["principalArn"],
        provider=aws,
        aliases=names_before[:1],
    )
    return AwsResource.declare(
        "eks:AccessPolicyAssociation",
        names[1],
        {
            "clusterName": eks.name,
            "principalArn": entry.get("principalArn"),
            "policyArn": arns.cluster_admin_policy(deployment),
            "accessScope": {"type": "cluster"},
        },
        provider=aws,
        aliases=names_before[1:],
    )


def endpoint_access(deployment: Deployment) -> dict[str, Any]:
    """From where the API server can be reached: always from inside the VPC. Without networks, which EKS refuses as an
    empty list, not from outside."""
    cidrs = list(deployment.cluster.public_access_cidrs)
    sources = {"publicAccessCidrs": cidrs} if cidrs else {}
    return {"endpointPublicAccess": bool(cidrs), "endpointPrivateAccess": True, **sources}


def declare_addons(
    deployment: Deployment, eks: Eks, node_groups: list[AwsResource], aws: AwsProvider
) -> list[AwsResource]:
    """The add-ons that need a node to run on: DNS, what finds broken GPUs, what measures the CPU that replicas follow
    (docs.aws.amazon.com/eks/latest/userguide/metrics-server.html), and the storage drivers that the deployment uses."""
    names = _addons_on_nodes(deployment)
    addons = [_addon(deployment, name, eks.name, aws, node_groups) for name in names]
    return [*addons, _ebs_driver(deployment, eks, node_groups, aws)] if deployment.blocks else addons


def _addons_on_nodes(deployment: Deployment) -> list[str]:
    names = ["coredns"]
    names += ["eks-node-monitoring-agent"] if any(pool.gpus_per_node for pool in deployment.pools) else []
    names += ["metrics-server"] if any(_follows_cpu(each) for each in deployment.workloads) else []
    names += ["aws-fsx-csi-driver"] if any(f.service == "fsx-lustre" for f in deployment.file_systems) else []
    names += ["aws-efs-csi-driver"] if any(f.service == "efs" for f in deployment.file_systems) else []
    return names


def addon_names(deployment: Deployment) -> tuple[str, ...]:
    """All add-ons that the deployment declares."""
    names = (*_ADDONS_BEFORE_NODES, *_addons_on_nodes(deployment))
    return (*names, _EBS_DRIVER) if deployment.blocks else names


def _follows_cpu(workload: Workload) -> bool:
    return workload.scale is not None and workload.scale.metric == scaling.CPU


def _ebs_driver(deployment: Deployment, eks: Eks, node_groups: list[AwsResource], aws: AwsProvider) -> AwsResource:
    """The one driver that makes volumes by itself: it needs a role, which EKS Pod Identity gives its controller."""
    role, policies = declare_role(
        deployment,
        "ebs-driver",
        f"{deployment.cluster.name}-ebs-driver",
        trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
        ("service-role/AmazonEBSCSIDriverPolicy",),
        aws,
    )
    identity = {"serviceAccount": "ebs-csi-controller-sa", "roleArn": role.get("Arn")}
    tags = json.dumps({"controller": {"extraVolumeTags": aws_tags(deployment)}}, sort_keys=True)
    return _addon(deployment, _EBS_DRIVER, eks.name, aws, [*node_groups, *policies], [identity], tags)


def declare_role(
    deployment: Deployment,
    name: str,
    called: str,
    trust_policy: str,
    policies: tuple[str, ...],
    aws: AwsProvider,
    *,
    subject: str = "cluster",
) -> tuple[AwsResource, list[AwsResource]]:
    """A role and its attached managed policies, given by their names. `called` is its name, shortened where needed."""
    role = AwsResource.declare(
        "iam:Role",
        f"{subject}:role-{name}",
        {
            "RoleName": role_name(called),
            "AssumeRolePolicyDocument": trust_policy,
            "PermissionsBoundary": deployment.cluster.permissions_boundary or None,
            "Path": deployment.cluster.role_path or None,
        },
        outputs=["Arn", "RoleName"],
        provider=aws,
        # a role can't move, and a cluster can't change its role: what is up stays on its path
        ignore_changes=["Path"],
    )
    attachments = [
        AwsResource.declare(
            "iam:RolePolicyAttachment",
            f"{subject}:role-{name}-{policy.rsplit('/', 1)[-1]}",
            {"RoleName": role.get("RoleName"), "PolicyArn": arns.managed_policy(deployment, policy)},
            provider=aws,
        )
        for policy in policies
    ]
    return role, attachments


def _addon(
    deployment: Deployment,
    name: str,
    cluster: pulumi.Output[str],
    aws: AwsProvider,
    after: list[AwsResource],
    identities: list[dict[str, Any]] | None = None,
    configuration: str | None = None,
) -> AwsResource:
    return AwsResource.declare(
        "eks:Addon",
        f"cluster:addon-{name}",
        {
            "clusterName": cluster,
            "addonName": name,
            "addonVersion": deployment.cluster.addon_versions.get(name),
            "resolveConflicts": "OVERWRITE",
            "kubernetesVersion": deployment.cluster.version or None,
            "podIdentityAssociations": identities,
            "configurationValues": configuration,
        },
        provider=aws,
        depends_on=after,
        # the network plugin that is up keeps the settings that it came up with
        ignore_changes=[
            *version_left_alone(deployment, "kubernetesVersion"),
            *(["configurationValues"] if name == _NETWORK_PLUGIN else ()),
        ],
    )


def version_left_alone(deployment: Deployment, name: str) -> list[str]:
    """The input `name`, where environments.yaml asks for no Kubernetes version: EKS upgrades a cluster by itself at the
    end of its support, and its nodes, which would be replaced for it, are to follow when somebody asks."""
    return [] if deployment.cluster.version_asked else [name]


def _network_settings(deployment: Deployment) -> str | None:
    has_efa = any(pool.fabric is not None and pool.fabric.kind == "efa" for pool in deployment.pools)
    has_blocks = deployment.neural_mesh is not None and deployment.neural_mesh.has_address_blocks
    settings = ONE_INTERFACE if has_blocks else _WARM_ADDRESSES if has_efa else {}
    return json.dumps({"env": settings}, sort_keys=True) if settings else None


def _kubeconfig(deployment: Deployment, cluster: AwsResource) -> pulumi.Output[str]:
    parts = pulumi.Output.all(
        name=cluster.get("name"),
        endpoint=cluster.get("endpoint"),
        authority=part(cluster.get("certificateAuthority"), "data"),
    )
    return parts.apply(lambda cluster_facts: kubeconfig_text(deployment, **cluster_facts))


def kubeconfig_text(deployment: Deployment, *, name: str, endpoint: str, authority: str) -> str:
    """A kubeconfig whose tokens come from `meshctl eks-token`: nothing secret in it, nothing that expires.

    `name` is the EKS cluster's; the context is called as the environment. `authority` is base64.
    """
    context = deployment.environment
    arguments = ["eks-token", "--cluster-name", name, "--region", deployment.region]
    arguments += ["--profile", deployment.profile] if deployment.profile else []
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "meshctl",
        "args": arguments,
        "interactiveMode": "Never",
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
        "users": [{"name": context, "user": {"exec": plugin}}],
        "contexts": [
            {"name": context, "context": {"cluster": context, "user": context, "namespace": deployment.namespace}}
        ],
    }
    return json.dumps(document, sort_keys=True)

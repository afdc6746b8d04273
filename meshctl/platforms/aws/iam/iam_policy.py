"""The least IAM policy with which an environment on AWS is planned, brought up, migrated and destroyed. PURE.

Part of the platform (`meshctl.platforms.aws`); printed by `meshctl doctor --iam-policy`. It is made of the operations
of the rows that the environment's program declares, of the preflight's questions, and of the few calls of meshctl's own
clients. What has a name that is known beforehand is named: the cluster, its roles, its log group, the buckets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from meshctl.catalog import Machine
from meshctl.model.deployment import Deployment
from meshctl.model.questions import InPlace, PolicyScope
from meshctl.platforms.aws.iam import iam_actions
from meshctl.platforms.aws.preflight import preflight
from providers.aws.rows import ALL
from providers.aws.rows_engine.operations import operations, optional_operations
from providers.aws.rows_engine.row import Row
from stacks.aws import arns

# Rows that only some environments declare, by what they need; the others belong to every cluster.
_EFS: Final = ("meshaws:efs:FileSystem", "meshaws:efs:MountTarget")
_MOUNT_TARGETS: Final = _EFS[1:]  # of meshctl's own, also to a file system that is adopted
_LUSTRE: Final = ("meshaws:fsx:FileSystem",)
_BUCKETS: Final = ("meshaws:s3:Bucket",)
_NAMES: Final = ("meshaws:route53:RecordSet",)
_CERTIFICATES: Final = ("meshaws:acm:Certificate", "meshaws:acm:IssuedCertificate")
# Of `expand` and `contract`, which few use, and with which the policy of most meshes would not fit into one: they have
# one of their own (`doctor --iam-policy ENV --for expand`).
_EXPANSIONS: Final = ("meshaws:route53:HealthCheck",)
_ADDRESS_BLOCKS: Final = ("meshaws:ec2:SubnetCidrReservation",)
_SOMETIMES: Final = frozenset((*_ADDRESS_BLOCKS, *_EFS, *_LUSTRE, *_BUCKETS, *_NAMES, *_CERTIFICATES, *_EXPANSIONS))

# What meshctl's own clients call: `deploy.guards.location`, `deploy.live_platform`, `dns.endpoint_records`, `objects`
# with rclone.
_OWN_CALLS: Final[dict[str, tuple[str, ...]]] = {
    "iam": ("GetRole", "SimulatePrincipalPolicy"),  # of the caller: `caller`, `rights`
    "ssm": ("GetParameter",),
}
# Of adopted file systems (`clients.aws.existing_file_systems`), whose id does not say of which service they are.
_OF_ADOPTED: Final[dict[str, tuple[str, ...]]] = {
    "efs": ("DescribeFileSystems", "DescribeMountTargets"),
    "fsx": ("DescribeFileSystems",),
}
_OF_NAMES: Final = ("GetHostedZone", "ListHostedZonesByName")
_ON_BUCKETS: Final = (
    *("s3:GetBucketLocation", "s3:GetBucketTagging", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    "s3:ListBucketVersions",
)
_ON_OBJECTS: Final = (
    *("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject"),
    *("s3:ListMultipartUploadParts", "s3:PutObject"),
)
_ON_STATE: Final = ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")

# Actions without a resource that could be named (Service Authorization Reference).
_UNNAMED: Final = frozenset(
    (
        # asks about all regions, and is sent to one that need not be the environment's
        "ec2:DescribeRegions",
        "autoscaling:DescribeAutoScalingGroups",
        "iam:SimulatePrincipalPolicy",  # of the caller, whose name the policy does not know
        "iam:GetRole",  # reads the service-linked roles of spot instances and node groups as well
        *("eks:DescribeAddonVersions", "eks:DescribeClusterVersions", "eks:ListClusters"),
        *("iam:ListOpenIDConnectProviders", "logs:DescribeLogGroups"),
        *("s3:ListAllMyBuckets", "route53:ListHostedZonesByName", "servicequotas:GetServiceQuota"),
        *("route53:CreateHealthCheck", "route53:ListHealthChecks"),
    )
)
_ALWAYS_ALLOWED: Final = "sts:GetCallerIdentity"  # it needs no permission (STS API reference)
# Services whose objects get their names from AWS: narrowed to the region instead.
_REGIONAL: Final = ("acm", "ec2", "elasticfilesystem", "fsx")
_PASSED_TO: Final = ("ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com")
_ROLE_NAME_START: Final = 54  # how much of a name that is too long a role keeps (`stacks.aws.cluster.role_name`)


@dataclass(frozen=True)
class Statement:
    """One statement that allows something."""

    sid: str
    actions: Iterable[str]
    resources: tuple[str, ...] = ("*",)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        resources: Any = list(self.resources) if len(self.resources) > 1 else self.resources[0]
        document = {"Sid": self.sid, "Effect": "Allow", "Action": sorted(self.actions), "Resource": resources}
        return {**document, "Condition": dict(self.conditions)} if self.conditions else document


def policy(deployment: Deployment, scope: PolicyScope, machines: Mapping[str, Machine]) -> dict[str, Any]:
    """The document. `machines`: the catalog by the names of the types."""
    wanted = expand_statements(deployment.region) if scope.for_expand else statements(deployment, scope, machines)
    documents = [each.document() for each in _joined(wanted)]
    return {"Version": "2012-10-17", "Statement": documents}


def _joined(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Statements about the same resources as one, which is shorter: IAM counts the characters of a policy."""
    by_place: dict[str, list[Statement]] = {}
    for each in statements:
        by_place.setdefault(json.dumps([each.resources, each.conditions], sort_keys=True), []).append(each)
    for first, *others in by_place.values():
        actions = frozenset(first.actions).union(*(each.actions for each in others))
        yield replace(first, actions=actions)


def statements(deployment: Deployment, scope: PolicyScope, machines: Mapping[str, Machine]) -> tuple[Statement, ...]:
    """Those of the document, which `rights` has IAM simulate."""
    all_statements = _statements(deployment, scope, needed_actions(deployment, scope, machines))
    return tuple(each for each in all_statements if each.actions)


def needed_actions(deployment: Deployment, scope: PolicyScope, machines: Mapping[str, Machine]) -> frozenset[str]:
    """All actions but those on the content of buckets, which are not of rows."""
    declared = rows(deployment, scope)
    actions = set(actions_of(row.token for row in declared))
    for row in declared:
        for service, operation in optional_operations(row):
            actions |= iam_actions.actions(service, [operation])
    adopts = any(system.existing is not None for system in deployment.file_systems)
    own_calls = {**_OWN_CALLS, "route53": _OF_NAMES if scope.dns_zone else (), **(_OF_ADOPTED if adopts else {})}
    for service, names in own_calls.items():
        actions |= iam_actions.actions(service, names)
    return frozenset(actions | asked_actions(deployment, machines)) - {_ALWAYS_ALLOWED}


def actions_of(types: Iterable[str]) -> frozenset[str]:
    """Of the rows with these Pulumi types."""
    wanted = frozenset(types)
    own = (iam_actions.actions(row.service, operations(row)) for row in ALL if row.token in wanted)
    return frozenset().union(*own)


def rows(deployment: Deployment, scope: PolicyScope) -> tuple[Row, ...]:
    """Those that the programs of the environment and of its names declare."""
    services = {system.service for system in deployment.file_systems}
    made, mesh = _made_services(deployment), deployment.neural_mesh
    wanted = {
        *(_ADDRESS_BLOCKS if mesh is not None and mesh.has_address_blocks else ()),
        *(_EFS if "efs" in made else ()),
        *(_MOUNT_TARGETS if "efs" in services else ()),
        *(_LUSTRE if "fsx-lustre" in made else ()),
        *(_BUCKETS if any(not store.is_adopted for store in deployment.object_stores) else ()),
        *(_NAMES if scope.dns_zone else ()),
        *(_CERTIFICATES if any(endpoint.certificate for endpoint in deployment.endpoints) else ()),
    }
    return tuple(row for row in ALL if row.token not in _SOMETIMES or row.token in wanted)


def _made_services(deployment: Deployment) -> set[str]:
    """Of the file systems that meshctl makes."""
    return {system.service for system in deployment.file_systems if system.existing is None}


def asked_actions(deployment: Deployment, machines: Mapping[str, Machine]) -> frozenset[str]:
    """What the preflight's questions need, of an environment that is not up."""
    actions: set[str] = set()
    for question in preflight.questions(preflight.Change(deployment, InPlace(), machines)):
        actions |= iam_actions.actions(question.service, [iam_actions.operation_of(question.operation)])
    return frozenset(actions)


def _statements(deployment: Deployment, scope: PolicyScope, actions: frozenset[str]) -> Iterator[Statement]:
    named = actions - _UNNAMED
    in_region = {"StringEquals": {"aws:RequestedRegion": deployment.region}}
    yield Statement("Look", actions & _UNNAMED)
    yield Statement("Region", _of(named, *_REGIONAL), conditions=in_region)
    # one statement for both, which is shorter: no action of either fits the other's resources
    of_cluster = (*_clusters(deployment, scope), _public_parameters(deployment))
    yield Statement("Eks", _of(named, "eks", "ssm"), of_cluster)
    yield from _roles(deployment, scope, _of(named, "iam"))
    yield Statement("Logs", _of(named, "logs"), _log_groups(deployment, scope))
    yield from _buckets(deployment, scope, _of(named, "s3"))
    yield from _names(deployment, scope, _of(named, "route53"))


def _of(actions: Iterable[str], *services: str) -> frozenset[str]:
    return frozenset(action for action in actions if action.partition(":")[0] in services)


def _arn(deployment: Deployment, scope: PolicyScope, service: str, rest: str, *, is_global: bool = False) -> str:
    region = "" if is_global else deployment.region
    return f"arn:{arns.partition(deployment.region)}:{service}:{region}:{scope.account or '*'}:{rest}"


def _clusters(deployment: Deployment, scope: PolicyScope) -> tuple[str, ...]:
    """The cluster, and what belongs to it: node groups, add-ons, access entries, Pod Identity."""
    name = deployment.cluster.name
    return tuple(_arn(deployment, scope, "eks", rest) for rest in (f"cluster/{name}", f"*/{name}/*"))


def _public_parameters(deployment: Deployment) -> str:
    """In which AWS publishes the newest images of nodes; they belong to no account."""
    return f"arn:{arns.partition(deployment.region)}:ssm:*::parameter/aws/*"


def _log_groups(deployment: Deployment, scope: PolicyScope) -> tuple[str, ...]:
    """The group of the control plane, which some actions name with `:*` behind it. All below `/aws/eks/NAME/` is of the
    cluster, so one pattern does for both; a policy has little room."""
    return (_arn(deployment, scope, "logs", f"log-group:/aws/eks/{deployment.cluster.name}/cluster*"),)


def _roles(deployment: Deployment, scope: PolicyScope, actions: frozenset[str]) -> Iterator[Statement]:
    """The mesh's roles, which only EKS, nodes and pods may be given, and which get policies of AWS only."""

    def global_arn(rest: str) -> str:
        return _arn(deployment, scope, "iam", rest, is_global=True)

    start = f"{deployment.cluster.name}-"[:_ROLE_NAME_START]
    roles = (global_arn(f"role{deployment.cluster.role_path or '/'}{start}*"),)
    attaching = actions & {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}
    of_providers = frozenset(action for action in actions if "OpenIDConnectProvider" in action)
    managed = {"ArnLike": {"iam:PolicyARN": arns.managed_policy(deployment, "*")}}
    yield Statement("Roles", actions - attaching - of_providers, roles)
    yield Statement("Add", attaching, roles, managed)
    passed = {"StringEquals": {"iam:PassedToService": list(_PASSED_TO)}}
    yield Statement("Pass", ("iam:PassRole",), roles, passed)
    yield Statement("Oidc", of_providers, (global_arn(f"oidc-provider/oidc.eks.{deployment.region}.*"),))
    linked = {"StringEquals": {"iam:AWSServiceName": list(_linked_services(deployment))}}
    yield Statement("Link", ("iam:CreateServiceLinkedRole",), (global_arn("role/aws-service-role/*"),), linked)


def _linked_services(deployment: Deployment) -> Iterator[str]:
    """Services that make a role for themselves when an account first uses them."""
    services = {system.service for system in deployment.file_systems}  # a mount target needs the role of EFS, too
    yield from ("eks.amazonaws.com", "eks-nodegroup.amazonaws.com")
    if "fsx-lustre" in _made_services(deployment):
        yield "fsx.amazonaws.com"
    if "efs" in services:
        yield "elasticfilesystem.amazonaws.com"
    if any(pool.market == "spot" for pool in deployment.pools):
        yield "spot.amazonaws.com"


def _buckets(deployment: Deployment, scope: PolicyScope, actions: frozenset[str]) -> Iterator[Statement]:
    """`actions`: of the row, on buckets that meshctl makes; what is in all of them is read, written and deleted."""
    made = tuple(arns.bucket(deployment, store.bucket) for store in deployment.object_stores if not store.is_adopted)
    stores = tuple(arns.bucket(deployment, store.bucket) for store in deployment.object_stores)
    if made:
        yield Statement("S3", actions - set(_ON_BUCKETS) - set(_ON_OBJECTS), made)
    if stores:
        yield Statement("Lists", _ON_BUCKETS, stores)
        yield Statement("Objects", _ON_OBJECTS, tuple(f"{arn}/*" for arn in stores))
    state = urlsplit(scope.state)
    if state.scheme == "s3":
        bucket = arns.bucket(deployment, state.netloc)
        yield Statement("State", ("s3:ListBucket",), (bucket,))
        yield Statement("StateObjects", _ON_STATE, (f"{bucket}/*",))


def _names(deployment: Deployment, scope: PolicyScope, actions: frozenset[str]) -> Iterator[Statement]:
    if not scope.dns_zone:
        return
    # environments.yaml may name the zone by its domain, and then the id is unknown
    zone = "*" if "." in scope.dns_zone else scope.dns_zone.removeprefix("/hostedzone/")
    start = f"arn:{arns.partition(deployment.region)}:route53:::"
    yield Statement("Dns", actions, (f"{start}change/*", f"{start}hostedzone/{zone}"))


def expand_statements(region: str = "us-east-1") -> tuple[Statement, ...]:
    """The rights to the health checks of shared names, which are no environment's. `region`: any of the partition."""
    actions = actions_of(_EXPANSIONS)
    checks = (f"arn:{arns.partition(region)}:route53:::healthcheck/*",)
    return (Statement("LookAtChecks", actions & _UNNAMED), Statement("Checks", actions - _UNNAMED, checks))

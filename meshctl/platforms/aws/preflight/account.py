"""What of an account and a region may stand in the way of an environment: zones, names, roles, free addresses. PURE.

Called by `preflight`. Each is asked only where a run would make what needs it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Gap, ObjectStore
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws import partitions
from meshctl.platforms.aws.preflight import bucket_names, pool_names, role_names
from meshctl.platforms.aws.preflight.change import Change
from meshctl.platforms.aws.words import PRIVATE_HINT
from meshctl.resolve.placement import addresses

_BUCKET: Final = "meshaws:s3:Bucket"
# Enabled in every account; any other region is asked about ("Specify which AWS Regions your account can use", AWS
# Account Management reference).
_ALWAYS_ENABLED: Final = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "ap-south-1"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2"),
)
# Zones, by id, in which a control plane can have no interface ("Subnet requirements for clusters", EKS user guide).
_NO_CONTROL_PLANE: Final = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
_CONTROL_PLANE_ZONES: Final = 2
_MOST_TAGS: Final = 50  # of a resource ("Tag naming limits and requirements", Tagging AWS resources)
_OWN_TAGS: Final = 5  # Name, mesh, environment, pool, and whose resource of the stack it is
_SPOT_ROLE: Final = "AWSServiceRoleForEC2Spot"
# AWS does not say in which zones it has a file service. It does say in which it has a private endpoint of one, by these
# names.
_FILE_SERVICES: Final = {"fsx-lustre": ("fsx", "FSx"), "efs": ("elasticfilesystem", "EFS")}
_FILE_TYPES: Final = {"fsx-lustre": "meshaws:fsx:FileSystem", "efs": "meshaws:efs:FileSystem"}


def questions(change: Change) -> Iterator[ApiQuestion]:
    region = change.wanted.region
    arguments: dict[str, Any]
    if change.makes_cluster and _may_be_disabled(region):
        arguments = {"RegionNames": [region], "AllRegions": True}
        about = f"whether the account has enabled {region}"
        yield ApiQuestion("region", "ec2", "describe_regions", about, arguments, region="us-east-1")
    if change.makes_cluster:
        yield ApiQuestion("zones", "ec2", "describe_availability_zones", "which zones the account has")
        name = change.wanted.cluster.name
        about = "whether the cluster's name is free"
        codes = ("ResourceNotFoundException",)
        yield ApiQuestion("cluster", "eks", "describe_cluster", about, {"name": name}, telling_codes=codes)
    yield from role_names.questions(change)
    yield from pool_names.questions(change)
    for store in _new_buckets(change):
        about = "whether the buckets' names are free"
        yield bucket_names.question(store.bucket, about)
    if any(pool.market == "spot" for pool in change.growing_pools):
        arguments = {"RoleName": _SPOT_ROLE}
        about = "the role of EC2 for spot instances"
        yield ApiQuestion("spot-role", "iam", "get_role", about, arguments, telling_codes=("NoSuchEntity",))
    for service in _new_file_services(change):
        endpoint, product = _FILE_SERVICES[service]
        arguments = {"ServiceNames": [f"com.amazonaws.{region}.{endpoint}"]}
        about = f"which zones have {product}"
        yield ApiQuestion(service, "ec2", "describe_vpc_endpoint_services", about, arguments)
    if _grows_in_place(change):
        tags = {"mesh": change.wanted.mesh, "environment": change.wanted.environment}
        filters = [{"Name": f"tag:meshctl.dev/{key}", "Values": [value]} for key, value in tags.items()]
        about = "how many addresses the subnets have left"
        yield ApiQuestion("subnets", "ec2", "describe_subnets", about, {"Filters": filters})


def findings(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    names = {question.name for question in questions(change)}
    answered = {name: answer for name, answer in answers.items() if name in names}
    gaps = (
        *_private_gaps(change),
        *_tag_gaps(change),
        *_region_gaps(change, answered.get("region")),
        *_zone_gaps(change, answered.get("zones")),
        *_cluster_gaps(change, answered.get("cluster")),
        *role_names.gaps(change, answered),
        *pool_names.gaps(change, answered),
        *_bucket_gaps(change, answers),
        *_spot_gaps(answered.get("spot-role")),
        *_subnet_gaps(change, answered.get("subnets")),
    )
    notes = [note for service in _new_file_services(change) for note in _file_notes(change, service, answered)]
    return Findings(gaps=gaps, notes=tuple(notes))


def _private_gaps(change: Change) -> Iterator[Gap]:
    """A first `up` makes the VPC and then asks the API server, which it could do from inside that VPC alone."""
    if change.missing_vpcs and not change.wanted.cluster.public_access_cidrs:
        yield Gap(
            subject="cluster",
            wanted="an API server that answers inside the VPC alone (`publicAccessCidrs: []`)",
            best="nobody is inside a VPC that is only about to be made",
            hint=PRIVATE_HINT,
        )


def _tag_gaps(change: Change) -> Iterator[Gap]:
    """The labels of the mesh are tags as well, beside those of the environment."""
    wanted = change.wanted
    count = len({**wanted.labels, **wanted.cluster.tags}) + _OWN_TAGS
    if change.makes_cluster and count > _MOST_TAGS:
        yield Gap(
            subject="environment",
            wanted=f"{count} tags on each resource: {len(wanted.labels)} labels of the mesh,"
            f" {len(wanted.cluster.tags)} `tags` of {wanted.environment}, {_OWN_TAGS} of meshctl",
            best=f"a resource takes {_MOST_TAGS}",
            hint=f"take {count - _MOST_TAGS} away from `labels` of mesh.yaml or from `tags`",
        )


def _may_be_disabled(region: str) -> bool:
    """Regions of other partitions need no enabling."""
    return region not in _ALWAYS_ENABLED and partitions.is_commercial(region)


def _region_gaps(change: Change, answer: ApiAnswer | None) -> Iterator[Gap]:
    regions = answer.content.get("Regions", []) if answer else []
    if any(each.get("OptInStatus") == "not-opted-in" for each in regions):
        region = change.wanted.region
        yield Gap(
            subject="environment",
            wanted=f"the region {region}",
            best="the account has not enabled it",
            hint=f"`aws account enable-region --region-name {region}`, which takes minutes to hours; or another region",
        )


def _zone_gaps(change: Change, answer: ApiAnswer | None) -> Iterator[Gap]:
    described = answer.content.get("AvailabilityZones", []) if answer else []
    ids = {each["ZoneName"]: each.get("ZoneId", "") for each in described}
    if not ids:
        return
    hint = f"correct `zones`: this account has {', '.join(sorted(ids))}"
    for zone in change.zones:
        if zone not in ids:
            yield Gap(subject="network", wanted=f"subnets in {zone}", best="the account has no such zone", hint=hint)
    for zone in change.zones[:_CONTROL_PLANE_ZONES]:
        if ids.get(zone) in _NO_CONTROL_PLANE:
            yield Gap(
                subject="cluster",
                wanted=f"a control plane in {zone}, one of the first two zones",
                best=f"EKS has none there ({ids[zone]})",
                hint=f"put two other zones before {zone} in the environment's `zones`; nodes may be in it",
            )


def _cluster_gaps(change: Change, answer: ApiAnswer | None) -> Iterator[Gap]:
    cluster = answer.content.get("cluster") if answer else None
    if cluster and not change.is_own(cluster.get("tags", {})):
        name = change.wanted.cluster.name
        yield Gap(
            subject="cluster",
            wanted=f"an EKS cluster named {name}",
            best="there is one, which meshctl did not make for this environment",
            hint="give the mesh or the environment another name, or delete the cluster if nobody needs it",
        )


def _bucket_gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    for store in _new_buckets(change):
        gap = bucket_names.gap(store.name, store.bucket, answers)
        if gap is not None:
            yield gap


def _new_buckets(change: Change) -> tuple[ObjectStore, ...]:
    own = tuple(store for store in change.wanted.object_stores if not store.is_adopted and not store.endpoint)
    return own if change.missing(_BUCKET, len(own)) else ()


def _spot_gaps(answer: ApiAnswer | None) -> Iterator[Gap]:
    if answer is not None and answer.code.startswith("NoSuchEntity"):
        yield Gap(
            subject="account",
            wanted=f"the role {_SPOT_ROLE}, with which EC2 starts spot instances",
            best="this account has never had spot instances, and so has no such role",
            hint="`aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`, once for the account",
        )


def _new_file_services(change: Change) -> list[str]:
    made: list[str] = [system.service for system in change.wanted.file_systems if system.existing is None]
    return [each for each in _FILE_SERVICES if change.missing(_FILE_TYPES[each], made.count(each))]


def _file_notes(change: Change, service: str, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """A note where the service may be missing in a zone. It is no gap, for AWS lists the endpoints of the service, and
    that is not quite the same."""
    answer = answers.get(service)
    details = answer.content.get("ServiceDetails", []) if answer else []
    offered = {zone for each in details for zone in each.get("AvailabilityZones", ())}
    systems = [each for each in change.wanted.file_systems if each.service == service]
    wanted = {zone for each in systems for zone in ((each.zone,) if each.zone else change.zones)}
    missing = sorted(wanted - offered) if offered else []
    if missing:
        product = _FILE_SERVICES[service][1]
        yield f"AWS lists no endpoint of {product} in {', '.join(missing)}: {product} may be missing there"


def _grows_in_place(change: Change) -> bool:
    return change.wanted.network is not None and not change.missing_vpcs and bool(change.growing_pools)


def _subnet_gaps(change: Change, answer: ApiAnswer | None) -> Iterator[Gap]:
    """Gaps where a private subnet has too few addresses for the new nodes. Each node takes one for itself and one for
    each of its first pods, at least."""
    subnets = answer.content.get("Subnets", []) if answer else []
    network = change.wanted.network
    private = {each.cidr: each.zone for each in network.subnets if not each.public} if network else {}
    for subnet in subnets:
        zone, free = private.get(subnet["CidrBlock"], ""), subnet["AvailableIpAddressCount"]
        needed = sum(
            math.ceil(change.more_nodes(pool) / len(pool.zones)) * _least_addresses(change, pool.name)
            for pool in change.growing_pools
            if zone in pool.zones
        )
        if zone and needed > free:
            yield Gap(
                subject="network",
                wanted=f"{needed} addresses for new nodes in {zone}",
                best=f"the subnet {subnet['SubnetId']} has {free} left",
                hint="lower `nodes`, remove load balancers and interfaces that nobody needs, or make an environment"
                " with a larger `network.cidr`",
            )


def _least_addresses(change: Change, pool: str) -> int:
    """How many addresses a node of the pool takes at least: its own, those of storage, and those of the pods that run
    on it, which may be in blocks."""
    wanted = change.wanted.pool(pool)
    pods = sum(each.pods for each in change.wanted.workloads if each.pool == pool)
    on_node = max(math.ceil(pods / max(wanted.nodes, 1)), 1)
    if addresses.has_blocks(change.wanted.neural_mesh):
        on_node = math.ceil(on_node / addresses.BLOCK) * addresses.BLOCK
    return 1 + addresses.of_storage(wanted) + on_node

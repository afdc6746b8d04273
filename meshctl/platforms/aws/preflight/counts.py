"""What an account or a cluster may have so many of: addresses, network interfaces, VPCs, gateways, clusters, node
groups, nodes, GiB. PURE.

Called by `preflight`. What a run would add is set against what is there and the quota that the account has; quotas of a
single cluster or node group are asked about only where the mesh goes beyond the number that AWS begins with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.preflight import quotas
from meshctl.platforms.aws.preflight.change import Change
from meshctl.resolve.placement import addresses

_ADDRESSES: Final = "L-0263D0A3"
_VPCS: Final = "L-F678F1CE"
_GATEWAYS: Final = "L-FE5A380F"  # of one zone
_INTERFACES: Final = "L-DF5E4CA3"  # of a region
_CLUSTERS: Final = "L-1194D53C"
_LUSTRE_GIB: Final = "L-8F1B9C74"  # of all file systems of type PERSISTENT_2
_NODE_GROUPS: Final = "L-6D54EA21"  # of one cluster
_NODES: Final = "L-BD136A63"  # of one node group
# What AWS begins with ("Amazon EKS service quotas"); a quota is never less.
_FIRST_NODE_GROUPS: Final = 30
_FIRST_NODES: Final = 450
# A fifth of what AWS begins with ("Amazon VPC quotas"): fewer are not asked about, as the answer lists all that there
# are. With EFA a node has up to 32, and storage takes its own beside them.
_MANY_INTERFACES: Final = 1000

_GATEWAY: Final = "meshaws:ec2:NatGateway"
_LUSTRE: Final = "meshaws:fsx:FileSystem"
_NODE_GROUP: Final = "meshaws:eks:Nodegroup"
_COUNTED_GATEWAYS: Final = ("pending", "available", "deleting")  # "Amazon VPC quotas", Gateways
_WHOSE: Final = ("meshctl.dev/mesh", "meshctl.dev/environment")  # the tags of all that a run makes
_ONE_NAT: Final = "; or `network: {nat: one}`, with a NAT gateway in one zone alone"
_MOST_NODE_GROUPS: Final = "; EKS grants at most 100"  # containers-roadmap issue 2272


@dataclass(frozen=True)
class _Count:
    """Something that a region has so many of. `more`: what a run would add. `used`: what the answer to `question`
    counts. `words`: what is counted, of many. `about`: the quota, for people. `instead`: what else helps."""

    service: str
    code: str
    about: str
    question: ApiQuestion
    more: float
    words: str
    key: str
    instead: str = ""

    def used(self, answer: ApiAnswer) -> float:
        described = answer.content.get(self.key, [])
        return len(described) if self.code != _LUSTRE_GIB else sum(map(_persistent_gib, described))


def _persistent_gib(system: Mapping[str, Any]) -> float:
    is_counted = system.get("LustreConfiguration", {}).get("DeploymentType") == "PERSISTENT_2"
    return float(system.get("StorageCapacity", 0)) if is_counted else 0


def questions(change: Change) -> Iterator[ApiQuestion]:
    for count in _counts(change):
        yield count.question
        yield quotas.question(count.service, count.code, count.about)
    if change.missing(_GATEWAY, len(_gateway_zones(change))):
        about = "how many NAT gateways each zone has"
        yield ApiQuestion("gateways", "ec2", "describe_nat_gateways", about, then=partial(_subnets_of, about))
        yield quotas.question("vpc", _GATEWAYS, "the quota of NAT gateways")
    if _has_many_node_groups(change):
        yield quotas.question("eks", _NODE_GROUPS, "the quota of node groups")
    if _large_pools(change):
        yield quotas.question("eks", _NODES, "the quota of nodes of a node group")


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    for count in _counts(change):
        yield from _count_gaps(change, count, answers)
    yield from _gateway_gaps(change, answers)
    yield from _node_group_gaps(change, quotas.quota(answers.get(_NODE_GROUPS)))
    yield from _node_gaps(change, quotas.quota(answers.get(_NODES)))


def _counts(change: Change) -> Iterator[_Count]:
    if change.missing_addresses:
        question = ApiQuestion("addresses", "ec2", "describe_addresses", "how many Elastic IPs are in use")
        has_one = change.wanted.network is not None and change.wanted.network.one_nat
        words, instead = "Elastic IPs, one for each NAT gateway", "" if has_one else _ONE_NAT
        about = "the quota of Elastic IPs"
        yield _Count("ec2", _ADDRESSES, about, question, change.missing_addresses, words, "Addresses", instead)
    if change.missing_vpcs:
        question = ApiQuestion("vpcs", "ec2", "describe_vpcs", "how many VPCs there are")
        yield _Count("vpc", _VPCS, "the quota of VPCs", question, change.missing_vpcs, "VPCs", "Vpcs")
    if change.makes_cluster:
        question = ApiQuestion("clusters", "eks", "list_clusters", "how many clusters there are")
        yield _Count("eks", _CLUSTERS, "the quota of clusters", question, 1, "EKS clusters", "clusters")
    interfaces = sum(change.more_nodes(pool) * _interfaces(pool) for pool in change.growing_pools)
    if interfaces >= _MANY_INTERFACES:
        question = ApiQuestion(
            "interfaces", "ec2", "describe_network_interfaces", "how many network interfaces there are"
        )
        words, about = "network interfaces of nodes", "the quota of network interfaces"
        yield _Count("vpc", _INTERFACES, about, question, interfaces, words, "NetworkInterfaces")
    capacity_gib = _new_lustre_gib(change)
    if capacity_gib:
        question = ApiQuestion("lustre", "fsx", "describe_file_systems", "how much FSx for Lustre there is")
        words, about = "GiB of FSx for Lustre", "the quota of FSx for Lustre"
        yield _Count("fsx", _LUSTRE_GIB, about, question, capacity_gib, words, "FileSystems")


def _interfaces(pool: Pool) -> int:
    """Of a node: its fabric's or its own, and those that storage has. Further ones of the network plugin come and go
    with its pods."""
    of_fabric = len(pool.fabric.interfaces) if pool.fabric is not None else 0
    return max(of_fabric, 1) + addresses.of_storage(pool)


def _new_lustre_gib(change: Change) -> float:
    """Of an environment that has none yet: of others, the state alone says which of them are there."""
    made = [each for each in change.wanted.file_systems if each.service == "fsx-lustre" and each.existing is None]
    return sum(system.size_gib for system in made) if change.missing(_LUSTRE, 1) else 0


def _count_gaps(change: Change, count: _Count, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    quota, answer = quotas.quota(answers.get(count.code)), answers.get(count.question.name)
    if quota is None or answer is None or answer.is_refused:
        return
    used = count.used(answer)
    if used + count.more > quota.value:
        yield Gap(
            subject=f"quota/{count.code}",
            wanted=f"{count.more:g} more {count.words}",
            best=f"the account has {used:g} of {quota.value:g}",
            hint=quotas.more(change.wanted, count.service, count.code, used + count.more) + count.instead,
        )


def _gateway_zones(change: Change) -> tuple[str, ...]:
    return change.wanted.network.nat_zones if change.wanted.network else ()


def _subnets_of(about: str, gateways: ApiAnswer) -> tuple[ApiQuestion, ...]:
    """A gateway says in which subnet it is, and only the subnet in which zone."""
    ids = sorted({each["SubnetId"] for each in _counted(gateways)})
    if not ids:
        return ()
    filters = [{"Name": "subnet-id", "Values": ids}]
    return (ApiQuestion("gateway-subnets", "ec2", "describe_subnets", about, {"Filters": filters}),)


def _counted(gateways: ApiAnswer) -> list[Mapping[str, Any]]:
    return [each for each in gateways.content.get("NatGateways", []) if each.get("State") in _COUNTED_GATEWAYS]


def _is_made(change: Change, gateway: Mapping[str, Any]) -> bool:
    """Whether it is one of the environment's own, which an earlier run has made."""
    tags = {each["Key"]: each["Value"] for each in gateway.get("Tags", [])}
    own = (change.wanted.mesh, change.wanted.environment)
    return gateway["State"] != "deleting" and tuple(map(tags.get, _WHOSE)) == own


def _gateway_gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    quota, gateways = quotas.quota(answers.get(_GATEWAYS)), answers.get("gateways")
    if quota is None or gateways is None or gateways.is_refused:
        return
    subnets = answers.get("gateway-subnets", ApiAnswer()).content.get("Subnets", [])
    zones = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets}
    used = Counter(zones.get(each["SubnetId"], "") for each in _counted(gateways))
    made = {zones.get(each["SubnetId"], "") for each in _counted(gateways) if _is_made(change, each)}
    for zone in _gateway_zones(change):
        if zone not in made and used[zone] + 1 > quota.value:
            yield Gap(
                subject=f"quota/{_GATEWAYS}",
                wanted=f"1 more NAT gateway in {zone}",
                best=f"the account has {used[zone]} of {quota.value:g} there",
                hint=quotas.more(change.wanted, "vpc", _GATEWAYS, used[zone] + 1),
            )


def _has_many_node_groups(change: Change) -> bool:
    count = len(change.wanted.pools)
    return count > _FIRST_NODE_GROUPS and change.missing(_NODE_GROUP, count) > 0


def _node_group_gaps(change: Change, quota: quotas.Quota | None) -> Iterator[Gap]:
    count = len(change.wanted.pools)
    if _has_many_node_groups(change) and quota is not None and count > quota.value:
        yield Gap(
            subject=f"quota/{_NODE_GROUPS}",
            wanted=f"{count} node groups in one cluster, one for each pool",
            best=f"a cluster of this account may have {quota.value:g}",
            hint=f"join pools of equal nodes; or {quotas.more(change.wanted, 'eks', _NODE_GROUPS, count)}"
            f"{_MOST_NODE_GROUPS}",
        )


def _large_pools(change: Change) -> tuple[Pool, ...]:
    """Pools that may have more nodes than they might before, and more than AWS begins with."""
    return tuple(
        pool for pool in change.wanted.pools if pool.nodes_max > max(_FIRST_NODES, _nodes_max_before(change, pool.name))
    )


def _nodes_max_before(change: Change, name: str) -> int:
    before = change.in_place.pool(name)
    return before.nodes_max if before is not None else 0


def _node_gaps(change: Change, quota: quotas.Quota | None) -> Iterator[Gap]:
    for pool in _large_pools(change):
        if quota is not None and pool.nodes_max > quota.value:
            yield Gap(
                subject=f"pool/{pool.name}",
                wanted=f"up to {pool.nodes_max} nodes in one node group",
                best=f"a node group of this account may have {quota.value:g}",
                hint=f"lower `nodes`, or make two pools of it; or"
                f" {quotas.more(change.wanted, 'eks', _NODES, pool.nodes_max)}",
            )

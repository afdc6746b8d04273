"""Chooses the nodes of a shift, and says what it disturbs. PURE.

Nodes that are idle come first, then those that are cheapest to empty, and last those with pods of somebody else. Nodes
that share a fabric domain (an NVLink domain, a rack, a switch) are taken together where the cost is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshctl.errors import UsageError
from meshctl.words import pluralize


@dataclass(frozen=True, slots=True)
class PodLoad:
    """A pod that has to leave its node. `workload` is empty for a pod of somebody else. `stops_whole`: the workload is
    a gang, so that it stops as a whole when one of its pods leaves."""

    namespace: str
    name: str
    workload: str = ""
    stops_whole: bool = False
    grace_s: int = 30

    @property
    def owner(self) -> str:
        return f"{self.namespace}/{self.workload or self.name}"


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A node of the giving pool with the pods that have to leave it; pods of DaemonSets are not among them. `domains`:
    the names of its fabric domains, the innermost first, each of one kind; "" where it has none of that kind."""

    name: str
    domains: tuple[str, ...] = ()
    pods: tuple[PodLoad, ...] = ()

    @property
    def has_pods_of_others(self) -> bool:
        return any(not pod.workload for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a shift does to one workload, or to one pod of somebody else. `grace_s` is the longest that one of its pods
    may take to end."""

    owner: str
    pods: int
    stops_whole: bool
    grace_s: int

    def __str__(self) -> str:
        effect = "stops as a whole" if self.stops_whole else f"{pluralize(self.pods, 'pod')} evicted"
        return f"{self.owner}: {effect}, within {self.grace_s} s"


def choose(nodes: Sequence[NodeLoad], count: int) -> tuple[NodeLoad, ...]:
    """`count` of the nodes, in name order. Raises: UsageError if there are not so many.

    One node is chosen at a time: a gang that an earlier node has stopped already costs nothing more.
    """
    if not 0 < count <= len(nodes):
        why = f"{pluralize(len(nodes), 'node')} of the pool {'is' if len(nodes) == 1 else 'are'} ready and not cordoned"
        raise UsageError(f"can't shift {pluralize(count, 'node')}", why=why, hint="choose another number with --nodes")
    chosen: list[NodeLoad] = []
    left = list(nodes)
    while len(chosen) < count:
        best = min(left, key=lambda node: _cost(node, chosen, left, count))
        left.remove(best)
        chosen.append(best)
    return tuple(sorted(chosen, key=lambda node: node.name))


def disturbances(nodes: Iterable[NodeLoad]) -> tuple[Disturbance, ...]:
    """By owner, in name order, of the chosen nodes."""
    by_owner: dict[str, list[PodLoad]] = {}
    for node in nodes:
        for pod in node.pods:
            by_owner.setdefault(pod.owner, []).append(pod)
    return tuple(
        Disturbance(owner, len(pods), any(pod.stops_whole for pod in pods), max(pod.grace_s for pod in pods))
        for owner, pods in sorted(by_owner.items())
    )


_Cost = tuple[bool, int, int, int, tuple[tuple[bool, ...], ...], tuple[int, ...], str]


def _cost(node: NodeLoad, chosen: Sequence[NodeLoad], left: Sequence[NodeLoad], count: int) -> _Cost:
    """What it costs to choose the node next; the smallest is the best."""
    stopped = {pod.owner for each in chosen for pod in each.pods if pod.stops_whole}
    pods = [pod for pod in node.pods if pod.owner not in stopped]
    gangs = {pod.owner for pod in pods if pod.stops_whole}
    grace_s = max((pod.grace_s for pod in pods), default=0)
    splits = [_split(kind, domain, chosen, left, count) for kind, domain in enumerate(node.domains)]
    begun, whole = tuple(split[0] for split in splits), tuple(split[1] for split in splits)
    sizes = tuple(split[2] for split in splits)
    return node.has_pods_of_others, len(gangs), len(pods), grace_s, (begun, whole), sizes, node.name


def _split(
    kind: int, domain: str, chosen: Sequence[NodeLoad], left: Sequence[NodeLoad], count: int
) -> tuple[bool, bool, int]:
    """A domain that is begun comes first, then one that can be taken whole, the largest before the others. `kind`: the
    place of its kind among the domains of a node."""
    begun = {each.domains[kind] for each in chosen if each.domains[kind]}
    sizes = Counter(each.domains[kind] for each in left)
    size = sizes[domain] if domain else 1
    return domain not in begun, size > count - len(chosen), -size

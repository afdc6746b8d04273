"""Whether the pods of several workloads fit on the nodes of one pool together. PURE.

Called by `meshctl.resolve.work.workloads`. Most nodes of a pool are equal, and so are the pods of a workload, so both
are counted and not listed: the time depends on the number of workloads, not on that of pods or nodes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# One number for each resource, in one order throughout: of a pod what it asks for, of a node what pods can have of it.
Amounts = tuple[float, ...]
# Groups of equal nodes: what is free on each, and how many there are.
Nodes = tuple[tuple[Amounts, int], ...]

_TOLERANCE: Final = 1e-9  # of a sum of fractions
_ALL_ORDERS: Final = 5  # up to so many workloads every order is tried: 120 of them
_STEPS: Final = 20  # of the step functions below; finer ones tell apart pods of which more than twenty fit on a node


@dataclass(frozen=True, slots=True)
class Pods:
    """The equal pods of one workload. `most_on_node`: at most so many of them on a node; 0 = as many as fit.

    Of groups whose pods stand on a node each, that is the number of groups: pods that are put on nodes in the order of
    their groups, again and again, then never meet one of their own.
    """

    count: int
    wants: Amounts
    most_on_node: int = 0

    def fit_on(self, free: Amounts) -> int:
        """How many of them fit where so much is free; all of them where nothing is known that could be too little."""
        pairs = zip(free, self.wants, strict=True)
        most = min(
            (max(math.floor(has / want + _TOLERANCE), 0) for has, want in pairs if want and has != math.inf),
            default=self.count,
        )
        return min(most, self.most_on_node) if self.most_on_node else most


@lru_cache(maxsize=8192)
def placeable(pods: tuple[Pods, ...], nodes: Nodes) -> int:
    """How many of the pods find a place; all of them where it isn't certain that some don't.

    A packing that was found proves that all fit. First-fit-decreasing can miss one that exists, so other orders are
    tried, and pods spread evenly as Kubernetes does it; where all of these fail, pods are left over only if a lower
    bound on the nodes needed says so. What lies between is allowed: a gap must be true. What has a pod on every node
    is put there first: that leaves no choice, and smaller nodes for the rest.
    """
    other_pods, nodes = beside_everywhere(pods, nodes)
    wanted = sum(kind.count for kind in other_pods)
    placed = sum(kind.count for kind in pods) - wanted
    largest = tuple(max(amounts) for amounts in zip(*(free for free, _ in nodes), strict=True))
    best = 0
    for order in _orders(other_pods, largest):
        for even in (False, True):
            best = max(best, _placed(order, nodes, even=even))
            if best == wanted:
                return placed + wanted
    return placed + (best if _needs_more(other_pods, largest, nodes) else wanted)


def beside_everywhere(pods: tuple[Pods, ...], nodes: Nodes) -> tuple[tuple[Pods, ...], Nodes]:
    """The pods without those that stand on every node, and what these leave; all of both where they don't fit."""
    number = sum(count for _, count in nodes)
    everywhere = tuple(kind for kind in pods if kind.most_on_node and kind.count == kind.most_on_node * number)
    taken = [sum(kind.most_on_node * kind.wants[i] for kind in everywhere) for i in range(len(nodes[0][0]))]
    left = tuple((tuple(has - less for has, less in zip(free, taken, strict=True)), count) for free, count in nodes)
    if not everywhere or min(min(free) for free, _ in left) < 0:
        return pods, nodes
    return tuple(kind for kind in pods if kind not in everywhere), left


def _orders(pods: tuple[Pods, ...], node: Amounts) -> Iterator[tuple[Pods, ...]]:
    """The largest first, by the resource that a pod takes most of; then few in any order, many by each resource."""
    shares = {kind: _shares(kind, node) for kind in pods}
    yield tuple(sorted(pods, key=lambda kind: -max(shares[kind])))
    if len(pods) <= _ALL_ORDERS:
        yield from itertools.permutations(pods)
        return
    for resource in range(len(node)):
        yield tuple(sorted(pods, key=lambda kind: -shares[kind][resource]))


def _shares(kind: Pods, node: Amounts) -> Amounts:
    return tuple(want / has if has else 0.0 for want, has in zip(kind.wants, node, strict=True))


def _placed(order: tuple[Pods, ...], nodes: Nodes, *, even: bool) -> int:
    """Put workload after workload on the first nodes with room, or evenly on all of them; what finds a place."""
    groups, placed = list(nodes), 0
    number = sum(count for _, count in nodes)
    for kind in order:
        left = kind.count
        if even and not kind.most_on_node:
            groups, left = _put(kind, left, math.ceil(left / number), groups)
        groups, left = _put(kind, left, left, groups)
        placed += kind.count - left
    return placed


def _put(
    kind: Pods, left: int, at_most: int, groups: list[tuple[Amounts, int]]
) -> tuple[list[tuple[Amounts, int]], int]:
    """Pods of one workload onto groups of equal nodes (what is free on each, how many nodes); the rest of both."""
    after: list[tuple[Amounts, int]] = []
    for free, count in groups:
        each = min(kind.fit_on(free), at_most, left)
        full = min(count, left // each) if each else 0
        rest = left - full * each if each and full < count else 0
        left -= full * each + rest
        parts = ((each, full), (rest, int(rest > 0)), (0, count - full - int(rest > 0)))
        after.extend((_without(free, kind, taken), number) for taken, number in parts if number)
    return after, left


def _without(free: Amounts, kind: Pods, taken: int) -> Amounts:
    return tuple(has - taken * want for has, want in zip(free, kind.wants, strict=True)) if taken else free


def _needs_more(pods: tuple[Pods, ...], largest: Amounts, nodes: Nodes) -> bool:
    """Whether the pods need more than these nodes for certain, by one resource alone. `largest`: what the best has of
    each.

    Shares of a node go through dual feasible functions: whatever fits on a node sums up to at most 1 after them too.
    Source: Fekete and Schepers, New classes of fast lower bounds for bin packing problems, Math. Programming 91 (2001).
    """
    number = sum(count for _, count in nodes)
    for resource, has in enumerate(largest):
        if not has or has == math.inf:
            continue
        wanted = sum(kind.wants[resource] * kind.count for kind in pods)
        if wanted > sum(max(free[resource], 0) * count for free, count in nodes) * (1 + _TOLERANCE):
            return True
        shares = [(kind.wants[resource] / has, kind.count) for kind in pods]
        for bound in _bounds({share for share, _ in shares}):
            if sum(bound(share) * count for share, count in shares) > number * (1 + _TOLERANCE):
                return True
    return False


def _bounds(shares: set[float]) -> Iterator[Callable[[float], float]]:
    """The plain sum; steps (for 1: more than half a node counts as a whole one); and both beside large pods."""
    for threshold in (0.0, *sorted(share for share in shares if 0 < share <= 0.5)):
        for steps in range(_STEPS + 1):
            yield lambda share, t=threshold, s=steps: _step(_beside_large(share, t), s)  # type: ignore[misc]


def _beside_large(share: float, threshold: float) -> float:
    """What leaves no room for a pod of `threshold` counts as a whole node, and what is smaller than it as nothing."""
    if share > 1 - threshold + _TOLERANCE:
        return 1.0
    return share if share >= threshold else 0.0


def _step(share: float, steps: int) -> float:
    scaled = share * (steps + 1)
    if not steps or abs(scaled - round(scaled)) < _TOLERANCE:
        return share
    return math.floor(scaled) / steps

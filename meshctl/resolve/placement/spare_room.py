"""Whether one more pod certainly has a place on a pool, wherever the others are. PURE.

Called by `meshctl.resolve.work.roll_outs`. `packing` asks whether all pods can be placed; this asks the opposite
question: whether they can stand in the way, since nobody moves pods that run. What is in doubt counts as no room.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from meshctl.resolve.placement.packing import Amounts, Nodes, Pods, beside_everywhere

_TOLERANCE: Final = 1e-9
_UNITS: Final = 128_000  # of an amount: millicores and MiB are whole numbers of them
_MOST_KINDS: Final = 12  # of so many workloads the sums are looked at; of more, their volume
_MOST_STEPS: Final = 2**21  # of a sum


@lru_cache(maxsize=8192)
def has_place(one_more: Amounts, pods: tuple[Pods, ...], nodes: Nodes) -> bool:
    """Whether the pods can't block every node for one more pod that asks for `one_more`.

    A node is blocked once what stands there takes more of some resource than the new pod leaves. Each pod counts as
    the largest part of that which it can bring, of whatever resource; so many nodes as these parts sum up to can be
    blocked at most.
    """
    other_pods, nodes = beside_everywhere(pods, nodes)
    fitting = [(free, count) for free, count in nodes if Pods(1, one_more).fit_on(free)]
    if not fitting:
        return False
    blocking = [
        min(_least_sum(other_pods, resource, free[resource] - want) for free, _ in fitting) if want else math.inf
        for resource, want in enumerate(one_more)
    ]
    parts = sum(kind.count * _part(kind.wants, blocking) for kind in other_pods)
    return math.floor(parts + _TOLERANCE) < sum(count for _, count in fitting)


def _part(wants: Amounts, blocking: Iterable[float]) -> float:
    """The share of a node that a pod can block; 1 for a pod that blocks it alone."""
    return max(min(1.0, want / least) for want, least in zip(wants, blocking, strict=True))


def _least_sum(pods: tuple[Pods, ...], resource: int, above: float) -> float:
    """The smallest sum of requests of some of the pods that is more than `above`; inf if all of them together
    request less."""
    if above == math.inf:
        return math.inf
    wants = [(round(kind.wants[resource] * _UNITS), kind.count) for kind in pods if kind.wants[resource]]
    step = math.gcd(*(want for want, _ in wants))
    limit = math.floor(above * _UNITS / step + _TOLERANCE) if step else 0
    steps = [(want // step, count) for want, count in wants]
    if sum(want * count for want, count in steps) <= limit:
        return math.inf
    more = 1
    if len(steps) <= _MOST_KINDS and limit <= _MOST_STEPS:
        sums = _sums(steps, limit) >> (limit + 1)
        more = (sums & -sums).bit_length()
    return (limit + more) * step / _UNITS


def _sums(wants: list[tuple[int, int]], limit: int) -> int:
    """All sums that pods can have, as the bits of a number; those further above the limit than one pod are left out."""
    mask = (1 << (limit + max(want for want, _ in wants) + 1)) - 1
    sums = 1
    for want, count in wants:
        left, step = min(count, limit // want + 1), 1
        while left:
            taken = min(step, left)
            sums = (sums | sums << (want * taken)) & mask
            left, step = left - taken, step * 2
    return sums

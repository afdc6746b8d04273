"""Room on the nodes that shifts have given to a pool, for as long as they are there. PURE.

Called by `meshctl.resolve` and `project`. Pools keep their sizes: what is made of them, and what it costs, is decided
by the nodes that they were made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from meshctl.model.deployment import Gap, Pool
from meshctl.model.observed import Facts, ShiftsInForce
from meshctl.resolve.placement import slices
from meshctl.resolve.placement.allocatable import Usable


def with_gained(
    usable: Mapping[str, Usable], pools: Iterable[Pool], shifts: ShiftsInForce, facts: Facts | None
) -> dict[str, Usable]:
    """What pods can use of each pool's nodes, with those that it has gained. `facts`: as for `meshctl.resolve.resolve`,
    where a node that is gone is no longer named."""
    read = {node.name: node for node in facts.nodes} if facts is not None else {}
    room = dict(usable)
    for pool in pools:
        names = [name for name in shifts.gained_nodes(pool.name) if name in read or not read]
        nodes = slices.counted_as([read[name] for name in names if name in read], pool.share)
        room[pool.name] = replace(usable[pool.name], gained=(*nodes, *[None] * (len(names) - len(nodes))))
    return room


def notes(environment: str, gaps_without: Iterable[Gap]) -> Iterator[str]:
    """What has to be lowered before the undo. `gaps_without`: those of the mesh as it would be then."""
    for gap in gaps_without:
        yield (
            f"{gap.subject}: {gap.wanted} have room only while nodes are shifted; without them {gap.best}. Lower the"
            f" number, and `meshctl up {environment}`, before the nodes go back"
        )

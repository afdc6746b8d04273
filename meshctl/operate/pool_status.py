"""Pools and add-ons in `status`: ready nodes, live counts, and the releases that run. PURE.

Called by `operate.status`, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshctl.model.deployment import Deployment, Pool, utc_text
from meshctl.model.observed import ShiftsInForce
from meshctl.model.releases import LivePlatform, LivePool, count_words


@dataclass(frozen=True)
class PoolStatus:
    """`nodes`: how many the pool has now where that is not the least that the mesh asks for, else None; it may have
    `least` to `most`. `image`: the release of its nodes' image, and `newer_image` the newest, "" where there is no
    newer one or the platform did not say. `starts`, `ends`: of its reservation, in RFC 3339; "" where it has begun, and
    where no end is known."""

    name: str
    machine: str
    ready: int
    wanted: int
    nodes: int | None = None
    least: int = 0
    most: int = 0
    image: str = ""
    newer_image: str = ""
    starts: str = ""
    ends: str = ""
    has_ended: bool = False

    def line(self, width: int) -> str:
        wanted = self.wanted if self.nodes is None else self.nodes
        facts = [count_words(self.nodes, self.least, self.most)] if self.nodes is not None else []
        facts += [f"image {self.image}{_newer(self.newer_image)}"] if self.image else []
        facts += [f"starts {utc_text(self.starts)}: `up` after that brings its nodes up"] if self.starts else []
        word = "its block ended" if self.has_ended else "reserved until"
        facts += [f"{word} {utc_text(self.ends)}"] if self.ends and not self.starts else []
        line = f"  pool      {self.name:<{width}}  {self.ready}/{wanted} nodes ready  {self.machine}"
        return line + (f"  ({'; '.join(facts)})" if facts else "")


@dataclass(frozen=True)
class AddonStatus:
    """An add-on of the cluster. `newer`: "" where there is none, or the platform did not say."""

    name: str
    version: str
    newer: str = ""

    def line(self, width: int) -> str:
        return f"  add-on    {self.name:<{width}}  {self.version}{_newer(self.newer)}"


def pools(
    deployment: Deployment, ready: Mapping[str, int], live: LivePlatform, shifts: ShiftsInForce
) -> tuple[PoolStatus, ...]:
    """`ready`: ready nodes by the pool that they work for, as the cluster has them."""
    return tuple(
        _pool(pool, ready.get(pool.name, 0), live.pool(pool.name), shifts.gained(pool.name))
        for pool in deployment.pools
    )


def _pool(pool: Pool, ready: int, live: LivePool | None, gained: int) -> PoolStatus:
    """Where the platform does not say how many nodes there are, those beyond the least are seen in the cluster.
    `gained`: nodes that shifts have given to the pool, or below 0, taken from it."""
    wanted = pool.nodes_now + gained
    nodes = live.nodes + gained if live is not None and live.nodes is not None else max(ready, wanted)
    return PoolStatus(
        name=pool.name,
        machine=pool.machine,
        ready=ready,
        wanted=wanted,
        nodes=nodes if nodes != wanted else None,
        least=min(pool.nodes_min, pool.nodes_now),
        most=pool.nodes_max,
        image=live.image if live is not None else "",
        newer_image=live.newest_image if live is not None and live.is_outdated else "",
        starts=pool.starts,
        ends=pool.ends,
        has_ended=pool.has_ended,
    )


def addons(live: LivePlatform) -> tuple[AddonStatus, ...]:
    return tuple(AddonStatus(each.name, each.version, each.newest if each.is_outdated else "") for each in live.addons)


def _newer(release: str) -> str:
    return f", {release} is newer" if release else ""

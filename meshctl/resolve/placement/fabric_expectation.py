"""What a pool's fabric is expected to give, where its mesh says `expect`. PURE.

Called by `resolve` for its notes, by `project` for those of a plan, and by `meshctl.bench.fabric`, which holds a
measurement against it before workloads start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshctl.catalog import measured
from meshctl.model.deployment import Pool
from meshctl.words import pluralize

_BITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A bus bandwidth of an all-reduce. `size_bytes`: 0 = of any size that is on the plateau, so of the largest."""

    gbytes_per_s: float
    size_bytes: int
    basis: str

    @property
    def is_published(self) -> bool:
        """Whether others have reached it: a nominal bandwidth nobody may."""
        return self.size_bytes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A measured bus bandwidth beside the expected one, of the same size."""

    gbytes_per_s: float
    size_bytes: int
    expected: Expectation
    wanted_share: float

    @property
    def share(self) -> float:
        return self.gbytes_per_s / self.expected.gbytes_per_s

    @property
    def is_enough(self) -> bool:
        return self.share >= self.wanted_share


def is_asked_for(pool: Pool) -> bool:
    return pool.fabric is not None and pool.fabric.expect > 0


def is_measurable(pool: Pool) -> bool:
    """Whether there is a network between accelerators at all."""
    return pool.nodes > 1 and pool.gpus_per_node > 0


def expectations(pool: Pool) -> tuple[Expectation, ...]:
    """What others have measured on as many of the same machines, by size; else the bandwidth of a node's network, which
    an all-reduce of large messages over many nodes comes close to. None where neither is known."""
    ranks = pool.nodes * pool.gpus_per_node
    published = tuple(
        Expectation(gbytes_per_s=row.bytes_per_s / 1e9, size_bytes=row.size_bytes, basis=row.source)
        for row in measured.all_reduces()
        if (row.machine, row.nodes, row.ranks) == (pool.machine, pool.nodes, ranks)
    )
    if published or pool.fabric is None or not pool.fabric.bandwidth_gbps:
        return published
    gbps = pool.fabric.bandwidth_gbps
    nominal = f"nominal: {gbps:g} Gbps of each node, as nobody has published {pluralize(pool.nodes, 'node')} of it"
    return (Expectation(gbytes_per_s=gbps / _BITS, size_bytes=0, basis=nominal),)


def verdict(pool: Pool, bandwidths: Mapping[int, float]) -> Verdict | None:
    """Of the largest size of which something is expected. `bandwidths`: GB/s by size in bytes. None where nothing is
    expected of any of them."""
    wanted = pool.fabric.expect if pool.fabric is not None else 0.0
    by_size = {each.size_bytes: each for each in expectations(pool)}
    of_any_size = by_size.pop(0, None)
    size = max((each for each in bandwidths if of_any_size is not None or each in by_size), default=None)
    if size is None:
        return None
    expected = of_any_size or by_size[size]
    return Verdict(gbytes_per_s=bandwidths[size], size_bytes=size, expected=expected, wanted_share=wanted)


def notes(pools: Iterable[Pool]) -> Iterator[str]:
    """What `check` says of each pool whose fabric has `expect`."""
    yield from unmeasured(pools)
    for pool in pools:
        if is_asked_for(pool) and is_measurable(pool) and pool.fabric is not None and (expected := expectations(pool)):
            most = max(expected, key=lambda each: each.gbytes_per_s)
            yield (
                f"`up` measures the fabric of pool {pool.name} before its first workloads start, and wants"
                f" {pool.fabric.expect:.0%} of {most.gbytes_per_s:.4g} GB/s ({most.basis})"
            )


def unmeasured(pools: Iterable[Pool]) -> Iterator[str]:
    """What `check` and `plan` say of those whose workloads start all the same."""
    for pool in pools:
        if not is_asked_for(pool):
            continue
        name = pool.fabric.name if pool.fabric is not None else ""
        if not is_measurable(pool):
            why = "one node" if pool.nodes == 1 else "no nodes" if not pool.nodes else "no accelerators"
            yield f"fabrics.{name}.expect: pool {pool.name} has {why}, and nothing is measured"
        elif not expectations(pool):
            yield (
                f"fabrics.{name}.expect: no expectation known for {pluralize(pool.nodes, 'node')} of {pool.machine};"
                f" the workloads of pool {pool.name} start unmeasured"
            )

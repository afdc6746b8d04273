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
from meshctl.model.keys import nvlink
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
    """Whether there is a network between accelerators at all, and nccl-tests runs on them."""
    return pool.nodes > 1 and pool.has_whole_nvidia_gpus


def uses_rdma(pool: Pool) -> bool:
    return pool.fabric is not None and pool.fabric.kind != "ethernet"


def expectations(pool: Pool) -> tuple[Expectation, ...]:
    """What others have measured on as many of the same machines, by size, where as much of them shared NVLink; else
    what is nominal. None where neither is known."""
    setting = (pool.machine, pool.nodes, pool.nodes * pool.gpus_per_node, pool.fabric.nvlink if pool.fabric else "")
    published = tuple(
        Expectation(gbytes_per_s=row.bytes_per_s / 1e9, size_bytes=row.size_bytes, basis=row.source)
        for row in measured.all_reduces()
        if (row.machine, row.nodes, row.ranks, row.nvlink) == setting
    )
    return published or tuple(_nominal(pool))


def _nominal(pool: Pool) -> Iterator[Expectation]:
    """NVLink's where all accelerators share it; else the bandwidth of a node's network, which an all-reduce of large
    messages over many nodes comes close to. Of several racks that is the least: each has its own NVLink."""
    unpublished = f"as nobody has published {pluralize(pool.nodes, 'node')} of it"
    gbytes_per_s = nvlink.gbytes_per_s_of_one_rack(pool)
    gbps = pool.fabric.bandwidth_gbps if pool.fabric is not None else 0
    if gbytes_per_s:
        basis = f"nominal: {gbytes_per_s:g} GB/s of each accelerator's NVLink, {unpublished}"
        yield Expectation(gbytes_per_s=gbytes_per_s, size_bytes=0, basis=basis)
    elif gbps:
        basis = f"nominal: {gbps:g} Gbps of each node, {unpublished}"
        yield Expectation(gbytes_per_s=gbps / _BITS, size_bytes=0, basis=basis)


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
    yield from unjudged(pools)
    for pool in pools:
        if is_asked_for(pool) and is_measurable(pool) and pool.fabric is not None and (expected := expectations(pool)):
            most = max(expected, key=lambda each: each.gbytes_per_s)
            yield (
                f"`up` measures the fabric of pool {pool.name} before its first workloads start, and wants"
                f" {pool.fabric.expect:.0%} of {most.gbytes_per_s:.4g} GB/s ({most.basis})"
            )


def unjudged(pools: Iterable[Pool]) -> Iterator[str]:
    """What `check` and `plan` say of those whose workloads start whatever their fabric gives."""
    for pool in pools:
        if not is_asked_for(pool):
            continue
        name = pool.fabric.name if pool.fabric is not None else ""
        if not is_measurable(pool):
            yield f"fabrics.{name}.expect: pool {pool.name} has {_lacking(pool)}, and nothing is measured"
        elif not expectations(pool):
            nodes = f"{pluralize(pool.nodes, 'node')} of {pool.machine}{_without_nvlink(pool)}"
            outcome = (
                f"`up` measures whether NCCL uses the fabric of pool {pool.name}, and can't say whether it is fast"
                if uses_rdma(pool)
                else f"the workloads of pool {pool.name} start unmeasured"
            )
            yield f"fabrics.{name}.expect: no expectation known for {nodes}; {outcome}"


def _lacking(pool: Pool) -> str:
    if pool.nodes < 2:
        return "one node" if pool.nodes else "no nodes"
    return (
        f"accelerators that nccl-tests can't use ({pool.device_resource})" if pool.gpus_per_node else "no accelerators"
    )


def _without_nvlink(pool: Pool) -> str:
    return " that share no NVLink with each other" if nvlink.between(pool) == "node" else ""

"""Which fabrics are measured before workloads start on them, and whether one gives enough. PURE.

Called by `cli.gate` for an `up`, and by `meshctl.migrate` for the target of a migration or an expansion. `fabric`
measures them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from meshctl.errors import MeasurementError
from meshctl.measure import nccl
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, Pool
from meshctl.resolve.placement import fabric_expectation
from meshctl.resolve.placement.fabric_expectation import Verdict

_TCP: Final = "Socket"  # as NCCL calls it


def gated(deployment: Deployment, up: Deployment | None, *, has_nodes: bool = False) -> tuple[Pool, ...]:
    """The pools to measure before their workloads start: `expect` asks for it, it can be judged, and none of their
    workloads is up, in this pool or in the one that it leaves: to measure would be to stop it. What is up has its
    nodes, and stays. `up`: what the last `up` declared. `has_nodes`: whether all pools have theirs once it is measured,
    also those whose reservations had not begun when it was planned."""
    running = [each for each in up.workloads if each.runs] if up is not None else []
    names = {each.name for each in running}
    in_use = {each.pool for each in running} | {each.pool for each in deployment.workloads if each.name in names}
    starting = {each.pool for each in deployment.workloads if each.runs and each.accelerators}
    without_nodes = set() if has_nodes else {each.pool for each in deployment.waiting_for_nodes}
    return tuple(
        pool
        for pool in deployment.pools
        if fabric_expectation.is_asked_for(pool)
        and fabric_expectation.is_measurable(pool)
        and (fabric_expectation.uses_rdma(pool) or fabric_expectation.expectations(pool))
        and pool.name in starting - in_use - without_nodes
    )


def waiting(deployment: Deployment, pools: Sequence[Pool]) -> Deployment:
    """The deployment in which no workload of these pools has pods yet."""
    measured = {pool.name for pool in pools}
    return deployment.paused(
        frozenset(each.name for each in deployment.workloads if each.paused or each.pool in measured)
    )


def wanting(pool: Pool, share: float) -> Pool:
    """The pool of whose fabric this share is wanted: what the mesh says may have changed since a plan was made."""
    fabric = pool.fabric.model_copy(update={"expect": share}) if pool.fabric is not None else None
    return pool.model_copy(update={"fabric": fabric})


def refuse_slow(deployment: Deployment, pool: Pool, results: Sequence[Result], *, again: str = "") -> Verdict | None:
    """What was measured beside what is expected; None where nothing is, and NCCL has used the fabric. `again`: the
    command that measures once more; "" = an `up`.

    Raises: MeasurementError where the fabric gives less than the mesh wants of it, or is not used."""
    hint = _hint(pool, again or f"meshctl up {deployment.environment}")
    rates = {
        int(each.setting["size_bytes"]): each.value
        for each in results
        if each.metric == nccl.ALL_REDUCE and each.setting.get("size_bytes", "").isdecimal()
    }
    if not fabric_expectation.expectations(pool):
        _refuse_unused(deployment, pool, results, rates, hint)
        return None
    verdict = fabric_expectation.verdict(pool, rates)
    if verdict is None:
        raise MeasurementError(
            f"the fabric of pool {pool.name} was measured, but no measured size has an expected value to compare with;"
            f" its workloads were not started in {deployment.environment}",
            why=f"measured: {_sizes(rates) or 'no all-reduce'}; expected: {_expected(pool)}",
            hint=hint,
        )
    if verdict.is_enough:
        return verdict
    size = verdict.size_bytes / 2**30
    doubts = dict.fromkeys(warning for each in results for warning in each.warnings)
    networks = dict.fromkeys(each.setting["network"] for each in results if "network" in each.setting)
    log = "".join(f"; NCCL says: Using network {network}" for network in networks)
    raise MeasurementError(
        f"the fabric of pool {pool.name} gives {verdict.gbytes_per_s:.4g} GB/s, {verdict.share:.0%} of the expected"
        f" {verdict.expected.gbytes_per_s:.4g}; its workloads were not started in {deployment.environment}",
        why=f"an all-reduce of {size:g} GiB on {pool.nodes} nodes; the mesh wants {verdict.wanted_share:.0%} of"
        f" {verdict.expected.basis}{log}{''.join(f'; {doubt}' for doubt in doubts)}",
        hint=hint,
    )


def _refuse_unused(
    deployment: Deployment, pool: Pool, results: Sequence[Result], rates: Mapping[int, float], hint: str
) -> None:
    """Raises: MeasurementError for TCP between machines with RDMA: whatever they can give, it is not that."""
    falls_back = any(_TCP in each.setting.get("network", "") for each in results)
    if not rates or (falls_back and fabric_expectation.uses_rdma(pool)):
        problem = "NCCL does not use the fabric" if rates else "no all-reduce was measured on the fabric"
        doubts = dict.fromkeys(warning for each in results for warning in each.warnings)
        raise MeasurementError(
            f"{problem} of pool {pool.name}; its workloads were not started in {deployment.environment}",
            why=f"measured: {_sizes(rates) or 'nothing'}{''.join(f'; {doubt}' for doubt in doubts)}; how much"
            f" {pool.nodes} nodes of {pool.machine} can give is not known",
            hint=hint,
        )


def outcome(pool: Pool, verdict: Verdict | None, results: Sequence[Result]) -> str:
    """What is said of a fabric on which workloads start."""
    if verdict is not None:
        return f"the fabric of pool {pool.name} is as fast as the mesh expects"
    most = max((each.value for each in results if each.metric == nccl.ALL_REDUCE), default=0.0)
    return (
        f"NCCL uses the fabric of pool {pool.name}, which gives {most:.4g} GB/s: whether that is much for"
        f" {pool.nodes} nodes of {pool.machine} is not known"
    )


def _sizes(rates: Mapping[int, float]) -> str:
    return ", ".join(f"{rate:.4g} GB/s at {size / 2**30:g} GiB" for size, rate in sorted(rates.items()))


def _expected(pool: Pool) -> str:
    sizes = {each.size_bytes: each.gbytes_per_s for each in fabric_expectation.expectations(pool)}
    return _sizes(sizes)


def _hint(pool: Pool, again: str) -> str:
    fabric = pool.fabric
    name = fabric.name if fabric is not None else ""
    where = f"{fabric.kind} ({fabric.resource or 'no devices'})" if fabric is not None else ""
    return (
        f"check the network adapters and drivers of its nodes, {where}; `{again}` measures again. To start the"
        f" workloads all the same, remove fabrics.{name}.expect from mesh.yaml"
    )

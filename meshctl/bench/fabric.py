"""Measures the fabric of a pool by nccl-tests on all of its nodes, and holds it against what is expected. EDGE.

Called by `cli.bench`, and by `cli.up` before the workloads of a pool start whose fabric has `expect`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from meshctl.bench import cluster_jobs
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.errors import MeasurementError, UsageError
from meshctl.measure import nccl, packed
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.files.file_problems import suggestion
from meshctl.model.pods import own_images
from meshctl.render import benchmarks
from meshctl.render.benchmarks import FabricRun
from meshctl.resolve.placement import fabric_expectation

_START_S: Final = 900.0  # images with CUDA and MPI have ten gigabytes


def runs(deployment: Deployment, subject: str) -> tuple[FabricRun, ...]:
    """The pools with a network between accelerators, or the one that `subject` names. Raises: UsageError."""
    names = [pool.name for pool in deployment.pools if fabric_expectation.is_measurable(pool)]
    subjects = [f"pool/{name}" for name in names]
    if subject and subject not in subjects:
        raise UsageError(
            f'the fabric of "{subject}" can\'t be measured{suggestion(subject, subjects)}',
            why="it takes a pool with accelerators on two nodes at least",
            hint=f"there {'is' if len(names) == 1 else 'are'} {', '.join(subjects) or 'none'}",
        )
    if not names:
        raise UsageError(
            f"{deployment.environment} has no pool with accelerators on two nodes",
            why="there is no GPU here that could exchange anything with another node's",
            hint="--from FILE --of pool/NAME reads what nccl-tests has printed elsewhere, with --replayed",
        )
    return tuple(FabricRun(pool=name) for name in ([subject.removeprefix("pool/")] if subject else names))


def measure(
    deployment: Deployment, run: FabricRun, access: ClusterAccess, date: str, say: Callable[[str], None]
) -> tuple[Result, ...]:
    """Runs nccl-tests in the cluster. Raises: as `cluster_jobs.run`, and ForeignOutputError."""
    pool = deployment.pool(run.pool)
    manifest, companions = benchmarks.fabric_objects(deployment, run, _new_key())
    ended = cluster_jobs.run(access, manifest, say, companions=companions, start_s=_START_S)
    text = packed.unpacked(ended.message)
    taken = Taken(
        machine=pool.machine,
        date=date,
        source=f"meshctl bench: nccl-tests on {pool.nodes} nodes of pool {pool.name}",
        origin="replayed" if packed.is_recording(text) else "measured",
    )
    image = own_images.nccl_tests(pool.fabric.kind if pool.fabric is not None else "ethernet")
    return tuple(
        replace(
            each,
            setting={"subject": f"pool/{pool.name}", "nodes": str(pool.nodes), **each.setting},
            versions={**each.versions, "image": image},
        )
        for each in nccl.read(text, taken)
    )


def _new_key() -> str:
    """A private key in OpenSSH's form, by which rank 0 starts the others. It is good for one measurement."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def gated(deployment: Deployment, up: Deployment | None) -> tuple[Pool, ...]:
    """The pools to measure before their workloads start: `expect` asks for it, something is expected, and none of their
    workloads is up, in this pool or in the one that it leaves: to measure would be to stop it. What is up has its
    nodes, and stays. `up`: what the last `up` declared."""
    running = [each for each in up.workloads if each.runs] if up is not None else []
    names = {each.name for each in running}
    in_use = {each.pool for each in running} | {each.pool for each in deployment.workloads if each.name in names}
    starting = {each.pool for each in deployment.workloads if each.runs and each.accelerators}
    without_nodes = {each.pool for each in deployment.waiting_for_nodes}
    return tuple(
        pool
        for pool in deployment.pools
        if fabric_expectation.is_asked_for(pool)
        and fabric_expectation.is_measurable(pool)
        and fabric_expectation.expectations(pool)
        and pool.name in starting - in_use - without_nodes
    )


def waiting(deployment: Deployment, pools: Sequence[Pool]) -> Deployment:
    """The deployment in which no workload of these pools has pods yet."""
    measured = {pool.name for pool in pools}
    return deployment.paused(
        frozenset(each.name for each in deployment.workloads if each.paused or each.pool in measured)
    )


def refuse_slow(deployment: Deployment, pool: Pool, results: Sequence[Result]) -> None:
    """Raises: MeasurementError where the fabric gives less than the mesh wants of it."""
    rates = {
        int(each.setting["size_bytes"]): each.value
        for each in results
        if each.metric == nccl.ALL_REDUCE and each.setting.get("size_bytes", "").isdecimal()
    }
    verdict = fabric_expectation.verdict(pool, rates)
    if verdict is None:
        raise MeasurementError(
            f"the fabric of pool {pool.name} was measured, and nothing of it can be compared",
            why=f"measured: {_sizes(rates) or 'no all-reduce'}; expected: {_expected(pool)}",
            hint=_hint(deployment, pool),
        )
    if verdict.is_enough:
        return
    size = verdict.size_bytes / 2**30
    doubts = dict.fromkeys(warning for each in results for warning in each.warnings)
    networks = dict.fromkeys(each.setting["network"] for each in results if "network" in each.setting)
    log = "".join(f"; NCCL says: Using network {network}" for network in networks)
    raise MeasurementError(
        f"the fabric of pool {pool.name} gives {verdict.gbytes_per_s:.4g} GB/s, {verdict.share:.0%} of the expected"
        f" {verdict.expected.gbytes_per_s:.4g}; its workloads were not started in {deployment.environment}",
        why=f"an all-reduce of {size:g} GiB on {pool.nodes} nodes; the mesh wants {verdict.wanted_share:.0%} of"
        f" {verdict.expected.basis}{log}{''.join(f'; {doubt}' for doubt in doubts)}",
        hint=_hint(deployment, pool),
    )


def _sizes(rates: dict[int, float]) -> str:
    return ", ".join(f"{rate:.4g} GB/s at {size / 2**30:g} GiB" for size, rate in sorted(rates.items()))


def _expected(pool: Pool) -> str:
    sizes = {each.size_bytes: each.gbytes_per_s for each in fabric_expectation.expectations(pool)}
    return _sizes(sizes)


def _hint(deployment: Deployment, pool: Pool) -> str:
    fabric = pool.fabric
    name = fabric.name if fabric is not None else ""
    where = f"{fabric.kind} ({fabric.resource or 'no devices'})" if fabric is not None else ""
    return (
        f"look at the adapters and drivers of its nodes, {where}; `meshctl up {deployment.environment}` measures again."
        f" Without fabrics.{name}.expect the workloads start as it is"
    )

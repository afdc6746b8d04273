"""Measures the accelerators of one node of a pool, and diagnoses those of all of its nodes. EDGE. Called by
`cli.bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from meshctl.bench import cluster_jobs
from meshctl.bench.cluster_jobs import Ended
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import CredentialsError, ForeignOutputError, UnreachableError, UsageError
from meshctl.measure import dcgm, gemm, packed
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.files.file_problems import suggestion
from meshctl.model.pods import own_images
from meshctl.render import benchmarks
from meshctl.render.benchmarks import DiagnosisRun, GpuRun
from meshctl.words import pluralize

LEVELS: Final = (2, 3)
_START_S: Final = 900.0  # the image has some gigabytes
_WORDS: Final = 300  # characters of what a diagnosis has said that tested nothing


def runs(deployment: Deployment, subject: str) -> tuple[GpuRun, ...]:
    """The pools with accelerators, or the one that `subject` names. Raises: UsageError."""
    return tuple(GpuRun(pool=pool.name) for pool in _chosen(deployment, subject))


def diagnoses(deployment: Deployment, subject: str, level: int) -> tuple[DiagnosisRun, ...]:
    """As `runs`. Raises: UsageError, also where no chosen pool has accelerators that DCGM diagnoses."""
    if level not in LEVELS:
        raise UsageError(f"DCGM has no diagnosis {level} that is run here", hint="--diagnose 2 or --diagnose 3")
    chosen = _chosen(deployment, subject)
    able = [pool for pool in chosen if pool.has_whole_nvidia_gpus]
    if not able:
        names = ", ".join(f"pool {pool.name} has {pool.device_resource}" for pool in chosen)
        raise UsageError(
            f"DCGM diagnoses whole accelerators of NVIDIA alone, and {names}",
            why="other makers have programs of their own, and DCGM looks at no slices",
            hint="for AMD: `rvs` of ROCm, on the node",
        )
    return tuple(DiagnosisRun(pool=pool.name, level=level) for pool in able)


def _chosen(deployment: Deployment, subject: str) -> list[Pool]:
    pools = {f"pool/{pool.name}": pool for pool in deployment.pools if pool.nodes and pool.gpus_per_node}
    if subject and subject not in pools:
        raise UsageError(
            f'"{subject}" has no accelerators to measure{suggestion(subject, list(pools))}',
            hint=f"these can be measured: {', '.join(pools) or 'none'}",
        )
    if not pools:
        raise UsageError(
            f"there is no GPU here: no pool of {deployment.environment} has nodes with accelerators",
            hint="to read results from elsewhere: --from FILE --replayed --of pool/NAME, with output of"
            " `dcgmi diag -r 2 -j`",
        )
    chosen = [pools[subject]] if subject else list(pools.values())
    with_nodes = [pool for pool in chosen if not _without_nodes(pool)]
    if not with_nodes:
        raise UsageError(
            f"pool {chosen[0].name} has no nodes to measure: {_without_nodes(chosen[0])}",
            hint=f"`meshctl status {deployment.environment}` shows its nodes",
        )
    return with_nodes


def _without_nodes(pool: Pool) -> str:
    """Why a pool with a reservation has no nodes now; "" where it can have some. It may have begun since the mesh was
    brought up."""
    if pool.has_ended:
        return "its reservation has ended"
    is_ahead = pool.starts and datetime.fromisoformat(pool.starts) > datetime.now(UTC)
    return f"its reservation begins at {pool.starts}" if is_ahead else ""


def measure(
    deployment: Deployment, run: GpuRun, access: ClusterAccess, date: str, say: Callable[[str], None]
) -> tuple[Result, ...]:
    """Multiplies matrices in the cluster. Raises: as `cluster_jobs.run`, and ForeignOutputError."""
    ended = cluster_jobs.run(access, benchmarks.gpu_job(deployment, run), say, start_s=_START_S)
    taken = Taken(
        machine=deployment.pool(run.pool).machine,
        date=date,
        source=f"meshctl bench: on node {ended.node} of pool {run.pool}",
    )
    return tuple(
        replace(
            each,
            setting={"subject": f"pool/{run.pool}", **each.setting},
            versions={**each.versions, "image": own_images.TORCH},
        )
        for each in gemm.read(packed.unpacked(ended.message), taken)
    )


def diagnose(
    deployment: Deployment, run: DiagnosisRun, access: ClusterAccess, date: str, say: Callable[[str], None]
) -> tuple[Result, ...]:
    """Runs DCGM's diagnosis on each node of the pool whose accelerators are free. Raises: as
    `cluster_jobs.run_on_each`, and ForeignOutputError."""
    pool = deployment.pool(run.pool)
    nodes = _nodes_of(deployment, pool, access)
    manifest = benchmarks.diagnosis_job(deployment, replace(run, nodes=nodes))
    every = cluster_jobs.run_on_each(access, manifest, say, start_s=_START_S)
    missing = max(nodes, pool.nodes) - len(every)
    if missing > 0:
        say(f"{pluralize(missing, 'node')} of pool {pool.name} had no free accelerators, and were not diagnosed")
    user = "root" if benchmarks.runs_as_root(deployment) else "1000"
    setting = {"subject": f"pool/{pool.name}", "level": str(run.level), "user": user}
    return tuple(
        replace(
            each,
            setting={**setting, "node": ended.node, **each.setting},
            versions={**each.versions, "image": own_images.DCGM},
            warnings=tuple(f"node {ended.node}: {warning}" for warning in each.warnings),
        )
        for ended in every
        for each in _diagnosed(ended, pool, date)
    )


def _nodes_of(deployment: Deployment, pool: Pool, access: ClusterAccess) -> int:
    """Those that are ready in the cluster: of a range the mesh says the least. Where they can't be counted, as many as
    the mesh says."""
    try:
        ready = clusters.ready_nodes(access, deployment.mesh)
    except (CredentialsError, UnreachableError):
        return pool.nodes
    return ready.get(pool.name, 0) or pool.nodes


def _diagnosed(ended: Ended, pool: Pool, date: str) -> Iterator[Result]:
    """Of a node on which nothing was tested, why."""
    source = f"meshctl bench: DCGM on node {ended.node} of pool {pool.name}"
    taken = Taken(machine=pool.machine, date=date, source=source)
    if ended.failure:
        yield dcgm.not_run(ended.failure, taken)
        return
    text = ""
    try:
        text = packed.unpacked(ended.message)
        taken = replace(taken, origin="replayed" if packed.is_recording(text) else "measured")
        yield from dcgm.read(text, taken)
    except ForeignOutputError as error:
        last_words = " ".join(text.split())[-_WORDS:]
        yield dcgm.not_run(last_words if text and "{" not in text else error.why, taken)

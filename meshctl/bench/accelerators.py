"""Measures the accelerators of one node of a pool. EDGE. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from meshctl.bench import cluster_jobs
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.errors import UsageError
from meshctl.measure import gemm, packed
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.model.files.file_problems import suggestion
from meshctl.model.pods import own_images
from meshctl.render import benchmarks
from meshctl.render.benchmarks import GpuRun

_START_S: Final = 900.0  # the image has some gigabytes


def runs(deployment: Deployment, subject: str) -> tuple[GpuRun, ...]:
    """The pools with accelerators, or the one that `subject` names. Raises: UsageError."""
    subjects = {f"pool/{pool.name}": pool.name for pool in deployment.pools if pool.nodes and pool.gpus_per_node}
    if subject and subject not in subjects:
        raise UsageError(
            f'"{subject}" has no accelerators to measure{suggestion(subject, list(subjects))}',
            hint=f"measured can be: {', '.join(subjects) or 'none'}",
        )
    if not subjects:
        raise UsageError(
            f"there is no GPU here: no pool of {deployment.environment} has nodes with accelerators",
            hint="--from FILE --of pool/NAME reads what `dcgmi diag -r 2 -j` has printed elsewhere, with --replayed",
        )
    return tuple(GpuRun(pool=name) for name in ([subjects[subject]] if subject else subjects.values()))


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

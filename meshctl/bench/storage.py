"""What of an environment's storage is measured, and its results. PURE but for `measure`. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from meshctl.bench import cluster_jobs
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import UsageError
from meshctl.measure import fio, packed, rclone
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.model.files.file_problems import suggestion
from meshctl.model.pods import own_images
from meshctl.render import benchmarks
from meshctl.render.benchmark_scripts import OBJECT_MIB, TRANSFERS
from meshctl.render.benchmarks import StorageRun

LARGEST_GIB: Final = 64
_LEAST_MIB: Final = 8
_MOST_OBJECTS_MIB: Final = 4096
_MOST_OF_STORAGE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a measurement writes, and how long it takes: of all of its jobs together."""

    size_mib: int
    seconds: int


def checked_size(size_gib: float, seconds: int) -> Size:
    """Raises: UsageError for a run without bounds."""
    size_mib = round(size_gib * 1024)
    if not _LEAST_MIB <= size_mib <= LARGEST_GIB * 1024:
        raise UsageError(
            f"a measurement writes {_LEAST_MIB} MiB at least and {LARGEST_GIB} GiB at most",
            hint="write --size 1GiB",
        )
    return Size(size_mib=size_mib, seconds=seconds)


def runs(deployment: Deployment, subject: str, size: Size) -> tuple[StorageRun, ...]:
    """All file systems that workloads write to; or the one, or the disk of the pool's nodes, that `subject` names.

    Raises: UsageError.
    """
    subjects = _pools_by_subject(deployment)
    if subject and subject not in subjects:
        raise UsageError(
            f'"{subject}" can\'t be measured{suggestion(subject, list(subjects))}',
            why=_why_not(deployment, subject),
            hint=f"these can be measured: {', '.join(subjects)}",
        )
    systems = {f"storage/{system.name}" for system in deployment.file_systems}
    chosen = [subject] if subject else [each for each in subjects if each in systems]
    if not chosen:
        raise UsageError(
            f"no workload of {deployment.environment} writes to a file system",
            hint=f"--of measures the disk of a pool's nodes: {', '.join(subjects)}",
        )
    made = tuple(
        StorageRun(subject=each, pool=subjects[each], size_mib=size.size_mib, seconds=size.seconds) for each in chosen
    )
    for run in made:
        _refuse_too_large(deployment, run)
    return made


def _pools_by_subject(deployment: Deployment) -> dict[str, str]:
    """What can be measured, and from which pool's nodes: for a file system, those of the first workload that writes."""
    systems = {
        f"storage/{system.name}": mounting[0].pool
        for system in deployment.file_systems
        if (mounting := benchmarks.writers(deployment, system.name))
    }
    stores = {
        f"storage/{store.name}": mounting[0].pool
        for store in deployment.object_stores
        if (mounting := benchmarks.writers(deployment, store.name))
    }
    return {**systems, **stores, **{f"pool/{pool.name}": pool.name for pool in deployment.pools}}


def _why_not(deployment: Deployment, subject: str) -> str:
    name = subject.removeprefix("storage/")
    if name in {block.name for block in deployment.blocks}:
        return (
            "a block is mounted by one pod, and that is the workload's; `--of pool/NAME` measures a disk of its nodes"
        )
    if name in deployment.ephemeral:
        return "no workload writes to it, and a measurement has to"
    return ""


def _refuse_too_large(deployment: Deployment, run: StorageRun) -> None:
    """Raises: UsageError where it would fill what others write to."""
    sizes_gib: dict[str, float] = {f"storage/{each.name}": each.size_gib for each in deployment.file_systems}
    sizes_gib |= {f"storage/{each.name}": each.size_gib for each in deployment.object_stores}
    sizes_gib |= {f"pool/{pool.name}": pool.disk_gib for pool in deployment.pools}
    size_gib = sizes_gib.get(run.subject, 0)
    if is_object_store(deployment, run) and not OBJECT_MIB <= run.size_mib <= _MOST_OBJECTS_MIB:
        raise UsageError(
            f"of an object store {OBJECT_MIB} MiB at least and {_MOST_OBJECTS_MIB} MiB at most are measured",
            why="they are read into the memory of the pod",
            hint=f"--size {min(run.size_mib, _MOST_OBJECTS_MIB)}MiB",
        )
    if size_gib and run.size_mib / 1024 > _MOST_OF_STORAGE * size_gib:
        raise UsageError(
            f"{run.size_mib / 1024:g} GiB are more than a tenth of {_words(run)}, which has {size_gib:g} GiB",
            why="workloads write there as well",
            hint=f"--size {max(_LEAST_MIB, int(_MOST_OF_STORAGE * size_gib * 1024))}MiB",
        )


def _words(run: StorageRun) -> str:
    kind, _, name = run.subject.partition("/")
    return f"the disk of a node of pool {name}" if kind == "pool" else f"storage {name}"


def is_object_store(deployment: Deployment, run: StorageRun) -> bool:
    return run.subject in {f"storage/{store.name}" for store in deployment.object_stores}


def measure(
    deployment: Deployment, run: StorageRun, access: ClusterAccess, date: str, say: Callable[[str], None]
) -> tuple[Result, ...]:
    """Runs fio in the cluster, of an object store rclone. Raises: as `cluster_jobs.run`, and ForeignOutputError."""
    if is_object_store(deployment, run):
        return _measure_objects(deployment, run, access, date, say)
    ended = cluster_jobs.run(access, benchmarks.storage_job(deployment, run), say)
    taken = Taken(
        machine=deployment.pool(run.pool).machine,
        date=date,
        source=f"meshctl bench: fio on a node of pool {run.pool}",
    )
    setting = {"subject": run.subject, "clients": "1"}
    results = fio.read(packed.unpacked(ended.message), taken)
    return tuple(
        replace(each, setting={**setting, **each.setting}, versions={**each.versions, "image": own_images.FIO})
        for each in results
    )


def _measure_objects(
    deployment: Deployment, run: StorageRun, access: ClusterAccess, date: str, say: Callable[[str], None]
) -> tuple[Result, ...]:
    ended = cluster_jobs.run(access, benchmarks.object_job(deployment, run), say)
    taken = Taken(
        machine=deployment.pool(run.pool).machine,
        date=date,
        source=f"meshctl bench: rclone on a node of pool {run.pool}",
    )
    setting = {
        "subject": run.subject,
        "clients": "1",
        "object_mib": str(OBJECT_MIB),
        "transfers": str(TRANSFERS),
    }
    results = rclone.read(packed.unpacked(ended.message), taken, setting)
    return tuple(replace(each, versions={"image": own_images.STAGING}) for each in results)

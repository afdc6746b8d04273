"""The Jobs that measure a cluster. PURE.

Called by `meshctl.bench`. A Job is rendered as those of the mesh's workloads, so that it runs on the pool's nodes, with
their devices, settings and mounts, as the user whose files it stands beside. It has no priority class: pods of the mesh
push it off a node, and never the other way round. It ends by a deadline of its own, and is then removed by the cluster,
so that nothing stays of a command that was killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshctl.model.deployment import Deployment, Mount, Workload
from meshctl.model.pods import own_images
from meshctl.render.controllers import jobs

KIND_LABEL: Final = "meshctl.dev/bench"
REPORT: Final = "/meshctl-report"  # what a container writes there is its termination message: at most 4096 bytes
FOLDER: Final = ".meshctl-bench"  # in the root of the storage: what is in it may go at any time
_MANAGER: Final = "meshctl-bench"
_MOUNTED: Final = "/bench"
_KEPT_S: Final = 300  # how long a Job that has ended stays, where nobody removes it
_LAYOUT_S: Final = 300  # for the file that is read, and for a start on a node that has no image yet

# Arguments: MiB, seconds of each job, where the storage is mounted, where the report goes.
#
# Four files, as a file system may keep one file on one of its servers. What fio writes is packed, as it is larger than
# a termination message may be. Some file systems refuse direct I/O: the second try goes through the page cache, and its
# result says so. A shell that is process 1 gets only signals that it traps, and only between two commands: so fio runs
# beside it.
STORAGE_SCRIPT: Final = f"""\
folder=$3/{FOLDER}
rm -rf "$folder"
mkdir "$folder" || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'kill $measuring; wait; exit 143' TERM INT
measure() {{
  fio --output-format=json --output="$folder/report" --directory="$folder" --size="$1M" \\
    --filename=data1:data2:data3:data4 --runtime="$2" --time_based --direct="$3" --ioengine=libaio \\
    --percentile_list=50:90:95:99:99.9 --stonewall \\
    --name=write --rw=write --bs=1M --iodepth=16 --end_fsync=1 \\
    --name=read --rw=read --bs=1M --iodepth=16 \\
    --name=random-read --rw=randread --bs=4k --iodepth=16 \\
    --name=random-write --rw=randwrite --bs=4k --iodepth=16 --end_fsync=1 &
  measuring=$!
  wait $measuring
}}
measure "$1" "$2" 1 || measure "$1" "$2" 0 || exit 1
gzip -9 < "$folder/report" | base64 | tr -d '\\n' > "$4"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRun:
    """`subject`: a file system, `storage/NAME`, or the disk of a pool's nodes, `pool/NAME`. `pool`: where its pod runs.
    `seconds`: of all of its jobs together."""

    subject: str
    pool: str
    size_mib: int
    seconds: int

    @property
    def job_name(self) -> str:
        return f"bench-{self.subject.replace('/', '-')}"

    @property
    def deadline_s(self) -> int:
        return 2 * self.seconds + _LAYOUT_S  # twice: a second try without direct I/O


def storage_job(deployment: Deployment, run: StorageRun) -> dict[str, Any]:
    """The manifest of a Job with one pod, which runs fio in a folder of its own and removes it."""
    kind, _, name = run.subject.partition("/")
    is_disk = kind == "pool"
    beside = None if is_disk else next(iter(writers(deployment, name)), None)
    mount = _disk(run) if beside is None else _mount(beside, name).model_copy(update={"path": _MOUNTED})
    workload = Workload(
        name=run.job_name,
        kind="batch",
        pool=run.pool,
        replicas=1,
        image=own_images.FIO,
        command=("sh", "-c"),
        args=(STORAGE_SCRIPT, "bench", str(run.size_mib), str(max(run.seconds // 4, 1)), _MOUNTED, REPORT),
        user=beside.user if beside is not None else None,
        root_for_files=beside.root_for_files if beside is not None else False,
        cpu=1,
        memory_gib=1,
        mounts=(mount,),
    )
    return _job(deployment, workload, kind="storage", deadline_s=run.deadline_s)


def writers(deployment: Deployment, file_system: str) -> list[Workload]:
    """The workloads that write to a file system: a measurement writes there as the first of them does."""
    return [
        workload
        for workload in deployment.workloads
        if any(mount.storage == file_system and not mount.read_only for mount in workload.mounts)
    ]


def _mount(workload: Workload, storage: str) -> Mount:
    return next(mount for mount in workload.mounts if mount.storage == storage and not mount.read_only)


def _disk(run: StorageRun) -> Mount:
    """An empty folder of the node's own disk."""
    return Mount(storage="0-bench", kind="local", path=_MOUNTED, local_gib=2 * run.size_mib / 1024)


def _job(deployment: Deployment, workload: Workload, *, kind: str, deadline_s: int) -> dict[str, Any]:
    """As a workload's, but for what ties it to the mesh: nothing but `meshctl.bench` is to take it for one of it."""
    manifest = jobs.job(deployment, workload).manifest
    template = manifest["spec"]["template"]
    labels = {"app.kubernetes.io/managed-by": _MANAGER, KIND_LABEL: kind}
    without = ("serviceAccountName", "priorityClassName")
    pod = {key: value for key, value in template["spec"].items() if key not in without}
    pod["containers"] = [{**each, "terminationMessagePath": REPORT} for each in pod["containers"]]
    metadata = {**template["metadata"], "labels": {**template["metadata"]["labels"], **labels}}
    spec = {
        **manifest["spec"],
        "backoffLimit": 0,
        "activeDeadlineSeconds": deadline_s,
        "ttlSecondsAfterFinished": _KEPT_S,
        "template": {"metadata": metadata, "spec": pod},
    }
    del spec["podFailurePolicy"]  # an ending of any kind is the end of a measurement
    own_metadata = {**manifest["metadata"], "labels": {**manifest["metadata"]["labels"], **labels}}
    return {**manifest, "metadata": own_metadata, "spec": spec}

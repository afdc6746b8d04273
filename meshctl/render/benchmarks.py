"""The Jobs that measure a cluster. PURE.

Called by `meshctl.bench`. A Job is rendered as those of the mesh's workloads, so that it runs on the pool's nodes, with
their devices, settings and mounts, as the user whose files it stands beside. It has no priority class: pods of the mesh
push it off a node, and never the other way round. It ends by a deadline of its own, and is then removed by the cluster,
so that nothing stays of a command that was killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshctl.model.deployment import Deployment, Mount, Pool, Workload
from meshctl.model.keys import nvlink
from meshctl.model.pods import object_names, own_images, pod_files, pod_users
from meshctl.render.benchmark_scripts import (
    DIAGNOSIS_SCRIPT,
    FABRIC_SCRIPT,
    GPU_SCRIPT,
    KEYS,
    OBJECTS_SCRIPT,
    SSHD_CONFIG,
    STORAGE_SCRIPT,
    USERS,
)
from meshctl.render.cluster import compute_domains, platform
from meshctl.render.controllers import jobs
from meshctl.render.pod import object_storage
from meshctl.render.templates import FOLDER as TEMPLATES

KIND_LABEL: Final = "meshctl.dev/bench"
REPORT: Final = "/meshctl-report"  # what a container writes there is its termination message: at most 4096 bytes
_MANAGER: Final = "meshctl-bench"
_MOUNTED: Final = "/bench"
_KEPT_S: Final = 300  # how long a Job that has ended stays, where nobody removes it
_LAYOUT_S: Final = 300  # for the file that is read, and for a start on a node that has no image yet
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_FABRIC_S: Final = 1500  # a minute of measuring, and an image of ten gigabytes
# by level: well over the 2 and 15 minutes that NVIDIA says (docs.nvidia.com, dcgmi diag), as many GPUs take longer
_DIAGNOSIS_S: Final = {2: 600, 3: 2400}
_PULL_S: Final = 900  # of an image of some gigabytes
_LARGE_GPU_GIB: Final = 60  # nccl-tests keeps three buffers of the largest size


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricRun:
    """So many nodes of a pool, with all of their accelerators; 0 = all nodes."""

    pool: str
    nodes: int = 0

    @property
    def job_name(self) -> str:
        return f"bench-fabric-{self.pool}"

    def needed(self, pool: Pool) -> int:
        """How many nodes must be free."""
        return self.nodes or pool.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRun:
    """All accelerators of one node of a pool."""

    pool: str

    @property
    def job_name(self) -> str:
        return f"bench-gpu-{self.pool}"

    def needed(self, pool: Pool) -> int:
        return min(1, pool.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRun:
    """All accelerators of each node of a pool. `level`: of DCGM, 2 or 3. `nodes`: how many there are; 0 = as many as
    the mesh says at least."""

    pool: str
    level: int
    nodes: int = 0

    @property
    def job_name(self) -> str:
        return f"bench-dcgm-{self.pool}"

    def needed(self, pool: Pool) -> int:
        """The others are not waited for."""
        return min(1, pool.nodes)

    @property
    def seconds(self) -> int:
        """How long it may take on a node."""
        return _DIAGNOSIS_S[self.level]


def storage_job(deployment: Deployment, run: StorageRun) -> dict[str, Any]:
    """The manifest of a Job with one pod, which runs fio in a folder of its own and removes it."""
    kind, _, name = run.subject.partition("/")
    is_disk = kind == "pool"
    beside = None if is_disk else next(iter(writers(deployment, name)), None)
    mount = _disk(run) if beside is None else _mount(beside, name).model_copy(update={"path": _MOUNTED})
    workload = _in_shell(
        run,
        own_images.FIO,
        (STORAGE_SCRIPT, "bench", str(run.size_mib), str(max(run.seconds // 4, 1)), _MOUNTED, REPORT),
        user=beside.user if beside is not None else None,
        root_for_files=beside.root_for_files if beside is not None else False,
        cpu=1,
        memory_gib=1,
        mounts=(mount,),
    )
    manifest = _job(deployment, workload, kind="storage", deadline_s=run.deadline_s)
    return _with_disk(manifest, run) if is_disk else manifest


def object_job(deployment: Deployment, run: StorageRun) -> dict[str, Any]:
    """The manifest of a Job that copies objects to a store and back, as the first workload that writes there: by its
    identity where the platform gives it one, else by the keys of the mesh."""
    name = run.subject.partition("/")[2]
    beside = writers(deployment, name)[0]
    objects = _mount(beside, name)
    mounts = (objects, _disk(run))
    workload = _in_shell(run, own_images.STAGING, cpu=1, memory_gib=run.size_mib / 1024 + 1, mounts=mounts)
    staging = object_storage.staging(deployment, workload, objects)
    args = (OBJECTS_SCRIPT, "bench", staging["args"][1], str(run.size_mib), _MOUNTED, REPORT)
    workload = workload.model_copy(update={"args": args})
    manifest = _job(deployment, workload, kind="storage", deadline_s=run.deadline_s)
    pod = manifest["spec"]["template"]["spec"]
    pod["serviceAccountName"] = beside.name
    (container,) = pod["containers"]
    own = {entry["name"] for entry in container["env"]}
    container["env"] = [*container["env"], *(entry for entry in staging["env"] if entry["name"] not in own)]
    return _with_disk(manifest, run)


def gpu_job(deployment: Deployment, run: GpuRun) -> dict[str, Any]:
    """The manifest of a Job with one pod, which multiplies matrices on each accelerator of its node."""
    pool = deployment.pool(run.pool)
    program = (TEMPLATES / "bench" / "gemm.py").read_text(encoding="utf-8")
    workload = _in_shell(
        run,
        own_images.TORCH,
        (GPU_SCRIPT, "bench", program, REPORT),
        accelerators=pool.gpus_per_node,
        cpu=min(4, pool.cpu_cores / 2),
        memory_gib=min(32, pool.memory_gib // 2),
    )
    return _job(deployment, workload, kind="gpu", deadline_s=_FABRIC_S)


def diagnosis_job(deployment: Deployment, run: DiagnosisRun) -> dict[str, Any]:
    """The manifest of a Job with one pod for each node of a pool, which has DCGM diagnose all of its accelerators.

    DCGM's host engine wants to be root, and does without where the namespace lets nobody be: some tests may be skipped
    then. It gets no capability beyond those of the container runtime."""
    pool = deployment.pool(run.pool)
    workload = _in_shell(
        run,
        own_images.DCGM,
        (DIAGNOSIS_SCRIPT, "bench", str(run.level), str(run.seconds), REPORT),
        user="root" if runs_as_root(deployment) else None,
        accelerators=pool.gpus_per_node,
        cpu=min(8, pool.cpu_cores / 2),
        memory_gib=min(64, pool.memory_gib // 2),
    )
    nodes = run.nodes or pool.nodes
    workload = workload.model_copy(update={"replicas": nodes, "command": ("bash", "-c")})
    manifest = _job(deployment, workload, kind="gpu", deadline_s=run.seconds + _PULL_S)
    # a pod that fails, as on a node that breaks under the load, leaves the others at their work
    each_by_itself = {"backoffLimit": nodes, "backoffLimitPerIndex": 0}
    return {**manifest, "spec": {**manifest["spec"], **each_by_itself}}


def runs_as_root(deployment: Deployment) -> bool:
    """Whether DCGM is root: the mesh's own namespace enforces what its workloads need."""
    return pod_users.level(deployment) != "restricted"


def fabric_objects(deployment: Deployment, run: FabricRun, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A gang Job of nccl-tests on nodes of a pool, and what its pods need beside it: their names, a Secret with
    what lets rank 0 start the others, and a ComputeDomain where trainers share NVLink between nodes. `key`: a private
    key in OpenSSH's form, for this measurement alone."""
    pool = deployment.pool(run.pool)
    workload = _all_reduce(run, pool)
    manifest = _job(deployment, workload, kind="fabric", deadline_s=_FABRIC_S)
    pod = manifest["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        if volume["name"] == pod_files.FILES_VOLUME:  # a key is no text for a ConfigMap
            del volume["configMap"]
            volume["secret"] = {"secretName": object_names.workload_files(workload.name), "defaultMode": 0o444}
    if run.nodes in (0, pool.nodes):
        _need_not_be_in_one_rack(pod)
    labels = manifest["metadata"]["labels"]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": object_names.workload_files(workload.name),
            "namespace": deployment.namespace,
            "labels": labels,
        },
        "stringData": {pod_files.key_of(path): text for path, text in {**workload.files, f"{KEYS}/key": key}.items()},
    }
    beside = [platform.gang_service(deployment, workload)]
    beside += compute_domains.compute_domains(deployment, workload, needs="")
    labelled = [{**each.manifest, "metadata": {**each.manifest["metadata"], "labels": labels}} for each in beside]
    return manifest, [secret, *labelled]


def _need_not_be_in_one_rack(pod: dict[str, Any]) -> None:
    """A trainer that shares NVLink between nodes is in one rack. A measurement has all nodes of the pool, which may be
    several racks; each of them shares its own NVLink."""
    between = pod.get("affinity", {}).get("podAffinity", {})
    rules = between.pop(_REQUIRED, [])
    elsewhere = [rule for rule in rules if rule["topologyKey"] != nvlink.DOMAIN_LABEL]
    between |= {_REQUIRED: elsewhere} if elsewhere else {}


def _all_reduce(run: FabricRun, pool: Pool) -> Workload:
    """Where RDMA needs root, it is root with what the runtime gives it, as sshd changes its user; the namespace of such
    a mesh allows that. Elsewhere it runs as trainers do."""
    fabric = pool.fabric
    needs_root = fabric is not None and fabric.kind in ("infiniband", "roce")
    names = ["LD_LIBRARY_PATH", "PATH", "NCCL_DEBUG", *sorted(fabric.env if fabric is not None else ())]
    largest = "8G" if pool.gpu_memory_gib >= _LARGE_GPU_GIB else "2G"
    return Workload(
        name=run.job_name,
        kind="training",
        pool=pool.name,
        replicas=run.nodes or pool.nodes,
        image=own_images.nccl_tests(fabric.kind if fabric is not None else "ethernet"),
        command=("bash", "-c"),
        args=(FABRIC_SCRIPT, "bench", largest, str(pool.gpus_per_node), " ".join(names), REPORT),
        user="root" if needs_root else None,
        # as trainers have them in `examples/real/nccl-tests`; without huge pages EFA's plugin can't fork
        env={"NCCL_DEBUG": "INFO", "FI_EFA_FORK_SAFE": "1", "HOSTS": "$(MESH_HOSTS)"},
        files={f"{KEYS}/key": "", f"{KEYS}/sshd_config": SSHD_CONFIG, "/etc/passwd": USERS},
        accelerators=pool.gpus_per_node,
        cpu=min(8, pool.cpu_cores / 2),
        memory_gib=min(32, pool.memory_gib // 2),
    )


def _in_shell(run: StorageRun | GpuRun | DiagnosisRun, image: str, args: tuple[str, ...] = (), **own: Any) -> Workload:
    """One pod whose container runs a script: `args` are its text, its name, and what it gets. `own`: more fields."""
    return Workload(
        name=run.job_name,
        kind="batch",
        pool=run.pool,
        replicas=1,
        image=image,
        command=("sh", "-c"),
        args=args,
        **own,
    )


def writers(deployment: Deployment, storage: str) -> list[Workload]:
    """The workloads that write to a file system or an object store: a measurement does it as the first of them."""
    return [
        workload
        for workload in deployment.workloads
        if any(mount.storage == storage and not mount.read_only for mount in workload.mounts)
    ]


def _mount(workload: Workload, storage: str) -> Mount:
    return next(mount for mount in workload.mounts if mount.storage == storage and not mount.read_only)


def _disk(run: StorageRun) -> Mount:
    """An empty folder of the node's own disk."""
    return Mount(storage="0-bench", kind="local", path=_MOUNTED, local_gib=2 * run.size_mib / 1024)


def _with_disk(manifest: dict[str, Any], run: StorageRun) -> dict[str, Any]:
    """Where its files are on the node's disk, it goes to a node that has room for them: a kubelet whose disk is full
    evicts pods of others."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["resources"]["requests"]["ephemeral-storage"] = f"{run.size_mib}Mi"
    return manifest


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

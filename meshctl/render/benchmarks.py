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
from meshctl.model.pods import object_names, own_images, pod_files
from meshctl.render.cluster import compute_domains, platform
from meshctl.render.controllers import jobs
from meshctl.render.pod import object_storage
from meshctl.render.templates import FOLDER as TEMPLATES

KIND_LABEL: Final = "meshctl.dev/bench"
REPORT: Final = "/meshctl-report"  # what a container writes there is its termination message: at most 4096 bytes
FOLDER: Final = ".meshctl-bench"  # in the root of the storage; a run has a folder of its own in it
_LEFT_MIN: Final = 60  # what is older than that was left by a node that died: no run takes as long
_MANAGER: Final = "meshctl-bench"
_MOUNTED: Final = "/bench"
_KEPT_S: Final = 300  # how long a Job that has ended stays, where nobody removes it
_LAYOUT_S: Final = 300  # for the file that is read, and for a start on a node that has no image yet

# Arguments: MiB, seconds of each job, where the storage is mounted, where the report goes.
#
# A run has a folder of its own: a pod that is ending, or that of another environment with the same file system, removes
# its own at any moment. Four files, as a file system may keep one file on one of its servers. What fio writes is
# packed, as it is larger than a termination message may be. Some file systems refuse direct I/O: the second try goes
# through the page cache, and its result says so. A shell that is process 1 gets only signals that it traps, and only
# between two commands: so fio runs beside it.
STORAGE_SCRIPT: Final = f"""\
all=$3/{FOLDER}
mkdir -p "$all" && chmod 1777 "$all" 2>/dev/null
find "$all" -mindepth 1 -maxdepth 1 -mmin +{_LEFT_MIN} -exec rm -rf {{}} + 2>/dev/null
folder=`mktemp -d "$all/XXXXXXXX"` || exit 1
trap 'rm -rf "$folder"; rmdir "$all" 2>/dev/null' EXIT
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


OBJECT_MIB: Final = 16
TRANSFERS: Final = 16

# Arguments: the store's own folder in rclone's words, MiB, a folder of the node's disk, where the report goes.
#
# Objects are read into memory, so that no disk is measured. Only what lies under the run's own name is deleted, and
# what is so old that no run writes it any more.
OBJECTS_SCRIPT: Final = f"""\
run=`mktemp -u XXXXXXXX` || exit 1
remote="$1/{FOLDER}/$run"
rclone delete "$1/{FOLDER}" --min-age {_LEFT_MIN}m --rmdirs --quiet 2>/dev/null
trap 'rclone delete "$remote" --rmdirs --quiet' EXIT
trap 'kill $measuring; wait; exit 143' TERM INT
mkdir -p "$3/data" || exit 1
for number in `seq {OBJECT_MIB} {OBJECT_MIB} "$2"`; do
  head -c {OBJECT_MIB * 2**20} /dev/urandom > "$3/data/$number" || exit 1
done
measure() {{
  rclone copy "$1" "$2" --transfers={TRANSFERS} --s3-no-check-bucket --use-json-log --stats=24h \\
    --stats-log-level=NOTICE 2> "$3" &
  measuring=$!
  wait $measuring || {{ tail -n 3 "$3"; exit 1; }}
}}
measure "$3/data" "$remote" "$3/write"
measure "$remote" :memory:bench/data "$3/read"
for log in "$3/write" "$3/read"; do grep '"stats":' "$log" | tail -n 1; done | gzip -9 | base64 | tr -d '\\n' > "$4"
"""

_KEYS: Final = "/run/meshctl-bench"
_SSH: Final = "/tmp/meshctl-bench"  # noqa: S108 (in a container of its own)
_SSH_PORT: Final = 2222
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_FABRIC_S: Final = 1500  # a minute of measuring, and an image of ten gigabytes
_LARGE_GPU_GIB: Final = 60  # nccl-tests keeps three buffers of the largest size

# sshd as whoever the pods run as, without the rights that it has as a service: it takes one key, and lets in one user.
_SSHD_CONFIG: Final = f"""\
Port {_SSH_PORT}
HostKey {_SSH}/key
AuthorizedKeysFile {_SSH}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""
# sshd asks it for the user of its pod, which the image may not have
_USERS: Final = """\
root:x:0:0:root:/root:/bin/bash
sshd:x:74:74:sshd:/run/sshd:/usr/sbin/nologin
mesh:x:1000:1000:mesh:/tmp:/bin/bash
"""
# Arguments: the largest size, GPUs of a node, the variables that ranks get, where the report goes.
#
# Rank 0 is the launcher, as in AWS's and CoreWeave's own manifests, whose MPI operator makes the keys. Its end is that
# of the measurement. No `$(…)`, which Kubernetes takes for a variable. Of the log only what is read is packed: the
# table, how many ranks there were on how many hosts, and over which network: a list of 300 ranks alone is larger than a
# termination message may be. Where output of others has damaged the list, the ratio of bandwidths says the number.
FABRIC_SCRIPT: Final = f"""\
PATH="$PATH:/usr/sbin:/opt/amazon/openmpi/bin"
mkdir -p {_SSH} /run/sshd 2>/dev/null
install -m 600 {_KEYS}/key {_SSH}/key
ssh-keygen -y -f {_SSH}/key > {_SSH}/authorized_keys || exit 1
sshd=`command -v sshd`
"$sshd" -f {_KEYS}/sshd_config -D -e &
if [ "$MESH_RANK" != 0 ]; then wait; exit 1; fi
ssh_options="-p {_SSH_PORT} -i {_SSH}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
slots=
for host in ${{HOSTS//,/ }}; do
  until ssh $ssh_options "$host" true; do sleep 1; done
  slots="$slots,$host:$2"
done
test=/opt/nccl-tests/build/all_reduce_perf
[ -x "$test" ] || test=/opt/nccl_tests/build/all_reduce_perf
ranks=$2
let "ranks *= MESH_NODES"
mpirun=`command -v mpirun`  # by its whole path it finds its own parts on other nodes
variables=
for name in $3; do variables="$variables -x $name"; done
"$mpirun" --allow-run-as-root --host "${{slots#,}}" -np $ranks --bind-to none \\
  --mca plm_rsh_args "$ssh_options" --mca pml ^ucx --mca btl tcp,self $variables \\
  "$test" -b 512M -e "$1" -f 2 -g 1 -w 5 -n 20 > {_SSH}/log 2>&1
result=$?
if [ $result != 0 ]; then tail -n 30 {_SSH}/log; exit $result; fi
grep -E '^#|^ +[0-9]|Using network|NET/Socket : Using|CCL version' {_SSH}/log \\
  | awk '
    /^# +Rank/ {{
      ranks++
      last = $3 > last ? $3 : last
      model = $0; sub(/^.*\\] +/, "", model)
      if (!models[model]++) listed = listed (listed ? ", " : "") model
      host = $0; sub(/ +device .*$/, "", host); sub(/^.* on +/, "", host)
      if (!on[host]++) hosts++
      next
    }}
    /CCL/ {{ sub(/^.*INFO /, ""); if (seen[$0]++ || ++logged > 12) next }}
    {{ print }}
    END {{ if (ranks && ranks == last + 1) print "# " ranks " ranks on " hosts " hosts: " listed }}' \\
  | gzip -9 | base64 | tr -d '\\n' > "$4"
"""


# Arguments: the program, and where the report goes.
GPU_SCRIPT: Final = """\
python -c "$1" > /tmp/output || exit 1
gzip -9 < /tmp/output | base64 | tr -d '\\n' > "$2"
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
    manifest = _job(deployment, workload, kind="storage", deadline_s=run.deadline_s)
    return _with_disk(manifest, run) if is_disk else manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricRun:
    """All nodes of a pool, with all of their accelerators."""

    pool: str

    @property
    def job_name(self) -> str:
        return f"bench-fabric-{self.pool}"


def object_job(deployment: Deployment, run: StorageRun) -> dict[str, Any]:
    """The manifest of a Job that copies objects to a store and back, as the first workload that writes there: by its
    identity where the platform gives it one, else by the keys of the mesh."""
    name = run.subject.partition("/")[2]
    beside = writers(deployment, name)[0]
    objects = _mount(beside, name)
    workload = Workload(
        name=run.job_name,
        kind="batch",
        pool=run.pool,
        replicas=1,
        image=own_images.STAGING,
        cpu=1,
        memory_gib=run.size_mib / 1024 + 1,
        mounts=(objects, _disk(run)),
    )
    staging = object_storage.staging(deployment, workload, objects)
    remote = staging["args"][1]
    args = (OBJECTS_SCRIPT, "bench", remote, str(run.size_mib), _MOUNTED, REPORT)
    workload = workload.model_copy(update={"command": ("sh", "-c"), "args": args})
    manifest = _job(deployment, workload, kind="storage", deadline_s=run.deadline_s)
    pod = manifest["spec"]["template"]["spec"]
    pod["serviceAccountName"] = beside.name
    (container,) = pod["containers"]
    own = {entry["name"] for entry in container["env"]}
    container["env"] = [*container["env"], *(entry for entry in staging["env"] if entry["name"] not in own)]
    return _with_disk(manifest, run)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRun:
    """All accelerators of one node of a pool."""

    pool: str

    @property
    def job_name(self) -> str:
        return f"bench-gpu-{self.pool}"


def gpu_job(deployment: Deployment, run: GpuRun) -> dict[str, Any]:
    """The manifest of a Job with one pod, which multiplies matrices on each accelerator of its node."""
    pool = deployment.pool(run.pool)
    program = (TEMPLATES / "bench" / "gemm.py").read_text(encoding="utf-8")
    workload = Workload(
        name=run.job_name,
        kind="batch",
        pool=pool.name,
        replicas=1,
        image=own_images.TORCH,
        command=("sh", "-c"),
        args=(GPU_SCRIPT, "bench", program, REPORT),
        accelerators=pool.gpus_per_node,
        cpu=min(4, pool.cpu_cores / 2),
        memory_gib=min(32, pool.memory_gib // 2),
    )
    return _job(deployment, workload, kind="gpu", deadline_s=_FABRIC_S)


def fabric_objects(deployment: Deployment, run: FabricRun, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A gang Job of nccl-tests on all nodes of a pool, and what its pods need beside it: their names, a Secret with
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
        "stringData": {pod_files.key_of(path): text for path, text in {**workload.files, f"{_KEYS}/key": key}.items()},
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
        replicas=pool.nodes,
        image=own_images.nccl_tests(fabric.kind if fabric is not None else "ethernet"),
        command=("bash", "-c"),
        args=(FABRIC_SCRIPT, "bench", largest, str(pool.gpus_per_node), " ".join(names), REPORT),
        user="root" if needs_root else None,
        # as trainers have them in `examples/real/nccl-tests`; without huge pages EFA's plugin can't fork
        env={"NCCL_DEBUG": "INFO", "FI_EFA_FORK_SAFE": "1", "HOSTS": "$(MESH_HOSTS)"},
        files={f"{_KEYS}/key": "", f"{_KEYS}/sshd_config": _SSHD_CONFIG, "/etc/passwd": _USERS},
        accelerators=pool.gpus_per_node,
        cpu=min(8, pool.cpu_cores / 2),
        memory_gib=min(32, pool.memory_gib // 2),
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

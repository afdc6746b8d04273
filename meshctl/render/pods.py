"""What a workload's pod gets: environment, devices, volumes, where it may run. PURE.

Called by `platform`; the results are printed by `templates/platform/pod.yaml.j2`. This is the portable contract of a
container (docs: "What a container can rely on"), made concrete for one environment.
"""

from __future__ import annotations

import re
import signal
from typing import Any

from meshctl.model.deployment import Block, Deployment, Mount, ObjectStore, Pool, Workload
from meshctl.render import registries

STEADY_S = 10  # how long a pod that nothing can ask for its health has to run before it counts
OBJECT_STORAGE_SECRET = "object-storage"  # noqa: S105  the name of a Secret
HUGEPAGES_MIB = 5120  # what an EFA pod that takes the whole node asks for; 5128 pages of 2 MiB are preallocated
_GPU = "nvidia.com/gpu"
_COREWEAVE_GPU = "is_gpu"  # the taint that CKS puts on its GPU nodes
# Most images have no user 1000 in /etc/passwd: it has no home, and without USER Python's getpass.getuser() fails, which
# PyTorch calls when it is imported (github.com/pytorch/pytorch/issues/140765).
_USER_ENV = {"HOME": "/tmp", "USER": "mesh"}  # noqa: S108
# storage in a mesh is named with a letter first, so these can't meet one of its names
_MEMORY = {"0-shm": "/dev/shm", "0-hugepages": "/dev/hugepages"}  # noqa: S108
_RDMA_CAPABILITY_KINDS = ("infiniband", "roce")

# A store that holds nothing yet fails the pod, to be tried again: a container that was started on an empty folder would
# never see what is uploaded later, for only a new pod copies again. No `$(…)`, which Kubernetes takes for a variable.
_STAGING_SCRIPT = (
    'rclone copy "$1" "$2" --checksum --transfers=16 --fast-list --stats=30s --stats-one-line -v || exit; '
    'ls -A "$2" | grep -q . || { echo "$3 holds no objects" >&2; exit 1; }'
)


def pod_values(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    """The values of `pod.yaml.j2` for one workload."""
    pool = deployment.pool(workload.pool)
    staged = [_staging(deployment, mount) for mount in workload.mounts if _is_staged(mount)]
    return {
        "name": workload.name,
        "workload": workload,
        "labels": labels(deployment, workload),
        "pod_labels": pod_labels(deployment, workload),
        "fixed_labels": fixed_labels(deployment, workload),
        "revisions": revisions(deployment, workload),
        "selector": selector(deployment, workload),
        "image_pull_secrets": registries.references(workload),
        "priority_class": priority_class(deployment, workload),
        "node_selector": deployment.node_labels(pool.name),
        "tolerations": tolerations(deployment, pool),
        "zones": list(pool.zones),
        "env": environment(deployment, workload, pool),
        "staging_env": _object_storage_env(deployment, workload),
        "staged": staged,
        "staging_script": _STAGING_SCRIPT,
        "resources": resources(workload, pool),
        "volumes": [*volumes(deployment, workload), *memory_volumes(workload, pool)],
        "volume_mounts": [
            *(_volume_mount(mount) for mount in workload.mounts if _is_mounted(mount)),
            *(
                {"name": volume["name"], "mountPath": _MEMORY[volume["name"]]}
                for volume in memory_volumes(workload, pool)
            ),
        ],
        "locks_memory": locks_memory(workload, pool),
        "ports": [{"name": port_name(name), "port": port} for name, port in sorted(workload.ports.items())],
        "health_port": workload.ports[workload.health.port] if workload.health else None,
        "grace_s": grace_s(workload),
        "stop_command": stop_command(workload),
    }


def labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    return {**common_labels(deployment), **selector(deployment, workload)}


def pod_labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """On pods. A job's pods carry only what never changes: a new label would start the training anew."""
    if workload.kind in ("inference", "service"):
        return labels(deployment, workload)
    return fixed_labels(deployment, workload)


def fixed_labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """Those that never change, for what can't: the pods of jobs, and what a StatefulSet says of volumes."""
    fixed = common_labels(deployment.model_copy(update={"labels": {}}))
    return {**fixed, **selector(deployment, workload)}


def revisions(deployment: Deployment, workload: Workload) -> list[tuple[str, str]]:
    """Annotations of pods: the late values that change when a Secret they read does, so that they are rolled out anew.

    A job's pods have none: a new one would start the work anew. They read new values at their next start.
    """
    if workload.kind not in ("inference", "service"):
        return []
    found = []
    if has_object_storage_secret(deployment) and mounted_stores(deployment, workload):
        found.append(("meshctl.dev/object-storage-revision", revision_of(OBJECT_STORAGE_SECRET)))
    if workload.secrets:
        found.append(("meshctl.dev/secrets-revision", revision_of(f"{workload.name}-secrets")))
    return found


def revision_of(secret: str) -> str:
    """The late value that counts the revisions of the Secret."""
    return f"revision.{secret}"


def has_object_storage_secret(deployment: Deployment) -> bool:
    """Whether pods get the keys of the object stores by a Secret: everywhere but on AWS."""
    return deployment.provider != "aws" and bool(deployment.object_stores)


def common_labels(deployment: Deployment) -> dict[str, str]:
    """On every object; the mesh's own labels can't replace ours."""
    ours = {
        "app.kubernetes.io/part-of": deployment.mesh,
        "app.kubernetes.io/managed-by": "meshctl",
        "meshctl.dev/environment": deployment.environment,
    }
    return {**deployment.labels, **ours}


def selector(deployment: Deployment, workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/instance": deployment.mesh}


def priority_class(deployment: Deployment, workload: Workload) -> str:
    return f"{deployment.mesh}-{workload.kind}"


def port_name(name: str) -> str:
    """A Service's port name: at most 15 characters, unlike a port's name in a mesh."""
    return name if len(name) <= 15 and "--" not in name else f"{name[:9].strip('-')}-{len(name)}"


def tolerations(deployment: Deployment, pool: Pool) -> list[dict[str, str]]:
    """The taints of GPU nodes are tolerated wherever there are GPUs, whether or not this pool's nodes have them.

    Ours comes and goes with other pools of the mesh, and an existing cluster's operator may have set it; neither is to
    change a pod that runs.
    """
    found = [
        {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
        for taint in pool.taints
        if taint.key != _GPU
    ]
    if not pool.gpus_per_node:
        return found
    platforms = [{"key": _COREWEAVE_GPU, "operator": "Exists"}] if deployment.provider == "coreweave" else []
    return [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}, *platforms, *found]


def takes_whole_node(workload: Workload, pool: Pool) -> bool:
    return pool.gpus_per_node > 0 and workload.accelerators >= pool.gpus_per_node


def locks_memory(workload: Workload, pool: Pool) -> bool:
    """Whether the pod needs IPC_LOCK: RDMA over InfiniBand and RoCE pins memory beyond a container's limit.

    EFA does without: the accelerated EKS images leave the limit of locked memory open for all containers.
    """
    fabric = pool.fabric
    return fabric is not None and fabric.kind in _RDMA_CAPABILITY_KINDS and fabric_count(workload, pool) > 0


def fabric_count(workload: Workload, pool: Pool) -> int:
    """How many of the fabric's devices the pod asks for: all on a whole node, else in proportion to its GPUs."""
    fabric = pool.fabric
    if fabric is None or not fabric.resource or not workload.accelerators or not pool.gpus_per_node:
        return 0
    share = fabric.resource_count * min(workload.accelerators, pool.gpus_per_node) // pool.gpus_per_node
    return max(1, share)


def _hugepages_mib(workload: Workload, pool: Pool) -> int:
    if pool.fabric is None or pool.fabric.kind != "efa" or not fabric_count(workload, pool):
        return 0
    share = HUGEPAGES_MIB * min(workload.accelerators, pool.gpus_per_node) // pool.gpus_per_node
    return share - share % 2


def resources(workload: Workload, pool: Pool) -> dict[str, dict[str, str]]:
    """Requests and limits. CPU has no limit: an idle core is worth more than an even share."""
    devices: dict[str, str] = {}
    if workload.accelerators:
        devices[_GPU] = str(workload.accelerators)
    if fabric_count(workload, pool) and pool.fabric is not None:
        devices[pool.fabric.resource] = str(fabric_count(workload, pool))
    hugepages = _hugepages_mib(workload, pool)
    if hugepages:
        devices["hugepages-2Mi"] = f"{hugepages}Mi"
    memory = {"memory": _bytes(workload.memory_gib)} if workload.memory_gib else {}
    cpu = {"cpu": _cpu(workload.cpu)} if workload.cpu else {}
    if hugepages and not cpu and not memory:
        cpu = {"cpu": "1"}  # the API refuses huge pages without a request for CPU or memory
    # no limit: a store may hold more than the mesh says, and a pod over its limit is evicted
    disk = {"ephemeral-storage": _bytes(workload.staged_gib)} if workload.staged_gib else {}
    asked = {"requests": {**cpu, **memory, **disk, **devices}, "limits": {**memory, **devices}}
    return {key: amounts for key, amounts in asked.items() if amounts}


def _cpu(cores: float) -> str:
    milli = round(cores * 1000)
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def _bytes(gib: float) -> str:
    mib = round(gib * 1024)
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def environment(deployment: Deployment, workload: Workload, pool: Pool) -> list[dict[str, Any]]:
    """The container's variables, each name once: the contract's win, then the user's, then what the platform sets."""
    fabric_env = pool.fabric.env if pool.fabric is not None and fabric_count(workload, pool) else {}
    entries: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in _USER_ENV.items()}
    entries |= {name: {"value": value} for name, value in fabric_env.items()}
    entries |= {entry["name"]: entry for entry in _object_storage_env(deployment, workload)}
    entries |= {name: {"value": value} for name, value in workload.env.items()}
    entries |= {name: _from_secret(f"{workload.name}-secrets", name) for name in workload.secrets}
    entries |= {name: {"value": value} for name, value in _mesh_env(deployment, workload).items()}
    if workload.kind == "training":
        entries["MESH_RANK"] = _from_annotation("batch.kubernetes.io/job-completion-index")
    return [{**entry, "name": name} for name, entry in sorted(entries.items())]


def _mesh_env(deployment: Deployment, workload: Workload) -> dict[str, str]:
    values = {"MESH_ENVIRONMENT": deployment.environment, "MESH_POOL": workload.pool}
    for store in mounted_stores(deployment, workload):
        values[f"MESH_{variable_name(store.name)}_URL"] = store.url
    if workload.kind == "training":
        values["MESH_NODES"] = str(workload.replicas)
        values["MESH_LEADER"] = f"{workload.name}-0.{workload.name}"
    return values


def mounted_stores(deployment: Deployment, workload: Workload) -> list[ObjectStore]:
    """The object stores that the workload uses: it hears of no others, so that they can come and go without it."""
    return [deployment.object_store(mount.storage) for mount in workload.mounts if mount.kind == "object"]


def variable_name(name: str) -> str:
    """`my-weights` -> `MY_WEIGHTS`."""
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _object_storage_env(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    """The standard AWS SDK variables. On AWS only the region: EKS Pod Identity brings endpoint and credentials."""
    stores = mounted_stores(deployment, workload)
    if not stores:
        return []
    store = stores[0]  # there is one set of variables, and one endpoint per environment
    entries: list[dict[str, Any]] = [{"name": "AWS_REGION", "value": store.region}]
    endpoint = _endpoint(deployment, store)
    if endpoint:
        entries.append({"name": "AWS_ENDPOINT_URL_S3", **endpoint})
        # stores that only speak S3 may not know the checksums that AWS SDKs add since 2025
        entries.append({"name": "AWS_REQUEST_CHECKSUM_CALCULATION", "value": "when_required"})
        entries.append({"name": "AWS_RESPONSE_CHECKSUM_VALIDATION", "value": "when_required"})
    if deployment.provider != "aws":
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        entries += [{"name": key, **_from_secret(OBJECT_STORAGE_SECRET, key)} for key in keys]
    return entries


def endpoint_is_late(deployment: Deployment, store: ObjectStore) -> bool:
    """Whether only the store's AWS profile, on the operator's machine, says where it is."""
    return deployment.provider != "aws" and not (store.pod_endpoint or store.endpoint)


def _endpoint(deployment: Deployment, store: ObjectStore) -> dict[str, Any]:
    """The value of a variable that names the store's endpoint; empty where it is AWS's own."""
    if endpoint_is_late(deployment, store):
        return _from_secret(OBJECT_STORAGE_SECRET, "AWS_ENDPOINT_URL_S3")
    endpoint = store.pod_endpoint or store.endpoint
    return {"value": endpoint} if endpoint else {}


def _from_secret(secret: str, key: str) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _from_annotation(annotation: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}}


def _is_staged(mount: Mount) -> bool:
    return mount.kind == "object" and mount.read_only


def _is_mounted(mount: Mount) -> bool:
    return mount.kind != "object" or mount.read_only


def _staging(deployment: Deployment, mount: Mount) -> dict[str, Any]:
    """One init container that fills a folder from a bucket. rclone is configured by variables: nothing to quote."""
    store = deployment.object_store(mount.storage)
    endpoint = _endpoint(deployment, store)
    settings: dict[str, dict[str, Any]] = {
        "RCLONE_S3_PROVIDER": {"value": "Other" if endpoint else "AWS"},
        "RCLONE_S3_ENV_AUTH": {"value": "true"},
        "RCLONE_S3_REGION": {"value": store.region},
    }
    if endpoint:
        settings["RCLONE_S3_ENDPOINT"] = endpoint
    if store.addressing != "auto":
        settings["RCLONE_S3_FORCE_PATH_STYLE"] = {"value": "true" if store.addressing == "path" else "false"}
    return {
        "name": f"stage-{store.name}",
        "source": f":s3:{store.bucket}/{store.prefix}".rstrip("/"),
        "path": mount.path,
        "url": store.url,
        "volume": store.name,
        "env": [{"name": name, **value} for name, value in sorted(settings.items())],
    }


def _volume_mount(mount: Mount) -> dict[str, Any]:
    return {"name": mount.storage, "mountPath": mount.path, **({"readOnly": True} if mount.read_only else {})}


def volumes(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    """The pod's volumes; claims that a StatefulSet makes for each pod are in `claim_templates`."""
    found: list[dict[str, Any]] = []
    for mount in workload.mounts:
        if _is_staged(mount):
            found.append({"name": mount.storage, "emptyDir": {}})
        elif mount.kind == "filesystem":
            found.append({"name": mount.storage, "persistentVolumeClaim": {"claimName": mount.storage}})
        elif mount.kind == "block":
            found += _block_volume(deployment, workload, mount)
    return found


def memory_volumes(workload: Workload, pool: Pool) -> list[dict[str, Any]]:
    """Shared memory, for NCCL and data loaders that outgrow a container's 64 MiB; huge pages, for EFA."""
    if not workload.accelerators:
        return []
    shared: list[dict[str, Any]] = [{"name": "0-shm", "emptyDir": {"medium": "Memory"}}]
    if _hugepages_mib(workload, pool):
        shared.append({"name": "0-hugepages", "emptyDir": {"medium": "HugePages-2Mi"}})
    return shared


def _block_volume(deployment: Deployment, workload: Workload, mount: Mount) -> list[dict[str, Any]]:
    block = block_of(deployment, mount.storage)
    if block.ephemeral:  # lives and dies with its pod
        claim = {"metadata": {"labels": fixed_labels(deployment, workload)}, "spec": claim_spec(block)}
        return [{"name": mount.storage, "ephemeral": {"volumeClaimTemplate": claim}}]
    if is_stateful(deployment, workload):
        return []
    return [{"name": mount.storage, "persistentVolumeClaim": {"claimName": f"{workload.name}-{mount.storage}"}}]


def block_of(deployment: Deployment, name: str) -> Block:
    return next(block for block in deployment.blocks if block.name == name)


def claim_spec(block: Block) -> dict[str, Any]:
    return {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": block.storage_class,
        "resources": {"requests": {"storage": f"{block.size_gib}Gi"}},
    }


def lasting_blocks(deployment: Deployment, workload: Workload) -> list[Block]:
    """The blocks that outlive the workload's pods."""
    blocks = [block_of(deployment, mount.storage) for mount in workload.mounts if mount.kind == "block"]
    return [block for block in blocks if not block.ephemeral]


def is_stateful(deployment: Deployment, workload: Workload) -> bool:
    """Whether each pod keeps a block of its own: then a Deployment won't do."""
    return workload.kind in ("inference", "service") and bool(lasting_blocks(deployment, workload))


def grace_s(workload: Workload) -> int:
    """Seconds between the signal to stop and the kill: the checkpoint's, or time to finish open requests."""
    if workload.checkpoint is not None:
        return workload.checkpoint.grace_s
    return 60 if workload.ports else 30


def stop_command(workload: Workload) -> list[str]:
    """A command that sends the checkpoint's signal before the kubelet's SIGTERM, and waits for the end.

    Empty where SIGTERM is the signal. The name is one of `signal.Signals`, never text of the user's.
    """
    if workload.checkpoint is None or workload.checkpoint.signal == "SIGTERM":
        return []
    name = signal.Signals[workload.checkpoint.signal].name.removeprefix("SIG")
    return ["/bin/sh", "-c", f"kill -s {name} 1 && while kill -0 1; do sleep 1; done"]

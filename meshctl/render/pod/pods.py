"""What a workload's pod gets: environment, devices, volumes, where it may run. PURE.

Called by `platform`; the results are printed by `templates/platform/pod.yaml.j2`. This is the portable contract of a
container (docs: "What a container can rely on"), made concrete for one environment.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from meshctl.model.deployment import Before, Block, Deployment, Mount, Pool, Workload
from meshctl.model.keys import drains, elastic, evictions
from meshctl.model.pods import object_names, own_images, pod_networks, pod_users, pod_variables
from meshctl.model.pods import tolerations as tolerations_of_pods
from meshctl.render.pod import (
    container_fields,
    file_mounts,
    literal,
    object_storage,
    overrides,
    pod_resources,
    pod_security,
    probes,
    registries,
)

STEADY_S = 10  # how long a pod that nothing can ask for its health has to run before it counts
# with a digit first, unlike any name of a storage in a mesh
_MEMORY = {"0-shm": "/dev/shm", "0-hugepages": "/dev/hugepages"}  # noqa: S108


def pod_values(
    deployment: Deployment, workload: Workload, group_env: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The values of `pod.yaml.j2` for one workload. `group_env`: additional variables of the pods of a group."""
    pool = deployment.pool(workload.pool)
    env = environment(deployment, workload, pool, group_env)
    return {
        **_security(workload, pool),
        **_staging(deployment, workload),
        "name": workload.name,
        "workload": workload,
        "labels": labels(deployment, workload),
        "pod_labels": pod_labels(deployment, workload),
        "fixed_labels": fixed_labels(deployment, workload),
        "revisions": revisions(deployment, workload),
        "annotations": pod_annotations(workload, pool),
        "selector": selector(deployment, workload),
        "image": overrides.image_here(deployment, workload.image),
        "image_pull_secrets": registries.references(workload),
        "container_fields": container_fields.values(workload, [entry["name"] for entry in env]),
        "priority_class": priority_class(deployment, workload),
        "node_selector": deployment.node_labels(pool.name),
        "scheduler": "",  # the cluster's own: see `kai_queues`
        "gates": [],  # what keeps the scheduler from the pods: see `gang_hold`
        "spread_by": [],  # further labels whose values pods must share to be spread over nodes
        "tolerations": tolerations(deployment, pool),
        "zones": list(pool.zones),
        "env": env,
        "before": before_steps(deployment, workload, env),
        "resources": pod_resources.resources(workload, pool),
        "volumes": _all_volumes(deployment, workload, pool),
        "volume_mounts": _volume_mounts(deployment, workload, pool),
        "ports": [{"name": port_name(name), "port": port} for name, port in sorted(workload.ports.items())],
        "probes": list(probes.probes(workload).items()),
        "grace_s": grace_s(workload),
        "stop_command": stop_command(workload),
        "stop_sleep_s": drains.LEAVING_S if workload.ports and not workload.is_job else 0,
    }


def _security(workload: Workload, pool: Pool) -> dict[str, Any]:
    user = pod_users.of(workload, pool)
    return {
        "pod_security": pod_security.of_pod(user, has_adopted_claim=workload.has_adopted_claim),
        "container_security": pod_security.of_container(user),
        "staging_security": pod_security.of_staging(user),
    }


def _staging(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    """Of the init containers that copy objects into the pod before it starts."""
    mounts = [mount for mount in workload.mounts if object_storage.is_staged(mount)]
    return {
        "staging_image": overrides.image_here(deployment, own_images.STAGING),
        "staging_script": object_storage.STAGING_SCRIPT,
        "staged": [object_storage.staging(deployment, workload, mount) for mount in mounts],
    }


def labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    return {**common_labels(deployment), **selector(deployment, workload)}


def pod_labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The labels of pods. A job's pods have only labels that never change: a new label would start the training
    anew."""
    if workload.kind in ("inference", "service"):
        return labels(deployment, workload)
    return fixed_labels(deployment, workload)


def fixed_labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """Labels that never change, for objects that can't be changed: the pods of jobs and the claim templates of a
    StatefulSet."""
    fixed = common_labels(deployment.model_copy(update={"labels": {}}))
    return {**fixed, **selector(deployment, workload)}


def revisions(deployment: Deployment, workload: Workload) -> list[tuple[str, str]]:
    """Annotations of pods: the deferred values that change when a Secret that the pods read does, so that they are
    rolled out anew.

    A job's pods have none: a new one would start the work anew. They read new values at their next start.
    """
    if workload.kind not in ("inference", "service"):
        return []
    annotations = []
    if object_storage.has_secret(deployment) and object_storage.mounted_stores(deployment, workload):
        annotations.append(("meshctl.dev/object-storage-revision", revision_of(object_storage.SECRET)))
    if file_mounts.secret_entries(workload):
        annotations.append(("meshctl.dev/secrets-revision", revision_of(object_names.workload_secret(workload.name))))
    return annotations


def pod_annotations(workload: Workload, pool: Pool) -> dict[str, str]:
    """Annotations of pods without the revisions of Secrets."""
    return {
        **network_annotations(workload, pool),
        **scrape_annotations(workload),
        **file_mounts.pod_annotations(workload),
        **(evictions.STAYING if workload.stays_on_node else {}),
    }


def scrape_annotations(workload: Workload) -> dict[str, str]:
    """Annotations of pods by which Prometheus finds them: those of the kubernetes-pods job of the Prometheus project's
    and the Helm chart's example configuration, which other collectors (OpenTelemetry, Grafana, Datadog) follow, too."""
    if workload.metrics is None:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(workload.ports[workload.metrics.port]),
        "prometheus.io/path": workload.metrics.path,
        **({"prometheus.io/scheme": "https"} if speaks_https(workload, workload.metrics.port) else {}),
    }


def speaks_https(workload: Workload, port: str) -> bool:
    """Whether the port speaks HTTPS, which is known only of the port of the health check."""
    health = workload.health
    return health is not None and health.port == port and health.protocol == "https"


def network_annotations(workload: Workload, pool: Pool) -> dict[str, str]:
    """The annotation of pods, also of jobs, that names the fabric's networks: Multus attaches a pod to them when it
    starts."""
    if pool.fabric is None or not pool.fabric.networks or not pod_resources.fabric_count(workload, pool):
        return {}
    return {pod_networks.ANNOTATION: ", ".join(pool.fabric.networks)}


def revision_of(secret: str) -> str:
    """The deferred value that counts the revisions of the Secret."""
    return f"revision.{secret}"


def common_labels(deployment: Deployment) -> dict[str, str]:
    """The labels of every object. Labels of the mesh can't replace meshctl's own."""
    return {**deployment.labels, **object_names.labels(deployment.mesh, deployment.environment)}


def selector(deployment: Deployment, workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/instance": deployment.mesh}


def priority_class(deployment: Deployment, workload: Workload) -> str:
    return f"{deployment.mesh}-{workload.kind}"


def port_name(name: str) -> str:
    """A Service's port name: at most 15 characters, unlike a port's name in a mesh."""
    return name if len(name) <= 15 and "--" not in name else f"{name[:9].strip('-')}-{len(name)}"


def tolerations(deployment: Deployment, pool: Pool) -> list[dict[str, str]]:
    """The pool's tolerations, from `meshctl.model.pods.tolerations`."""
    gpu_resource = pool.gpu_resource if pool.gpus_per_node else ""
    return tolerations_of_pods.of_pods(deployment.provider, pool.taints, pool.tolerations, gpu_resource=gpu_resource)


def tolerations_of_all(deployment: Deployment) -> list[dict[str, str]]:
    """Those of all pools, for a small pod that may run on any node of the mesh."""
    of_all: list[dict[str, str]] = []
    for pool in deployment.pools:
        of_all += [each for each in tolerations(deployment, pool) if each not in of_all]
    return of_all


def environment(
    deployment: Deployment, workload: Workload, pool: Pool, group_env: Mapping[str, dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The container's variables, each name once: the contract's win, then the user's, then what the platform sets."""
    fabric_env = _fabric_env(workload, pool)
    user_variables = pod_security.variables(pod_users.of(workload, pool))
    own_secret = object_names.workload_secret(workload.name)
    entries: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in user_variables.items()}
    entries |= {name: {"value": value} for name, value in fabric_env.items()}
    entries |= {entry["name"]: entry for entry in object_storage.variables(deployment, workload)}
    entries |= {name: {"value": value} for name, value in object_storage.config_variables(deployment, workload).items()}
    entries |= {name: {"value": value} for name, value in workload.env.items()}
    entries |= {name: object_storage.from_secret(own_secret, name) for name in workload.secrets}
    entries |= _mesh_env(deployment, workload, pool, group_env or {})
    return literal.variables(entries, texts={*fabric_env, *workload.env})


def before_steps(deployment: Deployment, workload: Workload, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Init containers with the variables and mounts of the workload's container, in their order. `own`: the variables
    of that container."""
    return [
        _before_step(deployment, step, f"{object_names.BEFORE}{number}", own)
        for number, step in enumerate(workload.before, 1)
    ]


def _before_step(deployment: Deployment, step: Before, name: str, own: list[dict[str, Any]]) -> dict[str, Any]:
    env = literal.followed_by([entry for entry in own if entry["name"] not in step.env], step.env)
    names = [entry["name"] for entry in env]
    return {
        "name": name,
        "image": overrides.image_here(deployment, step.image),
        "command": container_fields.expanded(step.command, names),
        "args": container_fields.expanded(step.args, names),
        "env": env,
    }


def _fabric_env(workload: Workload, pool: Pool) -> dict[str, str]:
    return pool.fabric.env if pool.fabric is not None and pod_resources.fabric_count(workload, pool) else {}


def _mesh_env(
    deployment: Deployment, workload: Workload, pool: Pool, group_env: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    values = {pod_variables.ENVIRONMENT: deployment.environment, pod_variables.POOL: workload.pool}
    for store in object_storage.mounted_stores(deployment, workload):
        values[pod_variables.url_of(store.name)] = store.url
    values[pod_variables.ACCELERATORS] = str(workload.accelerators)
    entries: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in values.items()}
    entries[pod_variables.ADDRESS] = from_field("status.podIP")
    entries |= _job_env(workload) if workload.is_job else group_env
    steps = [text for step in workload.before for text in (*step.command, *step.args, *step.env.values())]
    texts = (*workload.command, *workload.args, *workload.env.values(), *_fabric_env(workload, pool).values(), *steps)
    where_named = pod_variables.where_named(workload.kind, is_grouped=workload.is_grouped)
    left_out = where_named - pod_variables.mesh_variables_in(texts)
    return {name: entry for name, entry in entries.items() if name not in left_out}


def _job_env(workload: Workload) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {
        pod_variables.NODES: {"value": str(workload.replicas)},
        pod_variables.RANK: from_field("metadata.annotations['batch.kubernetes.io/job-completion-index']"),
    }
    if workload.kind == "training":
        hosts = elastic.hosts(workload.name, workload.replicas)
        entries[pod_variables.LEADER] = {"value": hosts[0]}
        entries[pod_variables.HOSTS] = {"value": ",".join(hosts)}
    return {**entries, **(elastic.variables(workload.name) if workload.is_elastic else {})}


def from_field(path: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _volume_mounts(deployment: Deployment, workload: Workload, pool: Pool) -> list[dict[str, Any]]:
    in_memory = [volume["name"] for volume in memory_volumes(workload, pool)]
    return [
        *(_volume_mount(mount) for mount in workload.mounts if _is_mounted(mount)),
        *({"name": name, "mountPath": _MEMORY[name]} for name in in_memory),
        *object_storage.volume_mounts(deployment, workload),
        *file_mounts.volume_mounts(workload),
    ]


def _is_mounted(mount: Mount) -> bool:
    return mount.kind != "object" or mount.read_only


def _volume_mount(mount: Mount) -> dict[str, Any]:
    return {"name": mount.storage, "mountPath": mount.path, **({"readOnly": True} if mount.read_only else {})}


def _all_volumes(deployment: Deployment, workload: Workload, pool: Pool) -> list[dict[str, Any]]:
    return [
        *volumes(deployment, workload),
        *memory_volumes(workload, pool),
        *object_storage.volumes(deployment, workload),
        *file_mounts.volumes(workload),
    ]


def volumes(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    """The pod's volumes; claims that a StatefulSet makes for each pod are in `claim_templates`."""
    all_volumes: list[dict[str, Any]] = []
    for mount in workload.mounts:
        if object_storage.is_staged(mount):
            all_volumes.append({"name": mount.storage, "emptyDir": {}})
        elif mount.kind == "local":
            all_volumes.append(
                {"name": mount.storage, "emptyDir": {"sizeLimit": pod_resources.quantity_of_gib(mount.local_gib)}}
            )
        elif mount.kind == "filesystem":
            claim = _claim_of_file_system(deployment, mount.storage)
            all_volumes.append({"name": mount.storage, "persistentVolumeClaim": {"claimName": claim}})
        elif mount.kind == "block":
            all_volumes += _block_volume(deployment, workload, mount)
    return all_volumes


def memory_volumes(workload: Workload, pool: Pool) -> list[dict[str, Any]]:
    """Shared memory, for NCCL and data loaders that outgrow a container's 64 MiB; huge pages, for EFA."""
    if not workload.accelerators:
        return []
    shared: list[dict[str, Any]] = [{"name": "0-shm", "emptyDir": {"medium": "Memory"}}]
    if pod_resources.hugepages_mib(workload, pool):
        shared.append({"name": "0-hugepages", "emptyDir": {"medium": "HugePages-2Mi"}})
    return shared


def _claim_of_file_system(deployment: Deployment, name: str) -> str:
    return next(system.claim for system in deployment.file_systems if system.name == name)


def _block_volume(deployment: Deployment, workload: Workload, mount: Mount) -> list[dict[str, Any]]:
    block = block_of(deployment, mount.storage)
    if block.is_adopted:
        return [{"name": mount.storage, "persistentVolumeClaim": {"claimName": block.existing_claim}}]
    if block.ephemeral:  # made and deleted with its pod
        claim = {"metadata": {"labels": fixed_labels(deployment, workload)}, "spec": claim_spec(block)}
        return [{"name": mount.storage, "ephemeral": {"volumeClaimTemplate": claim}}]
    if is_stateful(deployment, workload):
        return []
    name = object_names.job_claim(workload.name, mount.storage)
    return [{"name": mount.storage, "persistentVolumeClaim": {"claimName": name}}]


def block_of(deployment: Deployment, name: str) -> Block:
    return next(block for block in deployment.blocks if block.name == name)


def claim_spec(block: Block) -> dict[str, Any]:
    return {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": block.storage_class,
        "resources": {"requests": {"storage": f"{block.size_gib}Gi"}},
    }


def lasting_blocks(deployment: Deployment, workload: Workload) -> list[Block]:
    """The blocks that outlive the workload's pods and that are made for each pod."""
    blocks = [block_of(deployment, mount.storage) for mount in workload.mounts if mount.kind == "block"]
    return [block for block in blocks if not (block.ephemeral or block.is_adopted)]


def is_stateful(deployment: Deployment, workload: Workload) -> bool:
    """Whether each pod keeps a block of its own, which takes a StatefulSet."""
    return workload.kind in ("inference", "service") and bool(lasting_blocks(deployment, workload))


def without_requests(workload: Workload) -> Workload:
    """The workload for the worker pods of a group, which get no requests from outside of the group."""
    return workload.model_copy(update={"ports": {}, "health": None, "metrics": None})


def grace_s(workload: Workload) -> int:
    """Seconds until a pod that is to end is killed: the checkpoint's, or time to finish open requests, in the first of
    which it still gets new ones."""
    if workload.checkpoint is not None:
        return workload.checkpoint.grace_s
    if not workload.ports:
        return 30
    return drains.LEAVING_S + (drains.UNSAID_S if workload.drain_s is None else workload.drain_s)


def stop_command(workload: Workload) -> list[str]:
    """A command that sends the checkpoint's signal before the kubelet's SIGTERM, and waits for the end.

    Empty where SIGTERM is the signal. The name is one of `signal.Signals`, never text of the user's.
    """
    if workload.checkpoint is None or workload.checkpoint.signal == "SIGTERM":
        return []
    name = signal.Signals[workload.checkpoint.signal].name.removeprefix("SIG")
    return ["/bin/sh", "-c", f"kill -s {name} 1 && while kill -0 1; do sleep 1; done"]

"""Every object of a deployment inside its cluster. PURE.

Called by `stacks.platform`. Each object comes after those that it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import lending as model_lending
from meshctl.model.keys import roll_outs
from meshctl.model.pods import object_names, pod_files, pod_users
from meshctl.platforms import registry
from meshctl.render import gang_hold, scalers
from meshctl.render.cluster import (
    certificates,
    compute_domains,
    namespaces,
    neural_mesh,
    priorities,
    weka_secrets,
    weka_waits,
)
from meshctl.render.cluster.device_plugins import device_plugin_objects
from meshctl.render.cluster.gpu_metrics import gpu_metrics_objects
from meshctl.render.cluster.pod_monitors import pod_monitors
from meshctl.render.controllers import (
    autoscalers,
    block_end,
    elastic_gangs,
    gateway_shares,
    groups,
    job_release,
    jobs,
    lending,
    replica_counts,
)
from meshctl.render.controllers.block_claims import block_claims
from meshctl.render.controllers.lent_servers import lent_servers
from meshctl.render.objects import PlatformObject, certificate_name
from meshctl.render.pod import (
    file_mounts,
    file_systems,
    object_storage,
    overrides,
    pod_security,
    pods,
    probes,
    registries,
)
from meshctl.render.templates import render

NAMESPACE = "platform:namespace"
REVISION = "meshctl.dev/revision"  # on a Secret: which of its values these are, counted from 1
ENDPOINT = "object_storage.endpoint"
OBJECT_STORAGE_CONFIG = "platform:object-storage-config"

_HTTP = 80  # of a load balancer whose other port speaks TLS


def node_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """The objects that make the nodes of the pools, or that label existing ones; none where a cloud's API makes the
    nodes."""
    return registry.platform(deployment.provider).nodes.objects(deployment)


def platform_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """Every object, each after those that it depends on. Raises: MeshError when a value of the mesh is not valid in
    Kubernetes."""
    objects = [*_base(deployment), *_object_storage(deployment), *_storage_classes(deployment)]
    counted = {name: (REVISION, pods.revision_of(name)) for name in secrets(deployment)}
    labels = pods.common_labels(deployment)
    objects += registries.registry_secrets(deployment, labels, needs=NAMESPACE, annotations=counted)
    if not registry.platform(deployment.provider).nodes.has_device_plugins:
        objects += device_plugin_objects(deployment)
    objects += gpu_metrics_objects(deployment)
    classes = [item.name for item in objects if item.kind == "PriorityClass"]
    objects += gang_hold.objects(deployment, namespace=NAMESPACE, priorities=classes)
    objects += _neural_mesh(deployment)
    for system in deployment.file_systems:
        objects += file_systems.objects(deployment, system, needs=NAMESPACE)
    in_queues = [each for each in deployment.workloads if each.queue or lending.has_queue(deployment, each)]
    running = {each.name: workload_manifests(deployment, each) for each in in_queues}
    objects += lending.objects(deployment, running, NAMESPACE)
    for workload in deployment.workloads:
        objects += _workload_objects(deployment, workload)
    for workload in deployment.workloads:  # behind all jobs: each release needs those that it waits for
        objects += [*job_release.objects(deployment, workload), *block_end.objects(deployment, workload)]
    _check_names(objects)
    return tuple(_waiting(deployment, objects))


def _waiting(deployment: Deployment, objects: list[PlatformObject]) -> Iterator[PlatformObject]:
    """No run waits for pods whose nodes start at a later date, or are gone: they start with their nodes."""
    waiting = {f"workload/{workload.name}" for workload in deployment.waiting_for_nodes}
    for item in weka_waits.with_waits(deployment, objects):
        yield replace(item, wait=False) if item.subject in waiting else item


def _check_names(objects: list[PlatformObject]) -> None:
    """A last guard: `model.files.references` refuses a mesh with two objects of one name where it is written."""
    owners: dict[tuple[str, str], PlatformObject] = {}
    for item in objects:
        name = str(item.manifest["metadata"]["name"])
        other = owners.setdefault((item.kind, name), item)
        if other is not item:
            why = f"both {other.subject} and {item.subject} would be the {item.kind} {name}"
            raise MeshError("two objects have the same name", why=why, hint=f"rename {item.subject}")


def _one(template: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
    (manifest,) = render(f"platform/{template}.yaml.j2", (kind,), values)
    return manifest


def _base(deployment: Deployment) -> list[PlatformObject]:
    importance = priorities.priorities(deployment)
    values = {
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        # `warn` shows whatever else would not keep to `restricted`
        "security_level": pod_users.level(deployment),
        "security_reason": pod_security.reason(deployment),
        "accounts": [{"name": w.name, "labels": pods.labels(deployment, w)} for w in deployment.workloads],
        "priorities": importance,
    }
    expected = ("Namespace", *["ServiceAccount"] * len(deployment.workloads), *["PriorityClass"] * len(importance))
    own_namespace, *more_objects = render("platform/base.yaml.j2", expected, values)
    objects = [namespaces.namespace(deployment, NAMESPACE, own_namespace)]
    for manifest in more_objects:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ServiceAccount":
            objects.append(PlatformObject(f"workload/{name}:service-account", manifest, depends_on=(NAMESPACE,)))
        else:
            kind = name.removeprefix(f"{deployment.mesh}-")
            objects.append(PlatformObject(f"platform:priority-{kind}", manifest))
    return objects


def secrets(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Every Secret whose values are counted, by name: its variables, each with the name of the deferred value that it
    holds. Of those for registries the one that is copied for WEKA's operator."""
    entries_by_secret: dict[str, dict[str, str]] = {}
    if object_storage.has_secret(deployment):
        entries_by_secret[object_storage.SECRET] = {
            "AWS_ACCESS_KEY_ID": "object_storage.access_key_id",
            "AWS_SECRET_ACCESS_KEY": "object_storage.secret_access_key",
        }
        if any(object_storage.endpoint_is_late(deployment, store) for store in deployment.object_stores):
            entries_by_secret[object_storage.SECRET]["AWS_ENDPOINT_URL_S3"] = ENDPOINT
    entries_by_secret |= weka_secrets.entries(deployment)
    for workload in deployment.workloads:
        entries = file_mounts.secret_entries(workload)
        if entries:
            entries_by_secret[object_names.workload_secret(workload.name)] = entries
    return entries_by_secret


def _object_storage(deployment: Deployment) -> list[PlatformObject]:
    if not object_storage.has_secret(deployment):
        return []
    objects = [_secret(deployment, "platform:object-storage", object_storage.SECRET)]
    return [*objects, _object_storage_config(deployment)] if object_storage.needs_config(deployment) else objects


def _object_storage_config(deployment: Deployment) -> PlatformObject:
    values = {
        "name": object_storage.CONFIG,
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "files": {object_storage.CONFIG_FILE: object_storage.config_text()},
    }
    return PlatformObject(OBJECT_STORAGE_CONFIG, _one("config-map", "ConfigMap", values), depends_on=(NAMESPACE,))


def _neural_mesh(deployment: Deployment) -> list[PlatformObject]:
    made = [_secret(deployment, *each) for each in weka_secrets.declared(deployment)]
    return [*made, *neural_mesh.objects(deployment, namespace=NAMESPACE)]


def _secret(deployment: Deployment, logical: str, name: str, texts: dict[str, str] | None = None) -> PlatformObject:
    values = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "revision": (REVISION, pods.revision_of(name)),
        "entries": list(secrets(deployment)[name].items()),
        "texts": list((texts or {}).items()),  # of keys that are no secrets
    }
    return PlatformObject(logical, _one("secret", "Secret", values), depends_on=(NAMESPACE,))


def _storage_classes(deployment: Deployment) -> list[PlatformObject]:
    """The storage classes of blocks, where the cluster is made by meshctl; an existing cluster has its own."""
    classes = registry.platform(deployment.provider).storage.made_classes
    if classes is None:
        return []
    names = sorted({block.storage_class for block in deployment.blocks if not block.is_adopted})
    common = {
        "labels": pods.common_labels(deployment),
        "provisioner": classes.provisioner,
        "parameters": dict(classes.parameters),
    }
    manifests = {name: _one("storage-class", "StorageClass", {"name": name, **common}) for name in names}
    return [PlatformObject(f"platform:storage-class-{name}", manifest) for name, manifest in manifests.items()]


def _workload_objects(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    objects = [*_workload_secret(deployment, workload), *_workload_files(deployment, workload)]
    objects += block_claims(deployment, workload, NAMESPACE)
    objects += compute_domains.compute_domains(deployment, workload, NAMESPACE)
    objects += elastic_gangs.size(deployment, workload, NAMESPACE)
    objects += certificates.certificate(deployment, workload, needs=NAMESPACE)
    needs = [
        NAMESPACE,
        f"workload/{workload.name}:service-account",
        f"platform:priority-{workload.kind}",
        *(item.name for item in objects),
        *map(registries.logical_name, workload.image_pull_secrets),
        *(
            file_systems.claim(system)
            for system in deployment.file_systems
            if not system.existing_claim and any(mount.storage == system.name for mount in workload.mounts)
        ),
    ]
    # Kueue refuses a queue that is used, so that the workload goes first
    needs += lending.queues_of(deployment, workload)
    # a run waits for groups, and for so many things at once: those that wait for the program must not keep it out
    needs += [gang_hold.LOGICAL_NAME] if workload.is_grouped and workload.held_together else []
    # nginx starts only if the cluster's DNS has the names of its targets, whether or not these have pods
    needs += [f"workload/{target}:service" for target in workload.forwards_to]
    asleep = [name for name in workload.forwards_to if deployment.workload(name).sleeps]
    needs += [f"workload/{name}:{scalers.WAKER_SERVICE}" for name in asleep]
    platform = registry.platform(deployment.provider)
    if platform.objects.has_keys and object_storage.mounted_stores(deployment, workload):
        needs.append("platform:object-storage")
        needs += [OBJECT_STORAGE_CONFIG] if object_storage.needs_config(deployment) else []
    if platform.storage.made_classes is not None:
        blocks = [pods.block_of(deployment, mount.storage) for mount in workload.mounts if mount.kind == "block"]
        names = {block.storage_class for block in blocks if not block.is_adopted}
        needs += [f"platform:storage-class-{name}" for name in sorted(names)]
    running = [replace(item, depends_on=tuple(needs)) for item in _running(deployment, workload)]
    services = _services(deployment, workload, running)
    monitors = pod_monitors(deployment, workload, NAMESPACE)
    lent = lent_servers(deployment, workload, running[0])
    scaling = autoscalers.objects(deployment, workload, running[0], NAMESPACE)
    return [*objects, *running, *lent, *services, *_budget(deployment, workload), *monitors, *scaling]


def _running(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    """The object that runs the workload's pods, without its dependencies. Its logical name is the subject's and a
    detail."""
    if workload.is_grouped:
        return groups.group_objects(deployment, workload)
    return [jobs.job(deployment, workload) if workload.is_job else server(deployment, workload)]


def _serving(workload: Workload, running: list[PlatformObject]) -> tuple[str, ...]:
    """The object whose pods get requests."""
    return tuple(item.name for item in running if item.name not in groups.workers(workload))


def workload_manifests(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    """The manifests that the workload's pods are made from: a Deployment, a StatefulSet, a Job, or those of its
    groups."""
    return [item.manifest for item in _running(deployment, workload)]


def _workload_secret(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    if not file_mounts.secret_entries(workload):
        return []
    name = object_names.workload_secret(workload.name)
    return [_secret(deployment, f"workload/{workload.name}:secrets", name)]


def _workload_files(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    if not workload.files:
        return []
    values = {
        "name": object_names.workload_files(workload.name),
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "files": {pod_files.key_of(path): text for path, text in gateway_shares.files(workload).items()},
    }
    manifest = _one("config-map", "ConfigMap", values)
    return [PlatformObject(f"workload/{workload.name}:files", manifest, depends_on=(NAMESPACE,))]


def server(deployment: Deployment, workload: Workload) -> PlatformObject:
    """The Deployment or StatefulSet of an inference or service workload, without its dependencies."""
    new_first = roll_outs.starts_new_first(workload, deployment.pool(workload.pool))
    stateful = pods.is_stateful(deployment, workload)
    lasting = pods.lasting_blocks(deployment, workload)
    pod_values = {**pods.pod_values(deployment, workload), **lending.pod_values(deployment, workload)}
    values = {
        **pod_values,
        "pod_labels": {**pod_values["pod_labels"], **lending.pod_labels(workload)},
        "annotations": {**pod_values["annotations"], **lending.pod_annotations(workload)},
        "namespace": deployment.namespace,
        "replicas": replica_counts.declared_replicas(workload),
        "bounds": list(replica_counts.bounds_annotation(workload).items()),
        "max_unavailable": roll_outs.unavailable_share(workload) or (0 if new_first else 1),
        "max_surge": 1 if new_first else 0,
        "ready_s": probes.ready_s(workload),
        "rollout_s": str(probes.rollout_s(workload)),
        "min_ready_s": 0 if workload.health else pods.STEADY_S,
        "set_name": workload.name,
        "set_labels": pods.selector(deployment, workload),
        "first_ordinal": 0,
        "headless": object_names.pods_service(workload.name),
        "claims": [{"name": block.name, "spec": pods.claim_spec(block)} for block in lasting],
        "restart_policy": "",
        "subdomain": "",
    }
    template, kind = ("statefulset", "StatefulSet") if stateful else ("deployment", "Deployment")
    manifest = overrides.applied(_one(template, kind, values), workload)
    return PlatformObject(
        f"workload/{workload.name}:{kind.lower()}",
        manifest,
        wait=not workload.paused,
        number_range=replica_counts.replica_range(workload),
    )


def gang_service(deployment: Deployment, workload: Workload) -> PlatformObject:
    """What gives each pod of a gang its name."""
    return _service(deployment, workload, "service", workload.name, "headless", workload.ports, ())


def _services(deployment: Deployment, workload: Workload, running: list[PlatformObject]) -> list[PlatformObject]:
    name = workload.name
    objects = []
    if workload.kind == "training":
        objects.append(gang_service(deployment, workload))
    elif workload.ports:
        objects.append(_service(deployment, workload, "service", name, "internal", workload.ports, ()))
    if any(item.kind == "StatefulSet" for item in running):
        pods_name = object_names.pods_service(name)
        # this Service only gives pods their names, for which it needs no ports; the workers of a group have none
        ports = {} if workload.is_grouped else workload.ports
        objects.append(_service(deployment, workload, "pods", pods_name, "headless", ports, ()))
    return [*objects, *_load_balancers(deployment, workload, _serving(workload, running))]


def _load_balancers(deployment: Deployment, workload: Workload, needs: tuple[str, ...]) -> Iterator[PlatformObject]:
    """One load balancer for the workload's public endpoints and one for its internal ones, if it has such endpoints.

    A public one is never turned into an internal one: no platform can change that of an existing load balancer.
    """
    balancers = registry.platform(deployment.provider).load_balancers
    for is_internal in (False, True):
        endpoints = [e for e in deployment.endpoints if e.workload == workload.name and e.is_internal == is_internal]
        if not endpoints:
            continue
        ports = {endpoint.port: deployment.listening_port(endpoint) for endpoint in endpoints}
        ports |= {endpoint.redirect: _HTTP for endpoint in endpoints if endpoint.redirect}
        annotations = {**(balancers.internal if is_internal else balancers.public)}
        late_annotations = {}
        sealed = next((endpoint for endpoint in endpoints if endpoint.certificate is not None), None)
        if sealed is not None and balancers.tls is not None:  # it leads to a gateway, which is one endpoint's alone
            annotations |= {**balancers.tls.settings, balancers.tls.ports: str(deployment.listening_port(sealed))}
            late_annotations = {balancers.tls.certificate: certificate_name(sealed.name)}
        yield _service(
            deployment,
            workload,
            _balancer_detail(is_internal=is_internal),
            object_names.endpoint_service(workload.name, is_internal=is_internal),
            "load-balancer",
            ports,
            needs,  # after the pods: its wait ends when it has an address and somebody to send requests to
            annotations=annotations,
            late_annotations=late_annotations,
            cidrs=endpoints[0].cidrs,  # all of them have the same: see `model.files.references`
            own_nodes_only=any(endpoint.own_nodes_only for endpoint in endpoints),
        )


def load_balancer(workload: str, *, is_internal: bool) -> str:
    """The name of the object that gives the workload's public endpoints, or its internal ones, their address."""
    return f"workload/{workload}:{_balancer_detail(is_internal=is_internal)}"


def _balancer_detail(*, is_internal: bool) -> str:
    return "internal-load-balancer" if is_internal else "load-balancer"


def _service(
    deployment: Deployment,
    workload: Workload,
    detail: str,
    name: str,
    form: str,
    ports: dict[str, int],
    needs: tuple[str, ...],
    *,
    annotations: dict[str, str] | None = None,
    late_annotations: dict[str, str] | None = None,
    cidrs: tuple[str, ...] = (),
    own_nodes_only: bool = False,
) -> PlatformObject:
    values = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "selector": (pods.selector if form == "headless" else groups.selector_of_requests)(deployment, workload),
        "form": form,
        "annotations": annotations or {},
        "late_annotations": late_annotations or {},
        "cidrs": list(cidrs),
        "own_nodes_only": own_nodes_only,
        "ports": [{"name": pods.port_name(port), "port": number} for port, number in sorted(ports.items())],
    }
    manifest = _one("service", "Service", values)
    # a load balancer is waited for because of its address; that of a paused workload would wait for pods in vain
    wait = form == "load-balancer" and not workload.paused
    return PlatformObject(f"workload/{workload.name}:{detail}", manifest, wait=wait, depends_on=(NAMESPACE, *needs))


def _budget(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    if workload.own_at_most < 2 or workload.kind not in ("inference", "service"):
        return []
    values = {
        "name": workload.name,
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "selector": pods.selector(deployment, workload),
        "left_out": model_lending.LENT_LABEL if model_lending.serves_on_lent_nodes(workload) else "",
    }
    manifest = _one("disruption-budget", "PodDisruptionBudget", values)
    return [PlatformObject(f"workload/{workload.name}:disruption-budget", manifest, depends_on=(NAMESPACE,))]

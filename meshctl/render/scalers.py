"""What moves the replicas of a workload with a load that its pods report: a small program beside them. PURE.

Called by `autoscalers` for every metric but CPU. Kubernetes' own autoscaler knows such a metric only through an adapter
that somebody installs; this asks the pods themselves (`templates/scaler/scaler.py`, ADR 0051).
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, Deployment, Metrics, Scale, Workload
from meshctl.model.keys import lending, scaling
from meshctl.model.pods import object_names, own_images
from meshctl.render.controllers import groups
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import FOLDER, render

SCALER: Final = "scaler"
BINDING: Final = "scaler-binding"  # without it the scaler can change nothing
WAKER_SERVICE: Final = "scaler-service"  # by which a gateway finds what holds its requests
_SCRIPT: Final = "scaler.py"
_WAKER: Final = "waker.py"  # in its place where the workload may have no replicas
_LENT: Final = "lent.py"  # in its place where a part of the replicas is on nodes that other pools lend
_KINDS: Final = ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Deployment")
_DETAILS: Final = ("scaler-account", "scaler-role", BINDING, "scaler-files", SCALER)
_PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets", "LeaderWorkerSet": "leaderworkersets"}


def objects(
    deployment: Deployment, workload: Workload, scale: Scale, running: PlatformObject, needs: str
) -> list[PlatformObject]:
    """`running`: what has the replicas; `needs`: the logical name of the namespace."""
    if workload.metrics is None:
        return []
    values = _values(deployment, workload, scale, workload.metrics, running)
    manifests = render("platform/scaler.yaml.j2", _KINDS, values)
    names = [f"workload/{workload.name}:{detail}" for detail in _DETAILS]
    *rights, scaler = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    return [
        *(_waker_service(workload, values, needs) if workload.sleeps else ()),
        *(PlatformObject(each.name, each.manifest, depends_on=(needs,)) for each in rights),
        PlatformObject(
            scaler.name,
            scaler.manifest,
            wait=not workload.paused,
            depends_on=(needs, *(each.name for each in rights), running.name),
        ),
    ]


def _waker_service(workload: Workload, values: dict[str, Any], needs: str) -> list[PlatformObject]:
    ports = [{"name": "wake", "port": scaling.WAKE_PORT}]
    own = {key: values[key] for key in ("name", "namespace", "labels", "selector")}
    service = {**own, "ports": ports, "form": "cluster", "annotations": {}, "late_annotations": {}, "cidrs": ()}
    (manifest,) = render("platform/service.yaml.j2", ("Service",), service)
    return [PlatformObject(f"workload/{workload.name}:{WAKER_SERVICE}", manifest, depends_on=(needs,))]


def _values(
    deployment: Deployment, workload: Workload, scale: Scale, metrics: Metrics, running: PlatformObject
) -> dict[str, Any]:
    name = object_names.scaler(workload.name)
    own = {"app.kubernetes.io/name": name}
    scripts = _scripts(workload)
    files = {name: (FOLDER / "scaler" / name).read_text(encoding="utf-8") for name in scripts}
    group = str(running.manifest["apiVersion"]).partition("/")[0]
    resource = _PLURALS[running.kind]
    target = str(running.manifest["metadata"]["name"])
    of_kind = f"/apis/{running.manifest['apiVersion']}/namespaces/{deployment.namespace}/{resource}"
    lent = object_names.lent(workload.name) if lending.serves_on_lent_nodes(workload) else ""
    env = _env(deployment, workload, scale, metrics, f"{of_kind}/{target}/scale")
    env += _lent_env(workload, f"{of_kind}/{lent}/scale") if lent else []
    return {
        "name": name,
        "namespace": deployment.namespace,
        "labels": {**pods.labels(deployment, workload), **own},
        "selector": {**pods.selector(deployment, workload), **own},
        "priority_class": pods.priority_class(deployment, workload),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        "image": overrides.image_here(deployment, own_images.SCALER),
        "replicas": 0 if workload.paused else 1,
        "group": group,
        "resource": f"{resource}/scale",
        "targets": [target, *([lent] if lent else [])],
        "files": files,
        "script": scripts[-1],
        "wake_port": scaling.WAKE_PORT if workload.sleeps else 0,
        "revision": hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12],
        "env": [{"name": key, "value": value} for key, value in env],
    }


def _scripts(workload: Workload) -> tuple[str, ...]:
    """The files of the program, of which the last is started."""
    if workload.sleeps:
        return (_SCRIPT, _WAKER)
    return (_SCRIPT, _LENT) if lending.serves_on_lent_nodes(workload) else (_SCRIPT,)


def _env(
    deployment: Deployment, workload: Workload, scale: Scale, metrics: Metrics, path: str
) -> list[tuple[str, str]]:
    selector = groups.selector_of_requests(deployment, workload)
    return [
        ("SCALE_SERIES", ",".join(scaling.series(scale.metric))),
        ("SCALE_TARGET", f"{scale.target:g}"),
        ("SCALE_COOLDOWN_S", str(scale.cooldown_s)),
        ("SCALE_MIN", str(workload.lower_bound)),
        ("SCALE_MAX", str(workload.at_most)),
        ("SCALE_NAMESPACE", deployment.namespace),
        ("SCALE_SELECTOR", ",".join(f"{key}={value}" for key, value in sorted(selector.items()))),
        ("SCALE_PATH", path),
        ("METRICS_PORT", str(workload.ports[metrics.port])),
        ("METRICS_PATH", metrics.path),
        ("METRICS_SCHEME", "https" if pods.speaks_https(workload, metrics.port) else "http"),
        *(_wake_env(workload, scale, metrics) if workload.sleeps else ()),
    ]


def _lent_env(workload: Workload, path: str) -> list[tuple[str, str]]:
    return [
        ("OWN_MAX", str(workload.own_at_most)),
        ("LENT_MAX", str(workload.lent_places)),
        ("LENT_SCALE_PATH", path),
        ("LENT_LABEL", lending.LENT_LABEL),
    ]


def _wake_env(workload: Workload, scale: Scale, metrics: Metrics) -> list[tuple[str, str]]:
    return [
        ("WAKE_IDLE_SERIES", ",".join(scaling.idle_series(scale.metric))),
        ("WAKE_SERVER_SERIES", ",".join(scaling.server_series())),
        ("WAKE_PROBE_PATHS", ",".join(_probe_paths(workload, metrics))),
        ("WAKE_LIMIT_S", str(scaling.LONGEST_WAKE_S)),
    ]


def _probe_paths(workload: Workload, metrics: Metrics) -> list[str]:
    """Where its pods are asked for health and metrics. `/` is a path of its users as well."""
    health = workload.health
    paths = (metrics.path, health.path, health.live) if health is not None else (metrics.path,)
    return sorted({path for path in paths if path not in ("", "/")})

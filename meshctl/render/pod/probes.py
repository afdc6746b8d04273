"""A workload's health check as the kubelet's probes, and how long a start may take. PURE.

Called by `pods` and `platform`; `meshctl.operate` and `meshctl.migrate` wait for pods as long as this module says.
"""

from __future__ import annotations

import math
from typing import Any, Final

from meshctl.model.deployment import Health, Workload
from meshctl.model.keys.health import STARTUP_S

_STARTUP_PERIOD_S: Final = 5
_TIMEOUT_S: Final = 5
_MARGIN_S: Final = 600  # beyond a start: for nodes, images and a short staging


def probes(workload: Workload) -> dict[str, dict[str, Any]]:
    """The container's probes by Kubernetes' key; none if the workload has no `health`.

    A start may take as long as the mesh says. Afterwards a pod that fails is out of the Service after 15 s and
    restarted after a minute.
    """
    health = workload.health
    if health is None:
        return {}
    port = workload.ports[health.port]
    is_ready, is_alive = _handler(health, port, health.path), _handler(health, port, health.live or health.path)
    failures = math.ceil(health.startup_s / _STARTUP_PERIOD_S)
    return {
        "startupProbe": _probe(is_ready, _STARTUP_PERIOD_S, failures),
        "readinessProbe": _probe(is_ready, 5, 3),
        "livenessProbe": _probe(is_alive, 10, 6),
    }


def _handler(health: Health, port: int, path: str) -> dict[str, Any]:
    """The probe's handler. The kubelet verifies no certificate."""
    if health.protocol == "grpc":
        return {"grpc": {"port": port}}  # grpc.health.v1.Health/Check of the whole server
    if health.protocol == "tcp":
        return {"tcpSocket": {"port": port}}
    return {"httpGet": {"path": path, "port": port, "scheme": health.protocol.upper()}}


def _probe(handler: dict[str, Any], period_s: int, failures: int) -> dict[str, Any]:
    return {**handler, "periodSeconds": period_s, "timeoutSeconds": _TIMEOUT_S, "failureThreshold": failures}


def startup_s(workload: Workload) -> int:
    """How many seconds a start may take. Without `health` nothing ends a start, and the default is used for waiting."""
    return workload.health.startup_s if workload.health else STARTUP_S


def ready_s(workload: Workload) -> int:
    """How many seconds one pod may take to get ready: a start, the copying of what is staged before it, the end of the
    pod that has its place until then, and a margin. A short `startup` does not shorten the wait, since images take
    their time, too."""
    return _start_s(workload) + (workload.drain_s or 0)


def _start_s(workload: Workload) -> int:
    return max(STARTUP_S, startup_s(workload)) + _MARGIN_S + workload.staging_s


def rollout_s(workload: Workload) -> int:
    """How many seconds it may take until all pods are new and ready. Pods are replaced one after another. If something
    is staged for long, a start may take longer than the default, or open requests may be ended for a time that is
    written down, that time counts once for each of them."""
    is_long = startup_s(workload) > STARTUP_S or workload.staging_s
    each_s = startup_s(workload) + workload.staging_s
    starts_s = max(workload.at_most * each_s + _MARGIN_S, _start_s(workload)) if is_long else _start_s(workload)
    return starts_s + workload.at_most * (workload.drain_s or 0)

"""How a workload is asked whether it is well: the kubelet's probes, and how long it may take to get ready. PURE.

Called by `pods` and `platform`; `meshctl.operate` and `meshctl.migrate` wait for pods as long as is said here.
"""

from __future__ import annotations

import math
from typing import Any, Final

from meshctl.model.deployment import Health, Workload
from meshctl.model.health import STARTUP_S

_STARTUP_PERIOD_S: Final = 5
_TIMEOUT_S: Final = 5
_MARGIN_S: Final = 600  # beyond a start: for nodes, images and what is staged


def probes(workload: Workload) -> dict[str, dict[str, Any]]:
    """The container's probes by Kubernetes' key; none where the workload says nothing of its health.

    As long as the mesh says to start; then out of the Service after 15 s, started again after a minute.
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
    """The question itself. A kubelet verifies no certificate."""
    if health.protocol == "grpc":
        return {"grpc": {"port": port}}  # grpc.health.v1.Health/Check of the whole server
    if health.protocol == "tcp":
        return {"tcpSocket": {"port": port}}
    return {"httpGet": {"path": path, "port": port, "scheme": health.protocol.upper()}}


def _probe(handler: dict[str, Any], period_s: int, failures: int) -> dict[str, Any]:
    return {**handler, "periodSeconds": period_s, "timeoutSeconds": _TIMEOUT_S, "failureThreshold": failures}


def startup_s(workload: Workload) -> int:
    """How long a start may take; without `health` nobody ends one, and it is waited for as long as by default."""
    return workload.health.startup_s if workload.health else STARTUP_S


def ready_s(workload: Workload) -> int:
    """How long one pod may take to get ready. A short `startup` shortens no wait: images take their time too."""
    return max(STARTUP_S, startup_s(workload)) + _MARGIN_S


def rollout_s(workload: Workload) -> int:
    """How long it may take until all pods are new and ready. They go one after another, so a start that takes longer
    than by default is waited for once for each of them."""
    longer = startup_s(workload) > STARTUP_S
    return workload.replicas * startup_s(workload) + _MARGIN_S if longer else ready_s(workload)

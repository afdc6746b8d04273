"""The status of a pod, computed from what its containers do. PURE but for the time of a change.

Called by `lifecycle` on every change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def timestamp(at: datetime | None = None) -> str:
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class ContainerState:
    """`finished`: it has ended and is not started again. `last`: the `terminated` state of the start before."""

    name: str
    image: str
    running_since: str = ""
    waiting_reason: str = "ContainerCreating"
    message: str = ""
    terminated: Object = field(default_factory=dict)
    last: Object = field(default_factory=dict)
    restarts: int = 0
    started: bool = False
    ready: bool = False
    finished: bool = False
    container_id: str = ""

    @property
    def exit_code(self) -> int | None:
        return self.terminated.get("exitCode")

    def as_status(self) -> Object:
        if self.terminated:
            state: Object = {"terminated": self.terminated}
        elif self.running_since:
            state = {"running": {"startedAt": self.running_since}}
        else:
            state = {"waiting": {"reason": self.waiting_reason} | ({"message": self.message} if self.message else {})}
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"lab://{self.image}" if self.container_id else "",
            "containerID": self.container_id,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": self.last} if self.last else {},
        }


def phase(inits: list[ContainerState], mains: list[ContainerState]) -> str:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase"""
    if any(each.finished and each.exit_code for each in inits):
        return "Failed"
    if not all(each.finished for each in inits):
        return "Pending"
    if all(each.finished for each in mains):
        return "Failed" if any(each.exit_code for each in mains) else "Succeeded"
    begun = any(each.running_since or each.restarts or each.finished or each.last for each in mains)
    return "Running" if begun else "Pending"


def pod_status(pod: Object, inits: list[ContainerState], mains: list[ContainerState], *, address: str) -> Object:
    """The `status` to patch; strategic merge merges conditions by type. `address`: the pod's, of the pod range."""
    current_phase = phase(inits, mains)
    initialized = all(each.finished and not each.exit_code for each in inits)
    ready = bool(mains) and all(each.ready for each in mains)
    over = current_phase in {"Succeeded", "Failed"}
    reason = "PodCompleted" if over else "ContainersNotReady"
    conditions = {
        "PodReadyToStartContainers": (not over, ""),
        "Initialized": (initialized, "" if initialized else "ContainersNotInitialized"),
        "ContainersReady": (ready, "" if ready else reason),
        "Ready": (ready, "" if ready else reason),
    }
    previous = {each["type"]: each for each in pod.get("status", {}).get("conditions", [])}
    return {
        "phase": current_phase,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": pod.get("status", {}).get("startTime") or timestamp(),
        "conditions": [_condition(kind, value, why, previous.get(kind)) for kind, (value, why) in conditions.items()],
        "initContainerStatuses": [each.as_status() for each in inits],
        "containerStatuses": [each.as_status() for each in mains],
    }


def _condition(kind: str, value: bool, reason: str, previous: Object | None) -> Object:  # noqa: FBT001 (a condition's status)
    status = "True" if value else "False"
    since = previous["lastTransitionTime"] if previous and previous["status"] == status else timestamp()
    return {"type": kind, "status": status, "reason": reason or None, "lastTransitionTime": since}


def backoff_s(failures: int) -> float:
    """Seconds before the next start of a container that ended `failures` times in a row: 1, 2, 4 … 30."""
    return float(min(30, 2 ** max(0, failures - 1)))

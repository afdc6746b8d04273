"""What the kubelet's events say of a container's health check that fails, in words for a person. PURE.

Read by meshctl for `status` and `migrate`, and by the Kubernetes provider for what `up` says while it waits.
Source of the messages: kubernetes/pkg/kubelet/prober/prober.go and kuberuntime/kuberuntime_manager.go (1.34).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

CODE: Final = "HealthCheck"
PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")  # of a container: there are no events without them
_FAILED: Final = re.compile(r"(Startup|Readiness|Liveness) probe (?:failed|errored)[^:]*:\s*(.*)", re.DOTALL)
_KILLED: Final = re.compile(r"Container \S+ failed (startup|liveness) probe, will be restarted")
_LONGEST_ANSWER: Final = 200  # characters


@dataclass(frozen=True)
class FailingCheck:
    """`probe`: startup, readiness or liveness; `answer`: the last one that the kubelet got. `killed`: it ended the
    container for that."""

    probe: str
    answer: str
    killed: bool

    @property
    def text(self) -> str:
        last = f"the last answer was: {self.answer}" if self.answer else "nothing answered"
        if self.killed and self.probe == "startup":
            return f"the health check did not pass within `health.startup`, so the container is started again; {last}"
        if self.killed:
            return f"the health check failed while the container ran, so it is started again; {last}"
        return f"the health check does not pass{' yet' if self.probe == 'startup' else ''}; {last}"


def failing_check(events: Iterable[Mapping[str, Any]]) -> FailingCheck | None:
    """The newest failure among the events of one pod; None where they tell of none. An event of Kubernetes' API as a
    mapping."""
    failed: tuple[str, str] | None = None
    killed_for: set[str] = set()
    for event in sorted(events, key=_time):
        message = str(event.get("message") or "")
        failure, kill = _FAILED.match(message), _KILLED.match(message)
        if event.get("reason") == "Unhealthy" and failure:
            failed = failure[1].lower(), " ".join(failure[2].split())[:_LONGEST_ANSWER]
        elif event.get("reason") == "Killing" and kill:
            killed_for.add(kill[1])
    return FailingCheck(*failed, killed=failed[0] in killed_for) if failed else None


def has_probes(containers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of the containers of a pod's specification is asked for its health."""
    return any(container.get(probe) for container in containers for probe in PROBES)


def _time(event: Mapping[str, Any]) -> str:
    """When it was seen last; the API's times in UTC are in the order of their texts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")

"""Why pods that run are not ready: the last answer to their health check, from the kubelet's events. EDGE (reads only).

Called by `clusters` for pods that say nothing else of themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Event

from meshctl.model.observed import PodState
from meshwire import probe_events

_MOST_PODS = 3  # whose events are asked for; the reason of one is shown


def explained(client: Any, pods: list[tuple[Any, PodState]]) -> list[PodState]:
    """The states, with the failing health check as the reason of the first pods that run and are not ready. An
    explanation that may not be read changes nothing."""
    waiting = [state.name for pod, state in pods if _may_fail_checks(pod, state)][:_MOST_PODS]
    return [
        replace(state, reason=_reason(client, pod, state)) if state.name in waiting else state for pod, state in pods
    ]


def _may_fail_checks(pod: Any, state: PodState) -> bool:
    containers = [container.to_dict() for container in pod.spec.containers] if pod.spec else []
    return state.phase == "Running" and not state.ready and not state.stopping and probe_events.has_probes(containers)


def _reason(client: Any, pod: Any, state: PodState) -> str:
    fields = {"involvedObject.uid": pod.metadata.uid or ""}
    try:
        events = [event.to_dict() for event in client.list(Event, namespace=pod.metadata.namespace, fields=fields)]
    except ApiError:
        return state.reason
    check = probe_events.failing_check(events)
    if check is None or (state.reason and not check.killed):  # it ended by itself, which says more
        return state.reason
    advice = "; if a start takes longer, raise `health.startup`" if check.killed and check.probe == "startup" else ""
    return f"{check.text}{advice}"

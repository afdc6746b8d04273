"""Why running pods are not ready: the last answer to their health check, from the kubelet's events. EDGE (reads only).

Called by `clusters` for pods that give no other reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshctl.model.observed import PodState
from meshwire import probe_events
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Pod
from meshwire.kubernetes.resources import EVENTS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_MOST_PODS = 3  # whose events are read; the reason of one is shown


def explained(client: Client, pods: list[tuple[Pod, PodState]]) -> list[PodState]:
    """The states, with the failing health check as the reason of the first pods that run and are not ready.

    Where events can't be read, the states stay as they are.
    """
    waiting = [state.name for pod, state in pods if _may_fail_checks(pod, state)][:_MOST_PODS]
    return [
        replace(state, reason=_reason(client, pod, state)) if state.name in waiting else state for pod, state in pods
    ]


def _may_fail_checks(pod: Pod, state: PodState) -> bool:
    containers = pod.get("spec", {}).get("containers", [])
    return state.phase == "Running" and not state.ready and not state.stopping and probe_events.has_probes(containers)


def _reason(client: Client, pod: Pod, state: PodState) -> str:
    metadata = pod.get("metadata", {})
    fields = {"involvedObject.uid": metadata.get("uid", "")}
    try:
        events = client.list_objects(EVENTS, namespace=metadata.get("namespace", ""), fields=fields)
    except ApiError:
        return state.reason
    check = probe_events.failing_check(events)
    if check is None or (state.reason and not check.killed):  # a container that ended by itself says more
        return state.reason
    advice = "; if a start takes longer, raise `health.startup`" if check.killed and check.probe == "startup" else ""
    return f"{check.text}{advice}"

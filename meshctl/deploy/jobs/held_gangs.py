"""Gangs whose pods wait for each other's room: which, and why. PURE.

Called by `status` and `up`. What a gang waits for stands in its pods, where the program that releases gangs has written
it (`templates/gang_hold`); whether that program runs is seen from its own pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import gangs
from meshctl.model.observed import PodState


def explained(deployment: Deployment, pods: Iterable[PodState]) -> list[PodState]:
    """The pods of the mesh; those that are held say so if nothing runs that could release them."""
    states = list(pods)
    trouble = _trouble_of_program(deployment, states)
    return [replace(pod, reason=trouble) if pod.is_held and trouble else pod for pod in states]


def waiting_gangs(deployment: Deployment, pods: Iterable[PodState]) -> dict[str, str]:
    """What gangs wait for of which no pod may start yet, by job. A gang that nothing can release is broken and does not
    wait; one that is about to be released starts, and does not wait either."""
    states = list(pods)
    if _trouble_of_program(deployment, states):
        return {}
    jobs = [workload for workload in deployment.workloads if workload.is_job and workload.held_together]
    reasons = {workload.name: _reason(workload, states) for workload in jobs}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(workload: Workload, pods: Iterable[PodState]) -> str:
    own = [pod for pod in pods if pod.workload == workload.name and pod.phase not in ("Succeeded", "Failed")]
    words = next((pod.reason for pod in own if pod.waits_for), "")
    return words if all(pod.is_held for pod in own) else ""


def _trouble_of_program(deployment: Deployment, pods: Iterable[PodState]) -> str:
    """Why no gang is released; "" where the program runs."""
    own = [pod for pod in pods if pod.workload == gangs.PROGRAM]
    if not gangs.program_is_needed(deployment) or any(pod.ready for pod in own):
        return ""
    why = next((f"{pod.name}: {pod.reason}" for pod in own if pod.reason), "it is starting" if own else "it has no pod")
    return (
        f"held for its gang, and {gangs.PROGRAM}, which releases gangs, does not run ({why}): `meshctl up"
        f" {deployment.environment}` brings it back, `kubectl logs -n {deployment.namespace} deploy/{gangs.PROGRAM}`"
        " shows what it says"
    )

"""Ends the pods of workloads that turn from single pods to groups of pods, or back, or from one form of groups to the
other, before a run makes the new ones. EDGE (clusters).

Called by `runs` right before the engine runs. The engine makes what is new before it deletes what is old, and waits
for it: on full nodes it would wait for room that only the end of the old pods gives. It finds what is deleted here as
gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from meshctl import render
from meshctl.changes.leader_worker_sets import LEADER_WORKER_SET
from meshctl.changes.notes import changed_groups
from meshctl.clients.kubernetes import clusters
from meshctl.errors import NotReadyError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import Resource, StackState
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import DEPLOYMENTS, LEADER_WORKER_SETS, STATEFUL_SETS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_RESOURCES = {
    "kubernetes:apps/v1:Deployment": DEPLOYMENTS,
    "kubernetes:apps/v1:StatefulSet": STATEFUL_SETS,
    LEADER_WORKER_SET: LEADER_WORKER_SETS,
}
_GONE: Final = 404
_POLL_S: Final = 1.0
_SHORTEST_LIMIT_S: Final = 300.0  # for the end of all groups at once
_MARGIN_S: Final = 120.0  # beyond the grace of their pods


def end_old(deployment: Deployment, state: StackState) -> None:
    """Raises: NotReadyError where the groups of a LeaderWorkerSet do not end; as `clusters` does."""
    old = list(_old(deployment, state))
    if not old:
        return
    with clusters.access(deployment, state.outputs).connected() as client:
        for resource in old:
            path = _RESOURCES[resource.type].path(deployment.namespace, str(resource.inputs["metadata"]["name"]))
            # what its controller has made of a set has the names of what comes, and goes with it in the foreground
            is_set = resource.type == LEADER_WORKER_SET
            try:
                client.send(requests.delete(path, propagation="Foreground" if is_set else "Background"))
            except ApiError as error:
                if error.status != _GONE:
                    raise
            if is_set:
                _wait_gone(client, path, resource.subject, end_limit_s(resource.inputs))


def end_limit_s(inputs: Mapping[str, Any]) -> float:
    """How long the groups of a LeaderWorkerSet may take to end: as long as their pods may, and some more."""
    templates = (inputs.get("spec") or {}).get("leaderWorkerTemplate") or {}
    specs = [(templates.get(each) or {}).get("spec") or {} for each in ("leaderTemplate", "workerTemplate")]
    graces_s = [float(spec.get("terminationGracePeriodSeconds") or 0) for spec in specs]
    return max(_SHORTEST_LIMIT_S, sum(graces_s) + _MARGIN_S)  # workers may end after their leader


def _wait_gone(client: Client, path: str, subject: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while _exists(client, path):
        if time.monotonic() >= deadline:
            why = f"its LeaderWorkerSet is still there after {limit_s:g} s"
            hint = "`kubectl get leaderworkersets,pods` in the mesh's namespace shows what remains; then run `up` again"
            raise NotReadyError(f"the groups of {subject} did not end", why=why, hint=hint)
        time.sleep(_POLL_S)


def _exists(client: Client, path: str) -> bool:
    try:
        client.send(requests.get(path))
    except ApiError as error:
        if error.status != _GONE:
            raise
        return False
    return True


def _old(deployment: Deployment, state: StackState) -> Iterator[Resource]:
    subjects = {f"workload/{each.name}" for each in changed_groups.changed(state.deployment, deployment)}
    if not subjects:
        return
    declared = {item.name for item in render.platform_objects(deployment)}
    for resource in state.of_type(*_RESOURCES):
        if resource.subject in subjects and resource.name not in declared:
            yield resource

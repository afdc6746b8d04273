"""Ends the pods of workloads that turn from single pods to groups of pods, or back, before a run makes the new ones.
EDGE (clusters).

Called by `session` right before the engine runs. The engine makes what is new before it deletes what is old, and waits
for it: on full nodes it would wait for room that only the end of the old pods gives. It finds what is deleted here as
gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl import render
from meshctl.changes import changed_groups
from meshctl.clients import clusters
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import Resource, StackState
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import DEPLOYMENTS, STATEFUL_SETS

_RESOURCES = {"kubernetes:apps/v1:Deployment": DEPLOYMENTS, "kubernetes:apps/v1:StatefulSet": STATEFUL_SETS}


def end_old(deployment: Deployment, state: StackState) -> None:
    """Raises: as `clusters` does."""
    old = list(_old(deployment, state))
    if not old:
        return
    with clusters.access(deployment, state.outputs).connected() as client:
        for resource in old:
            path = _RESOURCES[resource.type].path(deployment.namespace, str(resource.inputs["metadata"]["name"]))
            try:
                client.send(requests.delete(path, propagation="Background"))
            except ApiError as error:
                if error.status != 404:
                    raise


def _old(deployment: Deployment, state: StackState) -> Iterator[Resource]:
    subjects = {f"workload/{each.name}" for each in changed_groups.changed(state.deployment, deployment)}
    if not subjects:
        return
    declared = {item.name for item in render.platform_objects(deployment)}
    for resource in state.of_type(*_RESOURCES):
        if resource.subject in subjects and resource.name not in declared:
            yield resource

"""Finds fields of `workloads.NAME.pod` that the API server does not know, and would drop silently. EDGE.

Called by `runs` before a plan, and before an `up` that a user asks for. The engine's own previews only get warnings
about such fields, because what is up must stay up even if the cluster no longer knows a field that meshctl sets.
This check looks only at what environments.yaml adds to pods, and only if that has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from meshctl import render
from meshctl.clients.kubernetes import clusters
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.stack_state import StackState
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import DEPLOYMENTS, JOBS, LEADER_WORKER_SETS, STATEFUL_SETS, Resource

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_RESOURCES: Final[Mapping[str, Resource[Any]]] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "Job": JOBS,
    "LeaderWorkerSet": LEADER_WORKER_SETS,
}
_STRICT: Final = {"fieldValidation": "Strict"}
_UNKNOWN: Final = re.compile(r'unknown field "([^"]+)"')
_POD: Final = re.compile(r"^spec\.(template|leaderWorkerTemplate\.(leader|worker)Template)\.spec\.")
_REFUSED: Final = 400


def check(deployment: Deployment, state: StackState) -> None:
    """Raises: UsageError with the unknown fields of the first workload that has some; CredentialsError,
    UnreachableError, MeshError when the cluster can't be asked."""
    workloads = list(_with_new_fields(deployment, state.deployment))
    if not workloads or (clusters.is_made(deployment) and not state.outputs.written_kubeconfig):
        return
    with clusters.access(deployment, state.outputs).connected() as client:
        for workload in workloads:
            fields = _unknown_fields(client, deployment, workload)
            if fields:
                raise _refused(deployment, workload, fields)


def _with_new_fields(deployment: Deployment, deployed: Deployment | None) -> Iterator[Workload]:
    before = {workload.name: workload.pod for workload in deployed.workloads} if deployed else {}
    return (each for each in deployment.workloads if each.pod and each.pod != before.get(each.name))


def _unknown_fields(client: Client, deployment: Deployment, workload: Workload) -> list[str]:
    """Those that the cluster knows none of, without those that the pods would have without the override, too."""
    unknown = _refused_fields(client, deployment, workload)
    if not unknown:
        return []
    ours = _refused_fields(client, deployment, workload.model_copy(update={"pod": {}}))
    return [field for field in unknown if field not in ours]


def _refused_fields(client: Client, deployment: Deployment, workload: Workload) -> list[str]:
    """By a dry run, which changes nothing. The API server reads the object before it looks whether there is one of that
    name, or a namespace for it: any other answer is left to the preview."""
    manifests = render.workload_manifests(deployment, workload)
    fields = (
        _refused_fields_of(client, deployment.namespace, manifest)
        for manifest in manifests
        if manifest["kind"] in _RESOURCES
    )
    return list(dict.fromkeys(field for each in fields for field in each))


def _refused_fields_of(client: Client, namespace: str, manifest: Mapping[str, Any]) -> list[str]:
    path = _RESOURCES[manifest["kind"]].path(namespace)
    query = {**requests.writing(dry_run=True), **_STRICT}
    try:
        client.send(requests.create(path, _without_deferred_values(manifest), **query))
    except ApiError as error:
        return _UNKNOWN.findall(error.message) if error.status == _REFUSED else []
    return []


def _without_deferred_values(value: Any) -> Any:
    """They are texts in every place, whatever they will be."""
    if isinstance(value, render.LateValue):
        return value.name
    if isinstance(value, dict):
        return {key: _without_deferred_values(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_deferred_values(inner) for inner in value]
    return value


def _refused(deployment: Deployment, workload: Workload, fields: list[str]) -> UsageError:
    names = ", ".join(dict.fromkeys(_POD.sub("", field) for field in fields))
    return UsageError(
        f"workload/{workload.name}: pods have no field {names}",
        why=f"`workloads.{workload.name}.pod` (or that of `*`) of {deployment.environment} in environments.yaml sets"
        " it; the cluster does not know it, and would drop it",
        hint="correct its name or its place; `kubectl explain pod.spec` lists the fields that the cluster knows",
    )

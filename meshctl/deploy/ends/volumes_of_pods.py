"""Deletes the claims of stateful sets that a destroyed environment leaves behind in a namespace that stays. EDGE.

Called by `teardown` after the engine has deleted everything else. A stateful set makes a claim for each of its pods;
they go with the namespace, unless that is not meshctl's to delete. The user has been asked about their data before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from meshctl.changes.losses import CLAIM
from meshctl.clients.kubernetes import clusters
from meshctl.deploy.guards import namespaces
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.pods import object_names
from meshctl.model.stack_state import StackState
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CLAIMS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_GONE: Final = 404


def left_by_destroy(state: StackState) -> tuple[str, ...]:
    """The names of the claims that `delete_left` is to delete, while the environment is still up: should the cluster
    not answer afterwards, an error can name them. Raises: CredentialsError, UnreachableError, MeshError."""
    deployed = state.deployment
    if deployed is None or not namespaces.stays(state):
        return ()
    declared = {str(claim.inputs["metadata"]["name"]) for claim in state.of_type(CLAIM)}
    with clusters.access(deployed, state.outputs).connected() as client:
        return tuple(name for name in _names(client, deployed) if name not in declared)


def delete_left(state: StackState, names: Iterable[str]) -> None:
    """`state`: the environment's before it was destroyed; `names`: `left_by_destroy` of it.

    Raises: CredentialsError, UnreachableError, MeshError, which name the claims that are left."""
    deployed = state.deployment
    if deployed is None or not namespaces.stays(state):
        return
    left = list(names)
    try:
        with clusters.access(deployed, state.outputs).connected() as client:
            left = _names(client, deployed)
            while left:
                _delete(client, deployed.namespace, left[0])
                left.pop(0)
    except MeshError as error:
        if not left:
            raise
        raise _with_left_claims(error, deployed.namespace, left) from error


def _names(client: Client, deployed: Deployment) -> list[str]:
    labels = object_names.labels(deployed.mesh, deployed.environment)
    claims = client.list_objects(CLAIMS, namespace=deployed.namespace, labels=labels)
    return sorted(claim["metadata"]["name"] for claim in claims)


def _with_left_claims(error: MeshError, namespace: str, left: list[str]) -> MeshError:
    """Adds the claims that remain to the error: no later run can delete them, because the state is gone."""
    listed = f"these claims are left in the namespace {namespace}: {', '.join(left)}"
    delete = f"delete them: `kubectl delete pvc -n {namespace} {' '.join(left)}`"
    hint = f"{error.hint}; then {delete}" if error.hint else delete
    return type(error)(f"{error.what}; all else is deleted, and {listed}", why=error.why, hint=hint)


def _delete(client: Client, namespace: str, name: str) -> None:
    try:
        client.delete(CLAIMS, name, namespace=namespace)
    except ApiError as error:
        if error.status != _GONE:
            raise

"""Deletes the claims of stateful sets that a destroyed environment leaves behind in a namespace that stays. EDGE.

Called by `teardown` after the engine has deleted everything else. A stateful set makes a claim for each of its pods;
they go with the namespace, unless that is not meshctl's to delete. The user has been asked about their data before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshctl.clients import clusters
from meshctl.deploy.guards import namespaces
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CLAIMS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_GONE: Final = 404


def delete_left(state: StackState) -> None:
    """`state`: the environment's before it was destroyed. Raises: CredentialsError, UnreachableError, MeshError."""
    deployed = state.deployment
    if deployed is None or not namespaces.stays(state):
        return
    with clusters.access(deployed, state.outputs).connected() as client:
        for claim in client.list_objects(CLAIMS, namespace=deployed.namespace, labels=_labels(deployed)):
            _delete(client, deployed.namespace, claim["metadata"]["name"])


def _labels(deployed: Deployment) -> dict[str, str]:
    """Those that every object has which is made for this environment."""
    return {
        "app.kubernetes.io/part-of": deployed.mesh,
        "app.kubernetes.io/managed-by": "meshctl",
        "meshctl.dev/environment": deployed.environment,
    }


def _delete(client: Client, namespace: str, name: str) -> None:
    try:
        client.delete(CLAIMS, name, namespace=namespace)
    except ApiError as error:
        if error.status != _GONE:
            raise

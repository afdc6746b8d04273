"""Has a WEKA cluster end at once, where its data may go. EDGE.

Called by `teardown` and `environment_up` right before the engine deletes a WekaCluster, after everybody was asked about
the data. The operator keeps a deleted cluster for a day, in which it can be brought back: that protects from everybody
but from who has just agreed to the loss, and holds its nodes, and the namespace, that long.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.clients import clusters
from meshctl.deploy.fields import live_objects
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.model.stack_state import StackState
from meshwire import weka
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import Resource

MANAGER: Final = "meshctl-destroy"
AT_ONCE: Final = {"spec": {"gracefulDestroyDuration": "0s"}}
_GONE: Final = 404  # the object, or the definition of its kind


def going(state: StackState, deployment: Deployment | None) -> bool:
    """Whether the run that makes `deployment` of what `state` has deletes the cluster; None: all goes."""
    mesh = deployment.neural_mesh if deployment is not None else None
    return bool(state.of_type(WEKA_CLUSTER)) and (mesh is None or mesh.joined is not None)


def end_at_once(state: StackState) -> None:
    """Raises: CredentialsError, UnreachableError, MeshError when the cluster can't be asked."""
    deployed, going_clusters = state.deployment, state.of_type(WEKA_CLUSTER)
    if deployed is None or not going_clusters:
        return
    resource: Resource[Any] = Resource(weka.API_VERSION, live_objects.plural(weka.KIND))
    with clusters.access(deployed, state.outputs).connected() as client:
        for each in going_clusters:
            metadata = each.inputs["metadata"]
            try:
                client.patch(
                    resource,
                    str(metadata["name"]),
                    AT_ONCE,
                    kind=requests.MERGE_PATCH,
                    namespace=str(metadata["namespace"]),
                    manager=MANAGER,
                )
            except ApiError as error:
                if error.status != _GONE:
                    raise

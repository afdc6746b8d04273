"""Deletes a WEKA cluster without its grace period, once its data may go. EDGE.

Called by `teardown` and `environment_up` right before the engine deletes a WekaCluster, after the user was asked
about the data. The operator would keep a deleted cluster for a day, in which it can be restored. After the user's
consent that protects nobody, and it would block the nodes and the namespace for that day.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import field_rules, live_objects
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.model.stack_state import Resource, StackState
from meshwire import weka
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import Resource as Kind

AT_ONCE: Final = {"spec": {"gracefulDestroyDuration": "0s"}}
_KIND: Final[Kind[Any]] = Kind(weka.API_VERSION, live_objects.plural(weka.KIND))
_GONE: Final = 404  # the object, or the definition of its kind


def going(state: StackState, deployment: Deployment | None) -> bool:
    """Whether the run that makes `deployment` of what `state` has deletes the cluster; None: all goes."""
    mesh = deployment.neural_mesh if deployment is not None else None
    return bool(state.of_type(WEKA_CLUSTER)) and (mesh is None or mesh.joined is not None)


def end_at_once(state: StackState) -> None:
    """Raises: CredentialsError, UnreachableError, MeshError when the cluster can't be asked."""
    for cluster in _clusters(state):
        access = _access(state, cluster)
        if access is not None:
            _set_no_grace(access, cluster)


def _clusters(state: StackState) -> tuple[Resource, ...]:
    """Also one that a run was making as it was killed: the API server may have it."""
    pending = (operation.resource for operation in state.pending_operations)
    return (*state.of_type(WEKA_CLUSTER), *(each for each in pending if each.type == WEKA_CLUSTER))


def _access(state: StackState, cluster: Resource) -> ClusterAccess | None:
    """Where no run has come to its end, as the engine reaches it: a cluster that meshctl makes is in no outputs yet."""
    if state.deployment is not None:
        return clusters.access(state.deployment, state.outputs)
    provider = state.provider_of(cluster)
    if provider is None:
        return None
    kubeconfig, context, uid = (
        str(provider.inputs.get(key) or "") for key in ("kubeconfig", "context", "clusterIdentifier")
    )
    return ClusterAccess(cluster.urn.split(":")[2], kubeconfig, context, uid)


def _set_no_grace(access: ClusterAccess, cluster: Resource) -> None:
    metadata = cluster.inputs["metadata"]
    with access.connected() as client:
        try:
            client.patch(
                _KIND,
                str(metadata["name"]),
                AT_ONCE,
                kind=requests.MERGE_PATCH,
                namespace=str(metadata["namespace"]),
                manager=field_rules.DESTROY_MANAGER,
            )
        except ApiError as error:
            if error.status != _GONE:
                raise

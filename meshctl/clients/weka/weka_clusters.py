"""Reads the WEKA cluster of a deployment: how it does, as its Kubernetes object says. EDGE (reads only).

Called by `operate.status`.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.deployment import NeuralMesh
from meshwire import weka
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import Resource

_CLUSTERS: Final[Resource[Any]] = Resource(weka.API_VERSION, "wekaclusters")
_FORBIDDEN, _ABSENT = 403, 404


def state(access: ClusterAccess, mesh: NeuralMesh) -> weka.WekaState | None:
    """The state of the cluster that the mesh has made or joined; None where it is outside this Kubernetes cluster, is
    gone, or may not be looked at. Raises: as `cluster_access.translate_errors`."""
    joined = mesh.joined
    name, namespace = (mesh.name, mesh.namespace) if joined is None else (joined.cluster, joined.namespace)
    if not name:
        return None
    with access.connected() as client:
        try:
            cluster = client.get(_CLUSTERS, name, namespace=namespace)
        except ApiError as error:
            if error.status in (_FORBIDDEN, _ABSENT):
                return None
            raise
    return weka.state_of(cluster)

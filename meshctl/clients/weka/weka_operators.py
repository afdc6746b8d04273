"""Whether a cluster has an operator of WEKA, and whose it is. EDGE (reads only).

Called by `project` before a mesh has its operator. That the API server knows WEKA's kinds says little: definitions stay
when the chart is uninstalled, and an operator that meshctl has installed stays when the mesh that brought it is
destroyed. The Job that installs it leaves a ConfigMap with the mesh's name beside it
(`templates/weka_operator/install.sh`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model import served_apis
from meshctl.model.neural_mesh import OPERATOR_MARK, OPERATOR_NAMESPACE
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CONFIG_MAPS, DEPLOYMENTS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_CHART: Final = "weka-operator"  # value of the label `app` of its Deployment, with whose name this begins
_FORBIDDEN, _ABSENT = 403, 404


def is_of_another(access: ClusterAccess, mesh: str) -> bool:
    """Whether the cluster has an operator that no `up` of this mesh has installed. What a user may not see of it is
    taken to be so. Raises: as `cluster_access.translate_errors`."""
    with access.connected() as client:
        return _is_served(client) and not _is_left_by(client, mesh) and _runs(client)


def _is_served(client: Client) -> bool:
    api_version, _, kind = served_apis.WEKA_CLUSTER.rpartition("/")
    try:
        return kind in client.kinds(api_version)
    except ApiError as error:
        if error.status in (_FORBIDDEN, _ABSENT):
            return False
        raise


def _is_left_by(client: Client, mesh: str) -> bool:
    try:
        mark: Any = client.get(CONFIG_MAPS, OPERATOR_MARK, namespace=OPERATOR_NAMESPACE)
    except ApiError as error:
        if error.status in (_FORBIDDEN, _ABSENT):
            return False
        raise
    return bool((mark.get("data") or {}).get("mesh") == mesh)


def _runs(client: Client) -> bool:
    """Whoever installed it may have put it into another namespace."""
    try:
        deployments: list[Any] = list(client.list_objects(DEPLOYMENTS))
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return True
        raise
    return any(_is_operator(each["metadata"]) for each in deployments)


def _is_operator(metadata: dict[str, Any]) -> bool:
    return (metadata.get("labels") or {}).get("app") == _CHART or str(metadata["name"]).startswith(_CHART)

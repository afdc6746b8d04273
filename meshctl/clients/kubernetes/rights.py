"""Whether the Kubernetes user may do what a run is about to do. EDGE (asks the API server what it allows; changes
nothing).

Called by `hold_rights` and `weka_rights`, for what not everybody may make. Who lacks a right would else be told so in
the middle of an `up`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

RBAC: Final = "rbac.authorization.k8s.io"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Right:
    """One verb on one kind: of the whole cluster, or in the mesh's namespace."""

    verb: str
    resource: str
    group: str = ""
    is_of_cluster: bool = False

    @property
    def words(self) -> str:
        of_group = f".{self.group}" if self.group else ""
        where = " of all namespaces" if self.is_of_cluster and self.resource == "pods" else ""
        return f"{self.verb} {self.resource}{of_group}{where}"


def lacking(cluster: ClusterAccess, namespace: str, needed: Iterable[Right]) -> tuple[str, ...]:
    """What of it the user may not do, in words; the namespace need not be there yet. A server that answers no such
    questions is taken to allow all. Raises: as `cluster_access.translate_errors`."""
    with cluster.connected() as client:
        return tuple(right.words for right in needed if not _is_allowed(client, right, namespace))


def _is_allowed(client: Client, right: Right, namespace: str) -> bool:
    attributes = {"verb": right.verb, "resource": right.resource, "group": right.group}
    if not right.is_of_cluster:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = client.send(requests.create(_REVIEWS, review))
    except ApiError as error:
        if error.status in (403, 404, 405):
            return True
        raise
    return bool((answer.get("status") or {}).get("allowed"))

"""Whether the Kubernetes user may let a program hold the pods of gangs: what it would make, and what it would grant.
EDGE (asks the API server what it allows; changes nothing).

Called by `project` for the facts that `resolve` is given, where the mesh has gangs. Who may not make a ClusterRole
would else be told so in the middle of an `up`. Kubernetes lets nobody grant by a role what they may not do themselves
(kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-creation-or-update), so the rights of the
program are asked for as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshctl.clients.cluster_access import ClusterAccess
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class _Right:
    verb: str
    resource: str
    group: str = ""
    is_of_cluster: bool = False

    @property
    def words(self) -> str:
        of_group = f".{self.group}" if self.group else ""
        where = " of all namespaces" if self.is_of_cluster and self.resource == "pods" else ""
        return f"{self.verb} {self.resource}{of_group}{where}"


# a server-side apply of what is not there yet is a patch and a create
_NEEDED: Final = (
    *(_Right(verb, "clusterroles", _RBAC, is_of_cluster=True) for verb in ("create", "patch")),
    *(_Right(verb, "clusterrolebindings", _RBAC, is_of_cluster=True) for verb in ("create", "patch")),
    *(_Right(verb, "roles", _RBAC) for verb in ("create", "patch")),
    *(_Right(verb, "rolebindings", _RBAC) for verb in ("create", "patch")),
    _Right("list", "nodes", is_of_cluster=True),
    _Right("list", "pods", is_of_cluster=True),
    _Right("patch", "pods"),
    _Right("list", "jobs", "batch"),
    _Right("create", "events"),
)


def lacking(cluster: ClusterAccess, namespace: str) -> tuple[str, ...]:
    """What the user lacks to run the program in the namespace, which need not be there yet: verbs and resources. A
    server that answers no such questions is taken to allow all. Raises: as `cluster_access.translate_errors`."""
    with cluster.connected() as client:
        return tuple(right.words for right in _NEEDED if not _is_allowed(client, right, namespace))


def _is_allowed(client: Client, right: _Right, namespace: str) -> bool:
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

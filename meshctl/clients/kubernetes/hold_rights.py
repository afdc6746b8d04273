"""Whether the Kubernetes user may let a program hold the pods of gangs: what it would make, and what it would grant.
EDGE (asks the API server what it allows; changes nothing).

Called by `project` for the facts that `resolve` is given, where the mesh has gangs. Kubernetes lets nobody grant by a
role what they may not do themselves
(kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-creation-or-update), so the rights of the
program are asked for as well.
"""

from __future__ import annotations

from typing import Final

from meshctl.clients.kubernetes import rights
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.rights import RBAC, Right

# a server-side apply of what is not there yet is a patch and a create
_NEEDED: Final = (
    *(Right(verb, "clusterroles", RBAC, is_of_cluster=True) for verb in ("create", "patch")),
    *(Right(verb, "clusterrolebindings", RBAC, is_of_cluster=True) for verb in ("create", "patch")),
    *(Right(verb, "roles", RBAC) for verb in ("create", "patch")),
    *(Right(verb, "rolebindings", RBAC) for verb in ("create", "patch")),
    Right("list", "nodes", is_of_cluster=True),
    Right("list", "pods", is_of_cluster=True),
    Right("patch", "pods"),
    Right("list", "jobs", "batch"),
    Right("create", "events"),
)


def lacking(cluster: ClusterAccess, namespace: str) -> tuple[str, ...]:
    """What the user lacks to run the program in the namespace, which need not be there yet: verbs and resources. A
    server that answers no such questions is taken to allow all. Raises: as `cluster_access.translate_errors`."""
    return rights.lacking(cluster, namespace, _NEEDED)

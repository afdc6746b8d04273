"""Whether the Kubernetes user may bring up a NeuralMesh: what of it is not of the mesh's namespace, and what it grants.
EDGE (asks the API server what it allows; changes nothing).

Called by `project`. The account that installs WEKA's operator grants rights that it has not, for which it needs
`escalate` and `bind`; and those again nobody can grant without having them
(kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-creation-or-update).
"""

from __future__ import annotations

from typing import Final

from meshctl.clients.kubernetes import rights
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.rights import RBAC, Right
from meshwire import weka

_WEKA: Final = weka.API_VERSION.partition("/")[0]
_APPLIED: Final = ("create", "patch")  # a server-side apply of what is not there yet is both
_NEEDED: Final = (
    *(Right(verb, "storageclasses", "storage.k8s.io", is_of_cluster=True) for verb in _APPLIED),
    *(Right(verb, kind, _WEKA) for kind in ("wekaclusters", "wekaclients", "wekapolicies") for verb in _APPLIED),
)
_TO_TIER: Final = tuple(Right(verb, "persistentvolumes", is_of_cluster=True) for verb in _APPLIED)
# the account of the settings, which may patch the driver's Secret: only who may do so can grant it
_TO_SET_AN_ORGANIZATION: Final = (
    *(Right(verb, kind, RBAC) for kind in ("roles", "rolebindings") for verb in _APPLIED),
    Right("patch", "secrets"),
)
_TO_INSTALL: Final = (
    *(Right(verb, "clusterroles", RBAC, is_of_cluster=True) for verb in (*_APPLIED, "escalate", "bind")),
    *(Right(verb, "clusterrolebindings", RBAC, is_of_cluster=True) for verb in _APPLIED),
)


def lacking(
    cluster: ClusterAccess,
    namespace: str,
    *,
    installs_operator: bool,
    is_tiered: bool = False,
    has_organization: bool = False,
) -> tuple[str, ...]:
    """What the user lacks: verbs and resources. `is_tiered`: whether a file system is, and has a volume of ours.
    `has_organization`: whether the file systems are in one that a Job of ours makes.
    Raises: as `cluster_access.translate_errors`."""
    needed = (
        *_NEEDED,
        *(_TO_TIER if is_tiered else ()),
        *(_TO_SET_AN_ORGANIZATION if has_organization else ()),
        *(_TO_INSTALL if installs_operator else ()),
    )
    return rights.lacking(cluster, namespace, needed)

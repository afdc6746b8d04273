"""What Kueue says: whether a cluster has it, which queues a mesh can use, and why a job waits. EDGE (reads only).

Called by `project` for the facts that `resolve` is given, and by `operate.status`. Asked only where environments.yaml
names a queue. Kueue has had several versions of its API, of which a cluster names the one that it prefers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.observed import Facts
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_GROUP: Final = "kueue.x-k8s.io"
_FORBIDDEN, _ABSENT = 403, 404
NOT_INSTALLED: Final = "the cluster has no Kueue"

Json = Mapping[str, Any]


def with_queues(facts: Facts, cluster: ClusterAccess, namespace: str, wanted: Collection[str]) -> Facts:
    """The facts with whether the cluster has Kueue, and a note on each wanted queue that the namespace does not have.

    Raises: as `cluster_access.translate_errors`.
    """
    if not wanted:
        return facts
    with cluster.connected() as client:
        version = _version(client)
        if not version:
            return facts.model_copy(update={"has_kueue": False})
        queues = _listed(client, version, namespace, "localqueues")
    if queues is None:
        notes = [_NOT_SEEN]
    else:
        names = {str(queue["metadata"]["name"]) for queue in queues}
        notes = [_no_queue(queue, namespace, version) for queue in sorted(set(wanted) - names)]
    return facts.model_copy(update={"has_kueue": True, "notes": (*facts.notes, *notes)})


def reasons(cluster: ClusterAccess, namespace: str) -> dict[str, str]:
    """Why jobs wait, as Kueue says, by the name of the job. Raises: as `cluster_access.translate_errors`."""
    with cluster.connected() as client:
        version = _version(client)
        workloads = _listed(client, version, namespace, "workloads") if version else None
    return _reasons(workloads or ())


def is_installed(cluster: ClusterAccess) -> bool:
    """Raises: as `cluster_access.translate_errors`."""
    with cluster.connected() as client:
        return bool(_version(client))


def _reasons(workloads: Iterable[Json]) -> dict[str, str]:
    """Kueue makes one object, a Workload, for each Job that is in a queue."""
    texts: dict[str, str] = {}
    for workload in workloads:
        owners = workload["metadata"].get("ownerReferences") or ()
        text = _reason(workload)
        texts |= {str(owner["name"]): text for owner in owners if owner.get("kind") == "Job" and text}
    return texts


def _reason(workload: Json) -> str:
    """What has not happened yet, with Kueue's own message."""
    conditions = {each.get("type"): each for each in (workload.get("status") or {}).get("conditions") or ()}
    for kind in ("QuotaReserved", "Admitted"):
        condition = conditions.get(kind)
        if condition is not None and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


def _version(client: Client) -> str:
    """The version of the API that the cluster prefers; "" where it has no Kueue."""
    try:
        group = client.send(requests.get(f"/apis/{_GROUP}"))
    except ApiError as error:
        if error.status == _ABSENT:
            return ""
        raise
    return str((group.get("preferredVersion") or {}).get("version") or "")


def _listed(client: Client, version: str, namespace: str, plural: str) -> list[Any] | None:
    """The objects of the namespace; None where this user may not list them."""
    try:
        return client.items(f"/apis/{_GROUP}/{version}/namespaces/{namespace}/{plural}")
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return None
        raise


def _no_queue(queue: str, namespace: str, version: str) -> str:
    manifest = (
        f"{{apiVersion: {_GROUP}/{version}, kind: LocalQueue, metadata: {{name: {queue}, namespace: {namespace}}},"
        " spec: {clusterQueue: CLUSTERQUEUE}}"
    )
    return (
        f'the namespace {namespace} has no LocalQueue "{queue}" of Kueue: jobs of the mesh that are to wait in it do'
        f" not start. Create it once `up` has made the namespace: `kubectl apply -f - <<< '{manifest}'`, where"
        " CLUSTERQUEUE is one that `kubectl get clusterqueues` lists"
    )


_NOT_SEEN: Final = (
    "not checked: whether the Kueue queues that environments.yaml names exist; the Kubernetes user may not list"
    f" `localqueues`: grant `list` on them in the API group {_GROUP}"
)

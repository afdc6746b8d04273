"""What Kueue says of pools that lend: who has borrowed what, and whose queues count the same nodes. EDGE (reads only).

Called by `operate.status` and, for notes before a run, by `project`. Asked only where a pool lends or borrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.keys import lending
from meshctl.model.observed import ObservedNode
from meshctl.model.pods import object_names
from meshwire.kubernetes.errors import ApiError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_FORBIDDEN, _ABSENT = 403, 404
_UNSEEN: Final = {
    _FORBIDDEN: "not checked: whether queues of others count the lent nodes, too; the Kubernetes user may not list"
    " `resourceflavors` and `clusterqueues`: grant `list` on them in the API group kueue.x-k8s.io",
    _ABSENT: f"the cluster has stopped serving {lending.API}: its Kueue has just been removed, or is being replaced;"
    " without it nothing is lent. Run the command again once it is clear what the cluster is to have",
}

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Loan:
    """Accelerators of one pool that a job of another one has, or what serves there."""

    lender: str
    job: str
    accelerators: int


def loans(cluster: ClusterAccess, deployment: Deployment) -> list[Loan] | None:
    """All loans by now; None where this user may not see them, or Kueue is gone.

    Raises: as `cluster_access.translate_errors`.
    """
    with cluster.connected() as client:
        try:
            workloads = _items(client, f"namespaces/{deployment.namespace}/workloads")
        except ApiError as error:
            if error.status in _UNSEEN:
                return None
            raise
    return sorted(_loans(deployment, workloads), key=lambda loan: (loan.lender, loan.job))


def _loans(deployment: Deployment, workloads: Iterable[Json]) -> Iterator[Loan]:
    by_flavor = {lending.object_name(deployment, pool): pool for pool in lending.kueue_pools(deployment)}
    homes = {workload.name: workload.pool for workload in deployment.workloads if workload.lenders}
    serving = (each.name for each in deployment.workloads if lending.serves_on_lent_nodes(each))
    lent = {object_names.lent(name): name for name in serving}
    for workload in workloads:
        job = _borrower(workload, lent)
        if job not in homes or _is_finished(workload):
            continue
        for flavor, resource, amount in _assigned(workload):
            pool = by_flavor.get(flavor)
            if pool is not None and pool.name != homes[job] and resource == pool.device_resource:
                yield Loan(pool.name, job, amount)


def _borrower(workload: Json, lent: Mapping[str, str]) -> str:
    """The job whose workload of Kueue this is, or what serves with the pod; "" for any other. `lent`: by Deployment on
    lent nodes, whose pods are called DEPLOYMENT-HASH-HASH."""
    owners = workload["metadata"].get("ownerReferences") or ()
    names = {str(owner.get("kind")): str(owner["name"]) for owner in owners}
    if "Pod" in names:
        return lent.get(names["Pod"].rsplit("-", 2)[0], "")
    return names.get("Job", "")


def _assigned(workload: Json) -> Iterator[tuple[str, str, int]]:
    """Flavor, resource and amount of all that the workload has got."""
    admission = (workload.get("status") or {}).get("admission") or {}
    for pods in admission.get("podSetAssignments") or ():
        usage = pods.get("resourceUsage") or {}
        for resource, flavor in (pods.get("flavors") or {}).items():
            amount = str(usage.get(resource, "0"))
            yield str(flavor), str(resource), int(amount) if amount.isdigit() else 0


def _is_finished(workload: Json) -> bool:
    conditions = (workload.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Finished" and each.get("status") == "True" for each in conditions)


def other_queues(cluster: ClusterAccess, deployment: Deployment, nodes: Iterable[ObservedNode]) -> tuple[str, ...]:
    """A note on each ClusterQueue of somebody else that counts nodes of these pools. `nodes`: where they are given.

    Raises: as `cluster_access.translate_errors`.
    """
    with cluster.connected() as client:
        try:
            flavors, queues = _items(client, "resourceflavors"), _items(client, "clusterqueues")
        except ApiError as error:
            if error.status in _UNSEEN:
                return (_UNSEEN[error.status],)
            raise
    selectors = {
        str(each["metadata"]["name"]): dict((each.get("spec") or {}).get("nodeLabels") or {}) for each in flavors
    }
    labels = {node.name: node.labels for node in nodes}
    others = [each for each in queues if not _is_own(deployment, each)]
    return tuple(
        _note(pool, str(queue["metadata"]["name"]), flavor)
        for pool in lending.kueue_pools(deployment)
        for queue in others
        for flavor in _flavors(queue, pool.device_resource)
        if _selects(selectors.get(flavor), deployment, pool, labels)
    )


def _is_own(deployment: Deployment, queue: Json) -> bool:
    labels = queue["metadata"].get("labels") or {}
    own = object_names.labels(deployment.mesh, deployment.environment)
    return all(labels.get(key) == value for key, value in own.items())


def _flavors(queue: Json, resource: str) -> list[str]:
    groups = (queue.get("spec") or {}).get("resourceGroups") or ()
    return [
        str(flavor["name"])
        for group in groups
        if resource in (group.get("coveredResources") or ())
        for flavor in group.get("flavors") or ()
    ]


def _selects(
    selector: Mapping[str, str] | None, deployment: Deployment, pool: Pool, labels: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether a flavor with these labels has nodes of the pool; one without labels has every node."""
    if selector is None:  # a flavor that does not exist gives nothing to anybody
        return False
    own = {**pool.labels, **deployment.node_labels(pool.name)}
    each_node = [{**labels.get(name, {}), **own} for name in pool.node_names] or [own]
    return any(selector.items() <= node.items() for node in each_node)


def _note(pool: Pool, queue: str, flavor: str) -> str:
    return (
        f"pool/{pool.name}: the ClusterQueue {queue} of somebody else counts its nodes as well, by the ResourceFlavor"
        f" {flavor}: Kueue may give the same accelerators twice, and pods then wait for nodes; let `nodeLabels` of that"
        " flavor select other nodes"
    )


def _items(client: Client, plural: str) -> list[Any]:
    return client.items(f"/apis/{lending.API}/{plural}")

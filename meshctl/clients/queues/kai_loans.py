"""What pools have lent where KAI Scheduler counts, and whose queues have the names of the mesh's. EDGE (reads only).

Called by `operate.status` and, before a run, by `project`. KAI knows how much of its queue a job has, and not on whose
nodes: that is seen from the pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.queues.loans import Loan
from meshctl.errors import BusyError, CredentialsError, UnreachableError
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Gap
from meshctl.model.keys import kai
from meshctl.model.pods import object_names
from meshwire.kubernetes import objects
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import NODES, PODS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_FORBIDDEN, _ABSENT = 403, 404
_ENDED: Final = ("Succeeded", "Failed")
_NOT_CHECKED: Final = "not checked: whether somebody else has queues with the names of the mesh's queues"
_UNSEEN: Final = (
    f"{_NOT_CHECKED}; the Kubernetes user may not list `queues`: grant `list` on them in the API group"
    " scheduling.run.ai"
)

Json = Mapping[str, Any]


def loans(cluster: ClusterAccess, deployment: Deployment) -> list[Loan]:
    """All loans by now. Raises: as `cluster_access.translate_errors`."""
    own = object_names.labels(deployment.mesh, deployment.environment)
    with cluster.connected() as client:
        nodes = client.list_objects(NODES, labels={MESH_LABEL: deployment.mesh})
        pods = client.list_objects(PODS, namespace=deployment.namespace, labels=own)
    metadata = [node.get("metadata", {}) for node in nodes]
    pools = {each.get("name", ""): each.get("labels", {}).get(POOL_LABEL, "") for each in metadata}
    by_job: dict[tuple[str, str], int] = {}
    for pool, job, accelerators in _lent(deployment, pods, pools):
        by_job[pool, job] = by_job.get((pool, job), 0) + accelerators
    return [Loan(pool, job, accelerators) for (pool, job), accelerators in sorted(by_job.items())]


def _lent(
    deployment: Deployment, pods: Iterable[objects.Pod], pools: Mapping[str, str]
) -> Iterator[tuple[str, str, int]]:
    """Pool, job and accelerators of each pod on a node of another pool than its own."""
    workloads = {workload.name: workload for workload in deployment.workloads}
    for pod in pods:
        labels = pod.get("metadata", {}).get("labels", {})
        workload = workloads.get(labels.get("app.kubernetes.io/name", ""))
        pool = pools.get(pod.get("spec", {}).get("nodeName", ""), "")
        has_ended = pod.get("status", {}).get("phase", "") in _ENDED
        if workload is not None and pool and pool != workload.pool and kai.QUEUE_LABEL in labels and not has_ended:
            yield pool, workload.name, workload.accelerators


@dataclass(frozen=True)
class TakenNames:
    """`gaps`: one for each queue of somebody else that has the name of one of the mesh's. `notes`: what could not be
    seen."""

    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()


def taken_names(cluster: ClusterAccess, deployment: Deployment) -> TakenNames:
    try:
        with cluster.connected() as client:
            queues = _queues(client)
    except (BusyError, CredentialsError, UnreachableError) as error:
        return TakenNames(notes=(f"{_NOT_CHECKED} ({error.what})",))
    if queues is None:
        return TakenNames(notes=(_UNSEEN,))
    names = {kai.mesh_queue(deployment.mesh): "lending"}
    for pool in kai.pools(deployment):
        subject = f"pool/{pool.name}"
        names[kai.pool_queue(deployment.mesh, pool.name)] = subject
        names |= {kai.lent_queue(deployment.mesh, pool.name): subject} if kai.lends(deployment, pool) else {}
    taken = [str(each["metadata"]["name"]) for each in queues if not _is_own(deployment, each)]
    return TakenNames(gaps=tuple(_gap(names[name], name) for name in sorted(taken) if name in names))


def _queues(client: Client) -> list[Any] | None:
    try:
        return client.items(f"/apis/{kai.API}/queues")
    except ApiError as error:
        if error.status == _ABSENT:
            return []
        if error.status == _FORBIDDEN:
            return None
        raise


def _is_own(deployment: Deployment, queue: Json) -> bool:
    labels = queue["metadata"].get("labels") or {}
    own = object_names.labels(deployment.mesh, deployment.environment)
    return all(labels.get(key) == value for key, value in own.items())


def _gap(subject: str, name: str) -> Gap:
    return Gap(
        subject=subject,
        wanted=f"a queue of KAI Scheduler called {name}",
        best="the cluster has one with this name that meshctl has not made: queues are objects of the whole cluster",
        hint=f"give the mesh another name, or have the other one renamed; `kubectl get queues.scheduling.run.ai {name}"
        " --output yaml` shows whose it is",
    )

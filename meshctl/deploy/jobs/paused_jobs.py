"""Takes jobs that a migration pauses out of their queues of Kueue, which would start them again. EDGE (clusters).

Called by `runs` around a run. A job that comes after others has its queue from its release in the cluster, so an
apply by the engine, which has never set that label, would leave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshctl.clients.kubernetes import clusters
from meshctl.errors import NotReadyError
from meshctl.model.deployment import Deployment
from meshctl.model.keys import job_order
from meshctl.model.stack_state import StackState
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Job
from meshwire.kubernetes.resources import JOBS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_GONE: Final = 404
_MANAGER: Final = "meshctl"  # the name of the field manager that suspends the job


def leave_queues(deployment: Deployment, state: StackState) -> None:
    """Suspend the paused jobs that have the label of a queue, and take the label from them: both at once, as Kueue
    refuses a job that runs without its queue.

    Raises: NotReadyError where a job still has a queue afterwards; as `clusters` does.
    """
    in_state = {resource.name for resource in state.resources if resource.is_kubernetes}
    names = [
        workload.name
        for workload in deployment.workloads
        if workload.is_job and workload.queue and not workload.runs and f"workload/{workload.name}:job" in in_state
    ]
    if not names:
        return
    with clusters.access(deployment, state.outputs).connected() as client:
        for name in names:
            try:
                _leave_queue(client, deployment.namespace, name)
            except ApiError as error:
                if error.status != _GONE:
                    raise


def _leave_queue(client: Client, namespace: str, name: str) -> None:
    if not _queue(client.get(JOBS, name, namespace=namespace)):
        return
    body = {"metadata": {"labels": {job_order.QUEUE_LABEL: None}}, "spec": {"suspend": True}}
    client.patch(JOBS, name, body, kind=requests.MERGE_PATCH, namespace=namespace, manager=_MANAGER)
    if queue := _queue(client.get(JOBS, name, namespace=namespace)):
        raise NotReadyError(
            f"workload/{name} can't be paused: its Job is still in the queue {queue} of Kueue",
            why=f"meshctl has removed the label {job_order.QUEUE_LABEL}, and another program has set it again",
            hint=f"`kubectl get job {name} -n {namespace} -o yaml --show-managed-fields` shows which one",
        )


def _queue(job: Job) -> str:
    return str((job["metadata"].get("labels") or {}).get(job_order.QUEUE_LABEL) or "")

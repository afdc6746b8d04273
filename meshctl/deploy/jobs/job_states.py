"""Reads the jobs of a mesh (training and batch) from their cluster: whether they have ended, and why they failed. EDGE.

Called by `runs` after an `up`, by `operate.status` and `operate.restart`, and for migrations. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.redaction import Redact, redaction
from meshctl.engine.events import OnProgress, Progress
from meshctl.errors import JobsFailedError, MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackOutputs
from meshwire.kubernetes import objects
from meshwire.kubernetes.resources import JOBS, PODS

_OURS = {"app.kubernetes.io/managed-by": "meshctl"}
_NAME = "app.kubernetes.io/name"
# The first condition of each pair is set while pods of the job still terminate, the second once they have.
COMPLETE = ("SuccessCriteriaMet", "Complete")
_FAILED = ("FailureTarget", "Failed")
_FIX = "fix the cause (`meshctl up {environment}` first if mesh.yaml or environments.yaml changed)"


def jobs_of_deployment(deployment: Deployment, outputs: StackOutputs) -> dict[str, JobState]:
    """The jobs of a deployment by workload. `outputs`: those of its stack. Raises: as `jobs_in_cluster`."""
    return jobs_in_cluster(clusters.access(deployment, outputs), deployment.namespace)


def jobs_in_cluster(cluster: ClusterAccess, namespace: str) -> dict[str, JobState]:
    """The jobs by workload. Raises: CredentialsError, UnreachableError, MeshError."""
    with cluster.connected() as client:
        jobs = [job_state(job) for job in client.list_objects(JOBS, namespace=namespace, labels=_OURS)]
        if not any(state.ended == "failed" for state in jobs):
            return {state.workload: state for state in jobs}
        pods = client.list_objects(PODS, namespace=namespace, labels=_OURS)
        redact = redaction(client, namespace, _OURS)
    return {state.workload: _with_last_words(state, pods, redact) for state in jobs}


def job_state(job: objects.Job) -> JobState:
    """The state of a Job, without the last words of its pods."""
    workload = (job.get("metadata", {}).get("labels") or {}).get(_NAME, "")
    conditions = job.get("status", {}).get("conditions") or []
    true = {condition.get("type"): condition for condition in conditions if condition.get("status") == "True"}
    failure = next((true[kind] for kind in _FAILED if kind in true), None)
    if failure is not None:
        reason = ": ".join(part for part in (failure.get("reason"), failure.get("message")) if part)
        return JobState(workload, "failed", reason)
    if any(kind in true for kind in COMPLETE):
        return JobState(workload, "complete")
    suspended = bool(job.get("spec", {}).get("suspend"))
    has_start = bool(job.get("status", {}).get("startTime"))
    return JobState(workload, suspended=suspended, never_started=suspended and not has_start)


def _with_last_words(state: JobState, pods: Iterable[objects.Pod], redact: Redact) -> JobState:
    if state.ended != "failed":
        return state
    failed = [pod for pod in pods if _has_failed(pod, state.workload)]
    if not failed:
        return state
    last = clusters.pod_state(max(failed, key=_ended_at))
    words = redact(last.reason)
    return JobState(state.workload, state.ended, state.reason, f"{last.name}: {words}" if words else "")


def _has_failed(pod: objects.Pod, workload: str) -> bool:
    labels = pod.get("metadata", {}).get("labels") or {}
    return labels.get(_NAME) == workload and pod.get("status", {}).get("phase") == "Failed"


def _ended_at(pod: objects.Pod) -> str:
    """When the last container of a pod ended, as text that sorts; "" when no container has ended."""
    states = [status.get("state") or objects.ContainerState() for status in clusters.container_statuses(pod)]
    return max((state.get("terminated", {}).get("finishedAt") or "" for state in states), default="")


def jobs_after_up(deployment: Deployment, outputs: StackOutputs, on_progress: OnProgress | None) -> dict[str, JobState]:
    """The jobs at the end of an otherwise successful `up`: some may have failed, others wait. A cluster that can't be
    asked is reported as a progress message."""
    if not any(workload.is_job and workload.runs for workload in deployment.workloads):
        return {}
    try:
        return jobs_of_deployment(deployment, outputs)
    except MeshError as error:
        message = f"meshctl can't read whether its jobs have failed: {error.what}"
        if on_progress is not None:
            on_progress(Progress(deployment.environment, deployment.environment, "message", message))
        return {}


def failed_jobs_error(deployment: Deployment, jobs: Mapping[str, JobState]) -> JobsFailedError | None:
    """The error of an `up` of `deployment` whose jobs have failed; None when no job that runs there has. PURE."""
    wanted = [workload.name for workload in deployment.workloads if workload.is_job and workload.runs]
    failed = [jobs[name] for name in wanted if name in jobs and jobs[name].ended == "failed"]
    if not failed:
        return None
    names = [state.workload for state in failed]
    environment = deployment.environment
    what = f"the job of {names[0]} has" if len(names) == 1 else f"the jobs of {', '.join(names)} have"
    again = " and ".join(_restart(name, environment) for name in names)
    return JobsFailedError(
        f"{environment}: {what} failed; everything else is up",
        why="; ".join(f"{state.workload}: {state.why}" if len(names) > 1 else state.why for state in failed),
        hint=f"{_FIX.format(environment=environment)}, then {again}; `meshctl status {environment}` shows its pods",
    )


def runs_again_hint(workload: str, environment: str) -> str:
    """The hint for a job that has failed. PURE."""
    return f"{_FIX.format(environment=environment)}, then {_restart(workload, environment)}"


def _restart(workload: str, environment: str) -> str:
    return f"`meshctl restart {workload} --env {environment}`"

"""Live status of an environment: pools, workloads, endpoints; and its text form. EDGE (reads only), but for
`status_text` (PURE).

Called by `cli.status`. An API that does not answer is reported as an error, never as an empty environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.clients.kubernetes import clusters, holders
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.gateway_logs import CountedRequests, counted_requests
from meshctl.clients.queues import kai_loans, kueue, loans
from meshctl.clients.queues.loans import Loan
from meshctl.clients.weka import weka_clusters
from meshctl.deploy import deploy_state, live_platform
from meshctl.deploy.capacity import scheduled_pools
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.jobs import held_gangs, held_jobs, job_states
from meshctl.deploy.session import Session
from meshctl.engine.stack_locks import Holder
from meshctl.errors import MeshError, NewerVersionError, UnreadableError
from meshctl.model import observed
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import elastic, lending, scaling
from meshctl.model.observed import DeployState, JobState
from meshctl.model.stack_state import StackOutputs, StackState
from meshctl.operate import group_status, loan_status, pool_status, scaled
from meshctl.operate.endpoint_status import EndpointStatus, endpoint_statuses, with_counts
from meshctl.operate.loan_status import LoanStatus
from meshctl.operate.neural_mesh_status import NeuralMeshStatus, neural_mesh_status
from meshctl.operate.pool_status import AddonStatus, PoolStatus
from meshctl.platforms import registry
from meshctl.printable import one_line


@dataclass(frozen=True)
class WorkloadStatus:
    """`done` counts a job's pods that have succeeded; `reason` says why a job failed or has not started, or why a pod
    isn't ready. `job`: complete | failed | waiting | finished in ENV | "" while it may still run. `groups`: how many
    there should be of a workload whose replicas are groups of pods; 0 of any other. `least` and `most`: the range of
    replicas that follow load, of which `wanted` are there now; 0 of a number of replicas. `elastic`: with how many
    nodes a gang can work, in words; "" of what has a fixed size. `lent`: how many of the ready pods are on nodes that
    other pools lend; they are counted in `wanted`, in which pods that wait for such a node are not."""

    name: str
    kind: str
    ready: int
    wanted: int
    done: int
    restarts: int
    reason: str
    job: str = ""
    groups: int = 0
    groups_ready: int = 0
    least: int = 0
    most: int = 0
    elastic: str = ""
    lent: int = 0

    @property
    def is_short(self) -> bool:
        """Whether pods are missing, beyond those that load has just asked for."""
        if self.most and self.wanted:
            return (self.groups_ready if self.groups else self.ready - self.lent) < max(self.least, 1)
        return self.ready + self.done < self.wanted and self.job != "waiting"


@dataclass(frozen=True)
class EnvironmentStatus:
    """`state`: up | degraded (with `error` where an `up` did not finish) | storage (nothing but object storage) |
    absent | unknown (with `error`). `running`: the run that is changing it at the moment. `notes`: what the platform
    says beside, and what it did not say. `shifts`: a line for each shift of nodes between its pools, with which is
    counted what pools want; `open_shifts`: the same in parts."""

    environment: str
    state: str
    pools: tuple[PoolStatus, ...] = ()
    workloads: tuple[WorkloadStatus, ...] = ()
    endpoints: tuple[EndpointStatus, ...] = ()
    error: str = ""
    running: Holder | None = None
    addons: tuple[AddonStatus, ...] = ()
    notes: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    open_shifts: tuple[observed.OpenShift, ...] = ()
    loans: tuple[LoanStatus, ...] = ()  # a line for each pool that lends nodes
    neural_mesh: NeuralMeshStatus | None = None  # of a mesh whose file systems it carries

    def document(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "open_shifts": [each.document() for each in self.open_shifts]}


def collect(session: Session, environment: str) -> EnvironmentStatus:
    """Read the status from the state and the cluster. Errors of the cluster or its platform are in `error`.

    Raises: NewerVersionError, UnreadableError.
    """
    mistake = session.environments.mistake(environment)
    if mistake is not None:
        return EnvironmentStatus(environment, "unknown", error=mistake.message)
    state = session.state(environment)
    without_cluster = _without_cluster(environment, state)
    if without_cluster is not None:
        return without_cluster
    unfinished = _unfinished(environment, state)
    shifts, deployment = session.shifts_in_force(environment), state.deployment
    if deployment is None or (unfinished and not _has_cluster(deployment, state.outputs)):
        return EnvironmentStatus(environment, "degraded", error=unfinished)
    endpoints = endpoint_statuses(session, deployment, state.outputs)
    try:
        answers = _ask_cluster(deployment, state.outputs, shifts)
    except MeshError as error:
        why = f"{error.what}: {error.why}"
        lines, parts = shifts.notes, shifts.open
        return EnvironmentStatus(environment, "unknown", (), (), endpoints, why, shifts=lines, open_shifts=parts)
    releases = live_platform.ask(deployment, state)
    pools = pool_status.pools(deployment, answers.ready_nodes, releases, shifts)
    workloads = _workloads(deployment, answers, shifts)
    is_short = _is_short(pools, workloads) or (answers.neural_mesh is not None and answers.neural_mesh.is_short)
    return EnvironmentStatus(
        environment,
        "degraded" if unfinished or is_short else "up",
        pools,
        workloads,
        with_counts(endpoints, answers.requests.by_endpoint),
        unfinished,
        addons=pool_status.addons(releases),
        notes=(*releases.notes, *releases.unasked, *answers.requests.unread),
        shifts=shifts.notes,
        open_shifts=shifts.open,
        loans=loan_status.loan_statuses(deployment, answers.loans),
        neural_mesh=answers.neural_mesh,
    )


def _without_cluster(environment: str, state: StackState) -> EnvironmentStatus | None:
    """The status where nothing is up, or only what needs no cluster; else None."""
    deployed = deploy_state.deploy_state(state)
    if deployed is DeployState.NOTHING:
        return EnvironmentStatus(environment, "absent")
    if deployed is DeployState.STORAGE:
        stores = ", ".join(deploy_state.stores_with_buckets(state))
        return EnvironmentStatus(environment, "storage", error=f"nothing is up but the object storage: {stores}")
    return None


@dataclass(frozen=True)
class _ClusterAnswers:
    """What the cluster says of the mesh. `ready_nodes`: their number by pool. `jobs` by workload, only those that are
    there. `waiting`: what workloads wait for, in words, by name. `replicas`: how many there are to be, by workload;
    asked only where one sleeps. `loans`: None where they are not known. `neural_mesh`: None where the mesh has none."""

    ready_nodes: Mapping[str, int]
    pods: list[observed.PodState]
    jobs: Mapping[str, JobState]
    waiting: Mapping[str, str]
    replicas: Mapping[str, int]
    loans: list[Loan] | None
    neural_mesh: NeuralMeshStatus | None
    requests: CountedRequests


def _ask_cluster(deployment: Deployment, outputs: StackOutputs, shifts: observed.ShiftsInForce) -> _ClusterAnswers:
    """Raises: UsageError where the kubeconfig selects another cluster; CredentialsError, UnreachableError."""
    access = clusters.access(deployment, outputs)
    cluster_identity.check_cluster_unchanged(access)
    nodes = clusters.ready_nodes(access, deployment.mesh)
    pods = holders.with_holders(access, deployment, clusters.pods(access, deployment.namespace))
    pods = held_gangs.explained(deployment, pods)
    has_jobs = any(workload.is_job for workload in deployment.workloads)
    jobs = job_states.jobs_in_cluster(access, deployment.namespace) if has_jobs else {}
    waiting = {
        **held_gangs.waiting_gangs(deployment, pods),
        **_waiting_jobs(access, deployment, jobs, pods),
        **scheduled_pools.saved_jobs(deployment, jobs),
        **scheduled_pools.waiting_workloads(deployment),
        **_without_nodes(deployment, shifts),
    }
    sleeps = any(workload.sleeps and workload.runs for workload in deployment.workloads)
    replicas = clusters.replica_counts(access, deployment.namespace) if sleeps else {}
    lent, neural_mesh = _loans(access, deployment), _neural_mesh(access, deployment)
    requests = counted_requests(access, deployment, pods)
    return _ClusterAnswers(nodes, pods, jobs, waiting, replicas, lent, neural_mesh, requests)


def _loans(access: ClusterAccess, deployment: Deployment) -> list[loans.Loan] | None:
    if not any(pool.lends_nodes for pool in deployment.pools):
        return None
    read = kai_loans.loans if lending.kai_counts(deployment) else loans.loans
    return read(access, deployment)


def _neural_mesh(access: ClusterAccess, deployment: Deployment) -> NeuralMeshStatus | None:
    mesh = deployment.neural_mesh
    return neural_mesh_status(mesh, weka_clusters.state(access, mesh)) if mesh is not None else None


def _workloads(
    deployment: Deployment, answers: _ClusterAnswers, shifts: observed.ShiftsInForce
) -> tuple[WorkloadStatus, ...]:
    """Of all workloads. Elastic gangs are as large as their pools are with the shifts."""
    now = deployment.with_ranks(shifts.sizes)
    statuses = []
    for workload in deployment.workloads:
        name = workload.name
        job, waits_for = answers.jobs.get(name), answers.waiting.get(name, "")
        status = workload_status(now, name, answers.pods, job, waits_for, replicas=answers.replicas.get(name, 0))
        statuses.append(dataclasses.replace(status, elastic=_elastic(workload)))
    return tuple(statuses)


def _is_short(pools: Iterable[PoolStatus], workloads: Iterable[WorkloadStatus]) -> bool:
    """Whether nodes or pods are missing, or a job has failed."""
    nodes_are_missing = any(pool.ready < pool.wanted for pool in pools)
    return nodes_are_missing or any(workload.is_short or workload.job == "failed" for workload in workloads)


def _elastic(workload: Workload) -> str:
    return elastic.words(workload.least_nodes, workload.replicas) if workload.is_elastic else ""


def _without_nodes(deployment: Deployment, shifts: observed.ShiftsInForce) -> dict[str, str]:
    """What the jobs wait for that a shift has stopped."""
    undo = f"`meshctl shift {deployment.environment} --undo` gives them back"
    jobs = (workload.name for workload in deployment.workloads if workload.name in shifts.waiting)
    return dict.fromkeys(jobs, f"its nodes are shifted to another pool; {undo}")


def _waiting_jobs(
    access: ClusterAccess, deployment: Deployment, jobs: Mapping[str, JobState], pods: list[observed.PodState]
) -> dict[str, str]:
    """What the jobs wait for that nothing has started yet. Kueue is asked only where one waits in a queue of it."""
    waiting = held_jobs.waiting_jobs(deployment, jobs, pods)
    if not any(deployment.workload(name).queue for name in waiting):
        return waiting
    if not kueue.is_installed(access):
        queued = dict.fromkeys(waiting, kueue.NOT_INSTALLED)
    else:
        queued = kueue.reasons(access, deployment.namespace)
    return held_jobs.waiting_jobs(deployment, jobs, pods, queued)


def collect_all(session: Session, environments: Iterable[str]) -> list[EnvironmentStatus]:
    """As `collect` for each environment. One whose state can't be read is "unknown", so that the others are shown."""
    return [_collect_or_unknown(session, environment) for environment in environments]


def _collect_or_unknown(session: Session, environment: str) -> EnvironmentStatus:
    try:
        return collect(session, environment)
    except (NewerVersionError, UnreadableError) as error:
        return EnvironmentStatus(environment, "unknown", error=f"{error.what}: {error.why}; {error.hint}")


def with_holder(status: EnvironmentStatus, holder: Holder | None) -> EnvironmentStatus:
    """The status of an environment that `holder` is changing: that something is still missing is no error then."""
    if holder is None:
        return status
    return dataclasses.replace(status, running=holder, error=status.error if status.state == "unknown" else "")


def _unfinished(environment: str, state: StackState) -> str:
    """Which resources a run that did not finish has left, in words; "" after one that did."""
    if deploy_state.deploy_state(state) is not DeployState.PART:
        return ""
    go_on = f"`meshctl up {environment}` goes on, `meshctl destroy {environment}` removes it"
    return f"the last `up` or `destroy` did not finish: {deploy_state.unfinished_text(state)}; {go_on}"


def _has_cluster(deployment: Deployment, outputs: StackOutputs) -> bool:
    """Whether the cluster exists and can be asked: one that meshctl makes may not exist yet."""
    is_given = registry.platform(deployment.provider).cluster.made is None
    return is_given or bool(outputs.kubeconfig)


def workload_status(
    deployment: Deployment,
    name: str,
    pods: list[observed.PodState],
    job: JobState | None = None,
    waits_for: str = "",
    *,
    replicas: int = 0,
) -> WorkloadStatus:
    """The status of one workload, from the pods of its environment and, if it is a job, the state of the job.
    `waits_for`: as `held_jobs.waiting_jobs` says of a job that nothing has started yet. `replicas`: of one that sleeps,
    how many it is to have now."""
    workload = scaled.as_it_is(deployment.workload(name), pods, replicas)
    lent = sum(pod.workload == name and pod.is_lent and pod.ready for pod in pods)
    wanted = workload.pods + lent if workload.runs else 0
    ended: str = job.ended if job is not None and workload.runs else ""
    own_pods = [pod for pod in pods if pod.workload == name]
    ready, done = sum(pod.ready for pod in own_pods), sum(pod.phase == "Succeeded" for pod in own_pods)
    done = wanted if ended == "complete" else done  # the pods of a complete job may be gone, together with their nodes
    # a job's failed pods stay next to those that replace them, so they count only while pods are missing
    # nobody waits for a pod on a lent node, but it keeps the node from others
    missing = [pod for pod in own_pods if not pod.is_lent] if ready + done < wanted else []
    missing += [pod for pod in own_pods if pod.is_lent and pod.node]
    reasons = [f"{pod.name}: {pod.reason}" for pod in missing if not pod.ready and pod.reason]
    if job is not None and ended == "failed":
        reasons = [f"the job failed: {job.why}; {job_states.runs_again_hint(name, deployment.environment)}"]
    if waits_for:
        ended, reasons = "waiting", [waits_for]
    is_grouped = workload.is_grouped and workload.runs
    if is_grouped:
        reasons = group_status.reasons(workload, own_pods)
    return WorkloadStatus(
        name=name,
        kind=workload.kind,
        ready=ready,
        wanted=wanted,
        done=done,
        restarts=sum(pod.restarts for pod in own_pods),
        reason=next(iter(reasons), ""),
        job=f"finished in {workload.finished_in}" if workload.finished_in else ended,
        groups=workload.at_least if is_grouped else 0,
        groups_ready=group_status.ready_groups(workload, own_pods) if is_grouped else 0,
        least=scaled.least(deployment.workload(name)),
        most=deployment.workload(name).most_replicas,
        lent=lent,
    )


def status_text(status: EnvironmentStatus) -> str:
    """The status as text, ending in a newline."""
    lines = [f"{status.environment}: {status.state}"]
    if status.running is not None:
        lines.append(f"  {status.running}: what is missing may still come")
    if status.error:
        lines.append(f"  {status.error}")
    lines += [f"  {note}" for note in status.shifts]
    names = [p.name for p in status.pools] + [w.name for w in status.workloads] + [e.name for e in status.endpoints]
    names += [addon.name for addon in status.addons]
    names += [status.neural_mesh.name] if status.neural_mesh is not None else []
    width = max((len(name) for name in names), default=0)
    lines += [pool.line(width) for pool in status.pools]
    lines += [loan.line(width) for loan in status.loans]
    lines += [status.neural_mesh.line(width)] if status.neural_mesh is not None else []
    for workload in status.workloads:
        line = f"  workload  {workload.name:<{width}}  {_readiness(workload)}"
        line += f", {workload.done} done" if workload.done else ""
        line += f", {workload.restarts} restarts" if workload.restarts else ""
        line += f", {workload.job}" if workload.job.startswith("finished") else ""
        lines.append(line + (f"  ({workload.reason})" if workload.reason else ""))
    lines += [endpoint.line(status.environment, width) for endpoint in status.endpoints]
    lines += [addon.line(width) for addon in status.addons]
    lines += [f"  note: {note}" for note in status.notes]
    return "\n".join(map(one_line, lines)) + "\n"


def _readiness(workload: WorkloadStatus) -> str:
    within = f" ({scaling.words(workload.least, workload.most)})" if workload.most else ""
    within = f" (elastic: {workload.elastic})" if workload.elastic else within
    if not workload.groups:
        on_lent_nodes = f", {workload.lent} on lent nodes" if workload.lent else ""
        return f"{workload.ready}/{workload.wanted} ready{within}{on_lent_nodes}"
    return f"{workload.groups_ready}/{workload.groups} groups ready{within}, {workload.ready}/{workload.wanted} pods"

"""Steps that bring up and destroy environments, start, stop and watch workloads. EDGE: through `Gateway` alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from meshctl.deploy.guards.protection import refused_by_migration_destroy
from meshctl.deploy.jobs import held_jobs
from meshctl.errors import AmbiguousStepError, MigrationError, NotReadyError
from meshctl.migrate.gateway import PendingChanges
from meshctl.migrate.planning import jobs
from meshctl.migrate.planning.plan import read_stores
from meshctl.migrate.steps import canary
from meshctl.migrate.steps.context import DONE, NOT_DONE, POLL_S, Observation, State, StepContext, alive
from meshctl.migrate.steps.grace import GraceWatch
from meshctl.migrate.steps.step import Step
from meshctl.model.deployment import Endpoint, utc_text
from meshctl.model.observed import DeployState, JobState, PodState
from meshctl.objects.verify import listing_digest
from meshctl.render.pod import probes
from meshctl.render.pod.pods import grace_s

_READY_MARGIN_S = 1200  # beyond what `up` waits for a pod: images and weights of a large model
_PROBE_S = 600
_STOP_MARGIN_S = 120  # added to the longest grace period of the workloads that the step waits for
FINISHING = "meshctl migrations finish"
DESTROYING = "meshctl migrations rollback --destroy-target"
_FAILURES = 3  # in a row, while observing


def observe_up(context: StepContext) -> Observation:
    """AMBIGUOUS if something else has changed the environment. Never DONE: an `up` that failed leaves the same outputs
    as one that succeeded, and repeating an `up` creates nothing twice."""
    observation = _observe_deployed(context)
    return NOT_DONE if observation.state is State.DONE else observation


def act_up(context: StepContext) -> dict[str, Any]:
    """An `up`. A job that failed at the target in an earlier try of this step is run again.

    Raises: MigrationError, NoCapacityError where the target has no nodes yet, or none any more, before anything is
    stopped at the source.
    """
    failed = _failed(context) if context.step.phase == "start" else {}
    result = context.gateway.up(context.deployment, context.say)
    if _needs_nodes(context.step) and result.starts:
        raise _no_nodes_yet(context.deployment.environment, result.starts)
    if _needs_nodes(context.step) and result.ended_blocks is not None:
        raise result.ended_blocks
    for name in failed:
        context.say(f"{name} had failed; running it again")
        context.gateway.rerun_job(context.deployment, name, context.say)
    return {"run_again": sorted(failed)} if failed else {}


def _needs_nodes(step: Step) -> bool:
    """What stops at the target needs none: a rollback may well be away from a block that has ended. Neither do replicas
    that follow load again, once names lead where they are to lead."""
    return step.side == "target" and step.action == "up" and bool(step.workloads or step.name == "provision/target")


def _no_nodes_yet(environment: str, starts: Mapping[str, str]) -> MigrationError:
    pools = ", ".join(f"pool {name} ({utc_text(moment)})" for name, moment in starts.items())
    return MigrationError(
        f"{environment} has no nodes yet for {pools}",
        why="their capacity reservation begins then, and what moves there could not run before",
        hint="`meshctl migrations resume` after that goes on; `meshctl migrations rollback` gives the migration up",
    )


def verify_up(context: StepContext) -> dict[str, Any]:
    if _observe_deployed(context).state is not State.DONE:
        raise MigrationError(
            f"{context.deployment.environment} is not what was brought up", why=_observe_deployed(context).reason
        )
    names = ", ".join(sorted(context.step.workloads)) or "nothing"
    hint = f"`meshctl status {context.deployment.environment}` shows why"
    passed_over: set[str] = set()
    ready = f"{names} to be ready in {context.deployment.environment}"
    context.wait_until(ready, lambda: _not_ready(context, passed_over), _ready_limit_s(context), hint)
    return {"ready": {name: len(_ready_pods(context, name)) for name in sorted(context.step.workloads)}}


def _ready_limit_s(context: StepContext) -> int:
    """As long as the slowest of the step's workloads may take to start, and a margin."""
    workloads = [context.deployment.workload(name) for name in context.step.workloads]
    return max(map(probes.ready_s, workloads), default=0) + _READY_MARGIN_S


def _observe_deployed(context: StepContext) -> Observation:
    planned = context.deployment
    deployed = context.gateway.deployed(planned.environment)
    if deployed is None:
        return NOT_DONE
    deployed = deployed.placed_as(planned)
    if deployed.unshifted == planned.unshifted:
        return DONE
    if deployed.bare == planned.bare or context.step.name == "provision/target":
        return NOT_DONE
    if context.step.side == "target" and {each.name for each in deployed.workloads} == context.plan.serving:
        return NOT_DONE  # what the expansion had brought up: `provision/target` was stopped before it changed anything
    return Observation(
        State.AMBIGUOUS,
        reason=f"something else has changed {planned.environment} since the migration was planned",
        ask=f"whether the migration may undo that change: `meshctl status {planned.environment}`",
    )


def _ready_pods(context: StepContext, workload: str) -> list[str]:
    pods = context.gateway.pods(context.deployment, workload)
    return [pod.name for pod in pods if pod.ready or pod.phase == "Succeeded"]


def _not_ready(context: StepContext, passed_over: set[str]) -> str:
    """What is still missing, in words. A failed job gets no more pods, so it is not waited for; `passed_over` are the
    failed jobs that were already reported.

    Raises: MigrationError for a failed job. Not in a rollback: there a job may have failed long before the migration,
    which must not prevent the rollback.
    """
    failed = _failed(context)
    if context.step.phase != "rollback":
        _refuse_failed(context, failed)
    for name in sorted(failed.keys() - passed_over):
        context.say(f"not waiting for {name}, which has failed in {context.deployment.environment}: {failed[name].why}")
    passed_over.update(failed)
    return missing_pods(context, but=failed.keys())


def _refuse_failed(context: StepContext, failed: Mapping[str, JobState]) -> None:
    """Raises: MigrationError for the first of the jobs. The next run repeats the step that starts it, which runs the
    job again (`act_up`)."""
    for name, state in failed.items():
        raise MigrationError(
            f"the job of {name} has failed in {context.deployment.environment}",
            why=state.why,
            hint="fix the cause, then `meshctl migrations resume` runs the job again",
        )


def _failed(context: StepContext) -> dict[str, JobState]:
    """The step's jobs that have failed."""
    names = sorted(name for name in context.step.workloads if context.deployment.workload(name).is_job)
    states = context.gateway.jobs(context.deployment) if names else {}
    return {name: states[name] for name in names if jobs.has_failed(states, name)}


def missing_pods(context: StepContext, but: Collection[str] = ()) -> str:
    """The first of the step's workloads (without `but`) that has too few ready pods, in words; "" if there is none."""
    deployment = context.deployment
    names = [name for name in sorted(context.step.workloads) if name not in but and deployment.workload(name).runs]
    without_pods: frozenset[str] = frozenset()  # jobs whose pods may already be deleted, or that wait for others
    if _any_job(context, names):
        states = context.gateway.jobs(deployment)
        without_pods = jobs.completed_jobs(deployment, states) | held_jobs.waiting_jobs(deployment, states).keys()
    for name in (name for name in names if name not in without_pods):
        wanted = deployment.workload(name).pods
        ready = len(_ready_pods(context, name))
        if ready < wanted:
            pods = context.gateway.pods(deployment, name)
            reason = next((f": {pod.name}: {pod.reason}" for pod in pods if not pod.ready and pod.reason), "")
            return f"{name} has {ready} of {wanted} pods ready{reason}"
    return ""


def _any_job(context: StepContext, names: Iterable[str]) -> bool:
    return any(context.deployment.workload(name).is_job for name in names)


def verify_stop(context: StepContext) -> dict[str, Any]:
    """Wait until the pods have ended. A pod on a lost node may still write, so the user has to find out.

    Returns the jobs that have completed since the plan was made: they are not run again in the other environment. Pods
    that end because the job is suspended do not make it complete (Kubernetes, "Suspending a Job").
    """
    _until_ended(context, context.step.workloads)
    if not _any_job(context, context.step.workloads):
        return {}
    running = context.deployment.paused(frozenset())
    ended = jobs.completed_jobs(running, context.gateway.jobs(context.deployment)) & context.step.workloads
    finished = sorted(jobs.jobs_with_equal_work(context.plan.source, context.plan.target, ended))
    return {"finished": finished} if finished else {}


def _until_ended(context: StepContext, names: frozenset[str]) -> None:
    """Wait for the longest grace period, as the mesh or the pods themselves have it, plus a margin.

    Raises: as `until_ended`.
    """
    declared_s = [grace_s(context.deployment.workload(name)) for name in names]
    own_s = [pod.grace_s for name in names for pod in _alive(context, name)]
    watch = until_ended(
        context,
        ("the pods to end", "still running"),
        lambda: [pod for name in sorted(names) for pod in _alive(context, name)],
        max([*declared_s, *own_s], default=0) + _STOP_MARGIN_S,
    )
    for message in watch.messages():
        context.say(message)


def until_ended(
    context: StepContext, words: tuple[str, str], running: Callable[[], list[PodState]], limit_s: float
) -> GraceWatch:
    """Wait until no pod is `running`; what was seen of their grace. `words`: what is waited for, and what pods do
    meanwhile.

    Raises: NotReadyError after `limit_s`; AmbiguousStepError for pods on lost nodes.
    """
    what, meanwhile = words
    watch = GraceWatch(POLL_S)

    def still_running() -> str:
        pods = running()
        watch.look(pods, context.gateway.now())
        return f"{meanwhile}: {', '.join(pod.name for pod in pods)}" if pods else ""

    try:
        context.wait_until(what, still_running, limit_s)
    except NotReadyError as error:
        if error.__cause__ is not None:  # the cluster did not answer: nothing is known about the pods
            raise
        stopping = [pod for pod in running() if pod.stopping]
        nodes = (
            context.gateway.lost_nodes(context.deployment, {pod.node for pod in stopping}) if stopping else frozenset()
        )
        lost = sorted(pod.name for pod in stopping if pod.node in nodes)
        if not lost:
            raise
        raise AmbiguousStepError(
            f"can't tell whether {', '.join(lost)} still run{'s' * (len(lost) == 1)}",
            why=f"their node is lost, so the cluster of {context.deployment.environment} does not know",
            hint="find out whether the processes have ended",
        ) from error
    return watch


def _alive(context: StepContext, name: str) -> list[PodState]:
    return alive(list(context.gateway.pods(context.deployment, name)))


def check_running(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError unless the source is what the plan was made from. It need not be healthy."""
    deployed = context.gateway.deployed(context.plan.source.environment)
    if deployed is None or deployed.unshifted != context.plan.source.unshifted:
        raise MigrationError(
            f"{context.plan.source.environment} is no longer what the migration was planned from",
            why="nothing is deployed there" if deployed is None else "an `up` has changed it in the meantime",
            hint="roll this migration back and start a new one",
        )
    context.gateway.check_fields(deployed)
    _refuse_pending(deployed.environment, context.gateway.pending_changes(deployed))
    pods = {w.name: len(_alive(context, w.name)) for w in context.plan.source.workloads}
    return {"pods": pods}


def _refuse_pending(source: str, pending: PendingChanges) -> None:
    """Raises: MigrationError if an `up` of the source would change more than its workloads, or would create deleted
    resources again."""
    changed, gone = ", ".join(sorted(pending.changed)), ", ".join(sorted(pending.gone))
    problems = [
        *([f"an `up` of {source} would change {changed}"] if changed else []),
        *([f"{gone} of {source} {'were' if len(pending.gone) > 1 else 'was'} deleted outside meshctl"] if gone else []),
    ]
    if problems:
        raise MigrationError(
            "; ".join(problems),
            why="the migration stops workloads with an `up` of the source, which would also change this",
            hint=f"roll this migration back, `meshctl up {source}`, then migrate",
        )


def check_free(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError if the mesh is in use at the target: it would be paused, and its data replaced."""
    target = context.plan.target.environment
    deployed = context.gateway.deployed(target)
    running = [workload.name for workload in deployed.workloads if workload.runs] if deployed else []
    running = [name for name in running if name not in context.plan.serving]
    shared = context.plan.expanded.endpoints if context.plan.expanded is not None else ()
    endpoints_there = sorted(
        name
        for name, at in context.gateway.endpoint_targets().items()
        if target in at.environments and name not in shared
    )
    if running or endpoints_there:
        raise MigrationError(
            f"{target} already runs {', '.join(running)}"
            if running
            else f"the DNS record of {', '.join(endpoints_there)} leads to {target}",
            why="the migration would pause what runs there, and replace its data by the source's",
            hint=f"roll this migration back, then `meshctl destroy {target}`, or move from there",
        )
    context.gateway.check_fields(context.deployment)
    return {"exists": deployed is not None}


def observe_refresh(context: StepContext) -> Observation:
    return NOT_DONE if _stale_workloads(context) else DONE


def act_refresh(context: StepContext) -> dict[str, Any]:
    """Stop the warm workloads whose data has changed since they read it. The next step starts them again."""
    stale = _stale_workloads(context)
    current = context.plan.workloads - context.step.workloads
    target = context.planned_side("target").with_least(context.replicas_to_keep)
    context.gateway.up(target.paused(current | stale), context.say)
    _until_ended(context, stale)
    return {"restarted": sorted(stale)}


def _stale_workloads(context: StepContext) -> frozenset[str]:
    """The warm workloads that may have read old data: their stores have changed at the target since the seed."""
    warm = [context.plan.target.workload(name) for name in context.step.workloads]
    moved = {move.store for move in context.plan.moves} & {store for w in warm for store in read_stores(w)}
    changed = {store for store in moved if _changed_since_seed(context, store)}
    return frozenset(w.name for w in warm if read_stores(w) & changed)


def _changed_since_seed(context: StepContext, store: str) -> bool:
    """Compares the target's listing with its digest after the seed. Journals of older versions have no digest: there
    every sync counts as a change unless it is known to have copied nothing; so does an interrupted one.
    """
    seed = context.history.done.get(f"seed/{store}")
    before = seed.data.get("target_digest") if seed is not None else None
    if before is not None:
        return bool(listing_digest(context.data.listing(context.access("target", store))) != before)
    records = [r for r in context.history.records if r.step == f"sync/{store}" and r.kind in ("intent", "done")]
    idle = [
        r
        for r in records
        if r.kind == "done" and r.data.get("objects") == r.data.get("deleted") == 0 and not r.data.get("unanswered")
    ]
    return len(records) > 2 * len(idle)


def before_destroy(context: StepContext) -> dict[str, Any]:
    """The data that will be deleted, for the journal. Raises: ProtectedDataError with the data that the user has not
    agreed to lose."""
    lost = context.gateway.losses_by_destroy(context.planned_side(context.step.side), keep_data=_keeps_data(context))
    not_agreed = context.history.not_agreed(lost)
    if not_agreed:
        raise refused_by_migration_destroy(
            context.planned_side(context.step.side).environment, not_agreed, _command(context)
        )
    return {"data_losses": [loss.document() for loss in lost]} if lost else {}


def act_destroy(context: StepContext) -> dict[str, Any]:
    """Always run, whatever exists: nodes are deleted after the namespace, and kept buckets are adopted last."""
    keep_data = _keeps_data(context)
    context.gateway.destroy(
        context.planned_side(context.step.side),
        keep_data=keep_data,
        allow_data_loss=context.history.allows_data_loss,
        command=_command(context),
        say=context.say,
    )
    return {"data_kept": keep_data}


def _command(context: StepContext) -> str:
    """The command that destroys the side. It needs no id: the open migration is always the newest."""
    return FINISHING if context.step.side == "source" else DESTROYING


def verify_destroy(context: StepContext) -> dict[str, Any]:
    left = context.gateway.deploy_state(context.deployment.environment)
    may_stay = (DeployState.NOTHING, DeployState.STORAGE) if _keeps_data(context) else (DeployState.NOTHING,)
    if left not in may_stay:
        raise MigrationError(
            f"{context.deployment.environment} still exists after it was destroyed",
            hint=f"`meshctl status {context.deployment.environment}` shows what is left",
        )
    return {"data_kept": left is DeployState.STORAGE}


def _keeps_data(context: StepContext) -> bool:
    return not context.history.options.get("delete_data") or context.step.side == "target"


def verify_probe(context: StepContext) -> dict[str, Any]:
    """The health check, then one request as a user would send it, both at the target's own address."""
    answers: dict[str, Any] = {}
    for endpoint in endpoints(context):
        for question in canary.questions(context.deployment, endpoint):
            answering = partial(canary.unhealthy_answer, context, endpoint, question)
            context.wait_until(f"an answer of {endpoint.host}", answering, _PROBE_S, _probe_hint(context, endpoint))
        answers[endpoint.name] = canary.record(context.deployment, endpoint)
    return {"answered": answers}


def _probe_hint(context: StepContext, endpoint: Endpoint) -> str:
    if endpoint.is_internal:
        return (
            f"{endpoint.host} is internal: run `meshctl migrations resume` on a machine that reaches the network of "
            f"{context.deployment.environment}"
        )
    return (
        f"`meshctl status {context.deployment.environment}` shows the pods of {endpoint.workload}; `health` of the "
        "workload says how it is asked. `meshctl migrations resume` asks again"
    )


def endpoints(context: StepContext) -> list[Endpoint]:
    return [e for e in context.deployment.endpoints if e.name in context.step.endpoints]


def act_observe(context: StepContext) -> dict[str, Any]:
    """Watch pods and health for the planned time. A check without an answer counts neither as a failure nor as a
    success. Raises: MigrationError after three failures in a row, and at once for a failed job.
    """
    end = context.gateway.now() + context.plan.options.observe_s
    checks = failures = 0
    while True:
        problem = context.with_retries(_problem)
        checks, failures = checks + 1, failures + 1 if problem else 0
        if failures == _FAILURES:
            source, target = context.plan.source.environment, context.deployment.environment
            raise MigrationError(
                f"{target} does not stay healthy after the cutover",
                why=problem,
                hint=f"`meshctl status {target}` shows more; {source} is still up",
            )
        if context.gateway.now() >= end and not failures:
            return {"checks": checks}
        context.pause(POLL_S)


def _problem(context: StepContext) -> str:
    _refuse_failed(context, _failed(context))
    return missing_pods(context) or _unhealthy(context)


def _unhealthy(context: StepContext) -> str:
    for endpoint in endpoints(context):
        question = next(canary.questions(context.deployment, endpoint))
        problem = canary.unhealthy_answer(context, endpoint, question)
        if problem:
            return problem
    return ""

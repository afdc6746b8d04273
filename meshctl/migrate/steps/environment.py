"""Steps that bring environments up, stop workloads, check and watch them. EDGE: through `Gateway` alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from meshctl.deploy.guards.protection import refused_by_retire
from meshctl.errors import AmbiguousStepError, MigrationError, NotReadyError
from meshctl.migrate.gateway import PendingChanges
from meshctl.migrate.planning import jobs
from meshctl.migrate.planning.plan import read_stores
from meshctl.migrate.steps.context import DONE, NOT_DONE, POLL_S, Observation, State, StepContext, alive
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.observed import JobState, Presence
from meshctl.objects.verify import listing_digest
from meshctl.render.pods import grace_s

_READY_S = 3600  # images and weights of a large model
_PROBE_S = 600
_STOP_MARGIN_S = 120  # beyond the longest grace of the workloads that are waited for
FINISHING = "meshctl migrations finish"
DESTROYING = "meshctl migrations rollback --destroy-target"
_FAILURES = 3  # in a row, while observing


def observe_up(context: StepContext) -> Observation:
    """A change by someone else can't be judged. What is deployed is never taken for done: an `up` that failed leaves
    the same outputs as one that did not, and running it again makes nothing twice."""
    found = _observe_deployed(context)
    return NOT_DONE if found.state is State.DONE else found


def act_up(context: StepContext) -> dict[str, Any]:
    """A job that failed at the target, the last time that this step was tried, is tried again with it."""
    failed = _failed(context) if context.step.phase == "start" else {}
    context.gateway.up(context.deployment, context.say)
    for name in failed:
        context.say(f"{name} had failed: it runs again")
        context.gateway.rerun_job(context.deployment, name, context.say)
    return {"run_again": sorted(failed)} if failed else {}


def verify_up(context: StepContext) -> dict[str, Any]:
    if _observe_deployed(context).state is not State.DONE:
        raise MigrationError(
            f"{context.deployment.environment} is not what was brought up", why=_observe_deployed(context).reason
        )
    names = ", ".join(sorted(context.step.workloads)) or "nothing"
    hint = f"`meshctl status {context.deployment.environment}` shows why"
    passed_over: set[str] = set()
    ready = f"{names} ready in {context.deployment.environment}"
    context.wait_until(ready, lambda: _not_ready(context, passed_over), _READY_S, hint)
    return {"ready": {name: len(_ready_pods(context, name)) for name in sorted(context.step.workloads)}}


def _observe_deployed(context: StepContext) -> Observation:
    wanted = context.deployment
    found = context.gateway.deployed(wanted.environment)
    if found is None or found == wanted:
        return NOT_DONE if found is None else DONE
    if found.bare == wanted.bare or context.step.name == "provision/target":
        return NOT_DONE
    return Observation(
        State.AMBIGUOUS,
        reason=f"{wanted.environment} was changed by something else since the migration was planned",
        ask=f"whether it may be set back to what it was: `meshctl status {wanted.environment}`",
    )


def _ready_pods(context: StepContext, workload: str) -> list[str]:
    pods = context.gateway.pods(context.deployment, workload)
    return [pod.name for pod in pods if pod.ready or pod.phase == "Succeeded"]


def _not_ready(context: StepContext, passed_over: set[str]) -> str:
    """What is still missing, in words. A job that has failed will have no more pods: no use to wait for them.
    `passed_over`: those that were said not to be waited for, each once.

    Raises: MigrationError for a job that failed where it was started. On the way back one may have failed long before
    the migration, which is no reason to stay.
    """
    failed = _failed(context)
    if context.step.phase != "rollback":
        _refuse_failed(context, failed)
    for name in sorted(failed.keys() - passed_over):
        context.say(f"{name} has failed in {context.deployment.environment} and is not waited for: {failed[name].why}")
    passed_over.update(failed)
    return missing_pods(context, but=failed.keys())


def _refuse_failed(context: StepContext, failed: Mapping[str, JobState]) -> None:
    """Raises: MigrationError for the first of the jobs. The step that starts it is done again with the next run, and
    makes it anew (`act_up`)."""
    for name, state in failed.items():
        raise MigrationError(
            f"the job of {name} has failed in {context.deployment.environment}",
            why=state.why,
            hint="mend the cause, `meshctl migrations resume` runs the job again",
        )


def _failed(context: StepContext) -> dict[str, JobState]:
    """The step's jobs that have failed."""
    names = sorted(name for name in context.step.workloads if context.deployment.workload(name).is_job)
    states = context.gateway.jobs(context.deployment) if names else {}
    return {name: states[name] for name in names if jobs.has_failed(states, name)}


def missing_pods(context: StepContext, but: Collection[str] = ()) -> str:
    """The first of the step's workloads, without those of `but`, that lacks ready pods, in words; "" when none does."""
    there = [
        name for name in sorted(context.step.workloads) if name not in but and context.deployment.workload(name).runs
    ]
    # the pods of a job that is over may be gone
    over = (
        jobs.completed_jobs(context.deployment, context.gateway.jobs(context.deployment))
        if _any_job(context, there)
        else frozenset()
    )
    for name in (name for name in there if name not in over):
        wanted = context.deployment.workload(name).replicas
        ready = len(_ready_pods(context, name))
        if ready < wanted:
            pods = context.gateway.pods(context.deployment, name)
            reason = next((f": {pod.name}: {pod.reason}" for pod in pods if not pod.ready and pod.reason), "")
            return f"{name} has {ready} of {wanted} pods ready{reason}"
    return ""


def _any_job(context: StepContext, names: Iterable[str]) -> bool:
    return any(context.deployment.workload(name).is_job for name in names)


def verify_stop(context: StepContext) -> dict[str, Any]:
    """Wait until the pods ended. A pod whose node is lost may still write: that is for a person to find out.

    Jobs that turn out to have run to their end, since the plan was made, are kept: they are not run again elsewhere.
    Pods that end because they are stopped count for nothing there (Kubernetes, "Suspending a Job").
    """
    _until_ended(context, context.step.workloads)
    if not _any_job(context, context.step.workloads):
        return {}
    running = context.deployment.paused(frozenset())
    ended = jobs.completed_jobs(running, context.gateway.jobs(context.deployment)) & context.step.workloads
    finished = sorted(jobs.jobs_with_equal_work(context.plan.source, context.plan.target, ended))
    return {"finished": finished} if finished else {}


def _until_ended(context: StepContext, names: frozenset[str]) -> None:
    """As long as the kubelet gives them, and a margin: what the mesh says, or the pods themselves if that is more."""
    declared_s = [grace_s(context.deployment.workload(name)) for name in names]
    own_s = [pod.grace_s for name in names for pod in _alive(context, name)]
    try:
        context.wait_until(
            "pods ended", lambda: _still_running(context, names), max([*declared_s, *own_s], default=0) + _STOP_MARGIN_S
        )
    except NotReadyError as error:
        if error.__cause__ is not None:  # nobody answered: there is nothing to be told of any pod
            raise
        stopping = [pod for name in names for pod in _alive(context, name) if pod.stopping]
        nodes = (
            context.gateway.lost_nodes(context.deployment, {pod.node for pod in stopping}) if stopping else frozenset()
        )
        lost = sorted(pod.name for pod in stopping if pod.node in nodes)
        if not lost:
            raise
        raise AmbiguousStepError(
            f"can't tell whether {', '.join(lost)} still run{'s' * (len(lost) == 1)}",
            why=f"the node is lost, the cluster of {context.deployment.environment} knows no more",
            hint="find out whether the process is gone",
        ) from error


def _alive(context: StepContext, name: str) -> list[Any]:
    return alive(list(context.gateway.pods(context.deployment, name)))


def check_running(context: StepContext) -> dict[str, Any]:
    """The source must be what the plan was made from; whether it is healthy is no condition."""
    found = context.gateway.deployed(context.plan.source.environment)
    if found != context.plan.source:
        raise MigrationError(
            f"{context.plan.source.environment} is no longer what the migration was planned from",
            why="nothing is deployed there" if found is None else "something brought it up anew in the meantime",
            hint="roll this migration back and plan a new one",
        )
    context.gateway.check_fields(found)
    _refuse_pending(found.environment, context.gateway.pending_changes(found))
    pods = {w.name: len(_alive(context, w.name)) for w in context.plan.source.workloads}
    return {"pods": pods}


def _refuse_pending(source: str, pending: PendingChanges) -> None:
    """Raises: MigrationError when an `up` of the source would change more than its workloads, or bring back what is
    gone."""
    changed, gone = ", ".join(sorted(pending.changed)), ", ".join(sorted(pending.gone))
    said = [
        *([f"{source} is to be changed by this meshctl: {changed}"] if changed else []),
        *(
            [f"{source} lacks what it was brought up with: {gone} {'are' if len(pending.gone) > 1 else 'is'} gone"]
            if gone
            else []
        ),
    ]
    if said:
        raise MigrationError(
            "; ".join(said),
            why="its workloads are stopped by an `up`, which would change that in the middle of the migration",
            hint=f"roll this migration back, `meshctl up {source}`, then migrate",
        )


def check_free(context: StepContext) -> dict[str, Any]:
    """Nothing of the mesh may be in use at the target: it would be paused, and its data replaced."""
    target = context.plan.target.environment
    found = context.gateway.deployed(target)
    running = [workload.name for workload in found.workloads if workload.runs] if found else []
    named = sorted(name for name, at in context.gateway.endpoint_targets().items() if at.environment == target)
    if running or named:
        raise MigrationError(
            f"{target} already runs {', '.join(running)}" if running else f"{', '.join(named)} leads to {target}",
            why="what runs there would be paused, and its data replaced by the source's",
            hint=f"roll this migration back, then `meshctl destroy {target}`, or move from there",
        )
    context.gateway.check_fields(context.deployment)
    return {"exists": found is not None}


def observe_refresh(context: StepContext) -> Observation:
    return NOT_DONE if _stale_workloads(context) else DONE


def act_refresh(context: StepContext) -> dict[str, Any]:
    """Stop the warm workloads whose data changed after they read it; the next step starts them with all others."""
    stale = _stale_workloads(context)
    current = context.plan.workloads - context.step.workloads
    context.gateway.up(context.planned_side("target").paused(current | stale), context.say)
    _until_ended(context, stale)
    return {"restarted": sorted(stale)}


def _still_running(context: StepContext, names: frozenset[str]) -> str:
    left = [pod.name for name in sorted(names) for pod in _alive(context, name)]
    return f"still running: {', '.join(left)}" if left else ""


def _stale_workloads(context: StepContext) -> frozenset[str]:
    """The warm workloads whose stores are not as the seed left them: that is what they may have read."""
    warm = [context.plan.target.workload(name) for name in context.step.workloads]
    moved = {move.store for move in context.plan.moves} & {store for w in warm for store in read_stores(w)}
    changed = {store for store in moved if _changed_since_seed(context, store)}
    return frozenset(w.name for w in warm if read_stores(w) & changed)


def _changed_since_seed(context: StepContext, store: str) -> bool:
    """By content. A journal begun by an older meshctl has no digest: there each sync counts that is not known to have
    moved nothing, those that were cut off too.
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
    """Before the way back is closed: the data that goes, for the journal. Raises: ProtectedDataError when nobody has
    agreed to lose it, naming only that."""
    lost = context.gateway.losses_by_destroy(context.planned_side(context.step.side), keep_data=_keeps_data(context))
    unasked = context.history.not_agreed(lost)
    if unasked:
        raise refused_by_retire(context.planned_side(context.step.side).environment, unasked, _command(context))
    return {"data_losses": [loss.document() for loss in lost]} if lost else {}


def act_destroy(context: StepContext) -> dict[str, Any]:
    """Never taken for done by what is there: nodes outlive their namespace, and kept buckets are taken back last."""
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
    """The command that destroys the side. An open migration is the last one: it needs no id."""
    return FINISHING if context.step.side == "source" else DESTROYING


def verify_destroy(context: StepContext) -> dict[str, Any]:
    left = context.gateway.presence(context.deployment.environment)
    may_stay = (Presence.NOTHING, Presence.STORAGE) if _keeps_data(context) else (Presence.NOTHING,)
    if left not in may_stay:
        raise MigrationError(f"{context.deployment.environment} is still there", hint="look at `meshctl status`")
    return {"data_kept": left is Presence.STORAGE}


def _keeps_data(context: StepContext) -> bool:
    return not context.history.options.get("delete_data") or context.step.side == "target"


def verify_probe(context: StepContext) -> dict[str, Any]:
    """The health path, then one request as a user would send it, both at the target's own address."""
    answers: dict[str, Any] = {}
    for endpoint in endpoints(context):
        health = health_path(context.deployment, endpoint)
        if health:
            healthy = partial(_unhealthy_answer, context, endpoint, health, 400)
            context.wait_until(f"{endpoint.host} healthy", healthy, _PROBE_S)
        answering = partial(_unhealthy_answer, context, endpoint, "/", 500)
        context.wait_until(f"{endpoint.host} answers", answering, _PROBE_S)
        answers[endpoint.name] = {"health": health, "canary": "/"}
    return {"answered": answers}


def endpoints(context: StepContext) -> list[Endpoint]:
    return [e for e in context.deployment.endpoints if e.name in context.step.endpoints]


def health_path(deployment: Deployment, endpoint: Endpoint) -> str:
    """The health path, if health is asked on the endpoint's own port; "" otherwise."""
    health = deployment.workload(endpoint.workload).health
    return health.path if health is not None and health.port == endpoint.port else ""


def _unhealthy_answer(context: StepContext, endpoint: Endpoint, path: str, below: int) -> str:
    address = context.gateway.addresses(context.deployment).get(endpoint.name, "")
    if not address:
        return f"{endpoint.name} has no address yet"
    status = context.gateway.probe(context.deployment, endpoint, address, path)
    return "" if 0 < status < below else f"{path} at {address}: {status or 'no answer'}"


def act_observe(context: StepContext) -> dict[str, Any]:
    """Watch pods and health for as long as the plan says. A look without an answer tells nothing: it is no failure, and
    no end either. Raises: MigrationError after three failures in a row, and at once for a job that has failed.
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
        path = health_path(context.deployment, endpoint)
        problem = (
            _unhealthy_answer(context, endpoint, path, 400) if path else _unhealthy_answer(context, endpoint, "/", 500)
        )
        if problem:
            return problem
    return ""

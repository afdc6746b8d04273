"""Steps that bring environments up, stop workloads, check and watch them. EDGE: through `World` alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from meshctl.deploy.guards.protection import refused_by_retire
from meshctl.errors import AmbiguousStepError, MigrationError, NotReadyError
from meshctl.migrate.planning import jobs
from meshctl.migrate.planning.plan import read_stores
from meshctl.migrate.steps import canary
from meshctl.migrate.steps.work import DONE, NOT_DONE, POLL_S, Observation, State, Work, alive
from meshctl.migrate.world import Pending
from meshctl.model.deployment import Endpoint
from meshctl.model.observed import JobState, Presence
from meshctl.objects.verify import listing_digest
from meshctl.render import probes
from meshctl.render.pods import grace_s

_READY_MARGIN_S = 1200  # beyond what `up` waits for a pod: images and weights of a large model
_PROBE_S = 600
_STOP_MARGIN_S = 120  # beyond the longest grace of the workloads that are waited for
FINISHING = "meshctl migrations finish"
DESTROYING = "meshctl migrations rollback --destroy-target"
_FAILURES = 3  # in a row, while observing


def observe_up(work: Work) -> Observation:
    """A change by someone else can't be judged. What is deployed is never taken for done: an `up` that failed leaves
    the same outputs as one that did not, and running it again makes nothing twice."""
    found = _deployed(work)
    return NOT_DONE if found.state is State.DONE else found


def act_up(work: Work) -> dict[str, Any]:
    """A job that failed at the target, the last time that this step was tried, is tried again with it."""
    failed = _failed(work) if work.step.phase == "start" else {}
    work.world.up(work.deployment, work.say)
    for name in failed:
        work.say(f"{name} had failed: it runs again")
        work.world.rerun_job(work.deployment, name, work.say)
    return {"run_again": sorted(failed)} if failed else {}


def verify_up(work: Work) -> dict[str, Any]:
    if _deployed(work).state is not State.DONE:
        raise MigrationError(f"{work.deployment.environment} is not what was brought up", why=_deployed(work).reason)
    names = ", ".join(sorted(work.step.workloads)) or "nothing"
    hint = f"`meshctl status {work.deployment.environment}` shows why"
    passed_over: set[str] = set()
    ready = f"{names} ready in {work.deployment.environment}"
    work.until(ready, lambda: _not_ready(work, passed_over), _ready_limit_s(work), hint)
    return {"ready": {name: len(_fit(work, name)) for name in sorted(work.step.workloads)}}


def _ready_limit_s(work: Work) -> int:
    """As long as the slowest of the step's workloads may take to start, and a margin."""
    workloads = [work.deployment.workload(name) for name in work.step.workloads]
    return max(map(probes.ready_s, workloads), default=0) + _READY_MARGIN_S


def _deployed(work: Work) -> Observation:
    wanted = work.deployment
    found = work.world.deployed(wanted.environment)
    if found is None or found == wanted:
        return NOT_DONE if found is None else DONE
    if found.bare == wanted.bare or work.step.name == "provision/target":
        return NOT_DONE
    return Observation(
        State.AMBIGUOUS,
        reason=f"{wanted.environment} was changed by something else since the migration was planned",
        ask=f"whether it may be set back to what it was: `meshctl status {wanted.environment}`",
    )


def _fit(work: Work, workload: str) -> list[str]:
    pods = work.world.pods(work.deployment, workload)
    return [pod.name for pod in pods if pod.ready or pod.phase == "Succeeded"]


def _not_ready(work: Work, passed_over: set[str]) -> str:
    """What is still missing, in words. A job that has failed will have no more pods: no use to wait for them.
    `passed_over`: those that were said not to be waited for, each once.

    Raises: MigrationError for a job that failed where it was started. On the way back one may have failed long before
    the migration, which is no reason to stay.
    """
    failed = _failed(work)
    if work.step.phase != "rollback":
        _refuse_failed(work, failed)
    for name in sorted(failed.keys() - passed_over):
        work.say(f"{name} has failed in {work.deployment.environment} and is not waited for: {failed[name].why}")
    passed_over.update(failed)
    return missing_pods(work, but=failed.keys())


def _refuse_failed(work: Work, failed: Mapping[str, JobState]) -> None:
    """Raises: MigrationError for the first of the jobs. The step that starts it is done again with the next run, and
    makes it anew (`act_up`)."""
    for name, state in failed.items():
        raise MigrationError(
            f"the job of {name} has failed in {work.deployment.environment}",
            why=state.why,
            hint="mend the cause, `meshctl migrations resume` runs the job again",
        )


def _failed(work: Work) -> dict[str, JobState]:
    """The step's jobs that have failed."""
    names = sorted(name for name in work.step.workloads if work.deployment.workload(name).is_job)
    states = work.world.jobs(work.deployment) if names else {}
    return {name: states[name] for name in names if jobs.has_failed(states, name)}


def missing_pods(work: Work, but: Collection[str] = ()) -> str:
    """The first of the step's workloads, without those of `but`, that lacks ready pods, in words; "" when none does."""
    there = [name for name in sorted(work.step.workloads) if name not in but and work.deployment.workload(name).runs]
    # the pods of a job that is over may be gone
    over = jobs.complete(work.deployment, work.world.jobs(work.deployment)) if _any_job(work, there) else frozenset()
    for name in (name for name in there if name not in over):
        wanted = work.deployment.workload(name).replicas
        ready = len(_fit(work, name))
        if ready < wanted:
            pods = work.world.pods(work.deployment, name)
            reason = next((f": {pod.name}: {pod.reason}" for pod in pods if not pod.ready and pod.reason), "")
            return f"{name} has {ready} of {wanted} pods ready{reason}"
    return ""


def _any_job(work: Work, names: Iterable[str]) -> bool:
    return any(work.deployment.workload(name).is_job for name in names)


def verify_stop(work: Work) -> dict[str, Any]:
    """Wait until the pods ended. A pod whose node is lost may still write: that is for a person to find out.

    Jobs that turn out to have run to their end, since the plan was made, are kept: they are not run again elsewhere.
    Pods that end because they are stopped count for nothing there (Kubernetes, "Suspending a Job").
    """
    _until_ended(work, work.step.workloads)
    if not _any_job(work, work.step.workloads):
        return {}
    running = work.deployment.paused(frozenset())
    ended = jobs.complete(running, work.world.jobs(work.deployment)) & work.step.workloads
    finished = sorted(jobs.doing_the_same(work.plan.source, work.plan.target, ended))
    return {"finished": finished} if finished else {}


def _until_ended(work: Work, names: frozenset[str]) -> None:
    """As long as the kubelet gives them, and a margin: what the mesh says, or the pods themselves if that is more."""
    declared_s = [grace_s(work.deployment.workload(name)) for name in names]
    own_s = [pod.grace_s for name in names for pod in _alive(work, name)]
    try:
        work.until("pods ended", lambda: _left(work, names), max([*declared_s, *own_s], default=0) + _STOP_MARGIN_S)
    except NotReadyError as error:
        if error.__cause__ is not None:  # nobody answered: there is nothing to be told of any pod
            raise
        stopping = [pod for name in names for pod in _alive(work, name) if pod.stopping]
        nodes = work.world.lost_nodes(work.deployment, {pod.node for pod in stopping}) if stopping else frozenset()
        lost = sorted(pod.name for pod in stopping if pod.node in nodes)
        if not lost:
            raise
        raise AmbiguousStepError(
            f"can't tell whether {', '.join(lost)} still run{'s' * (len(lost) == 1)}",
            why=f"the node is lost, the cluster of {work.deployment.environment} knows no more",
            hint="find out whether the process is gone",
        ) from error


def _alive(work: Work, name: str) -> list[Any]:
    return alive(list(work.world.pods(work.deployment, name)))


def check_running(work: Work) -> dict[str, Any]:
    """The source must be what the plan was made from; whether it is healthy is no condition."""
    found = work.world.deployed(work.plan.source.environment)
    if found != work.plan.source:
        raise MigrationError(
            f"{work.plan.source.environment} is no longer what the migration was planned from",
            why="nothing is deployed there" if found is None else "something brought it up anew in the meantime",
            hint="roll this migration back and plan a new one",
        )
    work.world.check_fields(found)
    _refuse_pending(found.environment, work.world.pending(found))
    pods = {w.name: len(_alive(work, w.name)) for w in work.plan.source.workloads}
    return {"pods": pods}


def _refuse_pending(source: str, pending: Pending) -> None:
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


def check_free(work: Work) -> dict[str, Any]:
    """Nothing of the mesh may be in use at the target: it would be paused, and its data replaced."""
    target = work.plan.target.environment
    found = work.world.deployed(target)
    running = [workload.name for workload in found.workloads if workload.runs] if found else []
    named = sorted(name for name, at in work.world.endpoint_targets().items() if at.environment == target)
    if running or named:
        raise MigrationError(
            f"{target} already runs {', '.join(running)}" if running else f"{', '.join(named)} leads to {target}",
            why="what runs there would be paused, and its data replaced by the source's",
            hint=f"roll this migration back, then `meshctl destroy {target}`, or move from there",
        )
    work.world.check_fields(work.deployment)
    return {"exists": found is not None}


def observe_refresh(work: Work) -> Observation:
    return NOT_DONE if _stale(work) else DONE


def act_refresh(work: Work) -> dict[str, Any]:
    """Stop the warm workloads whose data changed after they read it; the next step starts them with all others."""
    stale = _stale(work)
    current = work.plan.workloads - work.step.workloads
    work.world.up(work.of("target").paused(current | stale), work.say)
    _until_ended(work, stale)
    return {"restarted": sorted(stale)}


def _left(work: Work, names: frozenset[str]) -> str:
    left = [pod.name for name in sorted(names) for pod in _alive(work, name)]
    return f"still running: {', '.join(left)}" if left else ""


def _stale(work: Work) -> frozenset[str]:
    """The warm workloads whose stores are not as the seed left them: that is what they may have read."""
    warm = [work.plan.target.workload(name) for name in work.step.workloads]
    moved = {move.store for move in work.plan.moves} & {store for w in warm for store in read_stores(w)}
    changed = {store for store in moved if _changed_since_seed(work, store)}
    return frozenset(w.name for w in warm if read_stores(w) & changed)


def _changed_since_seed(work: Work, store: str) -> bool:
    """By content. A journal begun by an older meshctl has no digest: there each sync counts that is not known to have
    moved nothing, those that were cut off too.
    """
    seed = work.history.done.get(f"seed/{store}")
    before = seed.data.get("target_digest") if seed is not None else None
    if before is not None:
        return bool(listing_digest(work.data.listing(work.access("target", store))) != before)
    records = [r for r in work.history.records if r.step == f"sync/{store}" and r.kind in ("intent", "done")]
    idle = [
        r
        for r in records
        if r.kind == "done" and r.data.get("objects") == r.data.get("deleted") == 0 and not r.data.get("unanswered")
    ]
    return len(records) > 2 * len(idle)


def before_retire(work: Work) -> dict[str, Any]:
    """Before the way back is closed: the data that goes, for the journal. Raises: ProtectedDataError when nobody has
    agreed to lose it, naming only that."""
    lost = work.world.lost_by_retire(work.of(work.step.side), keep_data=_keeps_data(work))
    unasked = work.history.not_agreed(lost)
    if unasked:
        raise refused_by_retire(work.of(work.step.side).environment, unasked, _retiring(work))
    return {"data_losses": [loss.document() for loss in lost]} if lost else {}


def act_retire(work: Work) -> dict[str, Any]:
    """Never taken for done by what is there: nodes outlive their namespace, and kept buckets are taken back last."""
    keep_data = _keeps_data(work)
    work.world.retire(
        work.of(work.step.side),
        keep_data=keep_data,
        allow_data_loss=work.history.allows_data_loss,
        command=_retiring(work),
        say=work.say,
    )
    return {"data_kept": keep_data}


def _retiring(work: Work) -> str:
    """The command that destroys the side. An open migration is the last one: it needs no id."""
    return FINISHING if work.step.side == "source" else DESTROYING


def verify_retire(work: Work) -> dict[str, Any]:
    left = work.world.presence(work.deployment.environment)
    may_stay = (Presence.NOTHING, Presence.STORAGE) if _keeps_data(work) else (Presence.NOTHING,)
    if left not in may_stay:
        raise MigrationError(f"{work.deployment.environment} is still there", hint="look at `meshctl status`")
    return {"data_kept": left is Presence.STORAGE}


def _keeps_data(work: Work) -> bool:
    return not work.history.options.get("delete_data") or work.step.side == "target"


def verify_probe(work: Work) -> dict[str, Any]:
    """Health, then one request as a user would send it, both at the target's own address."""
    answered: dict[str, Any] = {}
    for endpoint in endpoints(work):
        for question in canary.questions(work.deployment, endpoint):
            reached = partial(canary.trouble, work, endpoint, question)
            work.until(f"{endpoint.host} answers", reached, _PROBE_S, _probe_hint(work, endpoint))
        answered[endpoint.name] = canary.record(work.deployment, endpoint)
    return {"answered": answered}


def _probe_hint(work: Work, endpoint: Endpoint) -> str:
    return (
        f"`meshctl status {work.deployment.environment}` shows the pods of {endpoint.workload}; `health` of the "
        "workload says how it is asked. `meshctl migrations resume` asks again"
    )


def endpoints(work: Work) -> list[Endpoint]:
    return [e for e in work.deployment.endpoints if e.name in work.step.endpoints]


def act_observe(work: Work) -> dict[str, Any]:
    """Watch pods and health for as long as the plan says. A look without an answer tells nothing: it is no failure, and
    no end either. Raises: MigrationError after three failures in a row, and at once for a job that has failed.
    """
    end = work.world.now() + work.plan.options.observe_s
    checks = failures = 0
    while True:
        trouble = work.answered(_trouble)
        checks, failures = checks + 1, failures + 1 if trouble else 0
        if failures == _FAILURES:
            raise MigrationError(
                f"{work.deployment.environment} does not stay healthy after the cutover",
                why=trouble,
                hint=f"`meshctl status {work.deployment.environment}`; {work.plan.source.environment} is still there",
            )
        if work.world.now() >= end and not failures:
            return {"checks": checks}
        work.pause(POLL_S)


def _trouble(work: Work) -> str:
    _refuse_failed(work, _failed(work))
    return missing_pods(work) or _unhealthy(work)


def _unhealthy(work: Work) -> str:
    for endpoint in endpoints(work):
        question = next(canary.questions(work.deployment, endpoint))
        trouble = canary.trouble(work, endpoint, question)
        if trouble:
            return trouble
    return ""

"""Steps that wait until workloads have stopped, or stop those that have read old data. EDGE: through `Gateway` alone.

Called by `actions` and `gateway_shares`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshctl.errors import AmbiguousStepError, NotReadyError
from meshctl.migrate.planning import jobs
from meshctl.migrate.planning.plan import read_stores
from meshctl.migrate.steps.context import DONE, NOT_DONE, POLL_S, Observation, StepContext
from meshctl.migrate.steps.grace import GraceWatch
from meshctl.model.observed import PodState
from meshctl.objects.verify import listing_digest
from meshctl.render.pod.pods import grace_s

_STOP_MARGIN_S = 120  # added to the longest grace period of the workloads that the step waits for


def verify_stop(context: StepContext) -> dict[str, Any]:
    """Wait until the pods have ended. A pod on a lost node may still write, so the user has to find out.

    Returns the jobs that have completed since the plan was made: they are not run again in the other environment. Pods
    that end because the job is suspended do not make it complete (Kubernetes, "Suspending a Job").
    """
    _until_ended(context, context.step.workloads)
    if not context.has_jobs(context.step.workloads):
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
    own_s = [pod.grace_s for name in names for pod in context.alive_pods(name)]
    watch = until_ended(
        context,
        ("the pods to end", "still running"),
        lambda: [pod for name in sorted(names) for pod in context.alive_pods(name)],
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

"""Jobs that are up stay with the scheduler, and in the queue of KAI Scheduler, that they came up with. PURE.

Called by `running_pods`. The pods of a Job can't be changed, so that a job which is to be counted from now on would run
anew; it is counted once something else makes it anew. Its queue stays with it: a pod of the job that starts again is
placed by nobody without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.deploy import jobs_in_state
from meshctl.deploy.guards.running.pods import running_gangs
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import evictions, kai, lending
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import jobs, work

_SUSPEND: Final = "suspend"  # the one field of a Job's spec that changes in place

Spec = Mapping[str, Any]


def as_they_are_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with jobs in the queues that they are up in, where their Jobs would then stay as they are."""
    before = state.deployment.kai if state.deployment is not None else None
    if deployment.kai is None and before is None:
        return deployment
    specs = jobs_in_state.specs(state)
    workloads = tuple(_as_it_is_up(deployment, each, specs.get(each.name)) for each in deployment.workloads)
    if lending.kai_counts(deployment):
        return deployment.model_copy(update={"workloads": workloads})
    stay = any(each.kai_queue for each in workloads)
    kai = (deployment.kai or before) if stay else None
    return deployment.model_copy(update={"workloads": workloads, "kai": kai, "kai_queues_stay": stay})


def notes(wanted: Deployment, running: Deployment) -> tuple[str, ...]:
    """Which jobs are in another queue than they would be if they came up now. `wanted`, `running`: before and after
    `as_they_are_up`."""
    wish = {workload.name: workload.kai_queue for workload in wanted.workloads}
    others = [each for each in running.workloads if each.runs and each.kai_queue != wish.get(each.name, "")]
    return tuple(_note(running.environment, each, wish.get(each.name, "")) for each in others)


def notes_on_node_pools(running: Deployment, up: Deployment | None) -> tuple[str, ...]:
    """Which jobs run anew in another node pool of KAI Scheduler: the scheduler of the old one no longer sees their
    queues, and would place no pod of theirs that starts again. `up`: what is up."""
    if up is None or up.kai is None or running.kai is None or up.kai.node_pool == running.kai.node_pool:
        return ()
    names = {workload.name for workload in up.workloads if workload.is_job and workload.kai_queue}
    where = f"into the node pool {running.kai.node_pool}" if running.kai.node_pool else "out of its node pool"
    return tuple(
        f"workload/{each.name}: is started again, because `lending.nodePool` moves it and its queue {where} of KAI"
        " Scheduler"
        for each in running.workloads
        if each.name in names and each.kai_queue and each.runs
    )


def _note(environment: str, workload: Workload, wish: str) -> str:
    again = f"`meshctl restart {workload.name} --env {environment}` runs it again"
    at = f"workload/{workload.name}"
    if not workload.kai_queue:
        return f"{at} keeps running; KAI Scheduler counts it only after its next start: {again}, in the queue {wish}"
    of_kueue = f"in the queue {workload.queue} of Kueue" if workload.queue else "without a queue"
    where = f"in the queue {wish}" if wish else of_kueue
    return f"{at} keeps the queue {workload.kai_queue} of KAI Scheduler with which its Job was created: {again} {where}"


def _as_it_is_up(deployment: Deployment, workload: Workload, before: Spec | None) -> Workload:
    queue = _queue(before) if before is not None else ""
    if before is None or workload.kai_queue == queue:
        return workload
    as_up = {
        "kai_queue": queue,
        "held_together": running_gangs.is_gated(before),
        # `lend` also decides whether pods of a pool with a range may be moved: see `running_evictions`
        "stays_on_node": evictions.say_that_they_stay(before, workload.annotations),
    }
    other = workload.model_copy(update=as_up)
    spec = {**jobs.job(deployment, other).manifest["spec"], _SUSPEND: before.get(_SUSPEND)}
    stays = (
        not work.differing(before, spec) or work.only_rewritten(before, spec) or work.only_lenders_differ(before, spec)
    )
    return other if stays else workload


def _queue(spec: Spec) -> str:
    labels = spec["template"].get("metadata", {}).get("labels") or {}
    return str(labels.get(kai.QUEUE_LABEL, ""))

"""The steps of a migration in their order, for each direction: forward, rollback, finish. PURE.

Made only from the plan and the history, so that every run of a migration gets the same steps. `actions` has the
functions of each action, and `runner` runs the steps one by one.
"""

from __future__ import annotations

from dataclasses import replace

from meshctl.errors import MigrationError
from meshctl.migrate.journal.history import LAST_FORWARD, History
from meshctl.migrate.planning.plan import MigrationPlan, written_stores
from meshctl.migrate.steps.order.share_plan import contraction, expansion
from meshctl.migrate.steps.order.step import COUNTED, Step
from meshctl.migrate.steps.order.step_parts import (
    MEASURE,
    fabric_steps,
    following_load,
    following_steps,
    names_of,
    names_steps,
    seed_steps,
    sync_steps,
    unsplit_steps,
    without_late_measurements,
)


def step_plan(history: History) -> tuple[Step, ...]:
    """All steps in the direction of the migration."""
    if history.plan.share is not None:
        return contraction(history) if history.direction == "rollback" else expansion(history)
    if history.direction == "rollback":
        return rollback(history)
    if history.direction == "finish":
        return finish(history)
    steps = without_late_measurements(forward(history.plan), history)
    if history.source_lost:
        left = ("seed", "quiesce", "sync", "verify")
        stays = {"quiesce/warm", *history.done}
        return tuple(s for s in steps if s.name in stays or (s.phase not in left and s.action != MEASURE))
    return steps


def forward(plan: MigrationPlan) -> tuple[Step, ...]:
    """The steps from preflight to observe. A phase may have no steps: without object stores there is no seed."""
    return (
        Step("preflight/source", "check-running", "the source is still as planned", side="source"),
        Step("preflight/target", "check-free", "nothing of the mesh runs at the target", side="target"),
        _provision(plan),
        *fabric_steps(plan),
        *seed_steps(plan),
        *_quiesce(plan),
        *sync_steps(plan),
        *_start(plan),
    )


def _provision(plan: MigrationPlan) -> Step:
    """What an expansion has brought to the target serves there: it is not paused."""
    others = "the other workloads" if plan.serving else "workloads"
    title = f"bring up the target, {others} paused"
    return Step("provision/target", "up", title, side="target", paused=plan.workloads - plan.serving)


def _quiesce(plan: MigrationPlan) -> list[Step]:
    """Start at the target what only reads. Stop at the source what writes, and wait for the last writes."""
    stopped, warm = frozenset(plan.stopped), frozenset(plan.warm)
    steps = []
    scaled = following_load(plan)
    if scaled:
        title = f"count the replicas of {names_of(scaled)} at the source"
        steps.append(Step(COUNTED, "count-replicas", title, side="source", workloads=scaled))
    if warm:
        title = f"start {names_of(warm)} warm at the target"
        steps.append(Step("quiesce/warm", "up", title, side="target", paused=plan.workloads - warm, workloads=warm))
    if stopped:
        title = f"stop {names_of(stopped)} at the source, at a checkpoint"
        paused = plan.idle | stopped
        steps.append(Step("quiesce/stop", "stop", title, side="source", paused=paused, workloads=stopped))
        steps += [
            Step(f"quiesce/settle.{s}", "settle", f"wait for the last writes to {s}", side="source", store=s)
            for s in _written_by(plan, stopped)
        ]
    return steps


def _start(plan: MigrationPlan) -> list[Step]:
    """Start everything at the target, check its health, move the DNS records, and watch it."""
    running, warm = plan.running, frozenset(plan.warm)
    endpoints = tuple(e.name for e in plan.endpoints)
    steps = []
    if warm:
        title = "restart warm workloads whose data has changed"
        steps.append(Step("start/refresh", "refresh", title, side="target", workloads=warm))
    steps.append(Step("start/target", "up", "start at the target", side="target", paused=plan.idle, workloads=running))
    steps += [
        Step(f"probe/{e}", "probe", f"{e}: health check and a canary request", side="target", endpoints=(e,))
        for e in endpoints
    ]
    if endpoints:
        steps += names_steps("cutover", "target", endpoints)
    steps += unsplit_steps(plan, "cutover")
    steps += following_steps(plan, "cutover/replicas", "target")
    again = ("start/target",)  # this step also runs a failed job again
    return [
        *steps,
        Step(
            LAST_FORWARD,
            "observe",
            "watch the target",
            side="target",
            workloads=running,
            endpoints=endpoints,
            redo=again,
        ),
    ]


def rollback(history: History) -> tuple[Step, ...]:
    """The steps of a rollback, depending on which steps have begun: start the source first, then stop the target.

    Raises: MigrationError if the source was given up.
    """
    plan = history.plan
    if history.source_lost:
        raise MigrationError(
            "the source was given up (--source-lost): a rollback is not possible",
            hint="`meshctl migrations resume` goes on",
        )
    stopped = frozenset(plan.stopped)
    data: list[Step] = []
    if history.target_lost:
        data = _give_up_target(history)
    elif stopped and history.began("start/target"):
        data = _return_data(history, stopped)
    starts_source = history.began("start/target", "cutover/names", "quiesce/stop") or history.ends_expansion
    counted, brought = _brought_for_the_share(history)
    return (
        *data,
        *counted,
        *([_source_again(plan)] if starts_source else []),
        *brought,
        *_names_back(history),
        *(following_steps(plan, "rollback/replicas", "source") if starts_source else []),
        *([] if history.target_lost else _end_of_target(history)),
    )


def _source_again(plan: MigrationPlan) -> Step:
    running = frozenset(w.name for w in plan.source.workloads) - plan.idle
    title = "start at the source again"
    return Step("rollback/source", "up", title, side="source", paused=plan.idle, workloads=running)


def _end_of_target(history: History) -> list[Step]:
    if history.options.get("destroy_target") and history.target_is_ours:
        return [Step("rollback/destroy", "destroy", "destroy the target, keep its object storage", side="target")]
    if not history.began("quiesce/warm", "start/target") and not history.ends_expansion:
        return []
    every = history.plan.workloads
    return [Step("rollback/target", "stop", "pause the target", side="target", paused=every, workloads=every)]


def _brought_for_the_share(history: History) -> tuple[list[Step], list[Step]]:
    """Scale the source up before its traffic returns, as `contract` does, as far as it has nodes. The replicas are
    counted before the source starts its own again."""
    scaled = following_load(history.plan) & history.plan.serving
    if not scaled or not history.ends_expansion or history.target_lost:
        return [], []
    count, names = "rollback/source-count", names_of(scaled)
    title = f"count the replicas of {names} in both environments"
    return (
        [Step(count, "count-share", title, side="source", workloads=scaled)],
        [Step("rollback/source-start", "keep-replicas", f"replicas of {names} at the source", "source", counted=count)],
    )


def _names_back(history: History) -> list[Step]:
    """All names that lead to the target, whole or by their share, to the source."""
    plan = history.plan
    if history.began("cutover/names"):
        endpoints = tuple(each.name for each in plan.endpoints)
    elif plan.expanded is not None and history.ends_expansion:
        endpoints = plan.expanded.endpoints
    else:
        return []
    return [*names_steps("rollback", "source", endpoints), *unsplit_steps(plan, "rollback")]


def _give_up_target(history: History) -> list[Step]:
    """The check that the target is really gone. Not needed any more once the source has begun to start."""
    if history.began("rollback/source"):
        return []
    return [
        Step("rollback/lost", "check-lost", "check that the target is gone", side="target", guards="rollback/source")
    ]


def stores_not_copied_back(history: History) -> tuple[str, ...]:
    """Stores that were written at the target, and whose data has not been copied back to the source and compared."""
    stopped = frozenset(history.plan.stopped)
    written = _written_by(history.plan, stopped) if history.began("start/target") else ()
    return tuple(store for store in written if f"rollback/verify.{store}" not in history.done)


def _return_data(history: History, stopped: frozenset[str]) -> list[Step]:
    """Bring back data that was written at the target: start readers at the source, stop writers, copy back, compare."""
    plan = history.plan
    title = f"stop {names_of(stopped)} at the target, at a checkpoint"
    return [
        *_readers_at_the_source(history, stopped),
        Step("rollback/stop", "stop", title, side="target", paused=plan.idle | stopped, workloads=stopped),
        *(step for store in _written_by(plan, stopped) for step in _copied_back(store)),
    ]


def _readers_at_the_source(history: History, stopped: frozenset[str]) -> list[Step]:
    plan = history.plan
    readers = frozenset(w.name for w in plan.source.workloads) - stopped - plan.idle
    first = tuple(e.name for e in plan.endpoints if e.workload in readers)
    paused = plan.idle | stopped
    steps = []
    if readers:
        title = "start readers at the source"
        steps.append(Step("rollback/readers", "up", title, side="source", paused=paused, workloads=readers))
    if first and history.began("cutover/names"):
        title = "DNS records of readers to the source"
        steps.append(Step("rollback/readers-names", "dns-records", title, side="source", endpoints=first))
    return steps


def _copied_back(store: str) -> tuple[Step, ...]:
    settle, sync, verify = (f"rollback/{phase}.{store}" for phase in ("settle", "sync", "verify"))
    compared = f"compare: all objects of {store} are at the source"
    return (
        Step(settle, "settle", f"wait for the last writes to {store}", side="target", store=store),
        Step(sync, "copy-back", f"copy new objects of {store} back", side="source", store=store),
        Step(verify, "compare-back", compared, side="source", store=store, redo=(sync,)),
    )


def finish(history: History) -> tuple[Step, ...]:
    """The steps of `finish`: check that all DNS records lead to the target, then destroy the source."""
    endpoints = tuple(e.name for e in history.plan.endpoints)
    names = "all DNS records lead to the target"
    check = Step("finish/names", "check-dns-records", names, side="target", endpoints=endpoints, guards="finish/source")
    if history.source_lost:
        return (replace(check, guards=""),)
    steps = [check]
    title = "destroy the source, keep its object storage"
    if history.options.get("delete_data"):
        check_title = "the target has all objects of the source"
        steps += [Step("finish/data", "check-data", check_title, side="source", guards="finish/source")]
        title = "destroy the source and its data"
    return (*steps, Step("finish/source", "destroy", title, side="source"))


def _written_by(plan: MigrationPlan, workloads: frozenset[str]) -> tuple[str, ...]:
    written = {name for w in plan.source.workloads if w.name in workloads for name in written_stores(w)}
    return tuple(move.store for move in plan.moves if move.store in written)

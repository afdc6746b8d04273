"""The steps of a migration as plain values: forward, back, and the end. PURE.

Made from the plan and the history alone, so that every run of the same migration gets the same list; `actions` knows
how each `action` is observed, done and verified, and `runner` takes the steps one by one. `environment` of a step is
the one that it acts on: source or target.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meshctl.errors import MigrationError
from meshctl.migrate.journal.history import LAST_FORWARD, History
from meshctl.migrate.planning.plan import MigrationPlan, written_stores


@dataclass(frozen=True)
class Step:
    """`name` is unique in a migration ("sync/weights"). The other fields are what the action needs."""

    name: str
    action: str
    title: str
    side: str = ""  # source | target
    paused: frozenset[str] = field(default_factory=frozenset)  # workloads at zero pods once an `up` is done
    workloads: frozenset[str] = field(default_factory=frozenset)  # that the step waits for
    store: str = ""
    endpoints: tuple[str, ...] = ()
    redo: tuple[str, ...] = ()  # steps that are void when this one fails
    guards: str = ""  # a step: until that is done, each run does this check again, however old its `done` is

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]


def step_plan(history: History) -> tuple[Step, ...]:
    """All steps of the direction that the migration goes."""
    if history.direction == "rollback":
        return rollback(history)
    if history.direction == "finish":
        return finish(history)
    steps = forward(history.plan)
    if history.source_lost:
        left = ("seed", "quiesce", "sync", "verify")
        return tuple(s for s in steps if s.phase not in left or s.name in history.done or s.name == "quiesce/warm")
    return steps


def forward(plan: MigrationPlan) -> tuple[Step, ...]:
    """preflight … observe. A phase may be empty: without object stores nothing is seeded."""
    return (
        Step("preflight/source", "check-running", "the source runs as it was planned from", side="source"),
        Step("preflight/target", "check-free", "nothing at the target is in the way", side="target"),
        Step("provision/target", "up", "target up, workloads paused", side="target", paused=plan.workloads),
        *_seed(plan),
        *_quiesce(plan),
        *_sync_and_verify(plan),
        *_start(plan),
    )


def _seed(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    return [Step(f"seed/{s}", "seed", f"copy {s} while the source runs", side="target", store=s) for s in stores]


def _quiesce(plan: MigrationPlan) -> list[Step]:
    """What serves without writing starts at the target; what writes stops at the source, and its writes settle."""
    stopped, warm = frozenset(plan.stopped), frozenset(plan.warm)
    steps = []
    if warm:
        title = f"start {_names(warm)} warm at the target"
        steps.append(Step("quiesce/warm", "up", title, side="target", paused=plan.workloads - warm, workloads=warm))
    if stopped:
        title = f"stop {_names(stopped)} at the source, at a checkpoint"
        paused = plan.idle | stopped
        steps.append(Step("quiesce/stop", "stop", title, side="source", paused=paused, workloads=stopped))
        steps += [
            Step(f"quiesce/settle.{s}", "settle", f"{s} is written to the end", side="source", store=s)
            for s in _written_by(plan, stopped)
        ]
    return steps


def _sync_and_verify(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    synced = [Step(f"sync/{s}", "copy", f"copy what changed in {s}", side="target", store=s) for s in stores]
    title = "list and compare all of {}"
    verified = [
        Step(f"verify/{s}", "compare", title.format(s), side="target", store=s, redo=(f"sync/{s}",)) for s in stores
    ]
    return synced + verified


def _start(plan: MigrationPlan) -> list[Step]:
    """Everything runs at the target, is asked for its health, gets the names, and is watched."""
    running, warm = plan.running, frozenset(plan.warm)
    endpoints = tuple(e.name for e in plan.endpoints)
    steps = []
    if warm:
        title = "warm workloads read the final data"
        steps.append(Step("start/refresh", "refresh", title, side="target", workloads=warm))
    steps.append(Step("start/target", "up", "start at the target", side="target", paused=plan.idle, workloads=running))
    steps += [
        Step(f"probe/{e}", "probe", f"{e}: health, canary request", side="target", endpoints=(e,)) for e in endpoints
    ]
    if endpoints:
        steps += _names_steps("cutover", "target", endpoints)
    again = ("start/target",)  # which runs a job again that has failed since
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
    """The way back, from what was begun: the source serves first, then the target goes. Raises: MigrationError."""
    plan = history.plan
    if history.source_lost:
        raise MigrationError(
            "the source was given up, there is no way back to it", hint="`meshctl migrations resume` goes on"
        )
    stopped = frozenset(plan.stopped)
    began = history.began
    steps: list[Step] = []
    if history.target_lost:
        steps += _give_up_target(history)
    elif stopped and began("start/target"):
        steps += _return_data(history, stopped)
    if began("quiesce/stop", "start/target", "cutover/names"):
        running = frozenset(w.name for w in plan.source.workloads) - plan.idle
        steps += [
            Step("rollback/source", "up", "the source runs again", side="source", paused=plan.idle, workloads=running)
        ]
    endpoints = tuple(e.name for e in plan.endpoints)
    if began("cutover/names"):
        steps += _names_steps("rollback", "source", endpoints)
    if history.target_lost:
        return tuple(steps)
    if history.options.get("destroy_target"):
        steps += [Step("rollback/destroy", "destroy", "destroy the target, keep its data", side="target")]
    elif began("quiesce/warm", "start/target"):
        steps += [
            Step(
                "rollback/target",
                "stop",
                "pause the target",
                side="target",
                paused=plan.workloads,
                workloads=plan.workloads,
            )
        ]
    return tuple(steps)


def _give_up_target(history: History) -> list[Step]:
    """Nothing is asked of a target that is gone; but once the source was begun to start, there is no other way."""
    if history.began("rollback/source"):
        return []
    return [Step("rollback/lost", "check-lost", "the target is gone for good", side="target", guards="rollback/source")]


def stores_not_copied_back(history: History) -> tuple[str, ...]:
    """Stores to which was written at the target, and whose content there was not brought back and compared (yet)."""
    stopped = frozenset(history.plan.stopped)
    written = _written_by(history.plan, stopped) if history.began("start/target") else ()
    return tuple(store for store in written if f"rollback/verify.{store}" not in history.done)


def _return_data(history: History, stopped: frozenset[str]) -> list[Step]:
    """What ran at the target may have written there: readers first, then stop, copy back, compare."""
    plan = history.plan
    readers = frozenset(w.name for w in plan.source.workloads) - stopped - plan.idle
    first = tuple(e.name for e in plan.endpoints if e.workload in readers)
    steps = []
    if readers:
        paused = plan.idle | stopped
        steps += [Step("rollback/readers", "up", "the source serves", side="source", paused=paused, workloads=readers)]
    if first and history.began("cutover/names"):
        steps += [Step("rollback/readers-names", "names", "names back to the source", side="source", endpoints=first)]
    title = f"stop {_names(stopped)} at the target, at a checkpoint"
    steps += [Step("rollback/stop", "stop", title, side="target", paused=plan.idle | stopped, workloads=stopped)]
    for store in _written_by(plan, stopped):
        steps += [
            Step(f"rollback/settle.{store}", "settle", f"{store} is written to the end", side="target", store=store),
            Step(
                f"rollback/sync.{store}", "copy-back", f"copy what is new in {store} back", side="source", store=store
            ),
            Step(
                f"rollback/verify.{store}",
                "compare-back",
                f"all of {store} is at the source",
                side="source",
                store=store,
                redo=(f"rollback/sync.{store}",),
            ),
        ]
    return steps


def finish(history: History) -> tuple[Step, ...]:
    """The end: the names lead to the target, so the source may go."""
    endpoints = tuple(e.name for e in history.plan.endpoints)
    names = "all names lead to the target"
    check = Step("finish/names", "check-names", names, side="target", endpoints=endpoints, guards="finish/source")
    if history.source_lost:
        return (replace(check, guards=""),)
    steps = [check]
    title = "destroy the source, keep its data"
    if history.options.get("delete_data"):
        unseen = "nothing came to the source that the target lacks"
        steps += [Step("finish/data", "check-data", unseen, side="source", guards="finish/source")]
        title = "destroy the source, data too"
    return (*steps, Step("finish/source", "destroy", title, side="source"))


def _names_steps(phase: str, side: str, endpoints: tuple[str, ...]) -> list[Step]:
    return [
        Step(f"{phase}/names", "names", f"names to the {side}", side=side, endpoints=endpoints),
        Step(f"{phase}/dns", "dns", "the zone's name server answers so", side=side, endpoints=endpoints),
        Step(f"{phase}/ttl", "ttl", "old answers expire while both serve", side=side, endpoints=endpoints),
    ]


def _written_by(plan: MigrationPlan, workloads: frozenset[str]) -> tuple[str, ...]:
    written = {name for w in plan.source.workloads if w.name in workloads for name in written_stores(w)}
    return tuple(move.store for move in plan.moves if move.store in written)


def _names(workloads: frozenset[str]) -> str:
    return ", ".join(sorted(workloads))

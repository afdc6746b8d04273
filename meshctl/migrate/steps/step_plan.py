"""The steps of a migration in their order, for each direction: forward, rollback, finish. PURE.

Made only from the plan and the history, so that every run of a migration gets the same steps. `actions` has the
functions of each action, and `runner` runs the steps one by one.
"""

from __future__ import annotations

from dataclasses import replace

from meshctl.errors import MigrationError
from meshctl.migrate.journal.history import LAST_FORWARD, History
from meshctl.migrate.planning.expansion import unchanging
from meshctl.migrate.planning.plan import MigrationPlan, written_stores
from meshctl.migrate.steps.step import COUNTED, Step
from meshctl.model.dns_splits import WHOLE


def step_plan(history: History) -> tuple[Step, ...]:
    """All steps in the direction of the migration."""
    if history.plan.share is not None:
        return contraction(history) if history.direction == "rollback" else expansion(history)
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
    """The steps from preflight to observe. A phase may have no steps: without object stores there is no seed."""
    return (
        Step("preflight/source", "check-running", "the source is still as planned", side="source"),
        Step("preflight/target", "check-free", "nothing of the mesh runs at the target", side="target"),
        _provision(plan),
        *_seed(plan),
        *_quiesce(plan),
        *_sync_and_verify(plan),
        *_start(plan),
    )


def _provision(plan: MigrationPlan) -> Step:
    """What an expansion has brought to the target serves there: it is not paused."""
    others = "the other workloads" if plan.serving else "workloads"
    title = f"bring up the target, {others} paused"
    return Step("provision/target", "up", title, side="target", paused=plan.workloads - plan.serving)


def expansion(history: History) -> tuple[Step, ...]:
    """The steps of an expansion: everything but the cutover, and weighted records instead; then one round for each time
    that the command was given again."""
    weights = history.weights
    rounds = (_round(history.plan, n, weights[n - 1], weights[n]) for n in range(1, len(weights)))
    return (*first_expansion(history.plan), *(step for steps in rounds for step in steps))


def first_expansion(plan: MigrationPlan) -> tuple[Step, ...]:
    """The steps up to the first share."""
    endpoints = tuple(each.name for each in plan.endpoints)
    compared = unchanging(plan)
    data = [step for step in _sync_and_verify(plan) if step.store in compared]
    workloads = plan.workloads
    count = _share_count(plan, "start")
    title = "start at the target"
    return (
        Step("preflight/source", "check-running", "the source is still as planned", side="source"),
        Step("preflight/target", "check-free", "nothing of the mesh runs at the target", side="target"),
        Step("provision/target", "up", "bring up the target, workloads paused", side="target", paused=workloads),
        *_seed(plan),
        *data,
        *count,
        Step("start/target", "up", title, side="target", workloads=workloads, counted=count[0].name if count else ""),
        *(
            Step(
                f"probe/{name}", "probe", f"{name}: health check and a canary request", side="target", endpoints=(name,)
            )
            for name in endpoints
        ),
        Step("share/records", "split-records", "weighted records and health checks", endpoints=endpoints),
        Step("share/names", "split-names", "the endpoints' names lead to them", endpoints=endpoints),
        Step("share/dns", "split-dns", "the zone's name server has the new records", endpoints=endpoints),
        *_share_taken(plan, "share"),
        Step(LAST_FORWARD, "observe", "watch the target", side="target", workloads=workloads, endpoints=endpoints),
    )


def next_round(history: History, weight: int) -> tuple[Step, ...]:
    """What the command does when it is given again, with this weight."""
    return tuple(_round(history.plan, history.rounds + 1, history.weights[-1], weight))


def _round(plan: MigrationPlan, number: int, previous_weight: int, weight: int) -> list[Step]:
    """A smaller share comes before the copies, since the target may be what is in trouble; and so does all of it, since
    the source may be."""
    endpoints = tuple(each.name for each in plan.endpoints)
    phase = f"round{number}"
    copies = [
        Step(f"{phase}/seed.{move.store}", "seed", f"copy what is new in {move.store}", side="target", store=move.store)
        for move in plan.moves
    ]
    count = _share_count(plan, phase)
    title = f"replicas of {_names(_following_load(plan))} for the share"
    starts = [
        Step(f"{phase}/start", "up", title, side="target", workloads=plan.workloads, counted=each.name)
        for each in count
    ]
    records = Step(f"{phase}/records", "split-records", "weighted records", endpoints=endpoints)
    before, after = _source_brought(plan, phase), _source_released(plan, phase)
    if weight == WHOLE:
        return [*count, *starts, records, *_share_taken(plan, phase), *copies]
    if weight < previous_weight:
        return [*before, records, *_share_taken(plan, phase), *after, *copies]
    return [*copies, *count, *starts, *before, records, *_share_taken(plan, phase), *after]


def _source_brought(plan: MigrationPlan, phase: str) -> list[Step]:
    """The source has the replicas for those that are led back to it before they come."""
    scaled = _following_load(plan)
    if not scaled:
        return []
    count, names = f"{phase}/source-count", _names(scaled)
    title = f"count the replicas of {names} for the source's share"
    return [
        Step(count, "count-share", title, side="source", workloads=scaled),
        Step(f"{phase}/source-start", "keep-replicas", f"replicas of {names} at the source", "source", counted=count),
    ]


def _source_released(plan: MigrationPlan, phase: str) -> list[Step]:
    scaled = _following_load(plan)
    title = f"replicas of {_names(scaled)} follow load at the source"
    return [Step(f"{phase}/source-replicas", "keep-replicas", title, side="source")] if scaled else []


def _share_count(plan: MigrationPlan, phase: str) -> list[Step]:
    """How many replicas the target needs for its share. Before names lead there, load would ask for the least."""
    scaled = _following_load(plan)
    title = f"count the replicas of {_names(scaled)} for the share"
    return [Step(f"{phase}/count", "count-share", title, workloads=scaled)] if scaled else []


def _share_taken(plan: MigrationPlan, phase: str) -> list[Step]:
    """From then on load decides at the target: no resolver has an answer from before the share."""
    if not _following_load(plan):
        return []
    return [
        Step(f"{phase}/ttl", "ttl", "cached old records expire"),
        *_following_steps(plan, f"{phase}/replicas", "target"),
    ]


def contraction(history: History) -> tuple[Step, ...]:
    """The way back from an expansion: all resolutions to the source, and once no resolver has an older answer, the
    weighted records and the target go."""
    endpoints = tuple(each.name for each in history.plan.endpoints)
    workloads = history.plan.workloads
    steps: list[Step] = []
    brought = history.began("share/names") and not history.target_lost
    if brought:
        steps += _source_brought(history.plan, "rollback")
    if history.began("share/records"):
        steps += [Step("rollback/records", "split-records", "all new resolutions to the source", endpoints=endpoints)]
        if history.began("share/names"):
            steps += _names_steps("rollback", "source", endpoints)
        steps += [Step("rollback/split", "unsplit", "remove the weighted records", endpoints=endpoints)]
    if brought:
        steps += _source_released(history.plan, "rollback")
    if history.target_lost:
        return tuple(steps)
    if history.options.get("destroy_target") and history.target_is_ours:
        return (
            *steps,
            Step("rollback/destroy", "destroy", "destroy the target, keep its object storage", side="target"),
        )
    if history.began("start/target"):
        pause = Step(
            "rollback/target", "stop", "pause the target", side="target", paused=workloads, workloads=workloads
        )
        return (*steps, pause)
    return tuple(steps)


def _seed(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    return [Step(f"seed/{s}", "seed", f"copy {s} while the source runs", side="target", store=s) for s in stores]


def _quiesce(plan: MigrationPlan) -> list[Step]:
    """Start at the target what only reads. Stop at the source what writes, and wait for the last writes."""
    stopped, warm = frozenset(plan.stopped), frozenset(plan.warm)
    steps = []
    scaled = _following_load(plan)
    if scaled:
        title = f"count the replicas of {_names(scaled)} at the source"
        steps.append(Step(COUNTED, "count-replicas", title, side="source", workloads=scaled))
    if warm:
        title = f"start {_names(warm)} warm at the target"
        steps.append(Step("quiesce/warm", "up", title, side="target", paused=plan.workloads - warm, workloads=warm))
    if stopped:
        title = f"stop {_names(stopped)} at the source, at a checkpoint"
        paused = plan.idle | stopped
        steps.append(Step("quiesce/stop", "stop", title, side="source", paused=paused, workloads=stopped))
        steps += [
            Step(f"quiesce/settle.{s}", "settle", f"wait for the last writes to {s}", side="source", store=s)
            for s in _written_by(plan, stopped)
        ]
    return steps


def _sync_and_verify(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    synced = [Step(f"sync/{s}", "copy", f"copy what changed in {s}", side="target", store=s) for s in stores]
    title = "compare all objects of {}"
    verified = [
        Step(f"verify/{s}", "compare", title.format(s), side="target", store=s, redo=(f"sync/{s}",)) for s in stores
    ]
    return synced + verified


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
        steps += _names_steps("cutover", "target", endpoints)
    steps += _unsplit(plan, "cutover")
    steps += _following_steps(plan, "cutover/replicas", "target")
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
    began = history.began
    steps: list[Step] = []
    if history.target_lost:
        steps += _give_up_target(history)
    elif stopped and began("start/target"):
        steps += _return_data(history, stopped)
    leads_back = began("start/target", "cutover/names") or history.ends_expansion
    if leads_back or began("quiesce/stop"):
        running = frozenset(w.name for w in plan.source.workloads) - plan.idle
        steps += [
            Step(
                "rollback/source", "up", "start at the source again", side="source", paused=plan.idle, workloads=running
            )
        ]
    steps += _names_back(history)
    if leads_back or began("quiesce/stop"):
        steps += _following_steps(plan, "rollback/replicas", "source")
    if history.target_lost:
        return tuple(steps)
    if history.options.get("destroy_target") and history.target_is_ours:
        steps += [Step("rollback/destroy", "destroy", "destroy the target, keep its object storage", side="target")]
    elif began("quiesce/warm", "start/target") or history.ends_expansion:
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


def _names_back(history: History) -> list[Step]:
    """All names that lead to the target, whole or by their share, to the source."""
    plan = history.plan
    if history.began("cutover/names"):
        endpoints = tuple(each.name for each in plan.endpoints)
    elif plan.expanded is not None and history.ends_expansion:
        endpoints = plan.expanded.endpoints
    else:
        return []
    return [*_names_steps("rollback", "source", endpoints), *_unsplit(plan, "rollback")]


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
    readers = frozenset(w.name for w in plan.source.workloads) - stopped - plan.idle
    first = tuple(e.name for e in plan.endpoints if e.workload in readers)
    steps = []
    if readers:
        paused = plan.idle | stopped
        steps += [
            Step(
                "rollback/readers", "up", "start readers at the source", side="source", paused=paused, workloads=readers
            )
        ]
    if first and history.began("cutover/names"):
        steps += [
            Step(
                "rollback/readers-names",
                "dns-records",
                "DNS records of readers to the source",
                side="source",
                endpoints=first,
            )
        ]
    title = f"stop {_names(stopped)} at the target, at a checkpoint"
    steps += [Step("rollback/stop", "stop", title, side="target", paused=plan.idle | stopped, workloads=stopped)]
    for store in _written_by(plan, stopped):
        steps += [
            Step(
                f"rollback/settle.{store}", "settle", f"wait for the last writes to {store}", side="target", store=store
            ),
            Step(
                f"rollback/sync.{store}", "copy-back", f"copy new objects of {store} back", side="source", store=store
            ),
            Step(
                f"rollback/verify.{store}",
                "compare-back",
                f"compare: all objects of {store} are at the source",
                side="source",
                store=store,
                redo=(f"rollback/sync.{store}",),
            ),
        ]
    return steps


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


def _names_steps(phase: str, side: str, endpoints: tuple[str, ...]) -> list[Step]:
    return [
        Step(f"{phase}/names", "dns-records", f"DNS records to the {side}", side=side, endpoints=endpoints),
        Step(f"{phase}/dns", "dns", "the zone's name server has the new records", side=side, endpoints=endpoints),
        Step(f"{phase}/ttl", "ttl", "cached old records expire; both sides serve", side=side, endpoints=endpoints),
    ]


def _unsplit(plan: MigrationPlan, phase: str) -> list[Step]:
    """The weighted records of the expansion that the migration went on from: no resolver needs them any more."""
    if plan.expanded is None:
        return []
    return [Step(f"{phase}/split", "unsplit", "remove the weighted records", endpoints=plan.expanded.endpoints)]


def _following_load(plan: MigrationPlan) -> frozenset[str]:
    """The workloads that run and whose replicas follow load, at the source or at the target. Of an expansion, whose
    target has a part of the mesh, those of the target."""
    both = (*plan.source.workloads, *plan.target.workloads)
    scaled = frozenset(each.name for each in both if each.has_range) - plan.idle
    return scaled if plan.share is None else scaled & plan.workloads


def _following_steps(plan: MigrationPlan, name: str, side: str) -> list[Step]:
    """Until names lead to a side, it has as many replicas as the other had: without requests load would take some."""
    scaled = _following_load(plan)
    if not scaled:
        return []
    title = f"replicas of {_names(scaled)} follow load at the {side}"
    return [Step(name, "up", title, side=side, paused=plan.idle)]


def _written_by(plan: MigrationPlan, workloads: frozenset[str]) -> tuple[str, ...]:
    written = {name for w in plan.source.workloads if w.name in workloads for name in written_stores(w)}
    return tuple(move.store for move in plan.moves if move.store in written)


def _names(workloads: frozenset[str]) -> str:
    return ", ".join(sorted(workloads))

"""The steps of an expansion in their order: the first share, each round after it, and the way back. PURE.

Called by `step_plan`, which chooses by the direction, and by the views of a plan.
"""

from __future__ import annotations

from meshctl.migrate.journal.history import LAST_FORWARD, History
from meshctl.migrate.planning.expansion import unchanging
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.order.step import Step
from meshctl.migrate.steps.order.step_parts import (
    fabric_steps,
    following_load,
    following_steps,
    names_of,
    names_steps,
    seed_steps,
    sync_steps,
    without_late_measurements,
)
from meshctl.model.dns_splits import WHOLE


def expansion(history: History) -> tuple[Step, ...]:
    """The steps of an expansion: everything but the cutover, and weighted records instead; then one round for each time
    that the command was given again. What a round has not done before the next one began is not done any more: the next
    one copies what is new, too, and sets its own share."""
    weights = history.weights
    steps = [*without_late_measurements(first_expansion(history.plan), history)]
    for number in range(1, len(weights)):
        is_last = number == history.rounds
        is_sick = number in history.leaves_sick_source
        of_round = _round(history.plan, number, _written_before(history, number), weights[number], is_sick=is_sick)
        steps += [step for step in of_round if is_last or step.name in history.done]
    return tuple(steps)


def first_expansion(plan: MigrationPlan) -> tuple[Step, ...]:
    """The steps up to the first share."""
    endpoints = tuple(each.name for each in plan.endpoints)
    compared = unchanging(plan)
    data = [step for step in sync_steps(plan) if step.store in compared]
    workloads = plan.workloads
    count = _share_count(plan, "start")
    title = "start at the target"
    return (
        Step("preflight/source", "check-running", "the source is still as planned", side="source"),
        Step("preflight/target", "check-free", "nothing of the mesh runs at the target", side="target"),
        Step("provision/target", "up", "bring up the target, workloads paused", side="target", paused=workloads),
        *fabric_steps(plan),
        *seed_steps(plan),
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
        *_gateway_share(plan, "share", endpoints),
        *_share_taken(plan, "share"),
        Step(LAST_FORWARD, "observe", "watch the target", side="target", workloads=workloads, endpoints=endpoints),
    )


def next_round(history: History, weight: int) -> tuple[Step, ...]:
    """What the command does when it is given again, with this weight."""
    number = history.rounds + 1
    return tuple(_round(history.plan, number, _written_before(history, number), weight))


def _written_before(history: History, number: int) -> int:
    """The weight that the records had before this round: a round may have stopped before it wrote its own."""
    written = [n for n in range(1, number) if f"round{n}/records" in history.done]
    return history.weights[written[-1] if written else 0]


def _round(plan: MigrationPlan, number: int, previous_weight: int, weight: int, *, is_sick: bool = False) -> list[Step]:
    """A smaller share comes before the copies, since the target may be what is in trouble; and so does all of it, since
    the source may be. `is_sick`: the source is known to be: its users are led away before the target has replicas for
    all of them, and whether these come ends no round."""
    endpoints = tuple(each.name for each in plan.endpoints)
    phase = f"round{number}"
    copies = [
        Step(f"{phase}/seed.{move.store}", "seed", f"copy what is new in {move.store}", side="target", store=move.store)
        for move in plan.moves
    ]
    count = _share_count(plan, phase)
    title = f"replicas of {names_of(following_load(plan))} for the share"
    starts = [_start(plan, phase, title, each.name, ends_all_the_same=is_sick) for each in count]
    records = Step(f"{phase}/records", "split-records", "weighted records", endpoints=endpoints)
    before, after = _source_brought(plan, phase), _source_released(plan, phase)
    if is_sick:
        return [records, *count, *starts, *_share_taken(plan, phase), *copies]
    if weight == WHOLE:  # by DNS in any case: the source's gateway may be what is in trouble
        return [*count, *starts, records, *_share_taken(plan, phase), *copies]
    share = [*_gateway_share(plan, phase, endpoints), records]
    if weight < previous_weight:
        return [*before, *share, *_share_taken(plan, phase), *after, *copies]
    return [*copies, *count, *starts, *before, *share, *_share_taken(plan, phase), *after]


def _start(plan: MigrationPlan, phase: str, title: str, counted: str, *, ends_all_the_same: bool) -> Step:
    if ends_all_the_same:
        return Step(f"{phase}/start", "keep-replicas", title, side="target", counted=counted)
    return Step(f"{phase}/start", "up", title, side="target", workloads=plan.workloads, counted=counted)


def _gateway_share(plan: MigrationPlan, phase: str, endpoints: tuple[str, ...]) -> list[Step]:
    if plan.share is None or plan.share.by != "gateway":
        return []
    title = f"the gateway of {plan.source.environment} leads the share to {plan.target.environment}"
    return [Step(f"{phase}/gateway", "gateway-share", title, side="source", endpoints=endpoints)]


def _source_brought(plan: MigrationPlan, phase: str) -> list[Step]:
    """Scales the source up before users are led back to it."""
    scaled = following_load(plan)
    if not scaled:
        return []
    count, names = f"{phase}/source-count", names_of(scaled)
    title = f"count the replicas of {names} for the source's share"
    return [
        Step(count, "count-share", title, side="source", workloads=scaled),
        Step(f"{phase}/source-start", "keep-replicas", f"replicas of {names} at the source", "source", counted=count),
    ]


def _source_released(plan: MigrationPlan, phase: str) -> list[Step]:
    scaled = following_load(plan)
    title = f"replicas of {names_of(scaled)} follow load at the source"
    return [Step(f"{phase}/source-replicas", "keep-replicas", title, side="source")] if scaled else []


def _share_count(plan: MigrationPlan, phase: str) -> list[Step]:
    """Counts how many replicas the target needs for its share: before names lead there, load alone would ask for the
    least."""
    scaled = following_load(plan)
    title = f"count the replicas of {names_of(scaled)} for the share"
    return [Step(f"{phase}/count", "count-share", title, workloads=scaled)] if scaled else []


def _share_taken(plan: MigrationPlan, phase: str) -> list[Step]:
    """From this step on load decides at the target again: no resolver has an answer from before the share."""
    if not following_load(plan):
        return []
    return [
        Step(f"{phase}/ttl", "ttl", "cached old records expire"),
        *following_steps(plan, f"{phase}/replicas", "target"),
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
    if history.began("share/gateway"):
        title = f"the gateway of {history.plan.source.environment} leads all to its own pods"
        steps += [Step("rollback/gateway", "gateway-share", title, side="source", endpoints=endpoints)]
    if history.began("share/records"):
        steps += [Step("rollback/records", "split-records", "all new resolutions to the source", endpoints=endpoints)]
        if history.began("share/names"):
            steps += names_steps("rollback", "source", endpoints)
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

"""Groups of steps that migrations and expansions have in common. PURE. Used by `step_plan` and `share_plan`."""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.bench import fabric_gate
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.order.step import Step

MEASURE = "measure-fabric"
# once one of them has begun, accelerators may be in use at the target, or the source no longer serves
_PAST_MEASURING = ("quiesce/warm", "quiesce/stop", "start/target")


def fabric_steps(plan: MigrationPlan) -> list[Step]:
    """One for each pool of the target whose fabric has `expect`, and of which no workload serves yet. Once
    `provision/target` is done, which stops where a pool has no nodes yet, a reservation has begun that the plan waits
    for."""
    target = plan.target.paused(plan.idle)
    serving = target.paused(plan.workloads - plan.serving)
    return [
        Step(
            f"provision/fabric.{pool.name}",
            MEASURE,
            f"measure the fabric of pool {pool.name} before its workloads start",
            side="target",
            paused=plan.workloads - plan.serving,
            pool=pool.name,
        )
        for pool in fabric_gate.gated(target, serving, has_nodes=True)
    ]


def without_late_measurements(steps: Iterable[Step], history: History) -> tuple[Step, ...]:
    """A migration that an older version has begun, and brought further than to its data, measures nothing any more."""
    is_past = history.began(*_PAST_MEASURING)
    return tuple(step for step in steps if not is_past or step.action != MEASURE or step.name in history.done)


def seed_steps(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    return [Step(f"seed/{s}", "seed", f"copy {s} while the source runs", side="target", store=s) for s in stores]


def sync_steps(plan: MigrationPlan) -> list[Step]:
    stores = [move.store for move in plan.moves]
    synced = [Step(f"sync/{s}", "copy", f"copy what changed in {s}", side="target", store=s) for s in stores]
    title = "compare all objects of {}"
    verified = [
        Step(f"verify/{s}", "compare", title.format(s), side="target", store=s, redo=(f"sync/{s}",)) for s in stores
    ]
    return synced + verified


def names_steps(phase: str, side: str, endpoints: tuple[str, ...]) -> list[Step]:
    return [
        Step(f"{phase}/names", "dns-records", f"DNS records to the {side}", side=side, endpoints=endpoints),
        Step(f"{phase}/dns", "dns", "the zone's name server has the new records", side=side, endpoints=endpoints),
        Step(f"{phase}/ttl", "ttl", "cached old records expire; both sides serve", side=side, endpoints=endpoints),
    ]


def unsplit_steps(plan: MigrationPlan, phase: str) -> list[Step]:
    """The weighted records of the expansion that the migration went on from: no resolver needs them any more."""
    if plan.expanded is None:
        return []
    return [Step(f"{phase}/split", "unsplit", "remove the weighted records", endpoints=plan.expanded.endpoints)]


def following_load(plan: MigrationPlan) -> frozenset[str]:
    """The workloads that run and whose replicas follow load, at the source or at the target. Of an expansion, whose
    target has a part of the mesh, those of the target."""
    both = (*plan.source.workloads, *plan.target.workloads)
    scaled = frozenset(each.name for each in both if each.has_range) - plan.idle
    return scaled if plan.share is None else scaled & plan.workloads


def following_steps(plan: MigrationPlan, name: str, side: str) -> list[Step]:
    """Until names lead to a side, it has as many replicas as the other had: without requests load would take some."""
    scaled = following_load(plan)
    if not scaled:
        return []
    title = f"replicas of {names_of(scaled)} follow load at the {side}"
    return [Step(name, "up", title, side=side, paused=plan.idle)]


def names_of(workloads: frozenset[str]) -> str:
    return ", ".join(sorted(workloads))

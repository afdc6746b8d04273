"""The data that a migration gives up when it goes on without a lost side, or replaces data at the target. PURE.

Used by `cli.migrate`, which asks the user before `resume --source-lost`, `rollback --target-lost` and
`migrate --replace-target-data`. Data of a lost side is neither deleted nor copied. Since a lost side
does not answer, the sizes are those from the plan.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.changes.losses import Loss
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.order.step_plan import stores_not_copied_back
from meshctl.model.deployment import Deployment
from meshctl.model.files.units import format_gib, size_text
from meshctl.words import pluralize


def source_losses(history: History) -> tuple[Loss, ...]:
    """The data that was written to the source's stores after the last copy."""
    plan = history.plan
    return _of_side(plan, plan.source, [move.store for move in plan.moves])


def target_losses(history: History) -> tuple[Loss, ...]:
    """The data that was written at the target since its workloads started, and that has not been copied back."""
    plan = history.plan
    started = history.began("start/target")
    volumes = _volumes(plan.target) if started else ()
    return (*_of_side(plan, plan.target, stores_not_copied_back(history)), *volumes)


def replaced_at_target(plan: MigrationPlan) -> tuple[Loss, ...]:
    """The objects at the target that the copy deletes, since it makes the buckets equal, or overwrites in an adopted
    bucket, in which it deletes none."""
    deleted = f"{plan.source.environment} does not have them, and the copy makes the buckets equal"
    overwritten = f"{plan.source.environment} has other content under their keys, and the copy overwrites them"
    return tuple(
        Loss(
            f"storage/{move.store}",
            "bucket",
            f"bucket {store.bucket}",
            pluralize(move.foreign_objects, "object"),
            overwritten if store.is_adopted else deleted,
        )
        for move in plan.moves
        for store in (plan.target.object_store(move.store),)
        if move.foreign_objects
    )


def _of_side(plan: MigrationPlan, side: Deployment, stores: Iterable[str]) -> tuple[Loss, ...]:
    why = f"data written there after the last copy is not copied; it stays in {side.environment}"
    return tuple(
        Loss(f"storage/{store}", "bucket", f"bucket {side.object_store(store).bucket}", _size(plan, store), why)
        for store in stores
    )


def _size(plan: MigrationPlan, store: str) -> str:
    move = plan.move(store)
    return f"{pluralize(move.objects, 'object')}, {size_text(move.total_bytes)} when the migration was planned"


def _volumes(target: Deployment) -> tuple[Loss, ...]:
    why = f"data written there is not copied; it stays in {target.environment}"
    systems = [
        Loss(f"storage/{s.name}", "file system", f"file system {s.name} of the mesh", format_gib(s.size_gib), why)
        for s in target.file_systems
        if not s.ephemeral
    ]
    blocks = [
        Loss(f"storage/{b.name}", "volume", f"volumes {b.name} of the mesh", f"{format_gib(b.size_gib)} each", why)
        for b in target.blocks
        if not b.ephemeral
    ]
    return (*systems, *blocks)

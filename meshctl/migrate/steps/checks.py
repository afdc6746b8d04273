"""The first steps of a migration: both environments are what it was planned from. EDGE: through `Gateway` alone.

Called by `actions`.
"""

from __future__ import annotations

from typing import Any

from meshctl.errors import MigrationError
from meshctl.migrate.gateway import PendingChanges
from meshctl.migrate.steps.context import StepContext


def check_running(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError unless the source is what the plan was made from. It need not be healthy."""
    deployed = context.gateway.deployed(context.plan.source.environment)
    if deployed is None or deployed.unshifted != context.plan.source.unshifted:
        raise MigrationError(
            f"{context.plan.source.environment} is no longer what the migration was planned from",
            why="nothing is deployed there" if deployed is None else "an `up` has changed it in the meantime",
            hint="roll this migration back and start a new one",
        )
    context.gateway.check_fields(deployed)
    _refuse_pending(deployed.environment, context.gateway.pending_changes(deployed))
    pods = {w.name: len(context.alive_pods(w.name)) for w in context.plan.source.workloads}
    return {"pods": pods}


def _refuse_pending(source: str, pending: PendingChanges) -> None:
    """Raises: MigrationError if an `up` of the source would change more than its workloads, or would create deleted
    resources again."""
    changed, gone = ", ".join(sorted(pending.changed)), ", ".join(sorted(pending.gone))
    problems = [
        *([f"an `up` of {source} would change {changed}"] if changed else []),
        *([f"{gone} of {source} {'were' if len(pending.gone) > 1 else 'was'} deleted outside meshctl"] if gone else []),
    ]
    if problems:
        raise MigrationError(
            "; ".join(problems),
            why="the migration stops workloads with an `up` of the source, which would also change this",
            hint=f"roll this migration back, `meshctl up {source}`, then migrate",
        )


def check_free(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError if the mesh is in use at the target: it would be paused, and its data replaced."""
    target = context.plan.target.environment
    deployed = context.gateway.deployed(target)
    running = [workload.name for workload in deployed.workloads if workload.runs] if deployed else []
    running = [name for name in running if name not in context.plan.serving]
    shared = context.plan.expanded.endpoints if context.plan.expanded is not None else ()
    endpoints_there = sorted(
        name
        for name, at in context.gateway.endpoint_targets().items()
        if target in at.environments and name not in shared
    )
    if running or endpoints_there:
        raise MigrationError(
            f"{target} already runs {', '.join(running)}"
            if running
            else f"the DNS record of {', '.join(endpoints_there)} leads to {target}",
            why="the migration would pause what runs there, and replace its data by the source's",
            hint=f"roll this migration back, then `meshctl destroy {target}`, or move from there",
        )
    context.gateway.check_fields(context.deployment)
    return {"exists": deployed is not None}

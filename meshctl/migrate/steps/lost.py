"""A source or a target that is gone for good: is it? EDGE: it asks the cluster, then the object stores.

Used by `migration` before a side is given up, and by a rollback without its target until the source is started: a
workload that may run in one environment at a time must not be left running behind.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from meshctl.errors import CredentialsError, MigrationError, UnreachableError, UsageError
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.context import StepContext, alive
from meshctl.model.deployment import Deployment
from meshctl.model.observed import Presence
from meshctl.objects.listing import NoBucketError

Side = Literal["source", "target"]
_WITHOUT_IT = {
    "source": "a resume without --source-lost brings along what was written there since",
    "target": "a rollback without --target-lost brings back what was written there",
}


def check_lost(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError when the target is there again, or a part of it still runs."""
    return {"lost": refuse_unless_lost(context.gateway, context.data, context.plan, "target")}


def refuse_unless_lost(gateway: Gateway, data: Data, plan: MigrationPlan, side: Side) -> str:
    """What of that side does not answer, in words. Credentials that are refused count, and so does another cluster in
    its place: whoever gives a side up has given its name.

    Raises: MigrationError when all of it answers, or when only its storage is gone and pods still run that would run
    twice.
    """
    lost, other = (plan.source, plan.target) if side == "source" else (plan.target, plan.source)
    cluster, running = _cluster(gateway, lost, plan)
    if cluster:
        return cluster
    storage = _storage(gateway, data, lost, plan)
    if not storage:
        raise MigrationError(
            f"{lost.environment} is not lost: it answers",
            why="its cluster does, and its object stores",
            hint=_WITHOUT_IT[side],
        )
    if running:
        raise MigrationError(
            f"{lost.environment} still runs {', '.join(running)}",
            why=f"only its storage is lost ({storage}); started at {other.environment} too, they would run twice",
            hint=f"end them there with kubectl: they are in the namespace {lost.namespace}",
        )
    return storage


def _cluster(gateway: Gateway, lost: Deployment, plan: MigrationPlan) -> tuple[str, list[str]]:
    """Why the cluster counts as lost, if so; else the pods there that may not run twice."""
    if gateway.presence(lost.environment) is not Presence.WHOLE:
        return "", []  # no namespace, or no cluster yet or any more: the stores decide
    try:
        pods = {name: gateway.pods(lost, name) for name in sorted(plan.workloads)}
    except (UnreachableError, CredentialsError, UsageError) as error:
        return error.what, []
    return "", [pod.name for name in plan.stopped for pod in alive(list(pods[name]))]


def _storage(gateway: Gateway, data: Data, lost: Deployment, plan: MigrationPlan) -> str:
    """Why the object stores count as lost, if one of them does."""
    for move in plan.moves:
        try:
            data.check_reachable(partial(gateway.object_access, lost.object_store(move.store)))
        except (UnreachableError, CredentialsError, NoBucketError) as error:
            return error.what
    return ""

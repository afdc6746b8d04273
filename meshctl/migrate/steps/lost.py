"""Checks that a source or target is really gone before the migration goes on without it, and that the source of an
expansion serves before all are led to it. EDGE: asks cluster and stores.

Used by `migration` before a side is given up, and by a rollback without the target until the source is started: a
workload that may run in only one environment must not be left running in the other.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from meshctl.errors import CredentialsError, MigrationError, UnreachableError, UsageError
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.context import StepContext, alive
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState
from meshctl.objects.listing import NoBucketError

Side = Literal["source", "target"]
_WITHOUT_IT = {
    "source": "resume without --source-lost: that also copies the data written there since",
    "target": "roll back without --target-lost: that also copies back the data written there",
}


def check_lost(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError if the target answers again, or if its pods still run."""
    return {"lost": refuse_unless_lost(context.gateway, context.data, context.plan, "target")}


def refuse_sides(gateway: Gateway, data: Data, history: History, *, target_lost: bool) -> None:
    """Before a rollback changes anything. Raises: MigrationError if a target that is given up is not lost, and if the
    source of an expansion can't take those back that are led to the target."""
    if target_lost and not history.target_lost:
        refuse_unless_lost(gateway, data, history.plan, "target")
    if (
        history.share is not None
        and history.direction == "forward"
        and history.began("share/names")
        and not target_lost
    ):
        _refuse_unless_serving(gateway, history.plan, history.share.workload)


def _refuse_unless_serving(gateway: Gateway, plan: MigrationPlan, workload: str) -> None:
    source, shared = plan.source.environment, {each.name for each in plan.endpoints}
    why = f"all users of {workload} would be led to {source}; nothing was changed"
    endpoints = [each for each in plan.source.endpoints if each.name in shared]
    names = sorted({workload, *(each.workload for each in endpoints)})
    try:
        addresses = gateway.addresses(plan.source)
        idle = [name for name in names if not any(pod.ready for pod in gateway.pods(plan.source, name))]
    except (UnreachableError, CredentialsError) as error:
        raise MigrationError(
            f"can't tell whether {source} serves {workload}: {error.what}", why=why, hint=error.hint
        ) from error
    missing = [f"no ready pod of {name}" for name in idle]
    missing += [f"no load balancer of {each.host}" for each in endpoints if not addresses.get(each.name)]
    if missing:
        raise MigrationError(
            f"{source} has {', '.join(missing)}",
            why=why,
            hint=f"`meshctl status {source}` shows why, `meshctl up {source}` brings it up again",
        )


def refuse_unless_lost(gateway: Gateway, data: Data, plan: MigrationPlan, side: Side) -> str:
    """What does not answer on that side, in words. Refused credentials and a different cluster in its place count as
    no answer, too: the user has confirmed the environment's name.

    Raises: MigrationError if everything answers, or if only the storage is gone and pods still run that must not run in
    both environments.
    """
    lost, other = (plan.source, plan.target) if side == "source" else (plan.target, plan.source)
    cluster, running = _cluster(gateway, lost, plan)
    if cluster:
        return cluster
    storage = _storage(gateway, data, lost, plan)
    if not storage:
        raise MigrationError(
            f"{lost.environment} is not lost",
            why="its cluster and its object stores answer",
            hint=_WITHOUT_IT[side],
        )
    if running:
        raise MigrationError(
            f"{lost.environment} still runs {', '.join(running)}",
            why=f"only its storage is lost ({storage}); started in {other.environment}, too, they would run twice",
            hint=f"stop them with kubectl: they are in the namespace {lost.namespace}",
        )
    return storage


def _cluster(gateway: Gateway, lost: Deployment, plan: MigrationPlan) -> tuple[str, list[str]]:
    """Why the cluster counts as lost, or ""; and, if it answers, its running pods of workloads that run on one side."""
    if gateway.deploy_state(lost.environment) is not DeployState.WHOLE:
        return "", []  # there is no namespace, or no cluster: the stores decide
    try:
        pods = {name: gateway.pods(lost, name) for name in sorted(plan.workloads)}
    except (UnreachableError, CredentialsError, UsageError) as error:
        return error.what, []
    return "", [pod.name for name in plan.stopped for pod in alive(list(pods[name]))]


def _storage(gateway: Gateway, data: Data, lost: Deployment, plan: MigrationPlan) -> str:
    """Why the object stores count as lost (one of them does not answer), or ""."""
    for move in plan.moves:
        try:
            data.check_reachable(partial(gateway.object_access, lost.object_store(move.store)))
        except (UnreachableError, CredentialsError, NoBucketError) as error:
            return error.what
    return ""

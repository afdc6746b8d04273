"""Refuses other commands on the environments of an open migration. EDGE: it reads the journal; `refuse` itself is pure.

Called by the CLI before `up`, `restart` and `destroy` do anything. An `up` of the source would start workloads there
that already run at the target, and a `destroy` would remove the environment that `resume` or `rollback` needs.
"""

from __future__ import annotations

from typing import Literal

from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError, NewerVersionError, UnreadableError
from meshctl.migrate.journal.activity import (
    Activity,
    MigrationStatus,
    UnreadableMigration,
    activity_of,
    next_text,
    state_text,
)
from meshctl.migrate.journal.history import History, read_history
from meshctl.migrate.journal.journal import closed, migrations, open_journal
from meshctl.migrate.journal.lock import lease_holder
from meshctl.migrate.planning.expansion import check_of
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.dns_splits import HealthCheck
from meshctl.project import Project

_TARGET_RUNS = ("waiting", "finishing")  # in these states the target serves, so it may be updated as usual


def open_migration(store: StateStore, mesh: str) -> MigrationStatus | None:
    """The migration that is neither finished nor rolled back; there is one at most.

    Raises: NewerVersionError, UnreadableError.
    """
    status = latest_open_migration(store, mesh)
    if isinstance(status, UnreadableMigration):
        raise status.error
    return status


def latest_open_migration(store: StateStore, mesh: str) -> MigrationStatus | UnreadableMigration | None:
    """As `open_migration`, for callers that only show it: an unreadable journal is returned, not raised."""
    for migration in reversed(migrations(store, mesh)):
        try:
            if not closed(store, mesh, migration):
                history = read_history(open_journal(store, mesh, migration, "").records)
                return MigrationStatus(migration, history, activity_of(lease_holder(store, mesh)))
        except (NewerVersionError, UnreadableError) as error:
            return UnreadableMigration(migration, error)
    return None


def latest_open_migration_of(project: Project) -> MigrationStatus | UnreadableMigration | None:
    """As `latest_open_migration`, for the project's mesh."""
    store = project.state_store
    return latest_open_migration(store, project.mesh.name) if store is not None else None


def open_migration_of(project: Project) -> MigrationStatus | None:
    """The mesh's migration that is neither finished nor rolled back. Raises: NewerVersionError, UnreadableError."""
    store = project.state_store
    return open_migration(store, project.mesh.name) if store is not None else None


def expands_by_gateway(project: Project, environment: str) -> bool:
    """Whether an expansion by the gateway of this environment is open. Raises: NewerVersionError, UnreadableError."""
    status = open_migration_of(project)
    if status is None or status.history.share is None:
        return False
    return status.history.share.by == "gateway" and status.history.plan.source.environment == environment


def notes_on_expansion(project: Project, environment: str) -> tuple[str, ...]:
    """What `check` and `plan` of either side say of an expansion that is open: what the second side costs beside the
    first. Raises: NewerVersionError, UnreadableError."""
    status = open_migration_of(project)
    share = status.history.share if status is not None else None
    if status is None or share is None:
        return ()
    source, target = status.history.plan.source, status.history.plan.target
    if environment not in (source.environment, target.environment):
        return ()
    usd = target.hourly_usd
    cost = "what that costs is not known" if usd is None else f"which costs {usd:.2f} USD/h beside it"
    verb = "is" if status.history.state == "waiting" else "is to be"
    led = f"{share.text} of {share.workload} {verb} led from {source.environment} to {target.environment}"
    return (f"expansion: {led}, {cost}; `meshctl contract` ends it",)


def refuse_if_migrating(project: Project, environment: str, command: Literal["up", "destroy", "restart"]) -> None:
    """Raises: LockedError if the environment is part of an open migration and the command would interfere."""
    status = open_migration_of(project)
    if status is not None:
        refuse(*status, environment, command)


def refuse(migration: str, history: History, activity: Activity, environment: str, command: str) -> None:
    """`command`: up, restart or destroy. Raises: LockedError if it would interfere with the migration."""
    source, target = history.plan.source.environment, history.plan.target.environment
    if environment not in (source, target):
        return
    if command != "destroy" and environment == target and history.state in _TARGET_RUNS and history.share is None:
        return
    if command != "destroy" and environment == source and history.share is not None and history.state == "waiting":
        return  # the source of an expansion goes on as before
    if history.share is not None:
        raise LockedError(
            f"{environment} is part of expansion {migration} ({source} -> {target}): {state_text(history, activity)}",
            why=_why_expanded(command, environment, target, history.share.workload),
            hint=next_text(migration, history, activity) or "wait until that run has ended",
        )
    raise LockedError(
        f"{environment} is part of migration {migration} ({source} -> {target}): {state_text(history, activity)}",
        why=_why(command, environment, history, activity),
        hint=next_text(migration, history, activity) or "wait until that run has ended",
    )


def refuse_without_shared(project: Project, deployment: Deployment) -> None:
    """Raises: LockedError if an `up` of the source of an expansion would end what serves a shared name there."""
    status = open_migration_of(project)
    if status is not None and status.history.share is not None:
        refuse_unserved(*status, deployment)


def refuse_unserved(migration: str, history: History, activity: Activity, deployment: Deployment) -> None:
    """As `refuse_without_shared`. `deployment`: as it is to be. A workload that may sleep serves no shared name: its
    health checks would fail then, and wake it for ever."""
    plan, share = history.plan, history.share
    if share is None or deployment.environment != plan.source.environment:
        return
    names = {each.name for each in plan.endpoints}
    served = {_service(deployment, each) for each in deployment.endpoints}
    runs = any(each.name == share.workload and each.runs and not each.sleeps for each in deployment.workloads)
    shared = [each for each in plan.source.endpoints if each.name in names]
    unserved = [each.host for each in shared if not runs or _service(plan.source, each) not in served]
    if unserved:
        raise LockedError(
            f"this `up` would change what serves {', '.join(unserved)} in {deployment.environment}",
            why=f"{share.workload} is expanded: DNS leads a part of its users to this load balancer, all of them after"
            " `meshctl contract`, and its DNS health checks still use the settings from the expansion",
            hint=f"leave {share.workload} and its endpoints as they are in {deployment.environment}, or first: "
            + (next_text(migration, history, activity) or "wait until that run has ended"),
        )


def _service(
    deployment: Deployment, endpoint: Endpoint
) -> tuple[str, str, str, int, bool, HealthCheck | None, tuple[str, ...]]:
    """What leads users of an endpoint to its pods, and how the checkers of Route 53 ask it."""
    check = check_of(deployment, endpoint)
    return (
        endpoint.host,
        endpoint.workload,
        endpoint.port,
        endpoint.listens,
        endpoint.is_internal,
        check,
        endpoint.paths,
    )


def _why_expanded(command: str, environment: str, target: str, workload: str) -> str:
    if command == "destroy":
        return f"DNS leads to it for a share of the requests of {workload}"
    if environment == target:
        return f"it has {workload} alone, and `{command}` works with the whole mesh"
    return "two runs would change it at the same time"


def _why(command: str, environment: str, history: History, activity: Activity) -> str:
    if command == "destroy":
        return "the migration needs it, to go on or to roll back"
    if environment == history.plan.source.environment and history.state in _TARGET_RUNS:
        return (
            "its workloads are paused because they run at the target; started here, too, both would write the same data"
        )
    if activity.active is False:
        return "it is partly moved: an `up` would start the workloads again that the migration has stopped"
    return "two runs would change it at the same time"

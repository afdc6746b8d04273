"""What forbids a command on an environment: an open migration of it, or a shift of its nodes. No logic of its own.

Called by `up`, `destroy`, `restart` and `migrate` before they do anything, and again after each question to the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshctl.model.deployment import Deployment, Elsewhere
    from meshctl.model.observed import ShiftsInForce
    from meshctl.project import Project

Command = Literal["up", "destroy", "restart"]


def refuse_if_busy(project: Project, environment: str, command: Command) -> None:
    """Raises: LockedError where a migration has the environment, or a shift is under way there."""
    from meshctl.migrate.journal import guard
    from meshctl.shift import in_force

    guard.refuse_if_migrating(project, environment, command)
    in_force.refuse_while_under_way(in_force.open_shifts_of(project, environment), command)


def refuse_if_moving(project: Project, environment: str) -> None:
    """Raises: LockedError for a measurement beside a migration, whose copies and canaries it would slow down and be
    slowed down by, or beside a shift that is under way. A share of an expansion that waits disturbs nobody."""
    from meshctl.errors import LockedError
    from meshctl.migrate.journal import guard
    from meshctl.shift import in_force

    status = guard.open_migration_of(project)
    if status is not None:
        plan, waits = status.history.plan, status.history.share is not None and status.history.state == "waiting"
        if environment in (plan.source.environment, plan.target.environment) and not waits:
            raise LockedError(
                f"{environment} is part of migration {status.migration}, and is not measured beside it",
                why="its copies and the load would slow each other down",
                hint="`meshctl migrations list` shows it; measure once it is complete",
            )
    in_force.refuse_while_under_way(in_force.open_shifts_of(project, environment), "bench")


def refuse_up(project: Project, deployment: Deployment) -> None:
    """As `refuse_if_busy`, once it is known what the `up` makes. Raises: LockedError also where it would end what
    serves a name that the environment shares, or would bring back a share or a shift that is no longer in force."""
    from meshctl.migrate.journal import guard

    refuse_if_busy(project, deployment.environment, "up")
    guard.refuse_without_shared(project, deployment)
    _refuse_other_shares(deployment, project.shares_in_force(deployment))
    _refuse_other_shifts(deployment, project.session.shifts_in_force(deployment.environment))


def refuse_restart(project: Project, deployment: Deployment) -> None:
    """As `refuse_if_busy`. `deployment`: what was deployed when the command began, which the restart records anew.
    Raises: LockedError also where its gateways have got another share since."""
    from meshctl.model.keys import gateway_shares

    refuse_if_busy(project, deployment.environment, "restart")
    now = project.session.state(deployment.environment).deployment
    _refuse_other_shares(deployment, gateway_shares.shares(now) if now is not None else {})
    _refuse_other_shifts(deployment, project.session.shifts_in_force(deployment.environment))


def _refuse_other_shares(deployment: Deployment, now: Mapping[str, Elsewhere]) -> None:
    """Raises: LockedError unless the gateways of the deployment lead elsewhere what they are to lead `now`."""
    from meshctl.errors import LockedError
    from meshctl.model.keys import gateway_shares

    given = gateway_shares.shares(deployment)
    changed = sorted(name for name in {*given, *now} if given.get(name) != now.get(name))
    if changed:
        raise LockedError(
            f"the share of {', '.join(changed)} was changed while this command ran; nothing was done in"
            f" {deployment.environment}",
            why="this command had read the old share, and would have set it again",
            hint="run the command again",
        )


def _refuse_other_shifts(deployment: Deployment, now: ShiftsInForce) -> None:
    """Raises: LockedError unless the deployment leaves alone what the shifts of `now` have changed: it would take their
    nodes, and start the jobs that wait for theirs."""
    from meshctl.errors import LockedError
    from meshctl.model import shifts_now

    if shifts_now.with_shifts_of_now(deployment, now) != deployment:
        raise LockedError(
            f"nodes were shifted while this command ran; nothing was done in {deployment.environment}",
            why="this command was planned with other nodes in its pools: it would take back what a shift has changed",
            hint="run the command again",
        )


def refuse_restart_without_nodes(project: Project, environment: str, workload: str) -> None:
    """Raises: UsageError for a job that a shift has stopped or made smaller: started now, with all of its pods, it
    would run in part and hold its nodes."""
    from meshctl.errors import UsageError

    shifts = project.session.shifts_in_force(environment)
    if workload in shifts.sizes and workload not in shifts.waiting:
        raise UsageError(
            f"{workload} runs with fewer nodes in {environment} while a shift is in force",
            why="a restart would start all of its pods, of which not all have room",
            hint=f"`meshctl shift {environment} --undo` gives the nodes back, and it grows again",
        )
    if workload in shifts.waiting:
        raise UsageError(
            f"{workload} waits in {environment} until its nodes are back",
            why="a shift has given nodes of its pool to another pool, and not all of its pods have room on the others",
            hint=f"`meshctl shift {environment} --undo` gives the nodes back, and starts it",
        )


def refuse_if_shifted(project: Project, environment: str, command: Literal["destroy", "migrate", "expand"]) -> None:
    """Raises: LockedError where nodes are shifted and the command could not put their labels back. A `destroy` of nodes
    that meshctl made ends them, and the shift with them."""
    from meshctl.platforms import registry
    from meshctl.shift import in_force

    shifts = in_force.open_shifts_of(project, environment)
    if not shifts:
        return
    declared = project.environments.environments.get(environment)
    nodes_are_given = declared is None or registry.platform(declared.provider).nodes.made_of is None
    if command == "migrate":
        in_force.refuse_in_force(shifts, command, "a migration moves pools as they were made, and ends the source")
    elif command == "expand":
        why = "an expansion is planned from pools as they were made, and brings them up in the second environment"
        in_force.refuse_in_force(shifts, command, why)
    elif nodes_are_given:
        in_force.refuse_in_force(shifts, command, "these nodes stay, and would keep the labels of the shift")


def refuse_if_shift_under_way(project: Project, environment: str, command: str) -> None:
    """Raises: LockedError where nodes are between two pools. A shift in force is no matter for the command."""
    from meshctl.shift import in_force

    in_force.refuse_while_under_way(in_force.open_shifts_of(project, environment), command)


def end_shifts(project: Project, environment: str) -> None:
    """The environment is gone, and with it what shifts have changed there."""
    from meshctl.shift import shifts

    store = project.state_store
    if store is not None:
        shifts.end_with_environment(store, project.mesh.name, environment)

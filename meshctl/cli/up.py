"""`meshctl up` and `meshctl destroy`. No logic: see `engine.session`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshctl.cli.context import Context
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.changes import Plan
    from meshctl.cli.opened import Opened
    from meshctl.model.deployment import Deployment

_BreakLock = Annotated[bool, typer.Option("--break-lock", help="Take over the lock of a run that is gone for good.")]

_Confirm = Annotated[
    str,
    typer.Option(
        "--confirm",
        help="With --allow-data-loss or --forget-cluster: the environment's name, instead of typing it.",
        metavar="ENV",
    ),
]

_ForgetCluster = Annotated[
    bool,
    typer.Option("--forget-cluster", help="The existing cluster is gone for good: forget what was in it, first."),
]


def up(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment to bring up.", metavar="ENV")],
    plan: Annotated[Path | None, typer.Option("--plan", help="Apply only what this saved plan says.")] = None,
    object_storage_only: Annotated[
        bool, typer.Option("--object-storage-only", help="Only the buckets: to fill them before the workloads start.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long each workload may take to get ready: 90s, 20m.", metavar="TIME")
    ] = "",
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Delete or replace storage that holds data, where a change asks.")
    ] = False,
    confirm: _Confirm = "",
    forget_cluster: _ForgetCluster = False,
    break_lock: _BreakLock = False,
) -> None:
    """Bring an environment up, or up to date. Data is kept unless you say otherwise, by name."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.opened import opened

    context: Context = ctx.obj
    if object_storage_only:
        _refuse_with_buckets_alone(plan, allow_data_loss=allow_data_loss)
    with opened(context, "up", break_lock=break_lock) as mesh:
        mesh.session.ready_timeout_s = seconds_of(timeout)
        mesh.refuse_if_moving(mesh.known(environment), "up")
        mesh.session.check = partial(mesh.refuse_if_moving, environment, "up")
        if forget_cluster:
            _forget_cluster(context, mesh, environment, confirm, "up")
        deployment = mesh.deployment(environment)
        if object_storage_only:
            _up_object_storage(context, mesh, deployment)
            return
        preview = None
        if plan is not None or context.must_confirm or allow_data_loss:
            preview = mesh.session.plan(deployment)
            _agree(context, preview, plan)
            lost = mesh.session.data_lost_by(preview) if allow_data_loss else []
            if lost:
                context.confirm_name(environment, confirm, f"{', '.join(risk.subject for risk in lost)} would be lost")
        mesh.refuse_if_moving(environment, "up")  # a migration may have begun while the question was open
        result = mesh.session.up(deployment, previewed=preview, allow_data_loss=allow_data_loss)
    if result.failed_jobs is not None and context.output == "json":
        raise result.failed_jobs  # one document
    _show(context, result.plan, result.addresses)
    if context.output != "json":
        for endpoint in deployment.endpoints:
            context.print(f"  {endpoint.host} -> {result.addresses.get(endpoint.name, 'no address yet')}\n")
    if result.failed_jobs is not None:
        raise result.failed_jobs


def _refuse_with_buckets_alone(plan: Path | None, *, allow_data_loss: bool) -> None:
    """Raises: UsageError for options that mean nothing to `--object-storage-only`."""
    if plan is not None or allow_data_loss:
        raise UsageError(
            "--object-storage-only goes with neither --plan nor --allow-data-loss",
            why="it makes buckets and sets them up, deletes none, and leaves the rest as it is",
        )


def _up_object_storage(context: Context, mesh: Opened, deployment: Deployment) -> None:
    """Raises: InterruptedByUserError, and as `Session.up_object_storage`."""
    if context.must_confirm:
        _agree(context, mesh.session.plan_object_storage(deployment), None)
    mesh.refuse_if_moving(deployment.environment, "up")
    _show(context, mesh.session.up_object_storage(deployment), {})


def _forget_cluster(
    context: Context, mesh: Opened, environment: str, confirm: str, command: Literal["up", "destroy"]
) -> None:
    """Raises: ProtectedDataError when the name isn't given, UsageError when the cluster is still there, LockedError."""
    declared = mesh.access(environment)
    why = "nodes and volumes in a cluster that is forgotten are not deleted: if it still exists, they cost money"
    context.confirm_name(environment, confirm, why)
    mesh.refuse_if_moving(environment, command)
    mesh.session.forget_cluster(environment, declared)


def _agree(context: Context, preview: Plan, saved: Path | None) -> None:
    """The preview is what the saved plan says, or what the person at the terminal says yes to.

    Raises: StalePlanError, UsageError, InterruptedByUserError.
    """
    from meshctl.changes import plan_text
    from meshctl.engine import plan_file

    if saved is not None:
        plan_file.check(saved, preview)
    elif preview.pending and context.must_confirm:
        context.say(plan_text(preview))
        context.confirm(f"apply to {preview.environment}?")


def seconds_of(text: str) -> int:
    """`90s`, `20m`, `1h`; 0 for nothing. Raises: UsageError."""
    from meshctl.model.units import seconds

    try:
        return int(seconds(text)) if text else 0
    except ValueError as error:
        raise UsageError(f"--timeout {text}: {error}", hint="for example --timeout 20m") from error


def _show(context: Context, plan: Plan, addresses: dict[str, str]) -> None:
    from meshctl.changes import done_text

    if context.output == "json":
        context.print_json({**plan.document(), "endpoints": addresses})
    else:
        context.print(done_text(plan))


def destroy(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment to take down.", metavar="ENV")],
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Delete storage that holds data, too.")
    ] = False,
    confirm: _Confirm = "",
    forget_cluster: _ForgetCluster = False,
    break_lock: _BreakLock = False,
) -> None:
    """Delete everything that `up` made there. Data is kept unless you say otherwise, by name."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.opened import opened
    from meshctl.engine.others import others_text
    from meshctl.engine.session import deletions

    context: Context = ctx.obj
    with opened(context, "destroy", break_lock=break_lock) as mesh:
        mesh.refuse_if_moving(mesh.known_or_up(environment), "destroy")
        if forget_cluster:
            _forget_cluster(context, mesh, environment, confirm, "destroy")
        risks = mesh.session.data_held(environment)
        if risks and allow_data_loss:
            context.confirm_name(environment, confirm, f"{', '.join(risks)} hold data, which is lost for good")
        elif context.must_confirm and not risks:
            steps = mesh.session.destroy_plan(environment)
            if steps:
                context.confirm(f"delete {len(steps)} resources of {environment}?")
        mesh.refuse_if_moving(environment, "destroy")  # a migration may have begun while the question was open
        deleted = len(deletions(mesh.session.destroy(environment, allow_data_loss=allow_data_loss)))
        others = () if deleted else mesh.session.others()
    if context.output == "json":
        context.print_json(
            {"environment": environment, "deleted": deleted, "data_deleted": risks if allow_data_loss else []}
        )
    elif deleted:
        context.print(f"{environment}: {deleted} resources deleted, nothing left\n")
    else:
        context.print(f"{environment}: nothing is up\n{others_text(others, mesh.mesh.name)}")

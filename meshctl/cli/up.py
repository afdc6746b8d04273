"""`meshctl up` and `meshctl destroy`. No logic: see `deploy.session`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshctl.cli import data_loss
from meshctl.cli.context import Context
from meshctl.cli.options import BreakLock, RefreshImages, TakeOver
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshctl.changes import Plan
    from meshctl.changes.losses import Loss
    from meshctl.deploy.runs.environment_up import UpResult
    from meshctl.model.deployment import Deployment, Pool
    from meshctl.project import Project

_Confirm = Annotated[
    str,
    typer.Option(
        "--confirm",
        help="With --allow-data-loss or --forget-cluster: the environment's name, instead of typing it when asked.",
        metavar="ENV",
    ),
]


_ForgetCluster = Annotated[
    bool,
    typer.Option(
        "--forget-cluster", help="The existing cluster is gone for good: first remove its objects from the state."
    ),
]


_Plan = Annotated[Path | None, typer.Option("--plan", help="Apply this saved plan, and nothing else.")]

_ObjectStorageOnly = Annotated[
    bool,
    typer.Option("--object-storage-only", help="Bring up only the buckets, to fill them before the workloads start."),
]

_Timeout = Annotated[
    str,
    typer.Option("--timeout", help="How long each workload may take to become ready: 90s, 20m.", metavar="TIME"),
]

_WaitForCapacity = Annotated[
    str,
    typer.Option(
        "--wait-for-capacity",
        help="Where the platform has no machines for a pool, or its reservation has not begun, keep trying for this"
        " long: 90m, 6h.",
        metavar="TIME",
    ),
]

_AllowDataLoss = Annotated[
    bool,
    typer.Option("--allow-data-loss", help="Delete or replace storage that holds data, if a change requires it."),
]

_NoRefresh = Annotated[
    bool,
    typer.Option(
        "--no-refresh", help="Don't check AWS and the cluster for drift first: changes by others are not repaired."
    ),
]


def up(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment to bring up.", metavar="ENV")],
    plan: _Plan = None,
    object_storage_only: _ObjectStorageOnly = False,
    timeout: _Timeout = "",
    wait_for_capacity: _WaitForCapacity = "",
    allow_data_loss: _AllowDataLoss = False,
    take_over: TakeOver = None,
    confirm: _Confirm = "",
    forget_cluster: _ForgetCluster = False,
    no_refresh: _NoRefresh = False,
    refresh_images: RefreshImages = False,
    break_lock: BreakLock = False,
) -> None:
    """Bring an environment up, or up to date. Data is deleted only if you allow it and confirm the name."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.guards import refuse_if_busy
    from meshctl.cli.opened import opened
    from meshctl.cli.shift import return_due_of
    from meshctl.deploy.fields import ownership

    context: Context = ctx.obj
    wait_s = seconds_of(wait_for_capacity, "--wait-for-capacity")
    if object_storage_only:
        _refuse_with_buckets_alone(plan, allow_data_loss=allow_data_loss, more=bool(wait_s) or refresh_images)
    with opened(context, "up", break_lock=break_lock) as mesh:
        mesh.session.ready_timeout_s = seconds_of(timeout)
        mesh.session.refresh = not no_refresh
        mesh.session.refresh_images = refresh_images
        refuse_if_busy(mesh, mesh.checked_name(environment), "up")
        mesh.session.check = partial(refuse_if_busy, mesh, environment, "up")
        if forget_cluster:
            _forget_cluster(context, mesh, environment, confirm, "up")
        return_due_of(context, mesh, environment, break_lock=break_lock)
        deployment = mesh.deployment(environment)
        mesh.session.take_over = ownership.checked_take_over(take_over or (), deployment)
        if object_storage_only:
            _up_object_storage(context, mesh, deployment)
            return
        result = _up_to_date(
            context, mesh, deployment, plan, allow_data_loss=allow_data_loss, confirm=confirm, wait_s=wait_s
        )
    _show_result(context, deployment, result)


def _up_to_date(
    context: Context,
    mesh: Project,
    deployment: Deployment,
    plan: Path | None,
    *,
    allow_data_loss: bool,
    confirm: str,
    wait_s: int,
) -> UpResult:
    """Ask where something has to be asked, then bring it up; for `wait_s` seconds again where there is no capacity."""
    from meshctl.cli.guards import refuse_up
    from meshctl.deploy.capacity.capacity_wait import until_there_is_capacity
    from meshctl.deploy.guards.protection import refused_by_up

    refuse_up(mesh, deployment)
    mesh.session.check = partial(refuse_up, mesh, deployment)
    preview = None
    if plan is not None or context.must_confirm or allow_data_loss:
        preview = mesh.session.plan(deployment)
        _agree(context, preview, plan, refused=None if allow_data_loss else refused_by_up, confirm=confirm)
    refuse_up(mesh, deployment)  # a migration may have begun while the question was open
    previews = iter([preview])  # of the first try alone: a later one has to look again at what it would lose
    return until_there_is_capacity(
        lambda: _bring_up(
            context, mesh, deployment, next(previews, None), allow_data_loss=allow_data_loss, waits=bool(wait_s)
        ),
        wait_s,
        say=context.say,
        is_interrupted=lambda: mesh.session.program.interrupted,
    )


def _show_result(context: Context, deployment: Deployment, result: UpResult) -> None:
    """Raises: JobsFailedError, or the error of a capacity block that has ended, although all the rest is up."""
    error = result.failed_jobs or result.ended_blocks
    if error is not None and context.output == "json":
        raise error  # JSON output is a single document: the error
    _show(context, result.plan, result.addresses, result.waiting_jobs)
    if context.output != "json":
        for name, waits_for in result.waiting_jobs.items():
            context.print(f"  {name}: {waits_for}\n")
        for endpoint in deployment.endpoints:
            context.print(f"  {endpoint.host} -> {result.addresses.get(endpoint.name, 'no address yet')}\n")
    if error is not None:
        raise error


def _bring_up(
    context: Context,
    mesh: Project,
    deployment: Deployment,
    preview: Plan | None,
    *,
    allow_data_loss: bool,
    waits: bool,
) -> UpResult:
    """Raises: NoCapacityError also where all is up but pools that start later, if the command `waits` for them;
    MeasurementError where a fabric gives less than the mesh expects: then its workloads wait, and all else is up."""
    from meshctl.cli import gate
    from meshctl.deploy.capacity.capacity_wait import not_started

    pools = gate.pools(mesh, deployment)
    if pools:
        result = _bring_up_measured(context, mesh, deployment, pools, preview, allow_data_loss=allow_data_loss)
    else:
        result = mesh.session.up(deployment, previewed=preview, allow_data_loss=allow_data_loss)
    if waits and result.starts:
        raise not_started(deployment.environment, result.starts)
    return result


def _bring_up_measured(
    context: Context,
    mesh: Project,
    deployment: Deployment,
    pools: Sequence[Pool],
    preview: Plan | None,
    *,
    allow_data_loss: bool,
) -> UpResult:
    """All but the workloads of these pools and their names; then, once their fabrics were measured, those as well. Data
    that somebody has agreed to lose is lost in the first run: nobody was asked about any more."""
    from meshctl.bench import fabric_gate
    from meshctl.changes import grouping
    from meshctl.cli import gate

    waiting = fabric_gate.waiting(deployment, pools)
    before = mesh.session.up(waiting, previewed=preview, allow_data_loss=allow_data_loss)
    gate.measure(context, mesh, deployment, pools, before.outputs)
    after = mesh.session.up(deployment, allow_data_loss=False)
    return replace(after, plan=grouping.joined(before.plan, after.plan))


def _refuse_with_buckets_alone(plan: Path | None, *, allow_data_loss: bool, more: bool) -> None:
    """Raises: UsageError for options that can't be combined with `--object-storage-only`."""
    if plan is not None or allow_data_loss or more:
        raise UsageError(
            "--object-storage-only can't be combined with --plan, --allow-data-loss, --wait-for-capacity or"
            " --refresh-images",
            why="it only creates and configures buckets: it deletes none, and changes nothing else",
        )


def _up_object_storage(context: Context, mesh: Project, deployment: Deployment) -> None:
    """Raises: InterruptedByUserError, and as `Session.up_object_storage`."""
    from meshctl.cli.guards import refuse_if_busy
    from meshctl.deploy.guards.protection import refused_by_up

    if context.must_confirm:
        _agree(context, mesh.session.plan_object_storage(deployment), None, refused=refused_by_up)
    refuse_if_busy(mesh, deployment.environment, "up")
    _show(context, mesh.session.up_object_storage(deployment), {})


def _forget_cluster(
    context: Context, mesh: Project, environment: str, confirm: str, command: Literal["up", "destroy"]
) -> None:
    """Raises: ProtectedDataError when the name isn't given, UsageError when the cluster is still there, LockedError."""
    from meshctl.cli.guards import end_shifts, refuse_if_busy
    from meshctl.deploy.guards.protection import lost_with_cluster

    declared = mesh.access(environment)
    warning = "nodes and volumes of a forgotten cluster are not deleted: if the cluster still exists, they cost money"
    lost = lost_with_cluster(mesh.session.state(environment))
    data_loss.ask(context, environment, lost, refused=None, confirm=confirm, warning=warning)
    refuse_if_busy(mesh, environment, command)
    mesh.session.forget_cluster(environment, declared)
    end_shifts(mesh, environment)


def _agree(
    context: Context, preview: Plan, plan_path: Path | None, *, refused: data_loss.Refused | None, confirm: str = ""
) -> None:
    """Check that the preview equals the saved plan, or ask the user; if it loses data, by the environment's name.

    `refused` and `confirm`: as for `data_loss.ask`.

    Raises: StalePlanError, UsageError, InterruptedByUserError, ProtectedDataError.
    """
    from meshctl.changes import plan_text
    from meshctl.deploy import plan_file

    asks = plan_path is None and preview.pending and context.must_confirm
    if plan_path is not None:
        plan_file.check(plan_path, preview)
    elif asks:
        context.say(plan_text(preview))
    data_loss.ask(context, preview.environment, preview.losses, refused=refused, confirm=confirm, shown=asks)
    if confirm and not preview.losses:  # the confirmed name counts as a yes
        context.confirm_name(preview.environment, confirm, f"{preview.environment} is changed")
    elif asks and not preview.losses:
        context.confirm(f"apply to {preview.environment}?")


def seconds_of(text: str, option: str = "--timeout") -> int:
    """`90s`, `20m`, `1h`; 0 for nothing. Raises: UsageError, which names the option."""
    from meshctl.model.files.units import seconds

    try:
        return int(seconds(text)) if text else 0
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}", hint=f"write it as in {option} 20m") from error


def _show(context: Context, plan: Plan, addresses: dict[str, str], waiting: Mapping[str, str] | None = None) -> None:
    from meshctl.changes import done_text

    if context.output == "json":
        waiting_jobs = {"waiting": dict(waiting)} if waiting else {}
        context.print_json({**plan.document(), "endpoints": addresses, **waiting_jobs})
    else:
        context.print(done_text(plan))


def destroy(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment to destroy.", metavar="ENV")],
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Also delete storage that holds data.")
    ] = False,
    confirm: _Confirm = "",
    forget_cluster: _ForgetCluster = False,
    break_lock: BreakLock = False,
) -> None:
    """Delete everything that `up` made there. Data is deleted only if you allow it and confirm the name."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.guards import end_shifts, refuse_if_busy, refuse_if_shifted
    from meshctl.cli.opened import opened
    from meshctl.deploy.unmanaged_stacks import unmanaged_stacks_text
    from meshctl.engine.events import deletions

    context: Context = ctx.obj
    with opened(context, "destroy", break_lock=break_lock) as mesh:
        refuse_if_busy(mesh, mesh.checked_or_deployed_name(environment), "destroy")
        if forget_cluster:
            _forget_cluster(context, mesh, environment, confirm, "destroy")
        refuse_if_shifted(mesh, environment, "destroy")
        lost = mesh.session.lost_by_destroy(environment)
        _agree_to_destroy(context, mesh, environment, lost, allow_data_loss=allow_data_loss, confirm=confirm)
        refuse_if_busy(mesh, environment, "destroy")  # a migration may have begun while the question was open
        # nobody was asked if there was no data to lose: data written since then is refused
        deleted = len(deletions(mesh.session.destroy(environment, allow_data_loss=bool(lost))))
        end_shifts(mesh, environment)
        unmanaged = () if deleted else mesh.session.unmanaged_stacks()
    if context.output == "json":
        context.print_json({"environment": environment, "deleted": deleted, **data_loss.document(lost)})
    elif deleted:
        context.print(f"{environment}: {deleted} resources deleted, nothing left\n")
    else:
        context.print(f"{environment}: nothing is up\n{unmanaged_stacks_text(unmanaged, mesh.mesh.name)}")


def _agree_to_destroy(
    context: Context, mesh: Project, environment: str, lost: Sequence[Loss], *, allow_data_loss: bool, confirm: str
) -> None:
    """Raises: ProtectedDataError, UsageError, InterruptedByUserError."""
    from meshctl.deploy.guards.protection import refused_by_destroy

    refused = None if allow_data_loss else refused_by_destroy
    data_loss.ask(context, environment, lost, refused=refused, confirm=confirm)
    if confirm and not lost:  # the confirmed name counts as a yes
        context.confirm_name(environment, confirm, f"everything of {environment} is deleted")
    elif context.must_confirm and not lost:
        steps = mesh.session.destroy_plan(environment)
        if steps:
            context.confirm(f"delete {len(steps)} resources of {environment}?")

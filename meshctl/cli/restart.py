"""`meshctl restart`: run a job again, replace the pods of a service. No logic: see `operate.restart`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from meshctl.cli.context import Context
from meshctl.cli.options import BreakLock


def restart(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="The workload to restart.", metavar="WORKLOAD")],
    environment: Annotated[
        str, typer.Option("--env", help="The environment; needed if the workload is up in several.", metavar="ENV")
    ] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long new pods of a service may take to become ready.", metavar="TIME")
    ] = "",
    break_lock: BreakLock = False,
) -> None:
    """Run a training or batch job again, or replace the pods of a service, as the last `up` declared them."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.guards import refuse_if_busy, refuse_restart, refuse_restart_without_nodes
    from meshctl.cli.opened import opened
    from meshctl.cli.up import seconds_of
    from meshctl.operate import restart as restarts

    context: Context = ctx.obj
    limit_s = seconds_of(timeout)
    with opened(context, "restart", break_lock=break_lock) as mesh:
        names = [mesh.checked_name(environment)] if environment else list(mesh.environments.environments)
        deployment = restarts.environment_of_workload(mesh.session, names, workload)
        where = mesh.checked_name(deployment.environment)
        refuse_if_busy(mesh, where, "restart")
        refuse_restart_without_nodes(mesh, where, workload)
        mesh.session.check = partial(refuse_restart, mesh, deployment)
        note = restarts.unapplied_changes(deployment, lambda: mesh.deployment(where), workload)
        if note:
            context.say(note)
        if context.must_confirm and restarts.has_running_work(mesh.session, deployment, workload):
            context.confirm(f"{workload} is still running in {where}: stop it and run it again from the start?")
            refuse_restart(mesh, deployment)  # a migration may have begun while the question was open
        done = restarts.restart(mesh.session, deployment, workload, timeout_s=limit_s)
    if context.output == "json":
        kind = deployment.workload(workload).kind
        notes = [note] if note else []
        context.print_json({"environment": where, "workload": workload, "kind": kind, "notes": notes})
    else:
        context.print(done)

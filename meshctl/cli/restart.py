"""`meshctl restart`: run a job again, roll a service. No logic: see `operate.restart`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from meshctl.cli.context import Context


def restart(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="The workload that is to begin anew.", metavar="WORKLOAD")],
    environment: Annotated[
        str, typer.Option("--env", help="Where; needed if it is up in several environments.", metavar="ENV")
    ] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long new pods of a service may take to get ready.", metavar="TIME")
    ] = "",
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Take over the lock of a run that is gone for good.")
    ] = False,
) -> None:
    """Run a training or batch job again, or roll the pods of a service, as they were last brought up."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.opened import opened
    from meshctl.cli.up import seconds_of
    from meshctl.migrate.journal import guard
    from meshctl.operate import restart as restarts

    context: Context = ctx.obj
    limit_s = seconds_of(timeout)
    with opened(context, "restart", break_lock=break_lock) as mesh:
        names = [mesh.known(environment)] if environment else list(mesh.environments.environments)
        deployment = restarts.chosen(mesh.session, names, workload)
        where = mesh.known(deployment.environment)
        guard.refuse_if_migrating(mesh, where, "restart")
        mesh.session.check = partial(guard.refuse_if_migrating, mesh, where, "restart")
        note = restarts.not_applied(deployment, lambda: mesh.deployment(where), workload)
        if note:
            context.say(note)
        if context.must_confirm and restarts.running_work(mesh.session, deployment, workload):
            context.confirm(f"{workload} still runs in {where}: end its work at its signal to stop, and begin anew?")
            guard.refuse_if_migrating(mesh, where, "restart")  # a migration may have begun while the question was open
        done = restarts.restart(mesh.session, deployment, workload, timeout_s=limit_s)
    if context.output == "json":
        kind = deployment.workload(workload).kind
        notes = [note] if note else []
        context.print_json({"environment": where, "workload": workload, "kind": kind, "notes": notes})
    else:
        context.print(done)

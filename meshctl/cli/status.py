"""`meshctl status`: live health, endpoints, pools. No logic: see `operate.status`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from meshctl.cli.context import Context


def status(
    ctx: typer.Context,
    environment: Annotated[
        str | None, typer.Argument(help="Only this environment.", metavar="ENV", show_default="all")
    ] = None,
) -> None:
    """Show what runs where: pools, workloads and endpoints of each environment."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.opened import opened
    from meshctl.deploy.unmanaged_stacks import unmanaged_stacks_text
    from meshctl.migrate import views
    from meshctl.migrate.journal import guard
    from meshctl.operate.status import collect, collect_all, status_text, with_holder

    context: Context = ctx.obj
    with opened(context, "status") as mesh:
        if environment:
            statuses = [collect(mesh.session, mesh.checked_name(environment))]
        else:
            statuses = collect_all(mesh.session, mesh.environments.environments)
        statuses = [with_holder(status, mesh.running(status.environment)) for status in statuses]
        moving = guard.latest_open_migration_of(mesh)
        unmanaged = () if environment else mesh.session.unmanaged_stacks()
    migration = views.row_document(moving) if moving else None
    if context.output == "json":
        states = {status.environment: status.document() for status in statuses}
        context.print_json(
            {
                "environments": states,
                "migration": migration,
                "others": [dataclasses.asdict(stack) for stack in unmanaged],
            }
        )
    else:
        context.print("\n".join(map(status_text, statuses)))
        if moving is not None:
            context.print(f"\nopen migration: {views.list_text([moving])}")
        if unmanaged:
            context.print(f"\n{unmanaged_stacks_text(unmanaged, mesh.mesh.name)}")

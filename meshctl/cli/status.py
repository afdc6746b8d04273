"""`meshctl status`: live health, endpoints, pools. No logic: see `operate.status`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from meshctl.cli.context import Context


def status(
    ctx: typer.Context,
    environment: Annotated[str | None, typer.Argument(help="Only this one.", metavar="ENV", show_default="all")] = None,
) -> None:
    """Show what runs where: pools, workloads, endpoints."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.cli.opened import opened
    from meshctl.deploy.others import others_text
    from meshctl.migrate import views
    from meshctl.migrate.journal import guard
    from meshctl.operate.status import collect, collect_all, status_text, with_holder

    context: Context = ctx.obj
    with opened(context, "status") as mesh:
        if environment:
            seen = [collect(mesh.session, mesh.known(environment))]
        else:
            seen = collect_all(mesh.session, mesh.environments.environments)
        found = [with_holder(status, mesh.running(status.environment)) for status in seen]
        moving = guard.latest_open_migration_of(mesh)
        others = () if environment else mesh.session.others()
    migration = views.row_document(moving) if moving else None
    if context.output == "json":
        states = {status.environment: status.document() for status in found}
        context.print_json(
            {"environments": states, "migration": migration, "others": [dataclasses.asdict(other) for other in others]}
        )
    else:
        context.print("\n".join(map(status_text, found)))
        if moving is not None:
            context.print(f"\nopen migration: {views.list_text([moving])}")
        if others:
            context.print(f"\n{others_text(others, mesh.mesh.name)}")

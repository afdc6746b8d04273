"""`meshctl plan`: what `up` would do, in mesh terms. No logic: see `deploy.session` and `changes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshctl.cli.context import Context


def plan(
    ctx: typer.Context,
    environments: Annotated[list[str], typer.Argument(help="Environments to preview.", metavar="ENV")],
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan to this file, for `up --plan`.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when changes are pending.")
    ] = False,
    no_refresh: Annotated[
        bool,
        typer.Option(
            "--no-refresh", help="Don't check AWS and the cluster for drift: faster, but changes by others are missed."
        ),
    ] = False,
    resources: Annotated[bool, typer.Option("--resources", help="List each resource under its subject.")] = False,
) -> None:
    """Preview: changes in mesh terms first, resources as detail."""
    # the Pulumi SDK takes most of a second to import: not for `meshctl --help`
    from meshctl.changes import plan_text
    from meshctl.cli.opened import opened
    from meshctl.deploy import plan_file
    from meshctl.errors import UsageError

    context: Context = ctx.obj
    names = list(dict.fromkeys(environments))
    if out is not None and len(names) > 1:
        raise UsageError("--out saves the plan of one environment", hint="run `meshctl plan ENV --out FILE` for each")
    if out is not None:
        plan_file.check_place(out)
    with opened(context, "plan") as mesh:
        mesh.session.refresh = not no_refresh
        plans = [mesh.session.plan(mesh.deployment(name)) for name in names]
    if context.output == "json":
        documents = [each.document() for each in plans]
        context.print_json(documents[0] if len(documents) == 1 else {"plans": documents})
    else:
        context.print("\n".join(plan_text(each, resources=resources or context.verbose) for each in plans))
    if out is not None:
        plan_file.save(out, plans[0])
        context.say(f"saved to {out}; `meshctl up {names[0]} --plan {out}` applies it")
    if detailed_exitcode and any(each.pending for each in plans):
        raise typer.Exit(2)

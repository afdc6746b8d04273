"""`meshctl plan`: what `up` would do, in mesh terms, in each of the environments that can be planned. No logic: see
`deploy.session` and `changes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl.cli import error_reports
from meshctl.cli.context import Context
from meshctl.cli.options import RefreshImages

if TYPE_CHECKING:
    from meshctl.changes import Plan
    from meshctl.errors import MeshError
    from meshctl.project import Project


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
    refresh_images: RefreshImages = False,
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
        mesh.session.refresh_images = refresh_images
        plans, errors = _plans(mesh, names)
    if context.output == "json":
        documents = [each.document() for each in plans]
        failed = [{"environment": name, **error_reports.document(error)} for name, error in errors.items()]
        several = {"plans": documents, **({"errors": failed} if failed else {})}
        context.print_json(documents[0] if len(names) == 1 else several)
    elif plans:
        context.print("\n".join(plan_text(each, resources=resources or context.verbose) for each in plans))
    if context.output != "json":
        for name, error in errors.items():
            error_reports.show(error, name)
    if out is not None:
        plan_file.save(out, plans[0])
        context.say(f"saved to {out}; `meshctl up {names[0]} --plan {out}` applies it")
    if errors:
        raise typer.Exit(max(error.exit_code for error in errors.values()))
    if detailed_exitcode and any(each.pending for each in plans):
        raise typer.Exit(2)


def _plans(mesh: Project, names: list[str]) -> tuple[list[Plan], dict[str, MeshError]]:
    """Of each environment its plan, or what was in the way. Raises: the error of a single environment; UsageError for
    an unknown name and DiagnosticsError for a mistake of the mesh, which all have in common."""
    from meshctl.errors import DiagnosticsError, InterruptedByUserError, MeshError

    if len(names) == 1:
        return [mesh.session.plan(mesh.deployment(names[0]))], {}
    if mesh.mesh.mistakes:
        raise DiagnosticsError(list(mesh.mesh.mistakes))
    for name in names:
        mesh.checked_name(name)
    plans: list[Plan] = []
    errors: dict[str, MeshError] = {}
    for name in names:
        try:
            plans.append(mesh.session.plan(mesh.deployment(name)))
        except InterruptedByUserError:
            raise
        except MeshError as error:
            errors[name] = error
    return plans, errors

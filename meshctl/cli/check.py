"""`meshctl check`: can each environment carry the mesh? Offline, or asking the platforms first. No logic: see
`resolve`, `resolve.report` and `project`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl.cli.context import Context
from meshctl.errors import DiagnosticsError

if TYPE_CHECKING:
    from meshctl.model.deployment import Resolution
    from meshctl.project import Project

_INFEASIBLE = 65


def check(
    ctx: typer.Context,
    environments: Annotated[
        list[str] | None, typer.Argument(help="Environments to check; without any, all.", metavar="ENV")
    ] = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Ask the platforms first: zones, quotas, reservations; nodes of existing clusters.",
        ),
    ] = False,
) -> None:
    """Check whether each environment can carry the mesh: placement, gaps and cost side by side."""
    # pydantic and the catalog: not for `meshctl --help`
    from meshctl.catalog import load_catalog
    from meshctl.resolve import checked_name, report, resolve

    context: Context = ctx.obj
    mesh, declared = context.load()
    mistakes = [*mesh.mistakes, *([] if environments else declared.mistakes)]
    if mistakes:
        raise DiagnosticsError(mistakes)
    catalog = load_catalog()
    names = list(dict.fromkeys(checked_name(declared, name) for name in environments or declared.environments))
    infeasible = False

    def resolutions() -> Iterator[Resolution]:
        nonlocal infeasible
        made = _online(context, names) if online else (resolve(mesh, declared, name, catalog) for name in names)
        for resolution in made:
            infeasible |= resolution.deployment is None
            yield resolution

    if context.output == "json":
        pieces = report.JsonReport(mesh.name).pieces(resolutions())
    else:
        pieces = report.human(mesh.name, resolutions(), count=len(names), verbose=context.verbose)
    for piece in pieces:
        sys.stdout.write(piece)
    if infeasible:
        raise typer.Exit(_INFEASIBLE)


def _online(context: Context, names: list[str]) -> Iterator[Resolution]:
    from meshctl.cli.opened import opened  # with the engine: not for a check offline

    with opened(context, "check") as project:
        # all of them before anything is written: JSON can't be taken back
        yield from [_resolution_or_gap(project, name) for name in names]


def _resolution_or_gap(project: Project, name: str) -> Resolution:
    """What an environment does not answer is its own gap: the others are shown all the same."""
    from meshctl.errors import InterruptedByUserError, MeshError, UsageError
    from meshctl.model.deployment import Gap, Resolution

    try:
        return project.online_resolution(name)
    except (InterruptedByUserError, UsageError):
        raise
    except MeshError as error:
        gap = Gap(subject="environment", wanted="an answer", best=error.what, hint=error.hint or error.why)
        return Resolution(mesh=project.mesh.name, environment=name, deployment=None, gaps=(gap,))

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
    from meshctl.resolve import checked_name, report

    context: Context = ctx.obj
    mesh, declared = context.load()
    mistakes = [*mesh.mistakes, *([] if environments else declared.mistakes)]
    if mistakes:
        raise DiagnosticsError(mistakes)
    names = list(dict.fromkeys(checked_name(declared, name) for name in environments or declared.environments))
    infeasible = False

    def resolutions() -> Iterator[Resolution]:
        nonlocal infeasible
        made = _online(context, names) if online else _offline(context, names)
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


def _offline(context: Context, names: list[str]) -> Iterator[Resolution]:
    from meshctl.catalog import load_catalog
    from meshctl.engine import state_folder
    from meshctl.resolve import resolve
    from meshctl.resolve.placement.machine_types import offerings

    mesh, declared = context.load()
    catalog = load_catalog()
    for name in names:
        resolution = resolve(mesh, declared, name, catalog)
        is_up = state_folder.has_stack(declared.state.backend, context.folder, mesh.name, name)
        has_journals = state_folder.has_journals(declared.state.backend, context.folder, mesh.name)
        asks = is_up and (has_journals or offerings.depends_on_what_is_up(resolution))
        yield _as_it_is_up(context, resolution) if asks else resolution


def _as_it_is_up(context: Context, resolution: Resolution) -> Resolution:
    """As the folder of the state has it, with the shifts and the expansion that are open. Where that can't be read,
    `plan` and `up` say so; here nothing is known to be up."""
    from meshctl.cli.opened import opened  # with the engine: not for a check of what fits
    from meshctl.errors import InterruptedByUserError, MeshError

    try:
        with opened(context, "check") as project:
            return project.offline_resolution(resolution.environment)
    except InterruptedByUserError:
        raise
    except MeshError:
        return resolution


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

"""`meshctl advise`: where the bottleneck of each workload is, and the smallest change that helps. No logic: see
`meshctl.advise`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl import atomic_write
from meshctl.cli.context import Context
from meshctl.errors import FileError, UsageError

if TYPE_CHECKING:
    from meshctl.measure.results import Result
    from meshctl.model.deployment import Deployment, Resolution


def advise(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment to advise on.", metavar="ENV")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Of a workload's model: WORKLOAD=NAME or WORKLOAD=params=70e9,bytes=1,… Without it, by its arguments.",
        ),
    ] = None,
    tokens: Annotated[str, typer.Option("--tokens", help="Tokens of a request: INPUT/OUTPUT.")] = "1000/1000",
    html: Annotated[Path | None, typer.Option("--html", help="Write the advice as one HTML page to this file.")] = None,
) -> None:
    """Name the bottleneck of each workload, and the smallest change that helps, with its price."""
    # pydantic and the catalog: not for `meshctl --help`
    from meshctl.advise import advice, facts, human, page
    from meshctl.advise.edits import Declared
    from meshctl.catalog import load_catalog

    context: Context = ctx.obj
    given = dict(facts.parse(each) for each in model or ())
    lengths = lengths_of(tokens)
    deployment = _deployment(context, environment)
    results = _results(context, environment)
    made = advice.of_environment(deployment, load_catalog(), results, given, lengths, Declared(*context.load()))
    if html is not None:
        _write(html, page.text(made))
        context.say(f"written to {html}")
    if context.output == "json":
        context.print_json(human.document(made))
    else:
        context.print(human.text(made))


def lengths_of(tokens: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,6})/([1-9]\d{0,6})", tokens)
    if match is None:
        raise UsageError(f'"{tokens}" is no pair of lengths', hint="write --tokens INPUT/OUTPUT, like 1000/1000")
    return int(match[1]), int(match[2])


def _deployment(context: Context, environment: str) -> Deployment:
    """As `check` resolves it; where nodes are given, with what their cluster reports. Raises: InfeasibleError."""
    from meshctl.deploy.guards.preflight import infeasible

    resolution = _resolution(context, environment, online=True)
    if resolution is None or resolution.deployment is None:
        raise infeasible(environment, resolution.gaps if resolution else ())
    return resolution.deployment


def resolution_of(context: Context, environment: str, *, online: bool) -> Deployment | None:
    """The deployment; None where the environment can't carry the mesh, or, offline, only its cluster knows."""
    resolution = _resolution(context, environment, online=online)
    return resolution.deployment if resolution is not None else None


def _resolution(context: Context, environment: str, *, online: bool) -> Resolution | None:
    from meshctl.platforms import registry
    from meshctl.resolve import checked_name

    _, declared = context.load()
    platform = registry.platform(declared.environments[checked_name(declared, environment)].provider)
    if platform.nodes.made_of is not None:
        return context.resolution(environment)
    if not online:
        return None
    from meshctl.cli.opened import opened  # with the engine: not where the catalog knows the nodes

    with opened(context, "advise") as project:
        return project.resolution(environment)


def _results(context: Context, environment: str) -> tuple[Result, ...]:
    """What `bench` has measured there, or read."""
    from meshctl.bench import result_files

    mesh, declared = context.load()
    return result_files.read_if_any(declared.state.backend, context.folder, mesh.name, environment)


def _write(path: Path, page: str) -> None:
    try:
        atomic_write.write(path.resolve(), page)
    except OSError as error:
        raise FileError(f"the page can't be written to {path}: {error.strerror}", hint="name another file") from error

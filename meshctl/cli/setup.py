"""`meshctl setup`: gets the external programs. No logic: see `tools`."""

from __future__ import annotations

from typing import Annotated

import typer

from meshctl import tools
from meshctl.cli.context import Context
from meshctl.errors import UsageError


def setup(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Only these programs.", show_default="all of them")] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build with Go what is missing; download no programs.")
    ] = False,
) -> None:
    """Find, download or build the external programs; does nothing when they are there.

    Official releases are downloaded and verified; what can't be downloaded is built with Go, all of it in about a
    quarter of an hour on two cores. `meshctl setup pulumi` gets what deploying needs, the others are for the lab.
    """
    unknown = [name for name in names or () if name not in tools.TOOLS]
    if unknown:
        raise UsageError(f"no program named {', '.join(unknown)}", hint=f"one of: {', '.join(tools.TOOLS)}")
    context: Context = ctx.obj
    context.withhold_secrets()
    paths = tools.ensure(names or list(tools.TOOLS), context.say, build=build)
    if context.output == "json":
        context.print_json({"programs": {name: str(path) for name, path in paths.items()}})
    else:
        width = max(len(name) for name in paths)
        context.print("".join(f"{name:<{width}}  {path}\n" for name, path in paths.items()))

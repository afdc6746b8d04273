"""`meshctl setup`: gets the external programs. No logic: see `tools`."""

from __future__ import annotations

from typing import Annotated

import typer

from meshctl import tools
from meshctl.cli.context import Context
from meshctl.errors import UsageError


def setup(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these programs.", show_default="all but lws-manager, kueue-manager")
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build missing programs with Go instead of downloading them.")
    ] = False,
) -> None:
    """Download or build the external programs that are missing on this machine.

    Official releases are downloaded and verified; programs that can't be downloaded are built with Go, which takes
    about a quarter of an hour for all on two cores. Deploying needs `meshctl setup pulumi`; the others are for the lab,
    `lws-manager` only for `meshctl lab up --group-controller`, and `kueue-manager` only for `meshctl lab up --kueue`.
    """
    unknown = [name for name in names or () if name not in tools.TOOLS]
    if unknown:
        raise UsageError(f"no program named {', '.join(unknown)}", hint=f"choose from: {', '.join(tools.TOOLS)}")
    context: Context = ctx.obj
    context.withhold_secrets()
    paths = tools.ensure(names or [*tools.CORE, *tools.LAB], context.say, build=build)
    if context.output == "json":
        context.print_json({"programs": {name: str(path) for name, path in paths.items()}})
    else:
        width = max(len(name) for name in paths)
        context.print("".join(f"{name:<{width}}  {path}\n" for name, path in paths.items()))

"""`meshctl blueprint`: which blueprints there are, and what those of a mesh make. No logic: see
`meshctl.blueprints`."""

from __future__ import annotations

from typing import Annotated

import typer

from meshctl.cli.context import Context
from meshctl.errors import UsageError

blueprint_app = typer.Typer(no_args_is_help=True, help="Blueprints: which there are, and what those of the mesh make.")


@blueprint_app.command("list")
def list_blueprints(ctx: typer.Context) -> None:
    """List the kinds of blueprints, their slots, and what can fill these."""
    from meshctl.blueprints import offer  # pydantic: not for `meshctl --help`

    context: Context = ctx.obj
    if context.output == "json":
        context.print_json(offer.document())
    else:
        context.print(offer.text())


@blueprint_app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A blueprint of the mesh; without it, the whole mesh.", metavar="[NAME]")
    ] = "",
) -> None:
    """Print the workloads, storage and endpoints that the mesh's blueprints make, as a mesh to copy and change."""
    from meshctl.blueprints import shown  # pydantic: not for `meshctl --help`
    from meshctl.load import load_expansion
    from meshctl.model.files.file_problems import suggestion

    context: Context = ctx.obj
    expansion = load_expansion(context.mesh_path)
    if name and name not in expansion.made:
        names = list(expansion.made)
        raise UsageError(
            f'no blueprint named "{name}"{suggestion(name, names)}',
            hint=f"{context.mesh_path} has {', '.join(names) or 'none'}; `meshctl blueprint list` shows the kinds",
        )
    document = shown.of_one(expansion, name) if name else shown.whole(expansion)
    if context.output == "json":
        context.print_json({"mesh": document})
    else:
        context.print(shown.text(document))

"""The command line: commands registered, global options parsed, errors mapped to exit codes. No logic.

`main` is the program's entry point. Every command module is light to import; what is slow (the Pulumi SDK, boto3) is
imported inside the commands that need it, so that `--help` and `check` stay quick.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import typer
from typer import exceptions

from meshctl import __version__, secret_variables
from meshctl.cli import error_reports
from meshctl.cli.advise import advise
from meshctl.cli.bench import bench
from meshctl.cli.blueprint import blueprint_app
from meshctl.cli.check import check
from meshctl.cli.context import Context, discard
from meshctl.cli.doctor import doctor
from meshctl.cli.eks_token import eks_token
from meshctl.cli.exit_handling import Commands, Group, file_error, flushed
from meshctl.cli.expand import contract, expand
from meshctl.cli.lab import lab_app
from meshctl.cli.migrate import migrate, migrations_app
from meshctl.cli.plan import plan
from meshctl.cli.restart import restart
from meshctl.cli.schema import schema
from meshctl.cli.setup import setup
from meshctl.cli.shift import shift
from meshctl.cli.status import status
from meshctl.cli.streams import open_streams
from meshctl.cli.up import destroy, up
from meshctl.errors import FileError, InterruptedByUserError, MeshError, UsageError

app = typer.Typer(
    name="meshctl",
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich takes two thirds of the time of `--help`
    help="Describe a GPU deployment once, run it on AWS, CoreWeave or on-prem, and move it with its data and traffic.",
)


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"meshctl {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Option("-C", help="Work in this folder.", metavar="DIR")] = Path(),
    mesh: Annotated[Path, typer.Option("--mesh", help="The mesh file.")] = Path("mesh.yaml"),
    environments: Annotated[Path, typer.Option("--environments", help="The environments file.")] = Path(
        "environments.yaml"
    ),
    output: Annotated[str, typer.Option("--output", help="Output format: human or json.")] = "human",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print more.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print without colours.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Answer yes to all questions, except those about data loss.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (read in `main`)
    version: Annotated[  # noqa: ARG001 (its callback does it all)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if output not in ("human", "json"):
        raise UsageError(f"unknown output format '{output}'", hint="choose --output human or --output json")
    _enter(directory)
    ctx.obj = Context(
        mesh_path=mesh, environments_path=environments, output=output, verbose=verbose, color=not no_color, yes=yes
    )


def _enter(directory: Path) -> None:
    if directory != Path():
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageError(f"-C {directory}: {error.strerror}") from error
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise FileError(
            "the working folder has been deleted", hint="cd to another folder, or give one with -C DIR"
        ) from error


for command in (
    check,
    plan,
    up,
    restart,
    destroy,
    status,
    shift,
    migrate,
    expand,
    contract,
    bench,
    advise,
    setup,
    doctor,
    schema,
):
    app.command()(command)
app.command("eks-token")(eks_token)
app.add_typer(migrations_app, name="migrations", cls=Group)
app.add_typer(blueprint_app, name="blueprint", cls=Group)
app.add_typer(lab_app, name="lab", cls=Group)


_FLAGS = {"--yes", "--verbose", "--no-color", "--debug", "--version"}
_VALUED = {"--output", "--mesh", "--environments"}
# `-vy`, `-C/srv`, `-vC`; no command has short options of its own
_SHORT = re.compile(r"-[vy]*(?:[vy]|(C.*))", re.DOTALL)


def global_first(arguments: list[str]) -> list[str]:
    """The arguments with global options moved before the command, so that users can write them anywhere."""
    before: list[str] = []
    after: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        short = _SHORT.fullmatch(argument)
        if argument == "--":
            after += [argument, *rest]
        elif argument in _VALUED or (short and short[1] == "C"):
            value = list(islice(rest, 1))
            before += [argument, *value]
            after = after if value else []  # otherwise the command would become the value
        elif argument in _FLAGS or short or ("=" in argument and argument.partition("=")[0] in _VALUED):
            before.append(argument)
        else:
            after.append(argument)
    return before + after


def main() -> None:
    """Run the command line; the process ends with the exit code that the error's class carries."""
    open_streams()
    # Pydantic's search for plugins reads the metadata of every installed package, and fails on a single broken file.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    secret_variables.withdraw((secret_variables.PASSPHRASE,))  # before anything is started
    arguments = global_first(sys.argv[1:])
    as_json = "--output=json" in arguments or ("--output", "json") in pairwise(arguments)
    try:
        code = app(args=arguments, standalone_mode=False)
    except MeshError as error:
        code = _report(error, as_json=as_json, debug="--debug" in arguments)
    except exceptions.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        code = _report(UsageError(message, hint="`meshctl --help` lists the commands"), as_json=as_json, debug=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _report(InterruptedByUserError("interrupted"), as_json=as_json, debug=False)
    except Exception as error:
        bug = MeshError(f"internal error: {error!r}", hint="this is a bug: run the command with --debug, and report it")
        translated = (file_error(error) if isinstance(error, OSError) else None) or bug
        translated.__cause__ = error
        code = _report(translated, as_json=as_json, debug="--debug" in arguments)
    sys.exit(flushed(code if isinstance(code, int) else 0))


def _report(error: MeshError, *, as_json: bool, debug: bool) -> int:
    """Three lines at most (what, why, hint), or one JSON object."""
    if debug:
        traceback.print_exception(error)
    if not (as_json and _echoed(_document(error))):
        error_reports.show(error)
    return error.exit_code


def _echoed(text: str) -> bool:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
        return False
    return True


def _document(error: MeshError) -> str:
    import json

    return json.dumps({"meshctl": 1, "error": error_reports.document(error)}, indent=2)


if __name__ == "__main__":
    main()

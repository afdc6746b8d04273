"""Keeps and prints what `meshctl bench` has measured or read. No logic: see `bench.result_files` and
`advise.comparison`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshctl.cli.advise import resolution_of
from meshctl.cli.context import Context
from meshctl.errors import FileError, UsageError

if TYPE_CHECKING:
    from meshctl.advise.comparison import Expectations
    from meshctl.engine.state_store import StateStore
    from meshctl.measure.results import Result
    from meshctl.project import Project

_LARGEST_FILE = 64 * 2**20


def opened(context: Context, project: Project) -> StateStore:
    """Where results are kept; asked for before anything is measured. Raises: UsageError, CredentialsError."""
    from meshctl.bench import result_files

    return result_files.opened(project.environments.state.backend, context.folder)


def write(store: StateStore, project: Project, environment: str, rows: Sequence[Result]) -> str:
    """The path of the new file."""
    from meshctl.bench import result_files

    return result_files.write(store, project.mesh.name, environment, rows, now("%Y%m%dT%H%M%SZ"))


def expectations(context: Context, environments: Sequence[str]) -> dict[str, Expectations]:
    """Of those that can be resolved without their cluster."""
    from meshctl.advise.comparison import Expectations
    from meshctl.catalog import load_catalog

    deployments = {name: resolution_of(context, name, online=False) for name in environments}
    return {
        name: Expectations(deployment=deployment, catalog=load_catalog())
        for name, deployment in deployments.items()
        if deployment is not None
    }


def show_new(context: Context, environment: str, rows: Sequence[Result], paths: Sequence[str]) -> None:
    """What was measured now, beside what is expected. `paths`: where it is kept."""
    from meshctl.advise import comparison

    table = comparison.rows({environment: rows}, expectations(context, [environment]))
    if context.output == "json":
        context.print_json({"environment": environment, "files": list(paths), "results": comparison.document(table)})
    else:
        context.print(comparison.text(table))
        context.say(f"kept in {', '.join(paths)} beside the state; `meshctl bench {environment} --show` shows all")


def text_of(path: Path) -> str:
    """A file of the user's. Raises: UsageError, FileError."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path} is larger than 64 MB", hint="give the program's summary, not its single requests")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}", hint="name another file") from error


def now(form: str) -> str:
    """In UTC, in a form of `time.strftime`."""
    return time.strftime(form, time.gmtime())

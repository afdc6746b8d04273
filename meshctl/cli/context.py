"""The context of every command: global options, output, and questions to the user. EDGE.

Made by `meshctl.cli.main`; commands get it as `ctx.obj`. It is quick to import, because models and catalog are loaded
only when they are used. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from meshctl import secret_variables
from meshctl.cli import streams
from meshctl.cli.signals import at_once
from meshctl.errors import InterruptedByUserError, ProtectedDataError, UsageError
from meshctl.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshctl.model.deployment import Resolution
    from meshctl.model.environment import Environments
    from meshctl.model.mesh import Mesh
    from meshctl.model.observed import Facts

_STYLES = {"failed": "31", "done": "32", "started": "2"}


def say(text: str, style: str = "") -> None:
    """Print a line on stderr; nothing if the terminal is closed. `style`: the number of a terminal colour."""
    try:
        streams.write_styled(sys.stderr, text.removesuffix("\n"), style)
        sys.stderr.write("\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Send everything that is or will be written to `stream` to /dev/null."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@dataclass(frozen=True)
class Context:
    """`output` is human or json. Paths are as the user wrote them, relative to the working folder (see `-C`)."""

    mesh_path: Path = Path("mesh.yaml")
    environments_path: Path = Path("environments.yaml")
    output: str = "human"
    verbose: bool = False
    color: bool = True
    yes: bool = False

    @property
    def folder(self) -> Path:
        return Path.cwd()

    def load(self) -> tuple[Mesh, Environments]:
        """Load both files. Raises: DiagnosticsError with all problems in them."""
        from meshctl.load import load  # pydantic: not for `meshctl --help`

        return load(self.mesh_path, self.environments_path)

    def withhold_secrets(self) -> None:
        """For commands that start programs without loading the mesh: remove the variables that environments.yaml reads
        secrets from, so that no program inherits them."""
        from meshctl import load  # pydantic: not for `meshctl --help`

        secret_variables.withdraw(load.secret_variables(self.environments_path))

    def resolution(self, environment: str, facts: Facts | None = None) -> Resolution:
        """One environment resolved, offline. Raises: DiagnosticsError, UsageError."""
        from meshctl.catalog import load_catalog
        from meshctl.resolve import resolve

        mesh, environments = self.load()
        return resolve(mesh, environments, environment, load_catalog(), facts)

    def print(self, text: str) -> None:
        """Data for a person, on stdout."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")

    def print_json(self, document: dict[str, Any]) -> None:
        """Data for a program, on stdout, with the version of the interface."""
        sys.stdout.write(json.dumps({"meshctl": 1, **document}, indent=2, default=str) + "\n")

    def say(self, text: str) -> None:
        """Anything but data, on stderr."""
        say(text)

    def progress(self) -> Callable[[Any], None]:
        """A callback that prints `engine.events.Progress` values: done, waiting or failed; with -v also started."""
        colored = self.color and sys.stderr.isatty()

        def show(progress: Any) -> None:
            if progress.state == "started" and not self.verbose:
                return
            say(f"  {progress_line(progress)}", _STYLES.get(progress.state, "") if colored else "")

        return show

    @property
    def must_confirm(self) -> bool:
        return not self.yes

    def confirm(self, question: str) -> None:
        """Ask before a change. Raises: UsageError without a terminal, InterruptedByUserError for any answer but yes."""
        answer = self._ask(f"{question} [y/N] ", hint="--yes answers yes to this question")
        if answer.lower() not in ("y", "yes"):
            raise InterruptedByUserError("nothing was changed")

    def confirm_name(self, name: str, confirmed: str, question: str, *, why: str = "") -> None:
        """Have the user type the environment's name before data is lost; --yes is not enough for that.

        `confirmed`: the name from `--confirm`. `why`: what the error says instead of the question without a terminal.
        Raises: ProtectedDataError when the name differs, or is not given and there is no terminal to ask on.
        """
        hint = f"--confirm {name} confirms it without a terminal"
        typed = confirmed or self._ask(f"{question}. Type {name} to go on: ", hint=hint, why=why or question)
        if typed != name:
            raise ProtectedDataError("nothing was deleted", why=f'"{typed}" is not "{name}"', hint=hint)

    def _ask(self, question: str, *, hint: str, why: str = "") -> str:
        if not sys.stdin.isatty():
            if why:
                raise ProtectedDataError("this must be confirmed by name", why=why, hint=hint)
            raise UsageError("this must be confirmed, but there is no terminal to ask on", hint=hint)
        with at_once():
            sys.stderr.write(question)
            sys.stderr.flush()
            return sys.stdin.readline().strip()


_WORDS = {
    ("started", "create"): "creating",
    ("started", "update"): "updating",
    ("started", "replace"): "replacing",
    ("started", "delete"): "deleting",
    ("done", "create"): "created",
    ("done", "update"): "updated",
    ("done", "replace"): "replaced",
    ("done", "delete"): "deleted",
}


def progress_line(progress: Any) -> str:
    """`created    pool/train nodegroup`, `waiting    pool/train nodegroup: 2 of 4 nodes`."""
    return one_line(_progress_words(progress))


def _progress_words(progress: Any) -> str:
    detail = progress.detail.partition(":")[2] or progress.detail
    what = " ".join(part for part in (progress.subject, detail if detail != progress.subject else "") if part)
    if progress.state == "message":
        return f"{'...':<9} {what}: {progress.action}"
    if progress.state == "failed":
        return f"{'FAILED':<9} {what}"
    return f"{_WORDS.get((progress.state, progress.action), progress.state):<9} {what}"

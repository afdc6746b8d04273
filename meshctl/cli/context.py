"""What every command is given: the global options, where output goes, and the questions asked. EDGE.

Made by `meshctl.cli.main`; commands reach it as `ctx.obj`. Light to import: models and catalog load when first asked
for. Data goes to stdout, everything else to stderr.
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
    """A line on stderr; without anybody to read it (the terminal is closed), none. `style`: the number of a colour."""
    try:
        streams.write_styled(sys.stderr, text.removesuffix("\n"), style)
        sys.stderr.write("\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let what is written to `stream` from now on, and what it still holds, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@dataclass(frozen=True)
class Context:
    """`output` is human or json. Paths are as the user gave them, relative to the working folder (-C changes it)."""

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
        """Both files. Raises: DiagnosticsError with all that is wrong in them."""
        from meshctl.load import load  # pydantic: not for `meshctl --help`

        return load(self.mesh_path, self.environments_path)

    def withhold_secrets(self) -> None:
        """For commands that start programs and read no mesh: where the folder has one, the variables that its secrets
        are read from are inherited by none of them."""
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
        """A printer for `engine.events.Progress` values: what is done, awaited or failed; -v: begun, too."""
        colored = self.color and sys.stderr.isatty()

        def show(moment: Any) -> None:
            if moment.state == "started" and not self.verbose:
                return
            say(f"  {progress_line(moment)}", _STYLES.get(moment.state, "") if colored else "")

        return show

    @property
    def must_confirm(self) -> bool:
        return not self.yes

    def confirm(self, question: str) -> None:
        """Ask before a change. Raises: UsageError without a terminal, InterruptedByUserError on anything but yes."""
        answer = self._ask(f"{question} [y/N] ", hint="--yes answers yes")
        if answer.lower() not in ("y", "yes"):
            raise InterruptedByUserError("nothing was changed")

    def confirm_name(self, name: str, given: str, why: str) -> None:
        """Have the name typed before data is lost; `given` is the name from the command line; --yes is not enough.

        Raises: ProtectedDataError when the name isn't given and can't be asked for, or is another one.
        """
        hint = f"--confirm {name} says so without a terminal"
        typed = given or self._ask(f"{why}. Type {name} to go on: ", hint=hint, why=why)
        if typed != name:
            raise ProtectedDataError("nothing was deleted", why=f'"{typed}" is not "{name}"', hint=hint)

    def _ask(self, question: str, *, hint: str, why: str = "") -> str:
        if not sys.stdin.isatty():
            if why:
                raise ProtectedDataError("this must be confirmed by name", why=why, hint=hint)
            raise UsageError("this must be confirmed, and there is no terminal to ask on", hint=hint)
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


def progress_line(moment: Any) -> str:
    """`created    pool/train nodegroup`, `waiting    pool/train nodegroup: 2 of 4 nodes`."""
    return one_line(_progress_words(moment))


def _progress_words(moment: Any) -> str:
    detail = moment.detail.partition(":")[2] or moment.detail
    what = " ".join(part for part in (moment.subject, detail if detail != moment.subject else "") if part)
    if moment.state == "message":
        return f"{'...':<9} {what}: {moment.action}"
    if moment.state == "failed":
        return f"{'FAILED':<9} {what}"
    return f"{_WORDS.get((moment.state, moment.action), moment.state):<9} {what}"

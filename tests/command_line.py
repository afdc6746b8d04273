"""The command line in the test's own process: what a `meshctl …` prints and its exit code, without the second that a
process takes to import it all.

For tests whose subject is what a command says or does. Where it is the process itself (its streams, signals, what it
inherits or starts with), a test starts `python -m meshctl.cli.main`.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import pytest
import typer.main

from meshctl.cli import main

NO_PROGRAMS = {"MESHCTL_CACHE": "/nonexistent", "PATH": os.defpath}  # as on a machine without `meshctl setup`


def meshctl(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, with more environment `variables`, and put everything back as it was."""
    with tempfile.TemporaryDirectory() as captured:
        # Files, not buffers in memory: the program asks its streams for their descriptors.
        output, errors = Path(captured, "stdout"), Path(captured, "stderr")
        environment = {**os.environ, **NO_PROGRAMS, **(variables or {})}
        with (
            chdir(folder),
            _environment(environment),
            _process(["meshctl", *arguments], output.open("w", encoding="utf-8"), errors.open("w", encoding="utf-8")),
        ):
            code = _exit_code()
        return subprocess.CompletedProcess(arguments, code, output.read_text("utf-8"), errors.read_text("utf-8"))


@functools.cache
def _command() -> Any:
    """What typer would build anew for each run."""
    return typer.main.get_command(main.app)


def _exit_code() -> int:
    with mock.patch.object(main, "app", _command()), pytest.raises(SystemExit) as end:
        main.main()
    assert isinstance(end.value.code, int)
    return end.value.code


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _process(arguments: Sequence[str], stdout: TextIO, stderr: TextIO) -> Iterator[None]:
    before = (sys.argv, sys.stdout, sys.stderr)
    sys.argv, sys.stdout, sys.stderr = list(arguments), stdout, stderr
    try:
        yield
    finally:
        # What the program put in the place of its streams: that closes them as well.
        sys.stdout.close()
        sys.stderr.close()
        sys.argv, sys.stdout, sys.stderr = before

"""Results beside the state, one file for each run. EDGE. Called by `cli.bench` and `cli.advise`.

A file is written once and never changed. It stands in `bench/MESH/ENVIRONMENT`, where neither the engine nor a
migration looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from meshctl.engine import state_folder
from meshctl.engine.state_store import StateStore, keeps_journals, open_state_store
from meshctl.errors import UsageError
from meshctl.measure import results
from meshctl.measure.results import Result

_FOLDER: Final = "bench"


def opened(backend: str, folder: Path) -> StateStore:
    """Raises: UsageError for a backend that holds no files, CredentialsError."""
    if not keeps_journals(backend):
        raise UsageError(
            "results can't be kept in Pulumi Cloud",
            why="they are files beside the state, which must be in a folder or a bucket for that",
            hint="set `state: {backend: s3://bucket}` (or gs://, azblob://, file://) in environments.yaml",
        )
    return open_state_store(backend, folder)


def write(store: StateStore, mesh: str, environment: str, rows: Iterable[Result], moment: str) -> str:
    """`moment`: UTC as in a file name, 20261129T170000Z. The path of the new file."""
    text = json.dumps(results.document(rows), indent=2) + "\n"
    for number in range(1000):
        path = f"{_FOLDER}/{mesh}/{environment}/{moment}-{number:03}.json"
        if store.create(path, text):
            return path
    raise UsageError("a thousand results were written in one second", hint="run the command again")


def read(store: StateStore, mesh: str, environment: str) -> tuple[Result, ...]:
    """All results of an environment, the oldest first. Raises: NewerVersionError, UnreadableError."""
    paths = [path for path in store.paths(f"{_FOLDER}/{mesh}/{environment}") if path.endswith(".json")]
    texts = ((path, store.read(path)) for path in sorted(paths))
    return tuple(row for path, text in texts if text is not None for row in results.from_text(text, where=path))


def read_if_any(backend: str, folder: Path, mesh: str, environment: str) -> tuple[Result, ...]:
    """As `read`, for who only wants to know: a folder that isn't there is not made."""
    if not keeps_journals(backend):
        return ()
    if state_folder.is_folder(backend) and not (state_folder.path_of(backend, folder) / _FOLDER).is_dir():
        return ()
    return read(open_state_store(backend, folder), mesh, environment)

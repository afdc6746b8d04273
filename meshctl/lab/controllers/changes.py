"""Wakes a controller when something that it looks at may have changed, so that it does nothing until then. EDGE.

Used by every controller: it looks at the world, acts, and waits here. What may have changed is told by watches of the
API server and by the stamps of the lab's own files; what changed the controller sees for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshctl.lab.pods import api
from meshwire.kubernetes.async_client import AsyncClient

FILES_EVERY_S = 0.3
TOGETHER_S = 0.05  # changes within this time wake a controller once


@dataclass(frozen=True)
class Labelled:
    """The objects at this path of the API that a selector of labels picks."""

    path: str
    selector: str


class Changes:
    """Remembers that there was a change until somebody has waited for it."""

    def __init__(self) -> None:
        self._happened = asyncio.Event()

    async def wait(self, at_most_s: float | None = None) -> None:
        """Return after a change since the last call, or once `at_most_s` is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._happened.wait()
        await asyncio.sleep(TOGETHER_S)
        self._happened.clear()

    async def follow_objects(self, client: AsyncClient, path: str, query: dict[str, str]) -> None:
        async for _ in api.watch(client, path, **query):
            self._happened.set()

    async def follow_files(self, paths: Sequence[Path]) -> None:
        before = [stamp(path) for path in paths]
        self._happened.set()
        while True:
            await asyncio.sleep(FILES_EVERY_S)
            now = [stamp(path) for path in paths]
            if now != before:
                before = now
                self._happened.set()


@contextlib.asynccontextmanager
async def following(
    client: AsyncClient, objects: Sequence[str | Labelled], files: Sequence[Path] = (), **query: str
) -> AsyncIterator[Changes]:
    """Follows the objects at these paths of the API (`query` narrows all of them) and these files; gives what to wait
    on."""
    changes = Changes()
    queries = [
        (each.path, {**query, "labelSelector": each.selector}) if isinstance(each, Labelled) else (each, query)
        for each in objects
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(changes.follow_objects(client, path, narrowed)) for path, narrowed in queries]
        if files:
            running.append(tasks.create_task(changes.follow_files(files)))
        try:
            yield changes
        finally:
            for task in running:
                task.cancel()


def stamp(path: Path) -> tuple[int, int, int]:
    """Something that changes when the file is written: its time in ns, inode and size in bytes; all zeros while there
    is no file."""
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size)

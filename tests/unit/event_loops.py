"""Event loops for a Pulumi program that runs against mocks: used by every test that calls `pulumi.runtime.test`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def event_loops() -> Iterator[None]:
    """Event loops for one program, closed after it: Pulumi's mocks leave one open in each thread that has none."""
    loops: list[asyncio.AbstractEventLoop] = []

    def make() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    make()
    try:
        with ThreadPoolExecutor(initializer=make) as threads:
            loops[0].set_default_executor(threads)
            yield
    finally:
        asyncio.set_event_loop(None)
        for loop in loops:
            loop.close()

"""Processes of the lab that run until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from meshctl.lab import daemon


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_and_nothing_else(number: signal.Signals) -> None:
    async def run() -> bool:
        work = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        await daemon.until_ended(work)
        return work.cancelled()

    assert asyncio.run(run())


def test_an_error_of_the_work_ends_the_process() -> None:
    async def fail() -> None:
        raise OSError("the port is taken")

    async def run() -> None:
        await daemon.until_ended(asyncio.ensure_future(fail()))

    with pytest.raises(OSError, match="the port is taken"):
        asyncio.run(run())


def test_the_folder_is_taken_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pods", "--lab", "some/lab"])
    assert daemon.root_of_arguments("meshctl.lab.pods") == Path("some/lab")

"""How a process of the lab that runs until SIGTERM begins and ends. EDGE: arguments, log, signals.

Used by `python -m meshctl.lab.controllers`, `.network` and `.pods`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import Any

_TALKATIVE = ("httpx", "httpx2", "httpcore", "httpcore2", "botocore")  # they log each request


def root_of_arguments(program: str) -> Path:
    """The lab's folder, as `--lab` names it. From here on the process logs to stderr."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--lab", type=Path, required=True)
    root: Path = parser.parse_args().lab
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    return root


async def until_ended(work: asyncio.Future[Any]) -> None:
    """Waits for the work, which SIGTERM and SIGINT cancel. Raises: what the work raises."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work

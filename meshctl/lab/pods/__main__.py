"""`python -m meshctl.lab.pods --lab ROOT`: the pod runner; SIGTERM ends it and the processes it started. EDGE."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from meshctl.lab import limits
from meshctl.lab.pods.runner import Runner


async def serve(root: Path) -> None:
    runner = Runner(root)
    task = asyncio.ensure_future(runner.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.gather(*(run.leave() for run in runner.runs.values()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.pods")
    parser.add_argument("--lab", type=Path, required=True)
    root = parser.parse_args().lab.resolve()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    limits.raise_open_files()
    asyncio.run(serve(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())

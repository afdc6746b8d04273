"""`python -m meshctl.lab.pods --lab ROOT`: the pod runner; SIGTERM ends it and the processes it started. EDGE."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from meshctl.lab import daemon, limits
from meshctl.lab.pods.runner import Runner


async def serve(root: Path) -> None:
    runner = Runner(root)
    await daemon.until_ended(asyncio.ensure_future(runner.serve()))
    await asyncio.gather(*(run.leave() for run in runner.runs.values()))


def main() -> int:
    root = daemon.root_of_arguments("meshctl.lab.pods").resolve()
    limits.raise_open_files()
    asyncio.run(serve(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())

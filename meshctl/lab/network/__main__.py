"""`python -m meshctl.lab.network --lab ROOT`: load balancers and DNS of the lab, until SIGTERM. EDGE."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path

from meshctl.lab import limits
from meshctl.lab.network.balancers import Balancers
from meshctl.lab.network.dns_server import DnsServer, Route53
from meshctl.lab.pods import api


async def serve(root: Path) -> None:
    ports = json.loads((root / "lab.json").read_text())["ports"]
    balancers = Balancers(root)
    server = DnsServer(Route53(f"http://127.0.0.1:{ports['aws']}"), balancers.hostnames)
    work = asyncio.gather(
        api.follow_clusters(root, balancers.play), server.serve("127.0.0.1", ports["dns"]), server.check_health()
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.network")
    parser.add_argument("--lab", type=Path, required=True)
    root = parser.parse_args().lab.resolve()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    limits.raise_open_files()
    asyncio.run(serve(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())

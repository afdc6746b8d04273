"""`python -m meshctl.lab.network --lab ROOT`: load balancers and DNS of the lab, until SIGTERM. EDGE."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from meshctl.lab import daemon, limits
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
    await daemon.until_ended(work)


def main() -> int:
    root = daemon.root_of_arguments("meshctl.lab.network").resolve()
    limits.raise_open_files()
    asyncio.run(serve(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())

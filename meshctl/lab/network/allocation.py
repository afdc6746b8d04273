"""Loopback addresses of the lab's Services, and the names of its AWS load balancers. EDGE.

Kept in `<root>/network/allocations.json` so that an address survives a restart. Read through
`<root>/network/services.json` ("cluster/namespace/name" -> address) by the pod runner.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from meshctl.lab.pods import addresses

FIRST_BLOCK, BLOCKS, PER_BLOCK = 250, 5, 250  # 127.<n>.250-254.x; the blocks below 250 are for the pods of this lab
ELB_DOMAIN = "lab.elb.amazonaws.com"


class Allocation:
    """One loopback address per Service, for ever: `key` is "cluster/namespace/name"."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "network"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = addresses.Addresses(root).network
        try:
            self.table: dict[str, str] = json.loads((self.folder / "allocations.json").read_text())
        except (OSError, ValueError):
            self.table = {}

    def address(self, key: str) -> str:
        if key not in self.table:
            taken = set(self.table.values())
            free = (address for address in self._all() if address not in taken)
            self.table[key] = next(free)
            write(self.folder / "allocations.json", self.table)
        return self.table[key]

    def release(self, key: str) -> None:
        if self.table.pop(key, None):
            write(self.folder / "allocations.json", self.table)

    def _all(self) -> list[str]:
        blocks = range(FIRST_BLOCK, FIRST_BLOCK + BLOCKS)
        return [f"127.{self.network}.{block}.{low}" for block in blocks for low in range(2, PER_BLOCK + 2)]


def hostname(key: str) -> str:
    """The DNS name of an AWS load balancer, as ELB forms them: service name and a hash."""
    _, namespace, name = key.split("/")
    return f"{namespace[:12]}-{name[:18]}-{hashlib.sha256(key.encode()).hexdigest()[:10]}.{ELB_DOMAIN}"


def write(path: Path, value: dict[str, str]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=1))
    fresh.replace(path)

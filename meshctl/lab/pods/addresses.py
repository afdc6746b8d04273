"""Two addresses for every pod: one of the pod range for the API, one of loopback where its process listens. EDGE.

Kubernetes refuses loopback addresses in EndpointSlices, so the API sees 10.240.x.y. The table
`<root>/pods/addresses.json` (pod address -> loopback address) is read by the lab's load balancers.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from meshctl.lab.network.ports import loopback_network

PER_BLOCK = 250


class Addresses:
    """The address table of one lab. Labs on one machine use different loopback networks (127.<n>.0.0/16)."""

    def __init__(self, root: Path) -> None:
        self.path = file(root)
        self.network = loopback_network(root)
        self.next = 0
        self.table: dict[str, str] = {}
        self.owners: dict[str, str] = {}  # pod uid -> its address, which can't change
        with contextlib.suppress(OSError, ValueError, KeyError):
            addresses = json.loads(self.path.read_text())
            self.next, self.table, self.owners = addresses["next"], addresses["addresses"], addresses["owners"]

    def assign(self, uid: str) -> tuple[str, str]:
        """(pod address, loopback address) of the pod with this uid, from now on."""
        if uid not in self.owners:
            high, low = divmod(self.next % (PER_BLOCK * PER_BLOCK), PER_BLOCK)
            self.next += 1
            self.owners[uid] = f"10.240.{high}.{low + 2}"
            self.table[self.owners[uid]] = f"127.{self.network}.{high}.{low + 2}"
            self._save()
        address = self.owners[uid]
        return address, self.table[address]

    def release(self, uid: str) -> None:
        address = self.owners.pop(uid, None)
        if address:
            self.table.pop(address, None)
            self._save()

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"next": self.next, "addresses": self.table, "owners": self.owners}))
        fresh.replace(self.path)


def file(root: Path) -> Path:
    """The table of a lab."""
    return root / "pods" / "addresses.json"


def read(root: Path) -> dict[str, str]:
    """Pod address -> loopback address, as the runner last wrote it. Raises: OSError, ValueError, KeyError."""
    table: dict[str, str] = json.loads(file(root).read_text())["addresses"]
    return table

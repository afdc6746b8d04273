"""Huge pages that whoever runs a cluster has set aside at the boot of its nodes. EDGE: the API server.

`huge-pages.json` in the lab's folder says how many MiB of 2 MiB pages each node of a group has, by cluster and group
(`{"dc1": {"gpu": 65536}}`; `*` for all groups). What is set aside is no memory for pods any more, as a kubelet reports
it (kubernetes.io, "Manage HugePages"). Nodes of groups that are not named stay as their platform made them.
"""

from __future__ import annotations

import re
from typing import Any, Final

from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.nodes import GROUP_LABEL, NODES
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, read_json
from meshwire.kubernetes.async_client import AsyncClient

FILE: Final = "huge-pages.json"
ALL: Final = "*"
PAGES: Final = "hugepages-2Mi"
Object = dict[str, Any]


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Follow the file and the nodes, for ever."""
    async with following(client, [NODES], [lab.root / FILE]) as changes:
        while True:
            wanted = read_json(lab.root / FILE).get(cluster.name, {})
            for node in await api.items(client, NODES) if wanted else []:
                group = (node["metadata"].get("labels") or {}).get(GROUP_LABEL, "")
                pages_mib = wanted.get(group, wanted.get(ALL))
                changed = None if pages_mib is None else status_after(node, pages_mib)
                if changed is not None:
                    await api.patch(client, f"{NODES}/{node['metadata']['name']}/status", {"status": changed})
            await changes.wait()


def status_after(node: Object, pages_mib: int) -> Object | None:
    """The node's status with so many MiB of huge pages; None where it has them."""
    capacity, allocatable = (node.get("status", {}).get(section, {}) for section in ("capacity", "allocatable"))
    present_mib = mib(capacity.get(PAGES, "0"))
    if present_mib == pages_mib:
        return None
    left_mib = mib(allocatable.get("memory", "0")) + present_mib - pages_mib
    pages = f"{pages_mib}Mi"
    return {"capacity": {PAGES: pages}, "allocatable": {PAGES: pages, "memory": f"{max(left_mib, 0)}Mi"}}


def mib(quantity: str) -> int:
    """A quantity of memory, as the API server writes those of the lab's nodes, in MiB."""
    units = {"": 2**-20, "Ki": 2**-10, "Mi": 1, "Gi": 2**10, "Ti": 2**20}
    matched = re.fullmatch(r"(\d+)([A-Za-z]*)", quantity)
    if matched is None or matched[2] not in units:
        raise ValueError(f"not a quantity of memory: {quantity}")
    return int(int(matched[1]) * units[matched[2]])

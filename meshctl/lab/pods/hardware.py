"""What a program finds of the machine under it, as variables of its container. PURE, but for the catalog's file.

Called by `lifecycle`; read by the modules of `meshctl.lab.images`. On a real node a library asks the device.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from meshctl.catalog import load_catalog
from meshctl.lab import images

_MACHINE_LABEL = "node.kubernetes.io/instance-type"


def variables(node: dict[str, Any] | None) -> dict[str, str]:
    """Those of a pod on this node. None: the node is gone, and so is the pod in a moment."""
    labels = node["metadata"].get("labels", {}) if node else {}
    return {images.WITHOUT_RDMA_READ: "1"} if labels.get(_MACHINE_LABEL) in _without_rdma_read() else {}


@cache
def _without_rdma_read() -> frozenset[str]:
    """Machine types whose EFA can't read the memory of other nodes."""
    machines = load_catalog().machines["aws"]
    return frozenset(each.name for each in machines if each.rdma is not None and not each.rdma.rdma_read)

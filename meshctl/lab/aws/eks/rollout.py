"""How long the nodes of a node group take to be replaced, batch by batch. PURE.

Called by `nodegroups` for UpdateNodegroupVersion. Source: EKS API reference, NodegroupUpdateConfig: a number or a
percentage of nodes at once, at most 100, and one if nothing is said; "Understand each phase of node updates", EKS user
guide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

AT_ONCE: Final = 100
# Seconds for a batch, where minutes pass on AWS (drain, terminate, launch, join)
BATCH_S: Final = 0.3


def batches(nodes: int, update_config: Mapping[str, int]) -> int:
    """How many times a batch of nodes is drained and replaced."""
    percentage = update_config.get("maxUnavailablePercentage", 0)
    at_once = math.ceil(nodes * percentage / 100) or update_config.get("maxUnavailable", 1)
    return math.ceil(nodes / min(at_once, AT_ONCE))

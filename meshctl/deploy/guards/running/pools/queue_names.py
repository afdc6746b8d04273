"""Queues of pools that are up keep the names with which they came up. PURE.

Called by `running_pods`. A queue of another name would be another queue: jobs that it counts can't move to it.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.keys import lending


def as_they_are_up(deployment: Deployment, before: Deployment | None) -> Deployment:
    """`before`: what is up. Some of its queues may stay when nothing is lent any more: see `jobs.queue_ends`."""
    if before is None or not lending.kueue_pools(before):
        return deployment
    return deployment.model_copy(update={"has_dotted_queues": before.has_dotted_queues})

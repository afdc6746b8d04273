"""Which workloads are asked to save before the nodes of their capacity block are taken back. PURE.

Read by `render`, which makes what asks them, and by `own_images`. A job in a queue of Kueue is left out: whether it is
suspended is Kueue's to say.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Workload


def saves_at(deployment: Deployment, workload: Workload) -> str:
    """When, in RFC 3339; "" where nobody takes its nodes."""
    reserved = deployment.pool(workload.pool).reserved
    return reserved.saves_at if reserved else ""


def is_saved(deployment: Deployment, workload: Workload) -> bool:
    is_asked = workload.is_job and workload.runs and workload.checkpoint is not None and not workload.queue
    return is_asked and bool(saves_at(deployment, workload))

"""Pools whose capacity reservation begins later, what waits for them, and until when. PURE.

Called by `session`, `cli.up` and `status`. Such a pool is up with no nodes, and so are its workloads: an `up` is done
without them, and says what they wait for. The next `up` after the start brings the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from meshctl.errors import NoCapacityError
from meshctl.model.deployment import Deployment, utc_text


def starts(deployment: Deployment) -> dict[str, str]:
    """When the nodes of a pool start, in RFC 3339, by the names of the pools that have none before."""
    return {pool.name: pool.starts for pool in deployment.pools if pool.starts}


def waiting_workloads(deployment: Deployment) -> dict[str, str]:
    """What each workload of such a pool waits for."""
    return {
        workload.name: waits_for(workload.pool, deployment.pool(workload.pool).starts)
        for workload in deployment.waiting_for_start
        if workload.runs
    }


def waits_for(pool: str, moment: str) -> str:
    return f"waits for the nodes of pool {pool}, which start {utc_text(moment)}"


def not_started(environment: str, starts: Mapping[str, str], now: datetime) -> NoCapacityError:
    """The error of an `up` that was asked to wait until all pools have their nodes. It names the first start."""
    moment = min(starts.values())
    pools = ", ".join(starts)
    in_s = (datetime.fromisoformat(moment) - now).total_seconds()
    return NoCapacityError(
        f"up {environment}: the reservation of {'pool' if len(starts) == 1 else 'pools'} {pools} starts"
        f" {utc_text(moment)}; all else is up",
        failures=[],
        why="no node of it can start before, and its workloads wait",
        hint=f"`meshctl up {environment}` after that brings the nodes up",
        retry_in_s=max(in_s, 0.0),
    )

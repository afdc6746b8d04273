"""The steps that count replicas where load moves them. EDGE: through `Gateway` alone."""

from __future__ import annotations

import math
from typing import Any

from meshctl.migrate.steps.context import StepContext, alive
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import WHOLE


def count(context: StepContext) -> dict[str, Any]:
    """How many replicas the source has of workloads that follow load: the target starts with as many."""
    names = sorted(context.step.workloads)
    return {"replicas": {name: _running(context, context.plan.source, name) for name in names}}


def count_share(context: StepContext) -> dict[str, Any]:
    """How many replicas of workloads that follow load the target of an expansion needs: its share of those of both."""
    plan, share = context.plan, context.history.share
    weight = share.weight if share is not None else WHOLE
    sides = (plan.source, plan.target) if context.history.began("start/target") else (plan.source,)
    counts = {}
    for name in sorted(context.step.workloads):
        replicas = sum(_running(context, side, name) for side in sides)
        counts[name] = math.ceil(replicas * weight / WHOLE)
    return {"replicas": counts}


def _running(context: StepContext, side: Deployment, name: str) -> int:
    pods = [pod for pod in alive(list(context.gateway.pods(side, name))) if not pod.stopping]
    return len(pods) // side.workload(name).nodes_per_replica

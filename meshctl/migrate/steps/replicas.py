"""The step that counts the replicas of the source where load moves them. EDGE: through `Gateway` alone."""

from __future__ import annotations

from typing import Any

from meshctl.migrate.steps.context import StepContext, alive


def count(context: StepContext) -> dict[str, Any]:
    """How many replicas the source has of workloads that follow load: the target starts with as many."""
    source = context.plan.source
    counts = {}
    for name in sorted(context.step.workloads):
        pods = [pod for pod in alive(list(context.gateway.pods(source, name))) if not pod.stopping]
        counts[name] = len(pods) // source.workload(name).nodes_per_replica
    return {"replicas": counts}

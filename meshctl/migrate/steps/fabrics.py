"""The step that measures a fabric of the target before workloads start on it. EDGE: through `Gateway` alone.

Called by `actions`. It comes before data is copied and anything is stopped: a fabric that is too slow leaves the source
as it is. It is no part of a way back, where what ran on a fabric before starts on it again.
"""

from __future__ import annotations

from typing import Any

from meshctl.bench import fabric_gate
from meshctl.migrate.steps.context import StepContext
from meshctl.model.deployment import Pool


def act_measure(context: StepContext) -> dict[str, Any]:
    """What is measured is decided by the plan, and how much is wanted by the mesh as it says now: it may have been
    lowered since. Raises: MeasurementError."""
    pool = context.deployment.pool(context.step.pool)
    share = _wanted_share(context, pool)
    if not share:
        context.say(f"the mesh no longer says what it expects of the fabric of pool {pool.name}: it is not measured")
        return {"measured": False}
    results = context.gateway.measure_fabric(context.deployment, pool.name, context.stop, context.say)
    verdict = fabric_gate.refuse_slow(
        context.deployment, fabric_gate.wanting(pool, share), results, again="meshctl migrations resume"
    )
    context.say(fabric_gate.outcome(pool, verdict, results))
    if verdict is None:
        return {"measured": True}
    return {
        "measured": True,
        "gbytes_per_s": verdict.gbytes_per_s,
        "expected_gbytes_per_s": verdict.expected.gbytes_per_s,
        "wanted_share": share,
    }


def _wanted_share(context: StepContext, pool: Pool) -> float:
    """0 where the mesh wants none any more; as planned where it has no such fabric any more."""
    if pool.fabric is None:
        return 0.0
    now = context.gateway.wanted_of_fabric(pool.fabric.name)
    return pool.fabric.expect if now is None else now

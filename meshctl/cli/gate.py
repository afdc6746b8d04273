"""Measures the fabrics whose workloads an `up` is about to start. No logic: see `bench.fabric_gate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshctl.cli.context import Context

if TYPE_CHECKING:
    from meshctl.model.deployment import Deployment, Pool
    from meshctl.model.stack_state import StackOutputs
    from meshctl.project import Project


def pools(project: Project, deployment: Deployment) -> tuple[Pool, ...]:
    """Those that are measured now. What is up is read only where the mesh asks for a measurement. A job that has
    finished in another environment starts nothing."""
    from meshctl.bench import fabric_gate
    from meshctl.deploy.jobs import finished_jobs
    from meshctl.resolve.placement import fabric_expectation

    if not any(map(fabric_expectation.is_asked_for, deployment.pools)):
        return ()
    state = project.session.state(deployment.environment)
    return fabric_gate.gated(finished_jobs.with_finished_marks(deployment, state), state.deployment)


def measure(
    context: Context, project: Project, deployment: Deployment, waiting: Sequence[Pool], outputs: StackOutputs
) -> None:
    """Keep the results as `bench` does. Raises: MeasurementError for the first pool whose fabric gives too little."""
    from meshctl.bench import fabric, fabric_gate
    from meshctl.cli.signals import once
    from meshctl.clients.kubernetes import clusters

    access = clusters.access(deployment, outputs)
    for pool in waiting:
        context.say(f"measuring the fabric of pool {pool.name} before its workloads start")
        with once():  # the Job is deleted on the way out
            results = fabric.measure_and_keep(deployment, pool.name, access, project.state_store, context.say)
        verdict = fabric_gate.refuse_slow(deployment, pool, results)
        context.say(fabric_gate.outcome(pool, verdict, results))

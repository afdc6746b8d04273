"""Steps that ask endpoints before the cutover, and watch pods and endpoints after it. EDGE: through `Gateway` alone.

Called by `actions`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from meshctl.errors import MigrationError
from meshctl.migrate.steps.context import POLL_S, StepContext
from meshctl.migrate.steps.environment import failed_jobs, missing_pods, refuse_failed
from meshctl.migrate.steps.traffic import canary
from meshctl.model.deployment import Endpoint

_PROBE_S = 600
_FAILURES = 3  # in a row, while observing


def verify_probe(context: StepContext) -> dict[str, Any]:
    """The health check, then one request as a user would send it, both at the target's own address."""
    answers: dict[str, Any] = {}
    for endpoint in context.endpoints:
        for question in canary.questions(context.deployment, endpoint):
            answering = partial(canary.unhealthy_answer, context, endpoint, question)
            context.wait_until(f"an answer of {endpoint.host}", answering, _PROBE_S, _probe_hint(context, endpoint))
        answers[endpoint.name] = canary.record(context.deployment, endpoint)
    return {"answered": answers}


def _probe_hint(context: StepContext, endpoint: Endpoint) -> str:
    if endpoint.is_internal:
        return (
            f"{endpoint.host} is internal: run `meshctl migrations resume` on a machine that reaches the network of "
            f"{context.deployment.environment}"
        )
    return (
        f"`meshctl status {context.deployment.environment}` shows the pods of {endpoint.workload}; `health` of the "
        "workload says how it is asked. `meshctl migrations resume` asks again"
    )


def act_observe(context: StepContext) -> dict[str, Any]:
    """Watch pods and health for the planned time. A check without an answer counts neither as a failure nor as a
    success. Raises: MigrationError after three failures in a row, and at once for a failed job.
    """
    end = context.gateway.now() + context.plan.options.observe_s
    checks = failures = 0
    while True:
        problem = context.with_retries(_problem)
        checks, failures = checks + 1, failures + 1 if problem else 0
        if failures == _FAILURES:
            source, target = context.plan.source.environment, context.deployment.environment
            raise MigrationError(
                f"{target} does not stay healthy after the cutover",
                why=problem,
                hint=f"`meshctl status {target}` shows more; {source} is still up",
            )
        if context.gateway.now() >= end and not failures:
            return {"checks": checks}
        context.pause(POLL_S)


def _problem(context: StepContext) -> str:
    refuse_failed(context, failed_jobs(context))
    return missing_pods(context) or _unhealthy(context)


def _unhealthy(context: StepContext) -> str:
    for endpoint in context.endpoints:
        question = next(canary.questions(context.deployment, endpoint))
        problem = canary.unhealthy_answer(context, endpoint, question)
        if problem:
            return problem
    return ""

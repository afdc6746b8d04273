"""What an endpoint is asked before names lead to it and while it is watched, in the words of `health`. EDGE: through
the `Gateway` alone.

Called by the steps in `health`.
"""

from __future__ import annotations

from meshctl.clients.endpoints.endpoint_questions import questions
from meshctl.clients.endpoints.health_checks import Question
from meshctl.migrate.steps.context import StepContext
from meshctl.model.deployment import Deployment, Endpoint

__all__ = ["questions", "record", "unhealthy_answer"]


def record(deployment: Deployment, endpoint: Endpoint) -> dict[str, str]:
    """What was asked, for the journal: the health path, and what stood for a user's request. Programs read it."""
    *health, last = questions(deployment, endpoint)
    by_http = last.protocol not in ("grpc", "tcp")
    return {"health": health[0].path if health else "", "canary": last.path if by_http else last.protocol}


def unhealthy_answer(context: StepContext, endpoint: Endpoint, question: Question) -> str:
    """What was asked and what came back, if the answer is bad; "" for a good one."""
    address = context.gateway.addresses(context.deployment).get(endpoint.name, "")
    if not address:
        return f"{endpoint.name} has no address yet"
    answer = context.gateway.probe(context.deployment, endpoint, address, question)
    return "" if answer.ok else answer.text

"""Asks the endpoints whose load balancers a run has made or changed, so that an `up` that is done can be used. EDGE.

Called by `runs` after an `up`. A load balancer has its address before it takes connections: on AWS by minutes. What
this machine may not reach, an internal endpoint or one for other networks, is asked for a moment only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshctl import render
from meshctl.changes.steps import Step, resource_name
from meshctl.clients.endpoints import health_checks
from meshctl.clients.endpoints.endpoint_questions import questions
from meshctl.clients.endpoints.health_checks import Answer, Place, Question
from meshctl.dns.lookup import address_of
from meshctl.errors import UnreachableError
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.files.units import seconds_text
from meshctl.platforms import registry

_LIMITED_S: Final = 5  # for an endpoint that this machine may have no way to
_SETTLES_S: Final = 10  # from the first connection to an answer
_PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class Asker:
    """How endpoints are asked; tests give one without a network."""

    connects: Callable[[Place], Answer] = health_checks.connects
    ask: Callable[[Question, Place], Answer] = health_checks.ask
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    is_interrupted: Callable[[], bool] = lambda: False


def notes(deployment: Deployment, steps: Iterable[Step], addresses: Mapping[str, str], asker: Asker) -> tuple[str, ...]:
    """A line for each new endpoint that does not answer within the time that the platform's load balancers take, which
    is counted for all of them together. One without an address is left out, as that is an error by itself."""
    begin_s = asker.clock()
    new = [endpoint for endpoint in _new(deployment, steps) if addresses.get(endpoint.name)]
    texts = (_note(deployment, endpoint, addresses[endpoint.name], asker, begin_s) for endpoint in new)
    return tuple(text for text in texts if text)


def _new(deployment: Deployment, steps: Iterable[Step]) -> Iterator[Endpoint]:
    changed = {resource_name(step.urn) for step in steps if step.action in ("create", "replace", "update")}
    waiting = {each.name for each in deployment.waiting_for_nodes}
    with_pods = {each.name for each in deployment.workloads if each.replicas > 0 and not each.paused} - waiting
    for endpoint in deployment.endpoints:
        if (
            endpoint.workload in with_pods
            and render.load_balancer(endpoint.workload, is_internal=endpoint.is_internal) in changed
        ):
            yield endpoint


def _note(deployment: Deployment, endpoint: Endpoint, address: str, asker: Asker, begin_s: float) -> str:
    """What came back instead of a good answer; "" for a good one. `begin_s`: from when on the limit counts."""
    is_limited = endpoint.is_internal or bool(endpoint.cidrs)
    patience_s = registry.platform(deployment.provider).load_balancers.answers_within_s
    limit_s = _LIMITED_S if is_limited else patience_s
    end, is_reached = begin_s + limit_s, False
    while True:
        connection, answer = _connection_and_answer(deployment, endpoint, address, asker)
        if answer.ok:
            return ""
        if connection.ok and not is_reached:
            is_reached, end = True, min(end, asker.clock() + _SETTLES_S)
        if asker.is_interrupted():
            return (
                f"endpoint/{endpoint.name}: its pods are ready, but nobody waited for an answer through its load"
                f" balancer, as `up` was interrupted: ask {endpoint.host} yourself"
            )
        if asker.clock() >= end:
            asked_for_s = _SETTLES_S if is_reached else limit_s
            return _text(endpoint, answer.text, asked_for_s, is_limited=is_limited)
        asker.sleep(_PAUSE_S)


def _connection_and_answer(
    deployment: Deployment, endpoint: Endpoint, address: str, asker: Asker
) -> tuple[Answer, Answer]:
    """Whether it takes connections, and its answer to the question for its health."""
    try:
        place = Place(address_of(address), deployment.listening_port(endpoint), endpoint.host)
    except UnreachableError as error:
        no_answer = Answer(ok=False, text=error.what)
        return no_answer, no_answer
    connection = asker.connects(place)
    question = next(questions(deployment, endpoint))
    return connection, asker.ask(question, place) if connection.ok else connection


def _text(endpoint: Endpoint, answer: str, asked_for_s: int, *, is_limited: bool) -> str:
    begin = f"endpoint/{endpoint.name}: "
    if is_limited:
        who = ", ".join(endpoint.cidrs) or "the inside of its network"
        return (
            f"{begin}not tested, as this machine does not reach it ({answer}): only {who} does;"
            f" ask {endpoint.host} from there"
        )
    return (
        f"{begin}its pods are ready, but through its load balancer no good answer came within"
        f" {seconds_text(asked_for_s)} ({answer}): `kubectl describe service` shows what became of the load balancer"
    )

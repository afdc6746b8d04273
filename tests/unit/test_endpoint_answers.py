"""An `up` asks each new endpoint: what is asked, how long it waits, and what it says."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from meshctl.changes.steps import Step
from meshctl.clients.endpoints import health_checks
from meshctl.clients.endpoints.health_checks import Answer, Place, Question
from meshctl.deploy.endpoints import endpoint_answers
from meshctl.deploy.endpoints.endpoint_answers import Asker
from meshctl.model.deployment import Deployment
from tests.unit.deployments import deployment

NEW = Step("urn:pulumi:e::m::kubernetes:core/v1:Service::workload/chat:load-balancer", "Service", "create")
INTERNAL = Step(
    "urn:pulumi:e::m::kubernetes:core/v1:Service::workload/chat:internal-load-balancer", "Service", "create"
)


@dataclass
class Network:
    """Takes connections after some seconds, and answers well after some more; its clock moves with each pause."""

    connects_after_s: float = 0
    answers_after_s: float = 0
    now_s: float = 0
    interrupted_at_s: float = float("inf")
    asked: list[tuple[Question, Place]] = field(default_factory=list)

    def asker(self) -> Asker:
        return Asker(
            self.connects, self.ask, lambda: self.now_s, self.sleep, lambda: self.now_s >= self.interrupted_at_s
        )

    def connects(self, place: Place) -> Answer:
        return Answer(self.now_s >= self.connects_after_s, f"connection to {place.target}")

    def ask(self, question: Question, place: Place) -> Answer:
        self.asked.append((question, place))
        return Answer(self.now_s >= self.answers_after_s, "GET /health: status 503")

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def notes(network: Network, made: Deployment | None = None, *steps: Step) -> tuple[str, ...]:
    return endpoint_answers.notes(
        made or deployment("aws-east"), steps or (NEW,), {"chat": "192.0.2.1"}, network.asker()
    )


def with_endpoint(**changes: object) -> Deployment:
    made = deployment("aws-east")
    return made.model_copy(update={"endpoints": (made.endpoints[0].model_copy(update=changes),)})


def test_b3_up_waits_until_a_new_load_balancer_answers() -> None:
    network = Network(connects_after_s=120, answers_after_s=122)
    assert notes(network) == ()
    question, place = network.asked[-1]
    assert (question.path, place) == ("/health", Place("192.0.2.1", 8000, "chat.example.com"))
    assert network.now_s >= 122


def test_b3_up_says_that_a_load_balancer_does_not_answer_and_ends() -> None:
    network = Network(connects_after_s=10_000)
    (text,) = notes(network)
    assert "endpoint/chat: its pods are ready, but through its load balancer no good answer came within 5m" in text
    assert "connection to 192.0.2.1:8000" in text
    assert network.now_s < 310


def test_b3_what_answers_badly_is_not_waited_for_as_a_new_load_balancer_is() -> None:
    network = Network(answers_after_s=10_000)
    (text,) = notes(network)
    assert "GET /health: status 503" in text
    assert network.now_s < 20


def test_b3_an_endpoint_that_this_machine_cannot_reach_is_said_and_not_waited_for() -> None:
    network = Network(connects_after_s=10_000)
    (text,) = notes(network, with_endpoint(access="internal"), INTERNAL)
    assert "not tested, as this machine does not reach it" in text
    (limited,) = notes(network, with_endpoint(access="public", cidrs=("198.51.100.0/24",)))
    assert "only 198.51.100.0/24 does" in limited
    assert network.now_s < 20


def test_b3_an_endpoint_whose_load_balancer_did_not_change_is_not_asked() -> None:
    network = Network()
    assert notes(network, None, INTERNAL) == ()
    workloads = tuple(each.model_copy(update={"paused": True}) for each in deployment().workloads)
    assert notes(network, deployment("aws-east", workloads=workloads)) == ()
    assert network.asked == []


def test_b3_ctrl_c_ends_the_question_and_the_up_stays_done() -> None:
    network = Network(connects_after_s=1e6, interrupted_at_s=3)
    [note] = notes(network)
    assert note.startswith(
        "endpoint/chat: its pods are ready, but nobody waited for an answer through its load balancer"
    )
    assert network.now_s < 5


def test_b3_several_endpoints_are_waited_for_together() -> None:
    network, made = Network(connects_after_s=1e6), deployment("aws-east")
    second = made.endpoints[0].model_copy(update={"name": "more", "host": "more.example.com"})
    both = made.model_copy(update={"endpoints": (*made.endpoints, second)})
    addresses = {"chat": "192.0.2.1", "more": "192.0.2.1"}
    assert len(endpoint_answers.notes(both, (NEW,), addresses, network.asker())) == 2
    assert network.now_s < 302


def test_a_connection_counts_whatever_becomes_of_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Place("127.0.0.1", server.getsockname()[1], "chat.example.com")
        assert health_checks.connects(place).ok
    assert not health_checks.connects(place).ok

"""A migration asks endpoints in the words of `health`, and waits for a slow start as long as they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from meshctl.clients.endpoints.health_checks import Question
from meshctl.errors import MeshError
from meshctl.migrate.engine_gateway import EngineGateway
from meshctl.migrate.gateway import UpResult
from meshctl.migrate.steps.traffic import canary
from meshctl.model.deployment import Deployment, Endpoint, Health
from meshctl.model.observed import PodState
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.moves import OPTIONS, migrations_of, moved

PORTS = {"http": 8000, "metrics": 9000}


def with_health(environment: str, health: Health | None) -> Deployment:
    resolved = deployment(environment)
    workloads = [
        w.model_copy(update={"health": health, "ports": PORTS}) if w.name == "chat" else w for w in resolved.workloads
    ]
    return resolved.model_copy(update={"workloads": tuple(workloads)})


def gateway_with(health: Health | None, kind: type[FakeGateway] = FakeGateway) -> FakeGateway:
    return kind(declared={name: with_health(name, health) for name in ("east", "west")}).begin()


CASES: list[tuple[Health | None, list[Question]]] = [
    (Health(path="/ok", port="http"), [Question("http", "/ok", 400), Question("http")]),
    (Health(path="/ok", port="http", protocol="https"), [Question("https", "/ok", 400), Question("https")]),
    (Health(port="http", protocol="grpc"), [Question("grpc")]),
    (Health(port="http", protocol="tcp"), [Question("tcp")]),
    (None, [Question("any")]),
    (Health(path="/ok", port="metrics"), [Question("any")]),
    (Health(port="metrics", protocol="grpc"), [Question("any")]),
]


@pytest.mark.parametrize(("health", "asked"), CASES)
def test_an_endpoint_is_asked_in_the_words_of_health(health: Health | None, asked: list[Question]) -> None:
    gateway = gateway_with(health)
    moved(gateway)
    assert gateway.names["chat"].environment == "west"
    assert gateway.questions[: len(asked)] == asked
    assert set(gateway.questions[len(asked) :]) == {asked[0]}  # while it is watched


def test_what_was_asked_and_answered_is_said_where_it_never_gets_well() -> None:
    gateway = gateway_with(Health(path="/ok", port="http"))
    gateway.healthy = False
    migrations = migrations_of(gateway)
    with pytest.raises(MeshError) as caught:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert caught.value.why == "GET http://west-lb/ok: status 503"
    assert "`meshctl migrations resume` asks again" in caught.value.hint
    assert gateway.names["chat"].environment == "east"


@dataclass
class SlowStart(FakeGateway):
    """Pods of `chat` need 100 minutes from their start in `west` until they are ready."""

    started_at: float = 0

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        was_up = self.running("west", "chat")
        result = super().up(deployment, say)
        if self.running("west", "chat") and not was_up:
            self.started_at = self.clock
        return result

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        pods = super().pods(deployment, workload)
        loading = workload == "chat" and deployment.environment == "west" and self.clock < self.started_at + 6000
        return [replace(pod, ready=pod.ready and not loading) for pod in pods]


def test_a_model_that_needs_100_minutes_is_waited_for_where_health_says_so() -> None:
    gateway = gateway_with(Health(path="/ok", port="http", startup_s=7200), SlowStart)
    moved(gateway)
    assert gateway.names["chat"].environment == "west"


def test_without_a_word_of_it_the_wait_ends_before() -> None:
    gateway = gateway_with(Health(path="/ok", port="http"), SlowStart)
    migrations = migrations_of(gateway)
    with pytest.raises(MeshError, match="timed out after 3600 s waiting for chat to be ready in west"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert gateway.names["chat"].environment == "east"


def test_the_engines_gateway_asks_at_the_endpoints_port_and_tells_an_address_that_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    west = with_health("west", None)
    endpoint = Endpoint(name="m", host="m.example.com", workload="chat", port="metrics")
    gateway: Any = EngineGateway.__new__(EngineGateway)
    (question,) = canary.questions(west, endpoint)
    answer = gateway.probe(west, endpoint, "127.0.0.1", question)
    assert (answer.ok, answer.text) == (False, "connection to 127.0.0.1:9000: Connection refused")
    monkeypatch.setenv("MESHCTL_DNS_SERVER", "127.0.0.1:9")
    assert not gateway.probe(west, endpoint, "lb.example.com", question).ok


@pytest.mark.parametrize(
    ("health", "record"),
    [
        (Health(path="/ok", port="http"), {"health": "/ok", "canary": "/"}),
        (None, {"health": "", "canary": "/"}),
        (Health(port="http", protocol="grpc"), {"health": "", "canary": "grpc"}),
        (Health(port="http", protocol="tcp"), {"health": "", "canary": "tcp"}),
    ],
)
def test_the_journal_keeps_what_was_asked_as_earlier_versions_did(
    health: Health | None, record: dict[str, str]
) -> None:
    west = with_health("west", health)
    assert canary.record(west, west.endpoints[0]) == record

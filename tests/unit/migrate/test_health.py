"""A migration asks endpoints in the words of `health`, and waits for a slow start as long as they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from meshctl.clients.health_checks import Question
from meshctl.errors import MeshError
from meshctl.migrate.engine_world import EngineWorld
from meshctl.migrate.steps import canary
from meshctl.migrate.world import UpResult
from meshctl.model.deployment import Deployment, Endpoint, Health
from meshctl.model.observed import PodState
from tests.unit.migrate.test_migration import OPTIONS, migrations
from tests.unit.migrate.twin import Twin, deployment

PORTS = {"http": 8000, "metrics": 9000}


def with_health(environment: str, health: Health | None) -> Deployment:
    given = deployment(environment)
    workloads = [
        w.model_copy(update={"health": health, "ports": PORTS}) if w.name == "chat" else w for w in given.workloads
    ]
    return given.model_copy(update={"workloads": tuple(workloads)})


def twin(health: Health | None, kind: type[Twin] = Twin) -> Twin:
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
    moving = twin(health)
    found = migrations(moving)
    found.start(found.plan("east", "west", OPTIONS))
    assert moving.names["chat"].environment == "west"
    assert moving.questions[: len(asked)] == asked
    assert set(moving.questions[len(asked) :]) == {asked[0]}  # while it is watched


def test_what_was_asked_and_answered_is_said_where_it_never_gets_well() -> None:
    moving = twin(Health(path="/ok", port="http"))
    moving.healthy = False
    found = migrations(moving)
    with pytest.raises(MeshError) as caught:
        found.start(found.plan("east", "west", OPTIONS))
    assert caught.value.why == "GET http://west-lb/ok: status 503"
    assert "`meshctl migrations resume` asks again" in caught.value.hint
    assert moving.names["chat"].environment == "east"


@dataclass
class SlowStart(Twin):
    """Pods of `chat` need 100 minutes from their start in `west` until they are ready."""

    started_at: float = 0

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        was_up = self.running("west", "chat")
        made = super().up(deployment, say)
        if self.running("west", "chat") and not was_up:
            self.started_at = self.clock
        return made

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        pods = super().pods(deployment, workload)
        loading = workload == "chat" and deployment.environment == "west" and self.clock < self.started_at + 6000
        return [replace(pod, ready=pod.ready and not loading) for pod in pods]


def test_a_model_that_needs_100_minutes_is_waited_for_where_health_says_so() -> None:
    moving = twin(Health(path="/ok", port="http", startup_s=7200), SlowStart)
    found = migrations(moving)
    found.start(found.plan("east", "west", OPTIONS))
    assert moving.names["chat"].environment == "west"


def test_without_a_word_of_it_the_wait_ends_before() -> None:
    moving = twin(Health(path="/ok", port="http"), SlowStart)
    found = migrations(moving)
    with pytest.raises(MeshError, match="chat ready in west: not after 3600 s"):
        found.start(found.plan("east", "west", OPTIONS))
    assert moving.names["chat"].environment == "east"


def test_the_engines_world_asks_at_the_endpoints_port_and_tells_an_address_that_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    west = with_health("west", None)
    endpoint = Endpoint(name="m", host="m.example.com", workload="chat", port="metrics")
    world: Any = EngineWorld.__new__(EngineWorld)
    (question,) = canary.questions(west, endpoint)
    answer = world.probe(west, endpoint, "127.0.0.1", question)
    assert (answer.ok, answer.text) == (False, "connection to 127.0.0.1:9000: Connection refused")
    monkeypatch.setenv("MESHCTL_DNS_SERVER", "127.0.0.1:9")
    assert not world.probe(west, endpoint, "lb.example.com", question).ok


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

"""The program that moves replicas on the own pool and on lent nodes (templates/scaler/lent.py), without a cluster."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest

from tests.unit.render.test_scaler_program import SETTINGS, loaded_program

OWN = SETTINGS["SCALE_PATH"]
LENT = OWN.replace("/chat/", "/chat-lent/")
LABEL = "meshctl.dev/lent"
# of 6 replicas 4 have room on the own pool, and 2 on lent nodes
VARIABLES = {
    **SETTINGS,
    "OWN_MAX": "4",
    "LENT_MAX": "2",
    "LENT_SCALE_PATH": LENT,
    "LENT_LABEL": LABEL,
}


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with loaded_program(), loaded_program("lent") as module:
        yield module


class World:
    """An API server with both Deployments. The load is spread over all ready pods. `starting`: so many of the own
    replicas have a node and are not ready; `without_node`: so many have none. `now_s` goes on by hand."""

    def __init__(self, program: Any, monkeypatch: pytest.MonkeyPatch, own: int, lent: int) -> None:
        self.replicas = {OWN: own, LENT: lent}
        self.changes: list[tuple[str, int]] = []
        self.load, self.now_s = 5.0, 0.0
        self.starting = self.without_node = 0
        monkeypatch.setattr(program.scaler, "read_metrics", lambda *_: self.reading(program))
        settings = program.scaler.read_settings(VARIABLES)
        self.program = program.LentScaler(settings, program.read_lent(VARIABLES), self, lambda: self.now_s)

    @property
    def ready(self) -> int:
        return max(sum(self.replicas.values()) - self.starting - self.without_node, 0)

    def reading(self, program: Any) -> Any:
        return program.scaler.Reading(self.load / self.ready, False)

    def ask(self, path: str, body: Any = None) -> Any:
        if "/pods?" in path:
            return {"items": [*self.pods(), pod("going", deletionTimestamp="now")]}
        name = path.partition("?")[0]
        if name not in self.replicas:
            raise urllib.error.HTTPError(path, 404, "not found", Message(), None)
        if body is not None:
            assert body["metadata"]["resourceVersion"] == name
            self.replicas[name] = body["spec"]["replicas"]
            self.changes.append((name, self.replicas[name]))
            return {}
        return {"metadata": {"resourceVersion": name}, "spec": {"replicas": self.replicas[name]}}

    def pods(self) -> list[Any]:
        own = self.replicas[OWN]
        states = ["ready"] * (own - self.starting - self.without_node)
        states += [*["starting"] * self.starting, *["without a node"] * self.without_node]
        own_pods = [pod(f"own-{number}", state) for number, state in enumerate(states)]
        lent = range(self.replicas.get(LENT, 0))
        return [*own_pods, *(pod(f"lent-{number}", "ready", labels={LABEL: "true"}) for number in lent)]

    def look(self, seconds: float = 15) -> tuple[int, int]:
        """The own replicas and the lent ones after a look at the end of that time."""
        self.now_s += seconds
        self.program.look()
        return self.replicas[OWN], self.replicas.get(LENT, 0)


def pod(uid: str, state: str = "ready", **metadata: Any) -> Any:
    conditions = [{"type": "Ready", "status": str(state == "ready")}]
    spec = {} if state == "without a node" else {"nodeName": "n"}
    return {"metadata": {"uid": uid, **metadata}, "spec": spec, "status": {"podIP": uid, "conditions": conditions}}


def test_the_own_pool_is_filled_first(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 2, 0)
    world.load = 13.0
    assert world.look() == (3, 0)
    world.load = 60.0
    assert world.look() == (4, 2)
    assert world.changes == [(OWN, 3), (OWN, 4), (LENT, 2)]


def test_lent_nodes_are_given_back_first(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 4, 2)
    world.load = 1.0
    for _ in range(30):
        world.look()
    assert world.changes == [(LENT, 0), (OWN, 3), (OWN, 2), (OWN, 1)]


def test_who_is_stopped_on_the_own_pool_is_stopped_on_lent_nodes(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 0, 2)
    assert world.look() == (0, 0)
    assert world.look() == (0, 0)
    assert world.changes == [(LENT, 0)]


def test_what_moves_to_the_own_pool_is_ready_there_before_its_lent_node_goes(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own pool has become larger, while load needs all that there is."""
    world = World(program, monkeypatch, 2, 2)
    world.load = 20.0
    assert world.look() == (4, 2)
    world.starting = 2
    assert [world.look() for _ in range(8)] == [(4, 2)] * 8, "models are loaded for longer than the cooldown"
    world.starting = 0
    for _ in range(8):
        world.look()
    assert world.changes == [(OWN, 4), (LENT, 0)]


def test_without_load_nothing_moves_to_the_own_pool(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 2, 2)
    world.load = 0.1
    for _ in range(20):
        world.look()
    assert world.changes == [(LENT, 1), (LENT, 0), (OWN, 1)]


def test_own_replicas_without_a_node_are_replaced_on_lent_nodes(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job has the node of the own pool, or its autoscaler finds none."""
    world = World(program, monkeypatch, 3, 0)
    world.load, world.without_node = 15.0, 2
    assert world.look() == (3, 0), "one that has just been made gets its node in a moment"
    assert world.look() == (3, 2)
    world.without_node = 0  # they start
    for _ in range(12):
        world.look()
    assert world.changes == [(LENT, 2), (LENT, 0)]


def test_a_lull_of_one_look_cancels_no_order_of_a_node(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 4, 2)
    world.load, world.without_node = 30.0, 2
    for load in (30.0, 30.0, 18.0, 30.0):
        world.load = load
        assert world.look() == (4, 2)


def test_all_own_nodes_are_lost(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 4, 0)
    world.load = 20.0
    assert world.look() == (4, 0)
    world.without_node = 4  # nobody answers any more
    world.look()
    assert world.look() == (4, 2)


def test_the_least_replicas_are_on_the_own_pool(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has started it by hand with fewer."""
    monkeypatch.setitem(VARIABLES, "SCALE_MIN", "2")
    world = World(program, monkeypatch, 1, 1)
    world.load = 1.0
    assert world.look() == (2, 1)
    for _ in range(8):
        world.look()
    assert world.changes == [(OWN, 2), (LENT, 0)]


def test_own_replicas_without_a_node_go_with_the_load(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 3, 2)
    world.load, world.without_node = 1.0, 2
    for _ in range(20):
        world.look()
        world.without_node = min(world.without_node, world.replicas[OWN] - 1)  # these are the first to go
    assert world.changes == [(OWN, 2), (LENT, 1), (OWN, 1), (LENT, 0)]


def test_a_deployment_that_somebody_has_deleted_stops_nothing(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 2, 0)
    del world.replicas[LENT]
    world.load = 50.0
    assert world.look() == (4, 0)


@pytest.mark.parametrize("reads_before_the_pause", range(3))
def test_a_pause_during_a_look_starts_nothing_on_lent_nodes(
    program: Any, monkeypatch: pytest.MonkeyPatch, reads_before_the_pause: int
) -> None:
    """A migration stops both Deployments while the load would take one more; the lent one has no replicas yet, so no
    version of it tells the scaler of the pause. Their pods end a moment later."""
    world = World(program, monkeypatch, 4, 0)
    pods, ask = world.pods(), world.ask
    asked: list[str] = []
    monkeypatch.setattr(world, "pods", lambda: pods)
    monkeypatch.setattr(program.scaler, "read_metrics", lambda *_: program.scaler.Reading(6.0, False))

    def ask_and_pause(path: str, body: Any = None) -> Any:
        if len(asked) == reads_before_the_pause:
            world.replicas.update({OWN: 0, LENT: 0})
        asked.append(path)
        return ask(path, body)

    monkeypatch.setattr(world, "ask", ask_and_pause)
    assert world.look() == (0, 0)
    assert world.changes == []

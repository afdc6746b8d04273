"""The program that moves replicas on the own pool and on lent nodes (templates/scaler/lent.py), without a cluster."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest

from meshctl.render.templates import FOLDER
from tests.unit.render.test_scaler_program import SETTINGS, loaded_program

OWN = SETTINGS["SCALE_PATH"]
LENT = OWN.replace("/chat/", "/chat-lent/")
VARIABLES = {**SETTINGS, "LENT_SCALE_PATH": LENT, "LENT_MAX": "2"}  # of 6 replicas 4 have room on the own pool


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with loaded_program() as scaler:
        sys.modules["scaler"] = scaler
        spec = importlib.util.spec_from_file_location("mesh_lent", FOLDER / "scaler" / "lent.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["mesh_lent"] = module
        spec.loader.exec_module(module)
        try:
            yield module
        finally:
            del sys.modules["mesh_lent"], sys.modules["scaler"]


class World:
    """An API server with both Deployments. Each of the first `answering` replicas has `load`. `now_s` goes on by
    hand."""

    def __init__(self, program: Any, monkeypatch: pytest.MonkeyPatch, own: int, lent: int) -> None:
        self.replicas = {OWN: own, LENT: lent}
        self.changes: list[tuple[str, int]] = []
        self.load, self.now_s = 5.0, 0.0
        monkeypatch.setattr(program.scaler.Api, "__init__", lambda _: None)
        monkeypatch.setattr(program.scaler.Api, "ask", lambda _, path, body=None: self.answer(path, body))
        monkeypatch.setattr(program.scaler, "read_metrics", lambda *_: program.scaler.Reading(self.load, False))
        settings = program.scaler.read_settings(VARIABLES)
        both = program.BothScales(settings.scale_path, program.read_lent(VARIABLES))
        self.program = program.scaler.Scaler(settings, both, lambda: self.now_s)

    def answer(self, path: str, body: Any) -> Any:
        if "/pods?" in path:
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            names = [str(number) for number in range(sum(self.replicas.values()))]
            return {"items": [{"metadata": {"uid": each}, "status": {"podIP": each, **ready}} for each in names]}
        name = path.partition("?")[0]
        if name not in self.replicas:
            raise urllib.error.HTTPError(path, 404, "not found", Message(), None)
        if body is not None:
            assert body["metadata"]["resourceVersion"] == name
            self.replicas[name] = body["spec"]["replicas"]
            self.changes.append((name, self.replicas[name]))
            return {}
        return {"metadata": {"resourceVersion": name}, "spec": {"replicas": self.replicas[name]}}

    def look(self, seconds: float = 15) -> tuple[int, int]:
        """The own replicas and the lent ones after a look at the end of that time."""
        self.now_s += seconds
        self.program.look()
        return self.replicas[OWN], self.replicas.get(LENT, 0)


def test_the_own_pool_is_filled_first(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 2, 0)
    world.load = 6.5
    assert world.look() == (3, 0)
    world.load = 10.0
    assert world.look() == (4, 2)
    assert world.changes == [(OWN, 3), (OWN, 4), (LENT, 2)]


def test_lent_nodes_are_given_back_first(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 4, 2)
    world.load = 0.1
    after = [world.look() for _ in range(13)]
    assert [each for number, each in enumerate(after) if each not in after[:number]][:3] == [(4, 2), (4, 0), (3, 0)]


def test_who_is_stopped_on_the_own_pool_is_stopped_on_lent_nodes(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 0, 2)
    assert world.look() == (0, 0)
    assert world.look() == (0, 0)
    assert world.changes == [(LENT, 0)]


def test_what_moves_to_the_own_pool_is_there_before_its_lent_node_goes(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has scaled the own Deployment by hand, or its pool has become larger."""
    world = World(program, monkeypatch, 2, 2)
    world.load = 6.5  # 6 replicas
    assert world.look() == (4, 2)
    world = World(program, monkeypatch, 2, 2)
    world.load = 0.1
    for _ in range(4):
        world.look()
    assert world.changes[0] == (OWN, 3)


def test_a_deployment_that_somebody_has_deleted_stops_nothing(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 2, 0)
    del world.replicas[LENT]
    world.load = 50.0
    assert world.look() == (4, 0)


def test_other_questions_go_to_the_api_server(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(program, monkeypatch, 1, 0)
    assert len(world.program.api.ask("/api/v1/namespaces/m/pods?labelSelector=x")["items"]) == 1

"""The program that moves replicas with the load of their pods (templates/scaler/scaler.py), without a cluster."""

from __future__ import annotations

import http.client
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from meshctl.render.templates import FOLDER

VLLM = """# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a b"} 7.0
vllm:num_requests_waiting{engine="1",model_name="a b"} 5.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop"} 40.0
"""
SETTINGS = {
    "SCALE_SERIES": "vllm:num_requests_waiting,tgi_queue_size",
    "SCALE_TARGET": "5",
    "SCALE_COOLDOWN_S": "60",
    "SCALE_MIN": "1",
    "SCALE_MAX": "6",
    "SCALE_NAMESPACE": "m",
    "SCALE_SELECTOR": "app.kubernetes.io/name=chat",
    "SCALE_PATH": "/apis/apps/v1/namespaces/m/deployments/chat/scale",
    "METRICS_PORT": "8000",
    "METRICS_PATH": "/metrics",
    "METRICS_SCHEME": "http",
}


@pytest.fixture(scope="module")
def scaler() -> Iterator[Any]:
    with loaded_program() as module:
        yield module


@contextmanager
def loaded_program(name: str = "scaler") -> Iterator[Any]:
    """A program of the folder, which may import the modules that are loaded around it."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / "scaler" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    try:
        yield module
    finally:
        del sys.modules[name]


def test_all_samples_of_the_first_known_metric_are_one_load(scaler: Any) -> None:
    assert scaler.reading_of(VLLM, ("vllm:num_requests_waiting",)) == scaler.Reading(12.0, is_counter=False)
    assert scaler.reading_of(VLLM, ("tgi_queue_size", "vllm:request_success_total")) == scaler.Reading(40.0, True)
    assert scaler.reading_of(VLLM, ("num_requests_waiting",)) is None
    assert scaler.reading_of("tgi_queue_size NaN\n", ("tgi_queue_size",)) == scaler.Reading(0.0, is_counter=False)
    open_metrics = "# TYPE http_requests counter\nhttp_requests_total 3\n"
    assert scaler.reading_of(open_metrics, ("http_requests_total",)).is_counter


def test_a_counter_is_how_fast_it_grows_and_begins_again_with_its_pod(scaler: Any) -> None:
    loads = scaler.Loads()

    def at(now_s: float, **values: float) -> list[float | None]:
        readings = {uid: scaler.Reading(value, is_counter=True) for uid, value in values.items()}
        found: list[float | None] = loads.of(readings, now_s)
        return found

    assert at(0, a=100) == [None]
    assert at(10, a=150, b=7) == [5.0, None]
    assert at(20, a=20, b=27) == [2.0, 2.0]
    assert loads.of({"a": None}, 30) == [None]


@pytest.mark.parametrize(
    ("loads", "current", "enough"),
    [
        ([0, 0], 2, 0),
        ([12], 1, 3),
        ([5, 5.4], 2, 2),  # within 10% of the target
        ([10], 2, 2),  # a pod that is starting has no load yet
        ([4, None], 2, 2),  # whoever is silent may be busy
        ([0, None, None], 4, 2),
        ([30, None], 2, 6),
        ([None, None], 2, None),
        ([], 2, None),
    ],
)
def test_the_load_says_how_many_are_enough(
    scaler: Any, loads: list[float | None], current: int, enough: int | None
) -> None:
    assert scaler.enough_for(loads, current, 5.0) == enough


def test_up_at_once_and_down_after_the_cooldown(scaler: Any) -> None:
    cooldown = scaler.Cooldown(60, started_s=0)
    assert cooldown.wanted(3, 1, 0) == 3
    assert cooldown.wanted(40, 3, 10) == 7, "by four, or to the double"
    assert cooldown.wanted(40, 7, 20) == 14
    assert cooldown.wanted(1, 14, 30) == 14
    assert cooldown.wanted(2, 14, 75) == 14, "40 were enough less than a cooldown ago"
    assert cooldown.wanted(1, 14, 89) == 10, "a quarter, rounded up"
    fresh = scaler.Cooldown(60, started_s=100)
    assert fresh.wanted(1, 5, 130) == 5, "what was enough before it started, it does not know"
    assert fresh.wanted(1, 5, 160) == 3


def replicas_over_time(scaler: Any, loads: dict[int, int], cooldown_s: float, current: int) -> dict[int, int]:
    """When the replicas change, and to how many, where from those seconds on so many are enough."""
    cooldown, enough, changes = scaler.Cooldown(cooldown_s, started_s=0), current, {}
    for now_s in range(0, 1200, 15):
        enough = loads.get(now_s, enough)
        wanted = cooldown.wanted(enough, current, now_s)
        if wanted != current:
            changes[now_s] = current = wanted
    return changes


def test_an_empty_queue_takes_pods_away_by_and_by(scaler: Any) -> None:
    assert replicas_over_time(scaler, {15: 1}, 300, 6) == {315: 4, 375: 3, 435: 2, 495: 1}
    assert replicas_over_time(scaler, {15: 12}, 300, 12) == {}
    assert list(replicas_over_time(scaler, {15: 1}, 300, 100).values())[:4] == [75, 56, 42, 31]


def test_a_lull_costs_one_step(scaler: Any) -> None:
    assert replicas_over_time(scaler, {15: 1, 330: 6}, 300, 6) == {315: 4, 330: 6}


def test_a_short_cooldown_has_short_steps(scaler: Any) -> None:
    assert replicas_over_time(scaler, {15: 1}, 30, 6) == {45: 4, 75: 3, 105: 2, 135: 1}


def test_pods_that_came_meanwhile_do_not_make_the_step_larger(scaler: Any) -> None:
    """Of a period counts how many there were at its beginning, as Kubernetes counts them."""
    cooldown = scaler.Cooldown(60, started_s=0)
    for now_s, enough in ((0, 8), (15, 1), (30, 1), (45, 1), (60, 1)):
        assert cooldown.wanted(enough, 8, now_s) == 8
    assert cooldown.wanted(1, 8, 75) == 6
    assert cooldown.wanted(7, 6, 90) == 7
    assert cooldown.wanted(1, 7, 105) == 7, "7 were enough less than a cooldown ago"


class FakeApi:
    def __init__(self, replicas: int, addresses: tuple[str, ...]) -> None:
        self.replicas, self.addresses = replicas, addresses
        self.changes: list[Any] = []

    def ask(self, path: str, body: Any = None) -> Any:
        if body is not None:
            self.changes.append((path, body))
            self.replicas = body["spec"]["replicas"]
            return {}
        if "/pods?" in path:
            ready = [{"type": "Ready", "status": "True"}]
            pods = [
                {"metadata": {"uid": address}, "status": {"podIP": address, "conditions": ready}}
                for address in self.addresses
            ]
            going = {
                "metadata": {"uid": "x", "deletionTimestamp": "now"},
                "status": {"podIP": "x", "conditions": ready},
            }
            starting = {"metadata": {"uid": "y"}, "status": {"podIP": "y", "conditions": []}}
            return {"items": [*pods, going, starting]}
        return {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": self.replicas}}


def test_a_look_changes_the_scale_of_the_workload_within_its_bounds(
    scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = {"a": 30.0, "b": 9.0}
    monkeypatch.setattr(scaler, "read_metrics", lambda _settings, address: scaler.Reading(queues[address], False))
    api, now_s = FakeApi(2, ("a", "b")), [0.0]
    looking = scaler.Scaler(scaler.read_settings(SETTINGS), api, lambda: now_s[0])
    assert looking.look() == "2 -> 6 replicas: load 39 on 2 pods, target 5 each"
    path = "/apis/apps/v1/namespaces/m/deployments/chat/scale?fieldManager=meshctl-scaler"
    assert api.changes == [(path, {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 6}})]
    queues.update(a=0.0, b=0.0)
    for now_s[0] in (50, 59):
        assert looking.look() == ""
    now_s[0] = 111
    assert looking.look() == "6 -> 4 replicas: load 0 on 2 pods, target 5 each"
    now_s[0] = 126
    assert looking.look() == ""


def test_what_is_stopped_stays_stopped(scaler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler, "read_metrics", lambda *_: scaler.Reading(99.0, False))
    api = FakeApi(0, ())
    assert scaler.Scaler(scaler.read_settings(SETTINGS), api).look() == ""
    assert api.changes == []


def test_pods_without_the_metric_are_said_and_change_nothing(scaler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler, "read_metrics", lambda *_: None)
    api = FakeApi(2, ("a", "b"))
    assert scaler.Scaler(scaler.read_settings(SETTINGS), api).look() == "none of 2 pods has vllm:num_requests_waiting"
    assert api.changes == []


def test_after_a_time_without_answers_nothing_goes_for_a_cooldown(scaler: Any) -> None:
    cooldown = scaler.Cooldown(60, started_s=0)
    assert cooldown.wanted(8, 8, 0) == 8
    assert cooldown.wanted(8, 8, 30) == 8
    assert cooldown.wanted(1, 8, 300) == 8, "how many were enough meanwhile, it does not know"
    assert cooldown.wanted(1, 8, 330) == 8
    assert cooldown.wanted(1, 8, 360) == 6


class BrokenOff:
    """The answer of a server that ends in the middle of it."""

    def __enter__(self) -> BrokenOff:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> bytes:
        raise http.client.IncompleteRead(b"vllm:num_requests_waiting 1")


def test_a_pod_that_ends_in_the_middle_of_its_answer_has_not_answered(
    scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaler.urllib.request, "urlopen", lambda *_, **__: BrokenOff())
    assert scaler.read_metrics(scaler.read_settings(SETTINGS), "10.0.0.1") is None


def test_a_port_that_speaks_no_http_has_not_answered(scaler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: object, **__: object) -> None:
        raise http.client.BadStatusLine("SSH-2.0")

    monkeypatch.setattr(scaler.urllib.request, "urlopen", answers)
    assert scaler.read_metrics(scaler.read_settings(SETTINGS), "10.0.0.1") is None

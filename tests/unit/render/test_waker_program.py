"""The program that brings a workload to zero replicas and back (templates/scaler/waker.py), without a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from meshctl.model.keys import scaling
from meshctl.render.templates import FOLDER
from tests.unit.render.test_scaler_program import SETTINGS, FakeApi, loaded_program

IDLE = "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:request_success_total 40\n"
IDLENESS = {
    "WAKE_IDLE_SERIES": ",".join(scaling.idle_series("my_sessions")),
    "WAKE_SERVER_SERIES": ",".join(scaling.server_series()),
    "WAKE_PROBE_PATHS": "/metrics,/up",
}


@pytest.fixture(scope="module")
def waker() -> Iterator[Any]:
    with loaded_program(), loaded_program("waker") as module:
        yield module


class World:
    """One workload, whose pods all answer with `text`; `now_s` goes on by hand."""

    def __init__(self, waker: Any, monkeypatch: pytest.MonkeyPatch, replicas: int = 1, least: int = 0) -> None:
        self.text: str | None = IDLE
        self.now_s = 0.0
        self.api = FakeApi(replicas, ("a",) * replicas)
        self.gate = waker.Gate()
        settings = waker.scaler.read_settings({**SETTINGS, "SCALE_MIN": str(least)})
        self.program = waker.Waker(settings, self.api, self.gate, waker.read_idleness(IDLENESS), lambda: self.now_s)
        monkeypatch.setattr(waker, "metrics_text", lambda *_: self.text)
        monkeypatch.setattr(
            waker.scaler, "read_metrics", lambda settings, _: waker.scaler.reading_of(self.text or "", settings.series)
        )

    def look(self, seconds: float = 15) -> int:
        """The replicas after a look at the end of that time."""
        self.said(seconds)
        return self.api.replicas

    def said(self, seconds: float = 15) -> str:
        """What a look at the end of that time says."""
        self.now_s += seconds
        message: str = self.program.look()
        self.api.addresses = ("a",) * self.api.replicas
        return message


def test_the_last_replica_goes_once_it_is_idle_for_a_cooldown(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch)
    assert [world.look() for _ in range(6)] == [1, 1, 1, 1, 0, 0], "60 s from the first look, which knows no counter"


@pytest.mark.parametrize(
    "busy",
    [
        IDLE.replace("running 0", "running 1"),  # an empty queue says nothing of the requests that run
        IDLE.replace("waiting 0", "waiting 1"),
        "up 1\n",  # a program that names none of the metrics
        None,
    ],
    ids=["running", "waiting", "unknown", "silent"],
)
def test_whoever_may_be_at_work_stays(waker: Any, monkeypatch: pytest.MonkeyPatch, busy: str | None) -> None:
    world = World(waker, monkeypatch)
    world.text = busy
    assert [world.look() for _ in range(10)] == [1] * 10


def test_a_request_that_began_and_ended_between_two_looks_counts(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world, replicas = World(waker, monkeypatch), []
    for number in range(12):
        world.text = IDLE.replace("total 40", f"total {40 + number // 3}")
        replicas.append(world.look())
    assert replicas == [1] * 12


COUNTED = """\
# TYPE http_requests_total counter
http_requests_total{{handler="/metrics",method="GET",status="2xx"}} {probes}
http_requests_total{{handler="/up",method="GET",status="2xx"}} {probes}
http_requests_total{{handler="/v1/embeddings",method="POST",status="2xx"}} {requests}
"""
UNLABELLED = "# TYPE http_requests_total counter\nhttp_requests_total {probes}\n"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (IDLE + UNLABELLED, 0),  # a server that says by itself what it does
        (COUNTED, 0),  # what asks for health and metrics is known by its path
        (COUNTED.partition('http_requests_total{{handler="/v1')[0], 0),  # none but those, as after a start
        (COUNTED.replace("{requests}", "{probes}"), 1),
        (UNLABELLED, 1),  # nobody can tell what it counts
        ("my_sessions 0\n" + UNLABELLED, 1),
    ],
    ids=["of-a-server", "by-path", "unused", "used", "unknown", "own-metric"],
)
def test_questions_for_health_and_metrics_keep_no_pod(
    waker: Any, monkeypatch: pytest.MonkeyPatch, text: str, last: int
) -> None:
    world, replicas = World(waker, monkeypatch), []
    for number in range(8):
        world.text = text.format(probes=number, requests=3)
        replicas.append(world.look())
    assert replicas[-1] == last


def test_it_says_what_keeps_the_last_pod(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch)

    def messages(text: str | None, count: int) -> list[str]:
        world.text = text
        return [world.said() for _ in range(count)]

    running = IDLE.replace("running 0", "running 1")
    assert messages(IDLE, 2) == ["1 replica stays: its counters are read for the first time", ""]
    assert messages(running, 2) == ["1 replica stays: vllm:num_requests_running says that it is used"] * 2
    assert messages(IDLE.replace("40", "41"), 2) == [
        "1 replica stays: vllm:request_success_total says that it is used",
        "",
    ]
    assert messages("tgi_request_count 1\n", 1)[0].startswith("none of 1 pods has"), "what the scaler says comes first"
    world.api.addresses = ()
    assert messages(None, 1) == ["1 replica stays: no pod is ready"]
    assert waker.HTTP_REQUESTS == scaling.HTTP_REQUESTS
    awake = World(waker, monkeypatch, least=1)
    awake.text = running
    assert awake.said() == "", "nothing would take it away"


def test_two_replicas_go_one_after_the_other(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch, 2)
    replicas = [world.look() for _ in range(14)]
    assert replicas.index(1) * 15 + 60 <= replicas.index(0) * 15, "a cooldown as the only one"
    assert replicas[-1] == 0


def test_without_a_request_nothing_wakes_it(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch, 0)
    assert [world.look() for _ in range(3)] == [0, 0, 0]
    assert world.api.changes == []


def test_a_request_is_held_until_a_pod_is_ready_and_goes_on_to_it(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch, 0)
    passed: list[bool] = []
    waiting = threading.Thread(target=lambda: passed.append(world.gate.passes(60)))
    waiting.start()
    wait_for(world.gate.is_waited_for)
    world.now_s = time.monotonic() - 15
    assert world.look() == 1
    world.api.addresses = ()  # the pod loads its model
    assert world.look() == 1
    assert passed == []
    world.gate.set_ready(time.monotonic() - waker.SETTLES_S, is_ready=True)
    waiting.join(20)
    assert passed == [True]
    assert not world.gate.is_waited_for()


def test_while_a_request_waits_no_last_replica_goes(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch)
    world.gate.waiting = 1
    assert [world.look() for _ in range(10)] == [1] * 10
    world.gate.waiting = 0
    assert [world.look() for _ in range(5)][-1] == 0


def wait_for(happens: Any) -> None:
    end_s = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end_s
        time.sleep(0.01)


@pytest.fixture
def door(waker: Any) -> Iterator[tuple[Any, str]]:
    """The gate, and where its requests come in."""
    gate = waker.Gate()
    server = waker.Server(("127.0.0.1", 0), waker.handler(gate, 0.3))
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield gate, f"http://127.0.0.1:{server.server_address[1]}/v1/completions"
    server.shutdown()
    server.server_close()
    serving.join(20)


def asked(url: str, body: bytes | None, again: str = "@again-0") -> tuple[int, dict[str, str]]:
    headers = {"Meshctl-Again": again} if again else {}
    try:
        request = urllib.request.Request(url, body, headers)  # noqa: S310 (http)
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_without_a_pod_in_time_the_client_is_told_to_come_again(door: tuple[Any, str], waker: Any) -> None:
    gate, url = door
    gate.set_ready(0, is_ready=True)
    assert waker.SETTLES_S > 0.3
    status, headers = asked(url, b"x" * 100_000)
    assert (status, headers["Retry-After"]) == (503, "10"), "one that comes while a pod is ready waits a moment as well"


def test_in_time_it_is_told_to_ask_again(waker: Any) -> None:
    gate = waker.Gate()
    gate.set_ready(0, is_ready=True)
    with waker.Server(("127.0.0.1", 0), waker.handler(gate, 20)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        for body in (None, b"x" * 200_000):
            status, headers = asked(url, body)
            assert (status, headers["X-Accel-Redirect"], headers["Content-Length"]) == (200, "@again-0", "0")
        assert asked(url, None, again="")[0] == 503, "whoever is no gateway gets no location"
        server.shutdown()


# A cluster whose workload has no pod, however long it is asked for one.
PROGRAM = """\
import sys

sys.path.insert(0, sys.argv[1])
import scaler, waker

class Api:
    def ask(self, path, body=None):
        if "pods" in path:
            return {"items": []}
        return {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 0}}

class Gate(waker.Gate):
    def passes(self, limit_s):
        print("held\\n", end="")
        return super().passes(limit_s)

scaler.Api, waker.Gate = Api, Gate
waker.main()
"""


def test_at_its_end_it_tells_those_that_it_holds_to_come_again() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {**IDLENESS, "WAKE_LIMIT_S": "300", "WAKE_ADDRESS": "127.0.0.1"}
    variables = {**os.environ, **SETTINGS, **own, "SCALE_MIN": "0", "WAKE_PORT": str(port)}
    command = [sys.executable, "-B", "-u", "-c", PROGRAM, str(FOLDER / "scaler")]
    answers: list[tuple[int, str | None]] = []

    def ask() -> None:
        status, headers = asked(f"http://127.0.0.1:{port}/", b"x" * 1000)
        answers.append((status, headers.get("Retry-After")))

    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        wait_for(lambda: is_open(port))
        clients = [threading.Thread(target=ask) for _ in range(20)]
        for client in clients:
            client.start()
        lines = [program.stdout.readline() for _ in range(len(clients) + 1)]
        assert sorted(lines) == ["0 -> 1 replicas: a request waits\n", *["held\n"] * len(clients)]
        assert answers == []
        program.terminate()
        assert program.wait(9) == 0  # a pod that takes longer is killed
        for client in clients:
            client.join(20)
    assert answers == [(503, "10")] * 20


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_too_many_are_told_to_come_again_at_once(door: tuple[Any, str], waker: Any) -> None:
    gate, url = door
    gate.waiting = waker.MOST_HELD
    status, headers = asked(url, None)
    assert (status, headers["Retry-After"]) == (503, "10")


def test_while_a_migration_counts_on_its_pods_none_goes(waker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(waker, monkeypatch, least=1)
    assert [world.look() for _ in range(10)] == [1] * 10

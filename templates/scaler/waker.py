"""Brings a workload to zero replicas while nobody uses it, and back when a request comes. EDGE, but for what is marked.

Runs in place of `scaler.py`, which moves the replicas between one and the most as ever (ADR 0069). What this adds is
the way to zero, and from there to one:

- One replica that is idle for a whole cooldown goes. Idle is a pod that says so: nothing waits or runs in it, and no
  request has ended since the last look. A pod that is silent, or that names none of the known metrics, is busy.
- The mesh's gateway sends a request here that the workload's Service refuses, since it has no pod (`backup` of its
  `upstream`). It is held until a pod is ready, and then told to ask the Service again (`X-Accel-Redirect` to a named
  location, which keeps the method and the body). No pod has got the request before that, so none runs twice. Where no
  pod is ready in time the answer is 503 with `Retry-After`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import scaler  # beside this file, in the same ConfigMap

AGAIN_HEADER = "Meshctl-Again"  # of the gateway: the location that asks the Service again
SETTLES_S = 1.0  # between a pod that is ready and its nodes' rules for the Service; also between two tries
LOOK_S = 1.0  # from one look to the next while a request is held
MOST_HELD = 200  # requests at a time; the next ones are told to come again
RETRY_S = 10
PIECE = 64 * 1024


@dataclass
class Gate:
    """Where requests wait. Its threads are those of the requests, and the one that looks."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: int = 0
    ready_since_s: float | None = None

    def is_waited_for(self) -> bool:
        with self.changed:
            return self.waiting > 0

    def set_ready(self, now_s: float, *, is_ready: bool) -> None:
        with self.changed:
            if not is_ready:
                self.ready_since_s = None
            elif self.ready_since_s is None:
                self.ready_since_s = now_s
            self.changed.notify_all()

    def passes(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> bool:
        """Wait for a pod; whether one has been ready for long enough, before `limit_s` were over. A request that comes
        while one is ready was refused all the same: it waits a moment, too, as the gateway tries only so often."""
        came_s = clock()
        end_s = came_s + limit_s
        with self.changed:
            if self.waiting >= MOST_HELD:
                return False
            self.waiting += 1
            self.changed.notify_all()
            try:
                while not self._is_settled(came_s, clock()):
                    if clock() >= end_s:
                        return False
                    self.changed.wait(min(SETTLES_S / 2, max(end_s - clock(), 0.01)))
                return True
            finally:
                self.waiting -= 1

    def _is_settled(self, came_s: float, now_s: float) -> bool:
        return self.ready_since_s is not None and now_s - max(self.ready_since_s, came_s) >= SETTLES_S

    def sleep(self, seconds: float) -> None:
        """Until the next look: at once where a request comes meanwhile."""
        with self.changed:
            if self.waiting:
                self.changed.wait(min(seconds, LOOK_S))
                return
            self.changed.wait(seconds)


@dataclass
class Idleness:
    """Whether pods do nothing. `counted`: by pod and metric, the counters at the last look."""

    series: Sequence[str]
    counted: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_busy(self, texts: Mapping[str, str | None]) -> bool:
        """`texts`: by the uid of a ready pod what it answers Prometheus; None of one that does not answer. PURE but for
        the counters, which need two looks."""
        before, self.counted = self.counted, {}
        busy = [self._pod_is_busy(uid, text, before) for uid, text in texts.items()]  # of all: each has its counters
        return any(busy) or not texts

    def _pod_is_busy(self, uid: str, text: str | None, before: Mapping[tuple[str, str], float]) -> bool:
        readings = {name: scaler.reading_of(text or "", (name,)) for name in self.series}
        answered = {name: reading for name, reading in readings.items() if reading is not None}
        counters = {(uid, name): reading.value for name, reading in answered.items() if reading.is_counter}
        self.counted |= counters
        has_load = any(reading.value > 0 for reading in answered.values() if not reading.is_counter)
        has_grown = any(before.get(key) != value for key, value in counters.items())
        return not answered or has_load or has_grown


class Waker(scaler.Scaler):
    """The scaler, with the way to zero and back."""

    def __init__(
        self,
        settings: scaler.Settings,
        api: scaler.Api,
        gate: Gate,
        idle_series: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(replace(settings, least=max(settings.least, 1)), api, clock)
        self.may_sleep = settings.least == 0  # not while a migration counts on its pods
        self.gate = gate
        self.idleness = Idleness(idle_series)
        self.busy_s = clock()

    def look(self) -> str:
        """Raises: scaler.UNANSWERED."""
        scale = self.api.ask(self.settings.scale_path)
        current = int(scale.get("spec", {}).get("replicas") or 0)
        is_waited_for = self.gate.is_waited_for()
        pods = scaler.ready_pods(self.api.ask(pods_path(self.settings))) if current else {}
        now_s = self.clock()
        self.gate.set_ready(now_s, is_ready=bool(pods))
        if current != 1 or is_waited_for or self.idleness.is_busy(self._texts(pods)):
            self.busy_s = now_s
        if not current and is_waited_for:
            self.change(scale, 1)
            return "0 -> 1 replicas: a request waits"
        if self.may_sleep and current == 1 and now_s - self.busy_s >= self.settings.cooldown_s:
            self.change(scale, 0)
            return f"1 -> 0 replicas: idle for {self.settings.cooldown_s:g} s"
        return super().look()

    def _texts(self, pods: Mapping[str, str]) -> dict[str, str | None]:
        return {uid: metrics_text(self.settings, address) for uid, address in pods.items()}


def pods_path(settings: scaler.Settings) -> str:
    selector = urllib.parse.quote(settings.selector)
    return f"/api/v1/namespaces/{settings.namespace}/pods?labelSelector={selector}"


def metrics_text(settings: scaler.Settings, address: str) -> str | None:
    """What a pod answers Prometheus; None where it does not answer."""
    host = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.port}{settings.path}", timeout=scaler.ASK_S) as response:
            return str(response.read().decode("utf-8", "replace"))
    except scaler.UNANSWERED:
        return None


def handler(gate: Gate, limit_s: float) -> type[BaseHTTPRequestHandler]:
    class Held(BaseHTTPRequestHandler):
        """One request that found no pod."""

        def hold(self) -> None:
            self._drop_body()
            again = self.headers.get(AGAIN_HEADER, "")
            if again and gate.passes(limit_s):
                self.send_response(200)
                self.send_header("X-Accel-Redirect", again)
            else:
                self.send_response(503)
                self.send_header("Retry-After", str(RETRY_S))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = hold  # noqa: N815 (their names)

        def _drop_body(self) -> None:
            """The gateway keeps it, and sends it again to the pod."""
            left = int(self.headers.get("Content-Length") or 0)
            while left > 0:
                piece = self.rfile.read(min(left, PIECE))
                if not piece:
                    return
                left -= len(piece)

        def log_message(self, *_: Any) -> None:
            """What is worth a line is said by the look that wakes."""

    return Held


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answers: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, answers)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not end by itself
    gate, settings = Gate(), scaler.read_settings(os.environ)
    waker = Waker(settings, scaler.Api(), gate, os.environ["WAKE_IDLE_SERIES"].split(","))
    limit_s = float(os.environ["WAKE_LIMIT_S"])
    server = Server((os.environ["WAKE_ADDRESS"], int(os.environ["WAKE_PORT"])), handler(gate, limit_s))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    last_message = ""
    while True:
        try:
            message = waker.look()
        except scaler.UNANSWERED as error:
            message = f"no look at the load: {error}"
        if message and message != last_message:
            print(message, flush=True)  # noqa: T201 (the pod's log)
        last_message = message
        gate.sleep(settings.period_s)


if __name__ == "__main__":
    main()

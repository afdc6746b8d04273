"""Moves the number of replicas of one workload with the load that its pods report. EDGE, but for what is marked PURE.

Runs in the mesh's namespace, in a pod of its own with nothing but Python's standard library: `meshctl.render.scalers`
puts this file into a ConfigMap, and the settings into variables. It asks each ready pod for its metrics (Prometheus'
text), and changes the `scale` of the workload, for which alone it has rights. It keeps nothing: after a restart it
waits for a whole cooldown before it takes pods away.

The rule is that of Kubernetes' own autoscaler (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale):
total load / target, rounded up; no change within 10% of the target; up at once, by four or to the double at most; down
to the highest number that was enough during the cooldown, and by at most a quarter of the replicas a minute: a lull is
not to throw away all models that took long to load. A ready pod that does not answer counts as one with the target's
load when that would take pods away, and as an idle one when it would add some.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import signal
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOLERANCE = 0.1
LONGEST_PERIOD_S = 15.0
STEP_S = 60.0  # in such a time goes at most the share of the replicas that there were at its beginning
STAYING_SHARE = 0.75
ASK_S = 5.0  # how long a pod, or the API server, may take to answer
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "meshctl-scaler"  # under which name it sets the replicas
# the last is of a server that ends in the middle of its answer, or does not speak HTTP
UNANSWERED = (OSError, ValueError, http.client.HTTPException)
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})?\s+(\S+)")
_TYPE = re.compile(r"^#\s*TYPE\s+(\S+)\s+(\S+)")
_COUNTED = ("_total", "_count", "_sum")  # names of counters and of what is counted in a histogram


@dataclass(frozen=True)
class Settings:
    """`series`: names of the metric, of which a server has one. `scale_path`: of the API server, to the workload."""

    series: tuple[str, ...]
    target: float
    cooldown_s: float
    least: int
    most: int
    namespace: str
    selector: str
    scale_path: str
    port: int
    path: str = "/metrics"
    scheme: str = "http"

    @property
    def period_s(self) -> float:
        return max(1.0, min(LONGEST_PERIOD_S, self.cooldown_s / 4))


@dataclass(frozen=True)
class Reading:
    """The sum of all samples of a metric in one pod's text. A counter only says how fast it grows."""

    value: float
    is_counter: bool


def read_settings(variables: Mapping[str, str]) -> Settings:
    """PURE. Raises: KeyError, ValueError."""
    return Settings(
        series=tuple(variables["SCALE_SERIES"].split(",")),
        target=float(variables["SCALE_TARGET"]),
        cooldown_s=float(variables["SCALE_COOLDOWN_S"]),
        least=int(variables["SCALE_MIN"]),
        most=int(variables["SCALE_MAX"]),
        namespace=variables["SCALE_NAMESPACE"],
        selector=variables["SCALE_SELECTOR"],
        scale_path=variables["SCALE_PATH"],
        port=int(variables["METRICS_PORT"]),
        path=variables["METRICS_PATH"],
        scheme=variables["METRICS_SCHEME"],
    )


def reading_of(text: str, series: Sequence[str]) -> Reading | None:
    """The first of the metrics that the text has; None where it has none. PURE."""
    kinds: dict[str, str] = {}
    sums: dict[str, float] = {}
    for line in text.splitlines():
        named = _TYPE.match(line)
        if named:
            kinds[named[1]] = named[2]
            continue
        sample = _SAMPLE.match(line)
        if sample and sample[1] in series:
            value = _number(sample[2])
            sums[sample[1]] = sums.get(sample[1], 0.0) + value
    name = next((each for each in series if each in sums), None)
    if name is None:
        return None
    # OpenMetrics names the type of `requests_total` without the ending
    kind = kinds.get(name) or kinds.get(name.removesuffix("_total"), "")
    is_counter = kind == "counter" or (kind != "gauge" and name.endswith(_COUNTED))
    return Reading(sums[name], is_counter)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


@dataclass
class Loads:
    """The load of each pod, as far as it is known. A counter needs two readings of one pod."""

    counted: dict[str, tuple[float, float]] = field(default_factory=dict)  # by pod: when, and the counter then

    def of(self, readings: Mapping[str, Reading | None], now_s: float) -> list[float | None]:
        """`readings`: by the uid of a ready pod; None of one that has not answered."""
        loads: list[float | None] = []
        for uid, reading in readings.items():
            if reading is None or not reading.is_counter:
                loads.append(None if reading is None else reading.value)
                continue
            before = self.counted.get(uid)
            self.counted[uid] = (now_s, reading.value)
            if before is None or now_s <= before[0]:
                loads.append(None)
            else:  # a counter that has become smaller began again
                growth = reading.value - before[1] if reading.value >= before[1] else reading.value
                loads.append(growth / (now_s - before[0]))
        self.counted = {uid: each for uid, each in self.counted.items() if uid in readings}
        return loads


def enough_for(loads: Sequence[float | None], current: int, target: float) -> int | None:
    """How many replicas are enough for the load now; None where nobody has answered. PURE."""
    answers = [load for load in loads if load is not None]
    if not answers:
        return None
    total, silent = sum(answers), len(loads) - len(answers)
    if _is_near(total, current, target) or _is_near(total + silent * target, current, target):
        return current
    least, most = math.ceil(total / target - 1e-9), math.ceil((total + silent * target) / target - 1e-9)
    # what the silent pods have lies between: within it, nothing is certain
    return least if least > current else most if most < current else current


def _is_near(total: float, current: int, target: float) -> bool:
    return current > 0 and abs(total / (current * target) - 1) <= TOLERANCE


@dataclass
class Cooldown:
    """What was enough, and when: fewer replicas than the most of it would have been too few. `removed`: how many were
    taken away, and when."""

    cooldown_s: float
    started_s: float
    enough: deque[tuple[float, int]] = field(default_factory=deque)
    removed: deque[tuple[float, int]] = field(default_factory=deque)

    def wanted(self, enough: int, current: int, now_s: float) -> int:
        """The replicas that there should be now. After a time without answers it begins anew, as what was enough in
        that time is unknown."""
        if self.enough and self.enough[-1][0] < now_s - self.cooldown_s:
            self.started_s = now_s
        self.enough.append((now_s, enough))
        while self.enough[0][0] < now_s - self.cooldown_s:
            self.enough.popleft()
        if enough >= current:
            return min(enough, max(2 * current, current + 4))
        if now_s - self.started_s < self.cooldown_s:
            return current
        wanted = max(max(count for _, count in self.enough), self.fewest(current, now_s))
        if wanted >= current:
            return current
        self.removed.append((now_s, current - wanted))
        return wanted

    def fewest(self, current: int, now_s: float) -> int:
        """How many must stay for now, as Kubernetes counts a policy of percent."""
        step_s = min(STEP_S, self.cooldown_s)
        while self.removed and self.removed[0][0] <= now_s - step_s:
            self.removed.popleft()
        return math.floor((current + sum(count for _, count in self.removed)) * STAYING_SHARE)


class Api:
    """The cluster's API server, with the account of this pod."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self.tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or with a body a merge patch. Raises: UNANSWERED."""
        token = (ACCOUNT / "token").read_text().strip()  # it is renewed while this runs
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
            data = json.dumps(body).encode()
        method = "GET" if data is None else "PATCH"
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 (https)
        with urllib.request.urlopen(request, timeout=ASK_S, context=self.tls) as response:  # noqa: S310
            return json.load(response)


def ready_pods(answer: Any) -> dict[str, str]:
    """The addresses of the pods that get requests, by their uid. PURE."""
    pods = {}
    for pod in answer.get("items", ()):
        status, metadata = pod.get("status", {}), pod["metadata"]
        conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
        if status.get("podIP") and conditions.get("Ready") == "True" and not metadata.get("deletionTimestamp"):
            pods[str(metadata["uid"])] = str(status["podIP"])
    return pods


def read_metrics(settings: Settings, address: str) -> Reading | None:
    """None where the pod does not answer, or has no such metric."""
    host = f"[{address}]" if ":" in address else address
    url = f"{settings.scheme}://{host}:{settings.port}{settings.path}"
    tls = None
    if settings.scheme == "https":  # as scrapes do, with any certificate: pods make their own
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=ASK_S, context=tls) as response:  # noqa: S310 (http or https)
            text = response.read().decode("utf-8", "replace")
    except UNANSWERED:
        return None
    return reading_of(text, settings.series)


class Scaler:
    """One look after the other at the load of a workload."""

    def __init__(self, settings: Settings, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.api = api
        self.clock = clock
        self.loads = Loads()
        self.cooldown = Cooldown(settings.cooldown_s, clock())

    def look(self) -> str:
        """One look, and the change that follows from it; what there is to say of it. Raises: UNANSWERED."""
        settings = self.settings
        scale = self.api.ask(settings.scale_path)
        current = int(scale.get("spec", {}).get("replicas") or 0)
        if not current:  # it is stopped, by a migration or by hand
            self.cooldown = Cooldown(settings.cooldown_s, self.clock())
            return ""
        selector = urllib.parse.quote(settings.selector)
        pods = ready_pods(self.api.ask(f"/api/v1/namespaces/{settings.namespace}/pods?labelSelector={selector}"))
        with ThreadPoolExecutor(max_workers=16) as pool:
            answers = pool.map(lambda address: read_metrics(settings, address), pods.values())
            readings = dict(zip(pods, answers, strict=True))
        now_s = self.clock()
        loads = self.loads.of(readings, now_s)
        enough = enough_for(loads, current, settings.target)
        wanted = current if enough is None else self.cooldown.wanted(enough, current, now_s)
        wanted = min(max(wanted, settings.least), settings.most)
        if wanted == current:
            return "" if enough is not None or not pods else f"none of {len(pods)} pods has {settings.series[0]}"
        self.change(scale, wanted)
        total = sum(load for load in loads if load is not None)
        return f"{current} -> {wanted} replicas: load {total:g} on {len(pods)} pods, target {settings.target:g} each"

    def change(self, scale: Any, replicas: int) -> None:
        """Refused (409) where somebody else has changed the workload since it was looked at."""
        body = {
            "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        self.api.ask(f"{self.settings.scale_path}?fieldManager={MANAGER}", body)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not end by itself
    settings = read_settings(os.environ)
    scaler = Scaler(settings, Api())
    said = ""
    while True:
        try:
            message = scaler.look()
        except UNANSWERED as error:
            message = f"no look at the load: {error}"
        if message and message != said:
            print(message, flush=True)  # noqa: T201 (the pod's log)
        said = message
        time.sleep(settings.period_s)


if __name__ == "__main__":
    main()

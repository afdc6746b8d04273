"""Lets the pods of a gang start together: all of them, or none. EDGE; `gangs` beside it decides.

Runs in the mesh's namespace, in a pod of its own with nothing but Python's standard library: `meshctl.render.gang_hold`
puts both files into a ConfigMap. Pods of a gang are created with a scheduling gate, which keeps the scheduler from them
(kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness, stable since 1.30). Once all pods of a gang
exist and there is room for each of them, this program takes the gate from them, one gang after the other. A pod that
replaces a failed one has the gate again, and gets in as soon as there is room for all that its gang still lacks.

It keeps nothing that counts: who was released is in the pods. Released pods without a node are counted as if they had
one, so that no other gang gets their room. What a gang waits for is written into an annotation of its pods, which
`meshctl status` shows. It deletes nothing, and what a released gang pushes out is the scheduler's choice: a gang that
was released and finds no room after all (a node has died, other pods were faster) is left to the scheduler, and an
event names it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gangs import GATE, WAITS, Pod, decide, node_of, pod_of, sized

PERIOD_S = 2.0
LONG_PERIOD_S = 10.0  # while gangs wait and nothing changes: each look then asks for all pods of the cluster
SAME_LOOKS = 5
LATE_S = 120.0  # how long the scheduler may take for the pods of a released gang before an event says it
ASK_S = 10.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "meshctl-gang-hold"
# the last is of a server that ends in the middle of its answer, or does not speak HTTP
UNANSWERED = (OSError, ValueError, http.client.HTTPException)


@dataclass
class Late:
    """Released pods without a node, and since when; those that were said already are not said again."""

    since: dict[str, float] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)

    def of(self, pods: Iterable[Pod], now_s: float) -> list[Pod]:
        """One pod of each gang that has waited too long, once."""
        unplaced = [pod for pod in pods if pod.gang and not (pod.gates or pod.node or pod.has_ended or pod.is_ending)]
        self.since = {pod.uid: self.since.get(pod.uid, now_s) for pod in unplaced}
        late = {pod.gang: pod for pod in unplaced if now_s - self.since[pod.uid] >= LATE_S}
        self.said &= {pod.gang for pod in unplaced}
        new = [pod for gang, pod in late.items() if gang not in self.said]
        self.said |= late.keys()
        return new

    def stuck(self, now_s: float) -> frozenset[str]:
        """The UIDs of those that have waited too long, said or not."""
        return frozenset(uid for uid, since_s in self.since.items() if now_s - since_s >= LATE_S)


class Api:
    """The cluster's API server, with the account of this pod."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self.tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def ask(self, path: str, body: Any = None, method: str = "PATCH") -> Any:
        """GET, or with a body a merge patch or a POST. Raises: UNANSWERED."""
        token = (ACCOUNT / "token").read_text().strip()  # it is renewed while this runs
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if data is None else method
        headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 (https)
        with urllib.request.urlopen(request, timeout=ASK_S, context=self.tls) as response:  # noqa: S310
            return json.load(response)


class GangHold:
    """One look after the other at the gangs of a namespace."""

    def __init__(self, namespace: str, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self.namespace = namespace
        self.api = api
        self.clock = clock
        self.late = Late()
        self.waits: Mapping[str, str] = {}
        self.same_looks = 0

    @property
    def period_s(self) -> float:
        return LONG_PERIOD_S if self.same_looks >= SAME_LOOKS else PERIOD_S

    def look(self) -> str:
        """One look, and what follows from it; what there is to say of it. Raises: UNANSWERED."""
        own = [pod_of(item) for item in self.api.ask(f"/api/v1/namespaces/{self.namespace}/pods")["items"]]
        now_s = self.clock()
        for pod in self.late.of(own, now_s):
            self.tell(pod)
        if not any(pod.is_held and not pod.is_ending for pod in own):
            self.same_looks = 0
            return ""
        if any(pod.job for pod in own):
            own = sized(own, self.api.ask(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")["items"])
        nodes = sorted((node_of(item) for item in self.api.ask("/api/v1/nodes")["items"]), key=lambda node: node.name)
        decision = decide(nodes, [*own, *self.pods_of_others()], self.late.stuck(now_s))
        for pod in decision.released:
            self.release(pod)
        for pod in own:
            text = decision.waits.get(pod.gang, "")
            # only what was so at the last look, too: while its pods come one by one, a gang waits for nothing
            if pod.is_held and text and text == self.waits.get(pod.gang) and pod.waits != text:
                self.patch(pod, {"metadata": {"annotations": {WAITS: text}}})
        is_same = not decision.released and decision.waits == self.waits
        self.same_looks = self.same_looks + 1 if is_same else 0
        self.waits = decision.waits
        names = sorted({pod.workload for pod in decision.released})
        return f"released {len(decision.released)} pods of {', '.join(names)}" if names else ""

    def pods_of_others(self) -> list[Pod]:
        """Those of all other namespaces, from the API server's cache: they may be a moment old. They take room, and are
        no gangs here: another mesh has a program of its own, and this account may not change them."""
        query = "resourceVersion=0&fieldSelector=status.phase!%3DSucceeded,status.phase!%3DFailed"
        pods = (replace(pod_of(item), gang="") for item in self.api.ask(f"/api/v1/pods?{query}")["items"])
        return [pod for pod in pods if pod.namespace != self.namespace]

    def release(self, pod: Pod) -> None:
        """Take the gate from the pod. Refused (409) where it has changed since it was looked at; a pod that is gone by
        now (404) is no failure: the one in its place has a gate of its own."""
        gates = [{"name": name} for name in pod.gates if name != GATE]
        metadata = {"resourceVersion": pod.version, "uid": pod.uid, "annotations": {WAITS: None}}
        self.patch(pod, {"metadata": metadata, "spec": {"schedulingGates": gates or None}})

    def patch(self, pod: Pod, body: Mapping[str, Any]) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}?fieldManager={MANAGER}"
        try:
            self.api.ask(path, body)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409):
                raise

    def tell(self, pod: Pod) -> None:
        """Say in an event that a released gang is not whole."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        gang = pod.gang.partition(" ")[0]
        message = (
            f"the gang {gang} was let start {LATE_S:.0f} s ago, and some of its pods have no node: what they push out"
            " has not ended yet, or the room that there was for them is gone; they start once there is some again"
        )
        reference = {"kind": "Pod", "apiVersion": "v1", "namespace": self.namespace, "name": pod.name, "uid": pod.uid}
        event = {
            "metadata": {"generateName": f"{pod.name}.", "namespace": self.namespace},
            "involvedObject": reference,
            "reason": "GangNotWhole",
            "message": message,
            "type": "Warning",
            "source": {"component": MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        print(message, flush=True)  # noqa: T201 (the pod's log)
        self.api.ask(f"/api/v1/namespaces/{self.namespace}/events", event, "POST")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not end by itself
    hold = GangHold(os.environ["GANG_NAMESPACE"], Api())
    said = ""
    while True:
        try:
            message = hold.look()
        except UNANSWERED as error:
            message = f"no look at the gangs: {error}"
        if message and message != said:
            print(message, flush=True)  # noqa: T201 (the pod's log)
        said = message
        time.sleep(hold.period_s)


if __name__ == "__main__":
    main()

"""The lab's Cluster Autoscaler at work: it orders nodes, empties those that it can do without, and writes `targetNodes`
under its own name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2 as httpx
import pytest

from meshctl.lab.controllers import autoscaling, cluster_autoscaler, coreweave
from meshctl.lab.controllers.cluster_autoscaler import Autoscaler
from meshctl.lab.controllers.nodes import DRAIN_ANNOTATION, NODES
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.target import Target
from tests.unit.lab.test_autoscaling import node
from tests.unit.lab.test_autoscaling import pod as waiting

Object = dict[str, Any]
WEB = {"instanceType": "cd-gp-i96-icelake", "autoscaling": True, "minNodes": 1, "maxNodes": 3}


class ApiServer:
    """One pool and its nodes, which come and go at once. `refusing`: how often an eviction is refused."""

    def __init__(self, target: int, pods: list[Object], *, refusing: int = 0, comes: bool = True) -> None:
        self.pool: Object = {"metadata": {"name": "web", "uid": "web"}, "spec": {**WEB, "targetNodes": target}}
        self.nodes = [ready("web", number) for number in range(target)]
        self.pods = {each["metadata"]["name"]: each for each in pods}
        self.refusing, self.comes = refusing, comes
        self.managers: list[str] = []
        self.taints: list[list[str]] = []
        self.evicted: list[str] = []
        self.client = AsyncClient(Target("http://api"), transport=httpx.MockTransport(self.answer))

    @property
    def target(self) -> int:
        return int(self.pool["spec"]["targetNodes"])

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path, parts = request.url.path, request.url.path.split("/")
        if request.method == "PATCH" and path.startswith(coreweave.POOLS):
            return self._resized(json.loads(request.content), request.url.params["fieldManager"])
        if request.method == "PATCH":
            return self._tainted(parts[-1], json.loads(request.content))
        if request.method == "POST":
            return self._eviction(parts[-2])
        if path == f"/api/v1/namespaces/m/pods/{parts[-1]}":
            pod = self.pods.get(parts[-1])
            return httpx.Response(200, json=pod) if pod else httpx.Response(404, json={"kind": "Status"})
        if path == f"{NODES}/{parts[-1]}":
            return httpx.Response(200, json=self._node(parts[-1]))
        lists = {coreweave.POOLS: [self.pool], NODES: self.nodes, coreweave.PODS: list(self.pods.values())}
        return httpx.Response(200, json={"items": lists.get(path, []), "metadata": {}})

    def _resized(self, body: Object, manager: str) -> httpx.Response:
        self.managers.append(manager)
        self.pool["spec"] |= body["spec"]
        staying = [each for each in self.nodes if not autoscaling.is_leaving(each)]
        if self.comes:
            self.nodes = [*staying, *(ready("web", 10 + number) for number in range(self.target - len(staying)))]
        return httpx.Response(200, json={})

    def _tainted(self, name: str, body: Object) -> httpx.Response:
        self._node(name)["spec"] |= body["spec"]
        self.taints.append([each["key"] for each in body["spec"]["taints"]])
        return httpx.Response(200, json={})

    def _node(self, name: str) -> Object:
        (named,) = [each for each in self.nodes if each["metadata"]["name"] == name]
        return named

    def _eviction(self, name: str) -> httpx.Response:
        if self.refusing:
            self.refusing -= 1
            return httpx.Response(429, json={"kind": "Status", "code": 429})
        self.evicted.append(name)
        del self.pods[name]
        return httpx.Response(201, json={})


def ready(pool: str, number: int) -> Object:
    made = node(pool, number)
    made["metadata"]["labels"][coreweave.POOL_UID] = pool
    made["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return made


def running(name: str, on: str, cpu: str) -> Object:
    made = waiting(name, on, cpu=cpu)
    made["metadata"]["uid"] = name
    return made


def steps(server: ApiServer, *times: float) -> list[float | None]:
    async def take() -> list[float | None]:
        autoscaler = Autoscaler(server.client, "US-EAST-04A")
        return [await autoscaler.step(now) for now in times]

    return asyncio.run(take())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_autoscaler, "_AGAIN_S", 0.001)


def test_pods_that_found_no_node_order_some_under_the_autoscalers_name() -> None:
    server = ApiServer(1, [running("a", "web-0", "60"), waiting("b"), waiting("c"), waiting("d")])
    steps(server, 0)
    assert (server.target, server.managers) == (3, ["cluster-autoscaler"])


@pytest.mark.parametrize(
    "changes", [{"autoscaling": False}, {"instanceType": "gb200-4x"}, {"instanceType": "no-such-type"}]
)
def test_a_pool_that_does_not_scale_is_left_alone(changes: Object) -> None:
    server = ApiServer(1, [waiting("b"), waiting("c")])
    server.pool["spec"] |= changes
    assert steps(server, 0) == [None]
    assert server.managers == []


def test_an_empty_node_goes_after_a_while_and_not_below_the_least() -> None:
    server = ApiServer(3, [])
    (wait, *_) = steps(server, 0, 9.9)
    assert server.target == 3
    assert wait == pytest.approx(cluster_autoscaler.UNNEEDED_S)
    steps(server, 0, 10)
    assert (server.target, len(server.nodes)) == (1, 1)


def test_a_node_that_was_needed_meanwhile_begins_anew() -> None:
    server = ApiServer(2, [running("a", "web-0", "60")])

    async def take() -> None:
        autoscaler = Autoscaler(server.client, "US-EAST-04A")
        await autoscaler.step(0)
        server.pods["b"] = running("b", "web-1", "60")
        await autoscaler.step(9)
        del server.pods["b"]
        await autoscaler.step(10)
        await autoscaler.step(19)

    asyncio.run(take())
    assert server.target == 2


def test_no_node_goes_right_after_one_has_come() -> None:
    server = ApiServer(1, [running("a", "web-0", "60"), waiting("b")])

    async def take() -> None:
        autoscaler = Autoscaler(server.client, "US-EAST-04A")
        await autoscaler.step(0)
        del server.pods["b"]
        await autoscaler.step(0.1)
        await autoscaler.step(9.9)
        assert server.target == 2
        await autoscaler.step(10.1)

    asyncio.run(take())
    assert server.target == 1


def test_a_little_used_node_is_emptied_as_budgets_allow_before_it_goes() -> None:
    server = ApiServer(2, [running("a", "web-0", "60"), running("b", "web-1", "5")], refusing=2)
    steps(server, 0, 10)
    assert (server.evicted, server.target) == (["b"], 1)
    assert [each["metadata"]["name"] for each in server.nodes] == ["web-0"]


def test_a_node_whose_pods_do_not_go_takes_pods_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_autoscaler, "EVICT_S", 0.01)
    server = ApiServer(2, [running("a", "web-0", "60"), running("b", "web-1", "5")], refusing=10_000)
    steps(server, 0, 10)
    assert (server.evicted, server.target) == ([], 2)
    assert server.taints == [[autoscaling.LEAVING], []]


def test_nodes_that_do_not_come_are_ordered_no_more_for_a_while() -> None:
    server = ApiServer(1, [running("a", "web-0", "60"), waiting("b")], comes=False)

    async def take() -> None:
        autoscaler = Autoscaler(server.client, "US-EAST-04A")
        for now in (0, 0.1, 15):
            await autoscaler.step(now)
        assert server.target == 2
        await autoscaler.step(15.2)
        assert server.target == 1
        await autoscaler.step(16)
        assert server.target == 1
        await autoscaler.step(20.5)
        assert server.target == 2

    asyncio.run(take())


def test_what_an_earlier_autoscaler_was_emptying_takes_pods_again() -> None:
    server = ApiServer(1, [])
    server.nodes[0]["spec"]["taints"] = [{"key": autoscaling.LEAVING, "value": "1", "effect": "NoSchedule"}]
    steps(server, 0)
    assert server.nodes[0]["spec"]["taints"] == []


class TestWhichNodesGo:
    """What CKS does where `targetNodes` was lowered."""

    def test_first_what_goes_already_then_what_was_emptied_then_idle_ones(self) -> None:
        own = {number: node("web", number) for number in range(5)}
        own[0]["metadata"]["annotations"][DRAIN_ANNOTATION] = "2026-11-29T00:00:00+00:00"
        own[1]["spec"] = {"taints": [{"key": autoscaling.LEAVING, "effect": "NoSchedule"}]}
        busy = {"web-3", "web-4"}
        expected = {4: (1, 2, 3, 4), 3: (2, 3, 4), 2: (3, 4), 1: (3,)}
        assert {target: coreweave.staying(own, target, busy) for target in expected} == expected

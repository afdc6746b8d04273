"""The lab's controllers ask the API when something changed, and only then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from meshctl.lab.controllers import (
    cert_manager,
    cluster_autoscaler,
    coreweave,
    eks,
    eks_addons,
    huge_pages,
    kai,
    onprem,
    volumes,
    weka,
)
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.target import Target

CLUSTER = api.Cluster("cw", "", "", "coreweave", "US-EAST-04A")
QUIET_S = 0.8  # in which a controller that polls would have asked several times
Play = Callable[[Lab, AsyncClient], Awaitable[None]]


class FakeApi:
    """Objects by path. Lists and changes are written down in `asked`; watches are told of every change."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.watches: dict[str, list[asyncio.Queue[dict[str, Any]]]] = {}
        self.client = AsyncClient(Target("http://api"), transport=httpx.MockTransport(self.answer))

    def put(self, path: str, item: dict[str, Any]) -> None:
        self.objects.setdefault(path, {})[item["metadata"]["name"]] = item
        for queue in self.watches.get(path, ()):
            queue.put_nowait({"type": "MODIFIED", "object": item})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "watch" in request.url.params:
            queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            self.watches.setdefault(path, []).append(queue)
            return httpx.Response(200, content=_lines(queue))
        if "resourceVersion" not in request.url.params:
            self.asked.append(f"{request.method} {path}")
        if request.method == "GET":
            items = list(self.objects.get(path, {}).values())
            return httpx.Response(200, json={"items": items, "metadata": {"resourceVersion": "1"}})
        if request.method == "POST":
            item = json.loads(request.content)
            item.setdefault("status", {})["conditions"] = [{"type": "Ready", "status": "True"}]
            self.put(path, item)
            return httpx.Response(201, json=item)
        return httpx.Response(200, json={})


async def _lines(queue: asyncio.Queue[dict[str, Any]]) -> AsyncIterator[bytes]:
    while True:
        yield json.dumps(await queue.get()).encode() + b"\n"


async def settled(fake: FakeApi) -> int:
    """How often the API was asked, once that has stopped."""
    for _ in range(40):
        before = len(fake.asked)
        await asyncio.sleep(QUIET_S)
        if before == len(fake.asked):
            return before
    pytest.fail(f"never quiet; asked last: {fake.asked[-6:]}")


def play_onprem(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return onprem.play(lab, CLUSTER, client, lambda: None)


def play_coreweave(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return coreweave.play(lab, CLUSTER, client, lambda: None)


def play_cluster_autoscaler(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return cluster_autoscaler.play(lab, CLUSTER, client)


def play_eks(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return eks.play(lab, CLUSTER, client, lambda: None)


def play_eks_addons(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return eks_addons.play(lab, CLUSTER, client)


def play_volumes(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return volumes.play(lab, CLUSTER, client)


def play_huge_pages(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return huge_pages.play(lab, CLUSTER, client)


def play_weka(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return weka.play(lab, CLUSTER, client)


def play_cert_manager(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return cert_manager.play(lab, client)


def play_kai(lab: Lab, client: AsyncClient) -> Awaitable[None]:
    return kai.play(lab, CLUSTER, client, lambda: None)


NODE = {"metadata": {"name": "gpu-0", "labels": {}}, "spec": {}, "status": {}}
CLASS = {"metadata": {"name": "fast"}, "provisioner": "ebs.csi.aws.com"}
POOL = {
    "metadata": {"name": "train", "uid": "1"},
    "spec": {"instanceType": "gd-8xh100ib-i128", "targetNodes": 1},
}
SCALED_POOL = {
    "metadata": {"name": "web", "uid": "2"},
    "spec": {"instanceType": "cd-gp-i96-icelake", "targetNodes": 1, "autoscaling": True, "minNodes": 1, "maxNodes": 2},
}

CERTIFICATE = {
    "metadata": {"name": "api", "namespace": "m"},
    "spec": {"secretName": "api", "dnsNames": ["api.example.com"], "issuerRef": {"name": cert_manager.ISSUER}},
}

OPERATOR = {
    "metadata": {"name": "weka-operator-controller-manager", "labels": {"app": "weka-operator"}},
    "spec": {"template": {"spec": {"containers": [{"name": "manager"}]}}},
    "status": {"availableReplicas": 1},
}
FILES = {"huge_pages": {huge_pages.FILE: '{"cw": {"train": 1024}}'}}  # there from the beginning

CONTROLLERS: dict[str, tuple[Play, str, dict[str, Any] | None]] = {
    "onprem": (play_onprem, "/api/v1/nodes", NODE | {"metadata": {"name": "gpu-0", "labels": {"a": "b"}}}),
    "coreweave": (play_coreweave, coreweave.POOLS, POOL),
    "cluster_autoscaler": (play_cluster_autoscaler, coreweave.POOLS, SCALED_POOL),
    "eks": (play_eks, "/api/v1/nodes", None),
    "eks_addons": (play_eks_addons, eks_addons.DEPLOYMENTS, None),
    "cert_manager": (play_cert_manager, cert_manager.CERTIFICATES, CERTIFICATE),
    "huge_pages": (play_huge_pages, "/api/v1/nodes", NODE | {"metadata": {"name": "gpu-0", "labels": {"a": "b"}}}),
    "kai": (play_kai, kai.QUEUES, {"metadata": {"name": "m"}, "spec": {}}),
    "weka": (play_weka, weka.DEPLOYMENTS, OPERATOR),
    "volumes": (play_volumes, "/apis/storage.k8s.io/v1/storageclasses", CLASS),
}


def test_nothing_is_asked_while_nothing_changes(tmp_path: Path) -> None:
    """All at the same time: most of it is waiting for a question that must not come."""

    async def watched(name: str, play: Play, path: str, changed: dict[str, Any] | None) -> None:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in FILES.get(name, {}).items():
            (folder / file).write_text(text)
        fake = FakeApi()
        playing = asyncio.ensure_future(play(Lab(folder), fake.client))
        quiet = await settled(fake)
        if changed is None:
            (folder / "eks.json").write_text('{"clusters": {}}')
        else:
            fake.put(path, changed)
        for _ in range(100):
            if len(fake.asked) > quiet:
                break
            await asyncio.sleep(0.1)
        assert len(fake.asked) > quiet, f"{name}: a change was not seen"
        assert not playing.done()
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await fake.client.aclose()

    async def all_of_them() -> None:
        await asyncio.gather(*(watched(name, *controller) for name, controller in CONTROLLERS.items()))

    asyncio.run(all_of_them())

"""What becomes of the lab's process pods when their node vanishes, or stops answering."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from meshctl.lab.pods import api
from meshctl.lab.pods.container import Container
from meshctl.lab.pods.lifecycle import Place, PodRun
from meshctl.lab.pods.runner import Runner
from meshwire.kubernetes.async_client import AsyncClient

CLUSTER = api.Cluster("dc1", "kubeconfig", "")
CLIENT = cast("AsyncClient", None)
HOUR_S = 3600


class Stubborn:
    """A container that ends when its grace is over."""

    def __init__(self) -> None:
        self.graces: list[float] = []
        self.is_stopping = asyncio.Event()

    async def stop(self, grace_s: float) -> None:
        self.graces.append(grace_s)
        self.is_stopping.set()
        await asyncio.sleep(grace_s)


class Playing(PodRun):
    """A pod whose container has started."""

    async def _play(self) -> None:
        await asyncio.Event().wait()

    async def _publish(self) -> None:
        await asyncio.Event().wait()

    async def flush(self) -> bool:
        return True


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the API server was asked to do."""
    calls: list[tuple[Any, ...]] = []

    async def delete_now(_client: AsyncClient, path: str, _uid: str) -> None:
        calls.append(("delete", path.rpartition("/")[2]))

    async def patch(_client: AsyncClient, path: str, body: dict[str, Any], _kind: str) -> None:
        ready = {each["type"]: each["status"] for each in body["status"]["conditions"]}["Ready"]
        calls.append(("ready", path.split("/")[-2], ready))

    monkeypatch.setattr(api, "delete_now", delete_now)
    monkeypatch.setattr(api, "patch", patch)
    return calls


def pod(name: str = "pretrain-0", **metadata: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "ghcr.io/acme/train:1.4"}]
    spec = {"nodeName": "gpu-0", "containers": containers}
    return {"metadata": {"name": name, "namespace": "demo", "uid": f"uid-{name}", **metadata}, "spec": spec}


def ending(name: str = "pretrain-0") -> dict[str, Any]:
    return pod(name, deletionTimestamp="2026-11-30T10:00:00Z", deletionGracePeriodSeconds=HOUR_S)


def node(ready: str) -> dict[str, Any]:
    return {"metadata": {"name": "gpu-0"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def playing(runner: Runner, name: str = "pretrain-0") -> tuple[PodRun, Stubborn]:
    run = Playing(pod(name), Place(runner.root, CLUSTER, CLIENT, runner.root, "10.240.0.2", "127.1.0.2"))
    container = Stubborn()
    run.containers = [cast("Container", container)]
    runner.runs[f"uid-{name}"] = run
    return run, container


def test_a_node_that_vanishes_kills_pods_that_are_using_their_grace(
    tmp_path: Path, calls: list[tuple[Any, ...]]
) -> None:
    async def lose() -> list[float]:
        runner = Runner(tmp_path)
        run, container = playing(runner)
        run.update(ending())
        await container.is_stopping.wait()
        runner.lose(CLUSTER, "gpu-0")
        assert run.ending is not None
        await run.ending
        return container.graces

    assert asyncio.run(lose()) == [HOUR_S, 0]
    assert calls == [("delete", "pretrain-0")]


def test_a_node_that_stops_answering_kills_its_pods_and_says_nothing_of_them(
    tmp_path: Path, calls: list[tuple[Any, ...]]
) -> None:
    """The pod that was to end stays, as far as the API server knows, until its node answers again."""

    async def fall_silent() -> list[float]:
        runner = Runner(tmp_path)
        run, container = playing(runner)
        run.update(ending())
        await container.is_stopping.wait()
        await runner.hear(CLUSTER, CLIENT, node("Unknown"))
        await runner.hear(CLUSTER, CLIENT, node("Unknown"))
        runner.see(CLUSTER, CLIENT, ending())
        assert runner.runs == {}
        return container.graces

    assert asyncio.run(fall_silent()) == [HOUR_S, 0]
    assert calls == [("ready", "pretrain-0", "False")]


def test_a_node_that_answers_again_ends_the_pods_that_were_to_end(
    tmp_path: Path, calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def items(_client: AsyncClient, _path: str, **query: str) -> list[dict[str, Any]]:
        assert query == {"fieldSelector": "spec.nodeName=gpu-0"}
        return [ending()]

    async def wake() -> None:
        runner = Runner(tmp_path)
        await runner.hear(CLUSTER, CLIENT, node("Unknown"))
        await runner.hear(CLUSTER, CLIENT, node("True"))
        await asyncio.sleep(0)  # the pod is removed
        assert runner.silent == set()

    monkeypatch.setattr(api, "items", items)
    asyncio.run(wake())
    assert calls == [("delete", "pretrain-0")]

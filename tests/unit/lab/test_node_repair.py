"""How groups of nodes are kept: a node whose accelerator is broken is drained and replaced, where its group has it so,
and a node counts once it takes pods."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.lab.controllers import eks, nodes
from meshctl.lab.controllers.nodes import DRAIN_ANNOTATION, NODES, Group
from meshctl.lab.pods import api


class ApiServer:
    """The nodes of one cluster, without pods."""

    def __init__(self, *present: dict[str, Any]) -> None:
        self.nodes = {node["metadata"]["name"]: node for node in present}

    async def items(self, _client: Any, path: str, **_: str) -> list[dict[str, Any]]:
        return [copy.deepcopy(node) for node in self.nodes.values()] if path == NODES else []

    async def patch(self, _client: Any, path: str, body: dict[str, Any]) -> None:
        node = self.nodes[path.rpartition("/")[2]]
        node["metadata"]["annotations"] |= body["metadata"].get("annotations", {})

    async def delete(self, _client: Any, path: str) -> None:
        del self.nodes[path.rpartition("/")[2]]

    async def ensure(self, _client: Any, _path: str, body: dict[str, Any]) -> None:
        self.nodes[body["metadata"]["name"]] = copy.deepcopy(body)


def group(*, repairs: bool) -> Group:
    machine = load_catalog().machine("aws", "p5.48xlarge")
    assert machine is not None
    return Group("train", machine, 2, ("us-east-1a",), "us-east-1", repairs=repairs)


def steps(monkeypatch: pytest.MonkeyPatch, server: ApiServer, kept: Group, count: int) -> None:
    for name in ("items", "patch", "delete", "ensure"):
        monkeypatch.setattr(api, name, getattr(server, name))
    for _ in range(count):
        asyncio.run(nodes.keep(object(), [kept]))  # type: ignore[arg-type]


@pytest.mark.parametrize("repairs", [True, False])
def test_c3_a_node_with_a_broken_gpu_is_replaced_where_the_group_repairs(
    monkeypatch: pytest.MonkeyPatch, *, repairs: bool
) -> None:
    kept = group(repairs=repairs)
    present = [nodes.manifest(kept, number) for number in range(2)]
    xid = {"type": "AcceleratedHardwareReady", "status": "False", "reason": "NvidiaXID79Error"}
    present[1]["status"]["conditions"] = [xid]
    server = ApiServer(*present)
    steps(monkeypatch, server, kept, 1)
    assert (DRAIN_ANNOTATION in server.nodes["train-1"]["metadata"]["annotations"]) is repairs
    assert DRAIN_ANNOTATION not in server.nodes["train-0"]["metadata"]["annotations"]
    steps(monkeypatch, server, kept, 2)
    assert set(server.nodes) == {"train-0", "train-1"}
    assert ("conditions" in server.nodes["train-1"]["status"]) is not repairs  # a new node has none


@pytest.mark.parametrize(
    ("taints", "count"),
    [
        ([], 1),
        ([{"key": "gpu", "effect": "NoExecute"}], 1),
        ([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}], 0),
    ],
)
def test_a_node_counts_once_the_node_controller_lets_pods_onto_it(
    monkeypatch: pytest.MonkeyPatch, taints: list[dict[str, str]], count: int
) -> None:
    """`lab up` on a busy machine was done seconds before, and `up` refused a cluster of such nodes."""
    wanted = group(repairs=False)
    present = nodes.manifest(wanted, 0)
    present["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    present["spec"]["taints"] = taints
    server = ApiServer(present)
    monkeypatch.setattr(api, "items", server.items)
    monkeypatch.setattr(api, "ensure", server.ensure)
    monkeypatch.setattr(api, "patch", server.patch)
    kept = asyncio.run(nodes.keep(object(), [wanted]))  # type: ignore[arg-type]
    assert kept.counts == {"train": count}


@pytest.mark.parametrize("repairs", [True, False])
def test_c3_the_node_group_says_whether_it_repairs(*, repairs: bool) -> None:
    nodegroup = {
        "launched": {"p5.48xlarge": [0]},
        "instanceTypes": ["p5.48xlarge"],
        "zones": ["us-east-1a"],
        "labels": {},
        "taints": [],
        "capacityType": "ON_DEMAND",
        "status": "ACTIVE",
        "placementGroup": "",
        "efaInterfaces": 32,
        "amiType": "AL2023_x86_64_NVIDIA",
        "repairs": repairs,
    }
    (found,) = eks.groups({"nodegroups": {"train": nodegroup}}, "us-east-1")
    assert found.repairs is repairs

"""What is read of a cluster's nodes, as `resolve` is given it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lightkube.models.core_v1 import NodeCondition, NodeSpec, NodeStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node

from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess


def test_a_node_has_less_for_pods_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    status = NodeStatus(
        capacity={"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "8"},
        allocatable={"cpu": "15890m", "memory": "62Gi", "nvidia.com/gpu": "7"},
        conditions=[NodeCondition(status="True", type="Ready")],
    )
    node = Node(metadata=ObjectMeta(name="n", labels={}), spec=NodeSpec(), status=status)
    client = SimpleNamespace(list=lambda kind: [node] if kind is Node else [])
    monkeypatch.setattr(ClusterAccess, "client", lambda self: client)
    (found,) = clusters.facts(ClusterAccess("dc1")).nodes
    assert (found.cpu_cores, found.memory_gib) == (16, 64)
    assert (found.allocatable_cpu, found.allocatable_memory_gib) == (15.89, 62)
    assert found.gpu_count == 7

"""What is read of a cluster's nodes, as `resolve` is given it."""

from __future__ import annotations

import pytest

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.observed import ObservedNode
from meshctl.model.served_apis import CERTIFICATE, LEADER_WORKER_SET, POD_MONITOR
from tests.unit.fake_cluster import FakeClient, client_of


def read(monkeypatch: pytest.MonkeyPatch, labels: dict[str, str], allocatable: dict[str, str]) -> ObservedNode:
    ready = [{"status": "True", "type": "Ready"}]
    status = {"capacity": allocatable, "allocatable": allocatable, "conditions": ready}
    cluster = FakeClient({"nodes": [{"metadata": {"name": "n", "labels": labels}, "spec": {}, "status": status}]})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    (found,) = clusters.facts(ClusterAccess("dc1")).nodes
    return found


def test_all_rdma_resources_of_a_node_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"rdma/ib": "8", "rdma/shared_ib": "1k", "vpc.amazonaws.com/efa": "32", "hugepages-2Mi": "10256Mi"}
    found = read(monkeypatch, {}, {"cpu": "16", "memory": "64Gi", **counts})
    assert found.rdma == {"rdma/ib": 8, "rdma/shared_ib": 1000, "vpc.amazonaws.com/efa": 32}
    assert (found.rdma_resource, found.rdma_count, found.huge_pages_mib) == ("rdma/ib", 8, 10256)


def test_the_accelerators_of_a_node_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
    found = read(monkeypatch, labels, {"cpu": "16", "memory": "64Gi", "amd.com/gpu": "8"})
    assert (found.gpu_model, found.gpu_count, found.gpu_resource) == ("AMD_Instinct_MI300X_OAM", 8, "amd.com/gpu")
    sliced = {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "0", "nvidia.com/mig-1g.5gb": "56"}
    assert read(monkeypatch, {}, sliced).gpu_parts == {"nvidia.com/mig-1g.5gb": 56}


def test_a_node_has_less_for_pods_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    status = {
        "capacity": {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "8"},
        "allocatable": {"cpu": "15890m", "memory": "62Gi", "nvidia.com/gpu": "7"},
        "conditions": [{"status": "True", "type": "Ready"}],
    }
    cluster = FakeClient({"nodes": [{"metadata": {"name": "n"}, "spec": {}, "status": status}]})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    (found,) = clusters.facts(ClusterAccess("dc1")).nodes
    assert (found.cpu_cores, found.memory_gib) == (16, 64)
    assert (found.allocatable_cpu, found.allocatable_memory_gib) == (15.89, 62)
    assert (found.gpu_count, found.gpu_capacity) == (7, 8)


@pytest.mark.parametrize(
    ("served", "refused", "seen"),
    [
        ((), {}, ()),
        (("monitoring.coreos.com/v1/ServiceMonitor",), {}, ()),
        ((POD_MONITOR, "monitoring.coreos.com/v1/ServiceMonitor"), {}, (POD_MONITOR,)),
        ((CERTIFICATE, "cert-manager.io/v1/Issuer"), {}, (CERTIFICATE,)),
        ((POD_MONITOR,), {"monitoring.coreos.com/v1": 403}, ()),
        ((LEADER_WORKER_SET, POD_MONITOR), {}, (POD_MONITOR, LEADER_WORKER_SET)),
    ],
)
def test_it_is_read_which_apis_a_cluster_serves(
    monkeypatch: pytest.MonkeyPatch, served: tuple[str, ...], refused: dict[str, int], seen: tuple[str, ...]
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, refused, served)))
    assert clusters.facts(ClusterAccess("dc1")).served_apis == seen

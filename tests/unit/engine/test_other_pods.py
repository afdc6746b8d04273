"""What the pods of others take of the nodes of a given cluster, as `resolve` is given it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes import clusters, other_pods
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import CredentialsError
from meshctl.model.observed import Facts, ObservedNode, Requests
from tests.unit.fake_cluster import FakeClient, client_of

FACTS = Facts(nodes=tuple(ObservedNode(name=name, cpu_cores=8, memory_gib=32) for name in ("n1", "n2")))


def pod(name: str, node: str = "n1", namespace: str = "team", **more: Any) -> dict[str, Any]:
    containers = more.pop("containers", [container(cpu="1", memory="2Gi")])
    spec = {"nodeName": node, "containers": containers, **more.pop("spec", {})}
    metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": spec, "status": {"phase": more.pop("phase", "Running")}}


def container(**requests: str) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {name.replace("_", "/"): each for name, each in requests.items()}}}


def taken(monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> dict[str, Requests]:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"pods": list(found)})))
    seen = other_pods.counted(FACTS, ClusterAccess("dc1"), "m")
    assert seen.pods_are_seen
    return {node.name: node.taken for node in seen.nodes}


def test_pods_of_others_are_counted_by_node(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = container(cpu="500m", **{"nvidia.com_gpu": "2"})
    found = taken(monkeypatch, pod("a"), pod("b", containers=[gpus, container(memory="1Gi")]), pod("c", node="n2"))
    assert found == {
        "n1": Requests(cpu=1.5, memory_gib=3, gpus=2, pods=2),
        "n2": Requests(cpu=1, memory_gib=2, pods=1),
    }


def test_slices_are_counted_by_their_name_and_not_as_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = container(**{"nvidia.com_mig-1g.5gb": "3"})
    assert taken(monkeypatch, pod("a", containers=[slices]))["n1"] == Requests(
        gpu_parts={"nvidia.com/mig-1g.5gb": 3}, pods=1
    )


def test_rdma_devices_are_counted_by_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = container(**{"rdma_ib": "2", "vpc.amazonaws.com_efa": "4"})
    counted = taken(monkeypatch, pod("a", containers=[devices]), pod("b", containers=[devices]))
    assert counted["n1"].rdma == {"rdma/ib": 4, "vpc.amazonaws.com/efa": 8}


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"node": ""},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"namespace": "m", "metadata": {"labels": {"app.kubernetes.io/managed-by": "meshctl"}}},
        {"namespace": "m", "metadata": {"ownerReferences": [{"kind": "WekaContainer", "name": "m-drive-0"}]}},
    ],
)
def test_pods_that_have_ended_or_have_no_node_or_are_the_meshs_own_are_not(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    assert taken(monkeypatch, pod("a", **change))["n1"] == Requests()


def test_the_mesh_next_door_is_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"app.kubernetes.io/managed-by": "meshctl"}
    assert taken(monkeypatch, pod("a", namespace="other", metadata={"labels": labels}))["n1"].pods == 1
    owners = [{"kind": "WekaContainer", "name": "shared-drive-0"}]
    assert taken(monkeypatch, pod("a", namespace="weka", metadata={"ownerReferences": owners}))["n1"].pods == 1


def test_init_containers_count_where_they_ask_for_more_and_sidecars_always(monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = {**container(cpu="100m"), "restartPolicy": "Always"}
    spec = {"initContainers": [sidecar, container(cpu="3")], "overhead": {"cpu": "200m"}}
    assert taken(monkeypatch, pod("a", spec=spec))["n1"] == Requests(cpu=3.3, memory_gib=2, pods=1)
    spec = {"initContainers": [sidecar, container(cpu="200m")]}
    assert taken(monkeypatch, pod("a", spec=spec))["n1"] == Requests(cpu=1.1, memory_gib=2, pods=1)


def refusing(status: int) -> Any:
    return client_of(FakeClient({}, refused={"pods": status}))


def test_without_the_right_to_list_pods_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", refusing(403))
    seen = other_pods.counted(FACTS, ClusterAccess("dc1"), "m")
    assert not seen.pods_are_seen
    assert seen.nodes == FACTS.nodes
    (note,) = seen.notes
    assert "may not list the pods of all namespaces" in note


def test_another_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", refusing(401))
    with pytest.raises(CredentialsError):
        other_pods.counted(FACTS, ClusterAccess("dc1"), "m")


def test_taints_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    taints = [{"key": "team", "value": "vision", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]
    capacity = {"cpu": "8", "memory": "32Gi"}
    document = {"metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"capacity": capacity}}
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"nodes": [document]})))
    (found,) = clusters.facts(ClusterAccess("dc1")).nodes
    assert [str(taint) for taint in found.taints] == ["team=vision:NoSchedule", "a:NoExecute"]

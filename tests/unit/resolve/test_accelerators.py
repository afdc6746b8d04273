"""Which accelerators of given nodes count: whole ones, of the vendors that pods can ask for."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.catalog import load_catalog, vendors
from meshctl.clients.kubernetes import accelerators
from meshctl.model.deployment import Gap, Pool, Resolution
from meshctl.model.observed import Facts, ObservedNode
from meshctl.render.pod import pod_resources, pods
from tests.unit.resolve.meshes import AWS, CW, DC, gap, gpu_node, node, resolved

MIG = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
AMD = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
RUN = {"kind": "training", "pool": "p", "nodes": 2, "image": "i", "resources": {"accelerators": 8}}


def seen(name: str, labels: dict[str, str], allocatable: dict[str, str], **more: Any) -> ObservedNode:
    """A node as `clients.kubernetes.clusters` reads it."""
    gpus = accelerators.of_node(labels, allocatable)
    own = {"gpu_model": gpus.model, "gpu_count": gpus.count, "gpu_memory_gib": gpus.memory_gib}
    return node(name, labels=labels, gpu_resource=gpus.resource, gpu_parts=gpus.parts, **own, **more)


def asked(model: object, facts: Facts | None, count: int = 8, nodes: int = 2, **more: Any) -> Resolution:
    return resolved({"p": {"nodes": nodes, "accelerator": {"model": model, "count": count}}}, DC, facts, **more)


def two(labels: dict[str, str], allocatable: dict[str, str], **more: Any) -> Facts:
    return Facts(nodes=(seen("g1", labels, allocatable, **more), seen("g2", labels, allocatable, **more)))


def pool_gap(found: Resolution) -> Gap:
    assert found.deployment is None
    return gap(found, "pool/p")


def pool(found: Resolution) -> Pool:
    assert found.deployment is not None, found.gaps
    return found.deployment.pools[0]


# Parts never count as whole accelerators

PRODUCT = "nvidia.com/gpu.product"
SHARED = {PRODUCT: "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.replicas": "4"}


@pytest.mark.parametrize(
    ("model", "labels", "sign", "by_name"),
    [
        ("A100-40GB", {PRODUCT: MIG}, MIG, MIG),
        ("T4", {PRODUCT: "Tesla-T4-SHARED"}, "Tesla-T4-SHARED", "Tesla-T4-SHARED"),
        ("H100", SHARED, "nvidia.com/gpu.replicas=4", "NVIDIA-H100-80GB-HBM3-SHARED"),
        (
            "H100",
            {PRODUCT: "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.sharing-strategy": "mps"},
            "nvidia.com/gpu.sharing-strategy=mps",
            "NVIDIA-H100-80GB-HBM3-SHARED",
        ),
    ],
)
def test_slices_and_shared_gpus_are_no_whole_ones(model: str, labels: dict[str, str], sign: str, by_name: str) -> None:
    facts = two(labels, {"nvidia.com/gpu": "32"})
    told = pool_gap(asked(model, facts))
    assert f"not counted, as their devices are parts of accelerators: g1, g2 ({sign})" in told.best
    assert f"`model: {by_name}`" in told.hint
    assert pool(asked(by_name, facts)).node_names == ("g1", "g2")  # the hint works


def test_partitions_of_amd_are_no_whole_gpus() -> None:
    labels = {**AMD, "amd.com/compute-memory-partition": "cpx_nps4"}
    facts = two(labels, {"amd.com/gpu": "64"})
    told = pool_gap(asked("MI300X", facts))
    assert "(amd.com/compute-memory-partition=cpx_nps4)" in told.best
    assert "`model: AMD_Instinct_MI300X_OAM-CPX`" in told.hint
    assert pool(asked("MI300X-CPX", facts, count=64)).gpus_per_node == 64
    whole = {**AMD, "amd.com/compute-memory-partition": "spx_nps1"}
    assert pool(asked("MI300X", two(whole, {"amd.com/gpu": "8"}))).gpus_per_node == 8


def test_parts_with_resources_of_their_own_are_told() -> None:
    labels = {PRODUCT: "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.replicas": "1"}
    facts = two(labels, {"nvidia.com/gpu": "0", "nvidia.com/mig-1g.5gb": "56", "nvidia.com/mig-3g.20gb": "0"})
    told = pool_gap(asked("A100", facts))
    assert told.best.endswith("g1, g2 (nvidia.com/mig-1g.5gb)")
    assert "`share: mig-1g.5gb`" in told.hint
    some = two(labels, {"nvidia.com/gpu": "4", "nvidia.com/mig-1g.5gb": "28"})
    assert pool(asked("A100", some, count=4)).gpus_per_node == 4


def test_whole_gpus_are_taken_before_anything_is_said_of_slices() -> None:
    whole = gpu_node("g3", gpu_model="NVIDIA-A100-SXM4-40GB", labels={"nvidia.com/gpu.sharing-strategy": "none"})
    sliced = seen("g1", {PRODUCT: MIG}, {"nvidia.com/gpu": "56"})
    assert pool(asked("A100", Facts(nodes=(sliced, whole)), nodes=1)).node_names == ("g3",)
    told = pool_gap(asked("A100", Facts(nodes=(sliced, whole)), nodes=2))
    assert told.best.startswith("1 nodes: g3; not counted")


# Vendors


@pytest.mark.parametrize("model", ["MI300X", "AMD MI300X", "Instinct-MI300X", "MI300X-192GB"])
def test_amd_gpus_of_given_nodes_are_asked_for_by_their_own_name(model: str) -> None:
    facts = two(AMD, {"amd.com/gpu": "8", "rdma/ib": "63"}, rdma_resource="rdma/ib", rdma_count=63)
    pools = {"p": {"nodes": 2, "accelerator": {"model": model, "count": 8, "memory": "192GB"}, "fabric": "f"}}
    for found in (
        resolved(pools, DC, facts, fabrics={"f": {"kind": "rdma"}}, workloads={"w": RUN}),
        resolved(pools, DC, fabrics={"f": {"kind": "rdma"}}, workloads={"w": RUN}),  # offline
    ):
        workload = found.deployment.workloads[0] if found.deployment else None
        assert workload is not None, found.gaps
        assert pod_resources.resources(workload, pool(found))["limits"] == {"amd.com/gpu": "8", "rdma/ib": "1"}
        assert pods.tolerations(found.deployment, pool(found))[0]["key"] == "amd.com/gpu"  # type: ignore[arg-type]
        assert any("/dev/kfd" in note for note in found.notes)


@pytest.mark.parametrize("environment", [AWS, CW])
def test_where_nodes_are_made_only_what_the_catalog_has_can_be_had(environment: dict[str, Any]) -> None:
    found = resolved({"p": {"nodes": 1, "accelerator": {"model": "MI300X", "count": 8}}}, environment)
    assert pool_gap(found).best == "nothing"
    assert "did you mean" not in pool_gap(found).hint  # B300 is near by its letters only


@pytest.mark.parametrize("facts", [None, Facts()])
def test_accelerators_that_no_pod_can_ask_for_are_a_gap_offline_as_well(facts: Facts | None) -> None:
    told = pool_gap(asked("Gaudi3", facts))
    assert told.wanted == "Gaudi3 of Intel"
    assert told.best == (
        "on existing clusters, pods can ask for accelerators of NVIDIA (nvidia.com/gpu) and AMD (amd.com/gpu)"
    )
    assert asked(["Gaudi3", "H100"], None).deployment is not None


def test_the_nodes_of_a_pool_are_of_one_vendor() -> None:
    amd = seen("a1", AMD, {"amd.com/gpu": "8"})
    nvidia = [seen(f"n{index}", {PRODUCT: "NVIDIA-H100"}, {"nvidia.com/gpu": "8"}) for index in (1, 2)]
    found = asked(["MI300X", "H100", "H200"], Facts(nodes=(amd, *nvidia)))
    assert (pool(found).node_names, pool(found).gpu_resource) == (("n1", "n2"), "nvidia.com/gpu")
    mixed = (amd, nvidia[0], seen("n3", {PRODUCT: "NVIDIA-H200"}, {"nvidia.com/gpu": "8"}))
    found = asked(["MI300X", "H100", "H200"], Facts(nodes=mixed))
    assert pool(found).node_names == ("n1", "n3")
    assert pool_gap(asked(["MI300X", "H100"], Facts(nodes=mixed[:2]))).best.startswith("1 nodes: ")


@pytest.mark.parametrize(
    ("labels", "allocatable", "expected"),
    [
        (AMD, {"amd.com/gpu": "8"}, ("AMD_Instinct_MI300X_OAM", 8, 192, "amd.com/gpu")),
        (
            {PRODUCT: "H100", "nvidia.com/gpu.memory": "81920"},
            {"nvidia.com/gpu": "8"},
            ("H100", 8, 80, "nvidia.com/gpu"),
        ),
        ({"gpu.nvidia.com/class": "H200"}, {"nvidia.com/gpu": "8"}, ("H200", 8, 0, "nvidia.com/gpu")),
        ({PRODUCT: "H100", "nvidia.com/gpu.memory": "unknown"}, {}, ("H100", 0, 0, "nvidia.com/gpu")),
        (AMD, {}, ("AMD_Instinct_MI300X_OAM", 0, 192, "amd.com/gpu")),  # its device plugin is not there yet
        ({}, {}, ("", 0, 0, "nvidia.com/gpu")),
    ],
)
def test_a_node_shows_its_accelerators(
    labels: dict[str, str], allocatable: dict[str, str], expected: tuple[str, int, float, str]
) -> None:
    gpus = accelerators.of_node(labels, allocatable)
    assert (gpus.model, gpus.count, gpus.memory_gib, gpus.resource) == expected


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("H100", "NVIDIA"),
        ("MI325X", "AMD"),
        ("Radeon PRO W7900", "AMD"),
        ("RTX PRO 6000", "NVIDIA"),
        ("A100-MIG-1g.5gb", "NVIDIA"),
        ("Gaudi2", "Intel"),
        ("Trainium2", "Amazon"),
        ("TPU-v5e", "Google"),
    ],
)
def test_the_vendor_of_a_model(model: str, vendor: str) -> None:
    assert vendors.of_model(model).name == vendor


def test_every_model_of_the_catalog_can_be_asked_for() -> None:
    machines = [machine for rows in load_catalog().machines.values() for machine in rows]
    assert {vendors.of_model(machine.gpu_model).resource for machine in machines} == {"nvidia.com/gpu"}

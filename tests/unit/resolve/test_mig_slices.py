"""`share`: MIG slices of given nodes, asked for by name, and why the nodes that meshctl makes have none."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes import accelerators
from meshctl.model.deployment import Resolution
from meshctl.model.files.mig_profiles import shares_of
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ObservedNode, Requests
from meshctl.render.pod import pod_resources, pods
from tests.unit.resolve.meshes import AWS, CW, DC, gap, node, resolved

PRODUCT = "nvidia.com/gpu.product"
A100 = "NVIDIA-A100-SXM4-40GB"
MIXED = {PRODUCT: A100, "nvidia.com/mig.strategy": "mixed"}
SINGLE = {PRODUCT: f"{A100}-MIG-3g.20gb", "nvidia.com/mig.strategy": "single"}
SLICES = {"nvidia.com/gpu": "0", "nvidia.com/mig-3g.20gb": "4", "nvidia.com/mig-1g.5gb": "14"}
SERVE = {"kind": "inference", "pool": "p", "replicas": 4, "image": "i", "resources": {"accelerators": 1}}


def seen(name: str, labels: dict[str, str], allocatable: dict[str, str], **more: Any) -> ObservedNode:
    """A node as `clients.kubernetes.clusters` reads it."""
    gpus = accelerators.of_node(labels, allocatable)
    own = {"gpu_model": gpus.model, "gpu_count": gpus.count, "gpu_memory_gib": gpus.memory_gib}
    parts = {"gpu_parts": gpus.parts}
    return node(name, labels=labels, gpu_resource=gpus.resource, **own, **parts, **more)


def asked(*nodes: ObservedNode, count: int = 4, **accelerator: Any) -> Resolution:
    wanted = {"model": "A100", "share": "mig-3g.20gb", **accelerator, "count": count}
    accelerator = {key: value for key, value in wanted.items() if value}
    facts = Facts(nodes=nodes, pods_are_seen=True) if nodes else None
    return resolved({"p": {"nodes": 1, "accelerator": accelerator}}, DC, facts, workloads={"w": SERVE})


def limits(resolution: Resolution) -> dict[str, str]:
    deployment = resolution.deployment
    assert deployment is not None, resolution.gaps
    return pod_resources.resources(deployment.workloads[0], deployment.pools[0])["limits"]


def test_slices_with_resources_of_their_own_are_asked_for_by_them() -> None:
    resolution = asked(seen("g1", MIXED, SLICES))
    assert limits(resolution) == {"nvidia.com/mig-3g.20gb": "1"}
    (pool,) = resolution.pools
    assert (pool.gpus_per_node, pool.machine) == (4, "gpu-node-a100-mig-3g.20gb")
    assert resolution.deployment is not None
    assert pods.tolerations(resolution.deployment, pool)[0]["key"] == "nvidia.com/gpu"


def test_slices_that_are_shown_as_gpus_are_asked_for_as_gpus() -> None:
    resolution = asked(seen("g1", SINGLE, {"nvidia.com/gpu": "16"}), count=16)
    assert limits(resolution) == {"nvidia.com/gpu": "1"}
    assert resolution.pools[0].gpus_per_node == 16


def test_offline_the_slices_are_taken_to_have_their_own_resource() -> None:
    assert limits(asked()) == {"nvidia.com/mig-3g.20gb": "1"}


def test_any_accelerator_with_the_slice_will_do() -> None:
    assert limits(asked(seen("g1", MIXED, SLICES), model=None)) == {"nvidia.com/mig-3g.20gb": "1"}


def test_whole_accelerators_and_other_slices_are_no_such_slices() -> None:
    whole = seen("g1", {PRODUCT: A100}, {"nvidia.com/gpu": "8"})
    other = seen("g2", {PRODUCT: f"{A100}-MIG-1g.5gb"}, {"nvidia.com/gpu": "56"})
    few = seen("g3", MIXED, {**SLICES, "nvidia.com/mig-3g.20gb": "2"})
    missing = gap(asked(whole, other, few), "pool/p")
    assert missing.wanted == "1 nodes with 4 x mig-3g.20gb of A100, amd64, on-demand"
    assert "g1 0 x mig-3g.20gb, g2 0 x mig-3g.20gb, g3 2 x mig-3g.20gb" in missing.best
    assert "`kubectl label node g1 nvidia.com/mig.config=all-3g.20gb --overwrite`" in missing.hint


def test_slices_are_not_counted_as_whole_accelerators() -> None:
    missing = gap(asked(seen("g1", MIXED, SLICES), share=None, count=1), "pool/p")
    assert "`share: mig-1g.5gb`, of which `count` then counts" in missing.hint


def test_slices_that_are_shared_out_are_no_slices() -> None:
    labels = {**MIXED, "nvidia.com/mig-3g.20gb.sharing-strategy": "time-slicing"}
    assert asked(seen("g1", labels, SLICES)).deployment is None
    whole_are_shared = {**MIXED, "nvidia.com/gpu.replicas": "4"}
    assert limits(asked(seen("g1", whole_are_shared, SLICES))) == {"nvidia.com/mig-3g.20gb": "1"}
    single = {**SINGLE, "nvidia.com/gpu.replicas": "4"}
    assert asked(seen("g1", single, {"nvidia.com/gpu": "16"})).deployment is None


def test_shares_of_a_gpu_with_a_name_of_their_own_are_told_with_a_way_out() -> None:
    shared = seen("g1", {PRODUCT: A100}, {"nvidia.com/gpu.shared": "32"})
    missing = gap(asked(shared, share=None, count=8), "pool/p")
    assert "(nvidia.com/gpu.shared)" in missing.best
    assert "`renameByDefault: false`" in missing.hint
    assert f"`model: {A100}-SHARED`" in missing.hint


def test_slices_that_pods_of_others_have_are_not_free() -> None:
    taken = Requests(gpu_parts={"nvidia.com/mig-3g.20gb": 3, "nvidia.com/mig-1g.5gb": 1})
    assert "have 3 of its 4" in resolved_reason(asked(seen("g1", MIXED, SLICES, taken=taken)))
    other = Requests(gpus=2, gpu_parts={"nvidia.com/mig-1g.5gb": 14})
    assert limits(asked(seen("g1", MIXED, SLICES, taken=other)))


def resolved_reason(resolution: Resolution) -> str:
    return resolution.rejected["p"][0].reason


def test_nodes_of_both_strategies_are_not_in_one_pool() -> None:
    nodes = (seen("g1", MIXED, SLICES), seen("g2", SINGLE, {"nvidia.com/gpu": "16"}), seen("g3", MIXED, SLICES))
    pool = {"nodes": 2, "accelerator": {"model": "A100", "share": "mig-3g.20gb", "count": 4}}
    resolution = resolved({"p": pool}, DC, Facts(nodes=nodes))
    assert resolution.pools[0].node_names == ("g1", "g3")


@pytest.mark.parametrize("environment", [AWS, CW])
def test_nodes_that_meshctl_makes_have_whole_accelerators(environment: dict[str, Any]) -> None:
    sliced = {"model": "A100", "share": "mig-3g.40gb", "count": 2}
    resolution = resolved({"p": {"nodes": 1, "accelerator": sliced}}, environment)
    assert "nodes of it have whole accelerators, wanted mig-3g.40gb" in gap(resolution, "pool/p").best
    assert "MIG manager" in gap(resolution, "pool/p").hint
    alternatives = [sliced, {"model": "A100", "count": 8}]  # the hint works
    assert resolved({"p": {"nodes": 1, "accelerator": alternatives}}, environment).deployment is not None


def test_partitions_of_others_are_no_mig_slices() -> None:
    resolution = resolved(
        {"p": {"nodes": 1, "accelerator": {"model": "MI300X", "share": "mig-1g.5gb", "count": 1}}}, DC
    )
    assert gap(resolution, "pool/p").best == "mig-1g.5gb is a slice of NVIDIA's accelerators, which these are not"


def accelerator(**keys: Any) -> None:
    pools = {"p": {"nodes": 1, "accelerator": {"count": 1, **keys}}}
    Mesh.model_validate({"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": pools})


@pytest.mark.parametrize(
    ("model", "share"),
    [
        ("A100", "mig-3g.20gb"),
        ("A100", "mig-3g.40gb"),
        ("NVIDIA-A100-SXM4-80GB", "mig-1g.10gb.me"),
        ("h100", "mig-7g.80gb"),
        ("H200", "mig-3g.71gb"),
        ("RTX PRO 6000", "mig-1g.24gb"),  # not in the table
    ],
)
def test_a_slice_that_the_accelerator_can_have(model: str, share: str) -> None:
    accelerator(model=model, share=share)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"model": "A100-40GB", "share": "mig-3g.40gb"},
            "A100-40GB can't be divided into mig-3g.40gb; it can have",
        ),
        ({"model": ["H200", "H100"], "share": "mig-3g.71gb"}, "H100 can't be divided into mig-3g.71gb"),
        ({"model": "A100", "share": "mig-3g.40gb.me"}, "can't be divided into mig-3g.40gb.me"),
        ({"model": "A100", "share": "3g.40gb"}, "write mig-3g.40gb"),
        ({"model": "A100", "share": "MIG-1g.5gb+me"}, "write mig-1g.5gb.me"),
        ({"model": "A100", "share": "half"}, "write it like mig-3g.40gb"),
        ({"memory": "40GB", "share": "mig-3g.40gb"}, "leave `memory` out"),
    ],
)
def test_what_no_accelerator_can_have(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("+", r"\+")):
        accelerator(**keys)


def test_the_size_of_an_accelerator_decides_its_slices() -> None:
    assert "mig-3g.20gb" in shares_of("A100")
    assert "mig-3g.40gb" in shares_of("A100")
    assert "mig-3g.20gb" not in shares_of("A100-80GB")
    assert shares_of("L4") == ()

"""NVL72: nodes in whole racks, of one NVLink domain where that is asked for, and what gangs there don't have."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Resolution
from meshctl.model.observed import Facts, ObservedNode
from tests.unit.resolve.test_resolve_rules import CW, DC, GB200, H100, gap, gpu_node, resolved

RACKS = {**CW, "region": "US-EAST-01A"}
CLAIM = {
    "resourceClaims": [{"name": "nvlink", "resourceClaimTemplateName": "rack-channel"}],
    "containers": [{"name": "main", "resources": {"claims": [{"name": "nvlink"}]}}],
}


def gang(nodes: int, gpus: int = 4) -> dict[str, Any]:
    return {"t": {"kind": "training", "pool": "p", "nodes": nodes, "image": "i", "resources": {"accelerators": gpus}}}


def placed(nodes: int, environment: dict[str, Any], facts: Facts | None = None, **pool: Any) -> Resolution:
    fabrics = {"f": {"kind": "ethernet", "placement": "cluster"}}
    pools = {"p": {**GB200, "nodes": nodes, "fabric": "f", **pool}}
    gpus = pool.get("accelerator", GB200["accelerator"])["count"]
    return resolved(pools, environment, facts, fabrics=fabrics, workloads=gang(nodes, gpus))


def channel_notes(resolution: Resolution) -> list[str]:
    assert resolution.deployment is not None, resolution.gaps
    return [note for note in resolution.notes if "IMEX channel" in note]


def rack_node(name: str, domain: str = "") -> ObservedNode:
    labels = {"nvidia.com/gpu.clique": domain} if domain else {}
    return gpu_node(name, gpu_model="NVIDIA-GB200", gpu_count=4, arch="arm64", labels=labels)


def test_half_a_rack_is_a_gap_that_names_the_size_of_the_rack() -> None:
    missing = gap(placed(4, RACKS), "pool/p")
    assert missing.best == "gb200-4x: sold in racks of 18 nodes, wanted 4"
    assert missing.hint == "set nodes to a multiple of the rack (18), whose nodes share NVLink"


def test_a_gang_on_racks_is_told_that_it_has_no_channel_and_how_to_get_one() -> None:
    (note,) = channel_notes(placed(18, RACKS))
    assert "a ComputeDomain (resource.nvidia.com/v1beta1, of NVIDIA's DRA driver) in the namespace m" in note
    assert "`workloads: {t: {pod: {resourceClaims: [{name: nvlink, resourceClaimTemplateName: NAME}]" in note


def test_a_group_of_pods_on_racks_is_told_so_as_well() -> None:
    group = {**gang(9)["t"], "kind": "inference", "replicas": 2}
    assert len(channel_notes(resolved({"p": {**GB200, "nodes": 18}}, RACKS, workloads={"t": group}))) == 1
    single = {**group, "nodes": 1, "replicas": 18}
    assert channel_notes(resolved({"p": {**GB200, "nodes": 18}}, RACKS, workloads={"t": single})) == []


def test_the_way_out_works() -> None:
    resolution = placed(18, {**RACKS, "workloads": {"t": {"pod": CLAIM}}})
    assert channel_notes(resolution) == []
    assert resolution.deployment is not None
    job = next(item for item in render.platform_objects(resolution.deployment) if item.kind == "Job")
    spec = job.manifest["spec"]["template"]["spec"]
    assert spec["resourceClaims"] == CLAIM["resourceClaims"]
    main = next(container for container in spec["containers"] if container["name"] == "main")
    assert main["resources"]["claims"] == [{"name": "nvlink"}]
    assert main["resources"]["limits"] == {"nvidia.com/gpu": "4"}


@pytest.mark.parametrize("resources", [{"limits": {"cpu": 1}}, {"claims": [], "requests": {}}, {"claims": {}}, []])
def test_other_resources_of_the_container_stay_the_workloads_own(resources: Any) -> None:
    with pytest.raises(ValueError, match='"resources" of the container main is set by meshctl'):
        placed(18, {**RACKS, "workloads": {"t": {"pod": {"containers": [{"name": "main", "resources": resources}]}}}})


def test_nodes_that_share_no_nvlink_and_single_pods_have_no_such_note() -> None:
    assert channel_notes(resolved({"p": H100}, CW, workloads=gang(2, 8))) == []
    alone = {**gang(18), "t": {**gang(18)["t"], "nodes": 1}}
    assert channel_notes(resolved({"p": {**GB200, "nodes": 18}}, RACKS, workloads=alone)) == []


def test_given_nodes_are_of_one_domain_where_that_is_asked_for() -> None:
    nodes = tuple(rack_node(f"n{index}", "rack-b" if index % 2 else "rack-a") for index in range(6))
    resolution = placed(3, DC, Facts(nodes=nodes))
    assert resolution.pools[0].node_names == ("n0", "n2", "n4")
    assert len(channel_notes(resolution)) == 1
    assert not [note for note in resolution.notes if "NVLink domains" in note]


def test_given_nodes_of_several_domains_are_told() -> None:
    nodes = tuple(rack_node(f"n{index}", f"rack-{index}") for index in range(2))
    resolution = placed(2, DC, Facts(nodes=nodes))
    assert [note for note in resolution.notes if "2 NVLink domains (nvidia.com/gpu.clique: rack-0, rack-1)" in note]


def test_a_pool_stays_on_its_nodes_whatever_their_domains() -> None:
    own = {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"}
    nodes = [rack_node(f"n{index}", "rack-b" if index % 2 else "rack-a") for index in range(6)]
    nodes[1] = nodes[1].model_copy(update={"labels": {**nodes[1].labels, **own}})
    nodes[2] = nodes[2].model_copy(update={"labels": {**nodes[2].labels, **own}})
    names = placed(2, DC, Facts(nodes=tuple(nodes))).pools[0].node_names
    assert names == ("n1", "n2")

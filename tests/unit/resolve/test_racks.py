"""NVL72: nodes in whole racks, of one NVLink domain where that is asked for, and NVLink between the pods of a gang."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Resolution
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.served_apis import COMPUTE_DOMAIN
from tests.unit.resolve.meshes import AWS, CW, DC, GB200, H100, gap, gpu_node, node, resolved
from tests.unit.stacks.test_platform_waits import declared

RACKS = {**CW, "region": "US-EAST-01A"}
NVLINK = {"kind": "ethernet", "nvlink": "rack"}
CLAIM = {
    "resourceClaims": [{"name": "nvlink", "resourceClaimTemplateName": "rack-channel"}],
    "containers": [{"name": "main", "resources": {"claims": [{"name": "nvlink"}]}}],
}


def gang(nodes: int, gpus: int = 4) -> dict[str, Any]:
    return {"t": {"kind": "training", "pool": "p", "nodes": nodes, "image": "i", "resources": {"accelerators": gpus}}}


def placed(
    nodes: int,
    environment: dict[str, Any],
    facts: Facts | None = None,
    fabric: dict[str, Any] | None = None,
    ranks: int = 0,
) -> Resolution:
    fabrics = {"f": fabric or {"kind": "ethernet", "placement": "cluster"}}
    pools = {"p": {**GB200, "nodes": nodes, "fabric": "f"}}
    return resolved(pools, environment, facts, fabrics=fabrics, workloads=gang(ranks or nodes))


def rack_node(name: str, domain: str = "") -> ObservedNode:
    labels = {"nvidia.com/gpu.clique": domain} if domain else {}
    return gpu_node(name, gpu_model="NVIDIA-GB200", gpu_count=4, arch="arm64", labels=labels)


def racks(*domains: str, served: tuple[str, ...] = (COMPUTE_DOMAIN,)) -> Facts:
    """One node for each: of this domain, or of none."""
    nodes = tuple(rack_node(f"n{index}", domain) for index, domain in enumerate(domains))
    return Facts(nodes=nodes, served_apis=served)


def objects(resolution: Resolution) -> dict[str, dict[str, Any]]:
    assert resolution.deployment is not None, resolution.gaps
    return {item.name: item.manifest for item in render.platform_objects(resolution.deployment)}


def channel_notes(resolution: Resolution) -> list[str]:
    assert resolution.deployment is not None, resolution.gaps
    return [note for note in resolution.notes if "IMEX channel" in note]


# Racks


def test_half_a_rack_is_a_gap_that_names_the_size_of_the_rack() -> None:
    missing = gap(placed(4, RACKS), "pool/p")
    assert missing.best == "gb200-4x: sold in racks of 18 nodes, wanted 4"
    assert missing.hint == "set nodes to a multiple of the rack (18), whose nodes share NVLink"


def test_a_gang_on_racks_is_told_that_it_has_no_channel_and_how_to_get_one() -> None:
    without = placed(18, RACKS)
    (note,) = channel_notes(without)
    assert "`nvlink: rack` in the pool's fabric" in note
    assert "workload/t:compute-domain-18" not in objects(without)
    assert channel_notes(placed(18, RACKS, fabric=NVLINK)) == []


def test_nodes_that_share_no_nvlink_and_single_pods_have_no_such_note() -> None:
    assert channel_notes(resolved({"p": H100}, CW, workloads=gang(2, 8))) == []
    assert channel_notes(placed(18, RACKS, ranks=1)) == []


def test_a_group_of_pods_on_racks_is_told_how_to_name_a_claim() -> None:
    group = {**gang(9)["t"], "kind": "inference", "replicas": 2}
    (note,) = channel_notes(resolved({"p": {**GB200, "nodes": 18}}, RACKS, workloads={"t": group}))
    assert "a ComputeDomain of yours can be named in environments.yaml" in note
    single = {**group, "nodes": 1, "replicas": 18}
    assert channel_notes(resolved({"p": {**GB200, "nodes": 18}}, RACKS, workloads={"t": single})) == []
    asking = {"p": {**GB200, "nodes": 18, "fabric": "f"}}
    missing = gap(resolved(asking, RACKS, fabrics={"f": NVLINK}, workloads={"t": group}), "workload/t")
    assert missing.best == "it is for training in this version"


# NVLink between the nodes of a gang


@pytest.mark.parametrize(
    ("environment", "facts", "nodes"), [(RACKS, None, 18), (DC, racks("a", "a", "a"), 3), (DC, None, 3)]
)
def test_a_gang_gets_a_compute_domain_and_its_pods_a_claim(
    environment: dict[str, Any], facts: Facts | None, nodes: int
) -> None:
    made = objects(placed(nodes, environment, facts, NVLINK))
    domain = made[f"workload/t:compute-domain-{nodes}"]
    assert (domain["apiVersion"], domain["kind"]) == ("resource.nvidia.com/v1beta1", "ComputeDomain")
    assert domain["metadata"]["name"] == f"t-nvlink-{nodes}"
    template = domain["spec"]["channel"]["resourceClaimTemplate"]["name"]
    assert domain["spec"]["numNodes"] == nodes
    spec = made["workload/t:job"]["spec"]["template"]["spec"]
    assert spec["resourceClaims"] == [{"name": "nvlink", "resourceClaimTemplateName": template}]
    main = next(container for container in spec["containers"] if container["name"] == "main")
    assert main["resources"] == {
        "requests": {"nvidia.com/gpu": "4"},
        "limits": {"nvidia.com/gpu": "4"},
        "claims": [{"name": "nvlink"}],
    }
    (term,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "nvidia.com/gpu.clique"
    pod_labels = made["workload/t:job"]["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= pod_labels.items()


def test_the_job_comes_after_the_domain_and_another_size_is_another_domain() -> None:
    deployment = placed(18, RACKS, fabric=NVLINK).deployment
    assert deployment is not None
    job = next(item for item in render.platform_objects(deployment) if item.kind == "Job")
    assert "workload/t:compute-domain-18" in job.depends_on
    smaller = objects(placed(18, RACKS, fabric=NVLINK, ranks=9))
    # a resource of its own, so that the engine ends the domain of the old gang after the old gang
    assert smaller["workload/t:compute-domain-9"]["metadata"]["name"] == "t-nvlink-9"
    assert "workload/t:compute-domain-18" not in smaller


def test_a_domain_that_is_up_by_its_former_name_stays() -> None:
    deployment = placed(18, RACKS, fabric=NVLINK).deployment
    assert deployment is not None
    domain = declared(deployment)["workload/t:compute-domain-18"]
    assert [alias.spec.name for alias in domain.aliases] == ["workload/t:compute-domain"]


def test_only_gangs_have_a_domain() -> None:
    assert not [name for name in objects(placed(18, RACKS, fabric=NVLINK, ranks=1)) if "compute-domain" in name]


@pytest.mark.parametrize(
    ("environment", "facts", "best"),
    [
        (DC, racks("a", "a", served=()), "a cluster that knows no ComputeDomain (resource.nvidia.com/v1beta1)"),
        (DC, racks("", ""), "nodes without the label nvidia.com/gpu.clique"),
    ],
)
def test_what_is_missing_for_it_is_a_gap(environment: dict[str, Any], facts: Facts, best: str) -> None:
    missing = gap(placed(2, environment, facts, NVLINK), "pool/p")
    assert (missing.wanted, missing.best) == ("NVLink between its nodes", best)
    assert "leave `nvlink` out" in missing.hint


@pytest.mark.parametrize(
    ("domains", "is_one_rack"), [(("a", "a"), True), (("a", "b"), False), (("a", ""), False)], ids=str
)
def test_given_nodes_are_of_one_rack_where_all_their_labels_say_so(domains: tuple[str, ...], is_one_rack: bool) -> None:
    resolution = placed(2, DC, racks(*domains), NVLINK, ranks=1)
    assert resolution.deployment is not None, resolution.gaps
    (fabric,) = (pool.fabric for pool in resolution.deployment.pools)
    assert fabric is not None
    assert fabric.is_one_rack is is_one_rack


def test_machines_that_are_no_racks_are_a_gap() -> None:
    missing = gap(resolved({"p": {**H100, "fabric": "f"}}, CW, fabrics={"f": NVLINK}), "pool/p")
    assert missing.best == "gd-8xh100ib-i128, whose nodes share none"
    assert "GB200" in missing.hint


def test_where_meshctl_makes_the_cluster_the_driver_is_missing() -> None:
    block = {"id": "cr-0b", "pool": "p", "zone": "us-east-1a"}
    pool = {**GB200, "nodes": 18, "capacity": "reserved", "fabric": "f"}
    resolution = resolved({"p": pool}, {**AWS, "capacity": {"blocks": [block]}}, fabrics={"f": NVLINK})
    assert gap(resolution, "pool/p").best == "nodes without NVIDIA's DRA driver, which meshctl does not install"


def test_a_gang_larger_than_a_rack_is_a_gap() -> None:
    missing = gap(placed(36, RACKS, fabric=NVLINK), "workload/t")
    assert (missing.wanted, missing.best) == ("NVLink between 36 nodes", "18 nodes of pool p share it")
    assert gap(placed(3, DC, racks("a", "b", "b"), NVLINK), "workload/t").best == "2 nodes of pool p share it"


def test_offline_a_note_says_that_nobody_has_looked_for_the_driver() -> None:
    assert [note for note in placed(18, RACKS, fabric=NVLINK).notes if "NVIDIA's DRA driver in the cluster" in note]


# Which nodes


@pytest.mark.parametrize("fabric", [{"kind": "ethernet", "placement": "cluster"}, NVLINK])
def test_given_nodes_are_of_one_domain_where_that_is_asked_for(fabric: dict[str, Any]) -> None:
    resolution = placed(3, DC, racks("a", "b", "a", "b", "a", "b"), fabric)
    assert resolution.pools[0].node_names == ("n0", "n2", "n4")
    anywhere = placed(3, DC, racks("a", "b", "a", "b", "a", "b"), {"kind": "ethernet"})
    assert anywhere.pools[0].node_names == ("n0", "n1", "n2")


def test_a_pool_stays_on_its_nodes_whatever_their_domains() -> None:
    own = {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"}
    nodes = list(racks("a", "b", "a", "b", "a", "b").nodes)
    for index in (1, 2):
        nodes[index] = nodes[index].model_copy(update={"labels": {**nodes[index].labels, **own}})
    assert placed(2, DC, Facts(nodes=tuple(nodes))).pools[0].node_names == ("n1", "n2")


# A claim of the user's own


def test_a_claim_may_be_named_in_the_environment() -> None:
    resolution = placed(18, {**RACKS, "workloads": {"t": {"pod": CLAIM}}})
    assert channel_notes(resolution) == []
    spec = objects(resolution)["workload/t:job"]["spec"]["template"]["spec"]
    assert spec["resourceClaims"] == CLAIM["resourceClaims"]
    main = next(container for container in spec["containers"] if container["name"] == "main")
    assert main["resources"]["claims"] == [{"name": "nvlink"}]
    assert main["resources"]["limits"] == {"nvidia.com/gpu": "4"}


@pytest.mark.parametrize("resources", [{"limits": {"cpu": 1}}, {"claims": [], "requests": {}}, {"claims": {}}, []])
def test_other_resources_of_the_container_stay_the_workloads_own(resources: Any) -> None:
    with pytest.raises(ValueError, match='"resources" of the container main is set by meshctl'):
        placed(18, {**RACKS, "workloads": {"t": {"pod": {"containers": [{"name": "main", "resources": resources}]}}}})


def test_without_accelerators_there_is_nothing_to_say() -> None:
    plain = Facts(nodes=(node("c1"),), served_apis=(COMPUTE_DOMAIN,))
    assert channel_notes(resolved({"p": {"nodes": 1}}, DC, plain)) == []


def test_a_cluster_that_was_not_asked_for_its_apis_may_know_compute_domains() -> None:
    claims_only = Facts(claims_are_seen=True)
    with_facts, without = (placed(18, RACKS, facts, NVLINK) for facts in (claims_only, None))
    assert with_facts.gaps == without.gaps
    assert with_facts.notes == without.notes

"""One test for each rule of resolving."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from meshctl.errors import UsageError
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, StorageClass
from meshctl.resolve import resolve
from meshctl.resolve.placement.machine_types import prices
from tests.unit.resolve.meshes import AWS, CATALOG, CW, DC, GB200, H100, gap, gpu_node, node, reason, resolved

A100 = {"accelerator": {"model": "A100", "count": 8, "memory": "80GB"}}


def machine(pool: dict[str, Any], environment: dict[str, Any], **more: Any) -> str:
    return resolved({"p": pool}, environment, **more).pools[0].machine


def test_the_cheapest_that_fits() -> None:
    assert machine({"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}}, AWS) == "m7i.4xlarge"
    assert machine({"nodes": 1, "cpu": {"cores": 16, "memory": "65GiB"}}, AWS) == "r7i.4xlarge"
    assert machine(H100, AWS) == "p5.48xlarge"
    assert machine(H100, CW) == "gd-8xh100ib-i128"


@pytest.mark.parametrize(
    ("contract", "name", "usd"),
    [
        ({"m7i.4xlarge": "5 USD/h"}, "r7i.4xlarge", 1.0584),
        ({"m7i.8xlarge": "0.10 USD/h"}, "m7i.8xlarge", 0.10),
        ({"m7i.8xlarge": "0.10 USD/h", "p": "3 USD/h"}, "m7i.4xlarge", 3),
        ({"p5.48xlarge": "0.10 USD/h", "other": "0.10 USD/h"}, "m7i.4xlarge", 0.8064),
    ],
)
def test_contract_rates_decide_what_is_cheapest(contract: dict[str, str], name: str, usd: float) -> None:
    pool = {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}}
    found = resolved({"p": pool}, {**AWS, "prices": contract}).pools[0]
    assert (found.machine, found.price.usd_per_hour) == (name, usd)


def test_a_contract_rate_is_a_known_price_and_does_not_beat_a_preferred_model() -> None:
    pool = {"nodes": 1, "accelerator": {"model": ["H200", "H100"], "count": 8}}
    contract = {"p5.48xlarge": "1 USD/h", "p5e.48xlarge": "30 USD/h"}
    ohio = {"provider": "aws", "region": "us-east-2", "zones": ["us-east-2a", "us-east-2b"]}
    assert machine(pool, {**ohio, "prices": contract}) == "p5e.48xlarge"


def test_a_machine_whose_rdma_needs_more_than_we_declare_is_refused_for_rdma_only() -> None:
    """RoCE on CoreWeave: without its 16 networks a pod would fall back to TCP and say nothing."""
    rubin: dict[str, Any] = {"arch": "arm64", "nodes": 18}
    environment = {**CW, "region": "US-CENTRAL-09A"}
    model = next(m.gpu_model for m in CATALOG.machines["coreweave"] if m.name == "verarubin-4x-e")
    rubin["accelerator"] = {"model": model, "count": 4}
    found = resolved({"p": {**rubin, "fabric": "f"}}, environment, fabrics={"f": {"kind": "rdma"}})
    assert found.deployment is None
    assert "RoCE" in reason(found, "verarubin-4x-e")
    plain = resolved({"p": rubin}, environment)
    assert "RoCE" not in "".join(row.reason for row in plain.rejected["p"])


def test_models_are_in_order_of_preference() -> None:
    pool = {"nodes": 1, "accelerator": {"model": ["H200", "H100"], "count": 8}}
    assert machine(pool, AWS) == "p5en.48xlarge"  # the priced one of two
    found = resolved({"p": pool}, AWS).pools[0]
    assert found.alternatives[-1] == "p5.48xlarge"


@pytest.mark.parametrize("name", ["h100", "NVIDIA H100", "H100-80GB", "nvidia-h100-80gb"])
def test_a_model_has_several_names(name: str) -> None:
    assert machine({"nodes": 1, "accelerator": {"model": name, "count": 8}}, AWS) == "p5.48xlarge"


def test_the_reason_for_each_rejected_machine() -> None:
    pool = {"nodes": 1, "accelerator": {"model": "H100", "count": 8, "memory": "80GB"}, "cpu": {"cores": 192}}
    found = resolved({"p": pool}, AWS)
    assert reason(found, "p5.4xlarge") == "1 x H100, wanted 8; 16 cores, wanted 192"
    assert reason(found, "p4d.24xlarge") == "A100, wanted H100"
    assert reason(found, "m7i.xlarge") == "no GPU, wanted H100"
    assert len(found.rejected["p"]) == len(CATALOG.machines["aws"]) - 1


@pytest.mark.parametrize(
    ("pool", "environment", "name", "says"),
    [
        (A100, AWS, "p4d.24xlarge", "40 GiB per GPU, wanted 74.5 GiB"),
        ({"accelerator": {"model": "L4", "count": 1}}, AWS, "g6f.large", "only 0.125 of a L4"),
        ({"arch": "arm64"}, AWS, "m7i.xlarge", "amd64, wanted arm64"),
        ({"cpu": {"cores": 32}}, AWS, "m7i.4xlarge", "16 cores, wanted 32"),
        ({"cpu": {"memory": "1TiB"}}, AWS, "m7i.4xlarge", "64 GiB memory, wanted 1024 GiB"),
        ({"scratch": "10TB"}, AWS, "i3en.2xlarge", "5000 GB local NVMe, wanted 10000 GB"),
        ({"fabric": "fast"}, AWS, "m7i.4xlarge", "no RDMA"),
        ({"fabric": "fast"}, AWS, "i3en.12xlarge", "50 Gbit/s, wanted 400"),
        ({"fabric": "slow"}, AWS, "m7i.4xlarge", "12.5 Gbit/s only in bursts"),
        ({"fabric": "slow"}, CW, "turin-gp", "network bandwidth not known, wanted 10 Gbit/s"),
        ({}, CW, "cd-gp-i96-icelake", "not listed in US-EAST-04A (listed in RNO2A)"),
        ({"capacity": "spot"}, CW, "turin-gp", "not sold as spot (only on-demand)"),
        (GB200, {**CW, "region": "US-EAST-01A"}, "gb200-4x", "sold in racks of 18 nodes, wanted 2"),
    ],
)
def test_what_must_fit(pool: dict[str, Any], environment: dict[str, Any], name: str, says: str) -> None:
    fabrics = {
        "fast": {"kind": "rdma", "bandwidth": "400Gbps"},
        "slow": {"kind": "ethernet", "bandwidth": "10Gbps"},
    }
    assert reason(resolved({"p": {"nodes": 2, **pool}}, environment, fabrics=fabrics), name) == says


def test_a_rack_of_nodes_fits() -> None:
    assert machine({**GB200, "nodes": 18}, {**CW, "region": "US-EAST-01A"}) == "gb200-4x"


def test_a_gap_names_the_nearest_and_a_hint() -> None:
    found = resolved({"p": {"nodes": 1, "accelerator": {"model": "H100", "count": 8}, "cpu": {"cores": 400}}}, AWS)
    assert found.deployment is None
    assert gap(found, "pool/p").best == "p5.48xlarge: 192 cores, wanted 400"
    assert gap(found, "pool/p").hint == "lower cpu.cores"
    found = resolved({"p": {"nodes": 1, "accelerator": {"model": "H1000", "count": 8}}}, AWS)
    assert gap(found, "pool/p").best == "nothing"
    assert 'did you mean "H100"?' in gap(found, "pool/p").hint


def test_list_price_contract_price_and_unknown() -> None:
    price = resolved({"p": H100}, AWS).pools[0].price
    assert (price.usd_per_hour, price.date) == (110.08, "2026-07-20")
    price = resolved({"p": H100}, {**AWS, "prices": {"p5.48xlarge": "30 USD/h"}}).pools[0].price
    assert (price.usd_per_hour, price.source) == (60, "contract rate in environments.yaml")
    price = resolved({"p": H100}, {**AWS, "prices": {"p5.48xlarge": "30 USD/h", "p": "20 USD/h"}}).pools[0].price
    assert price.usd_per_hour == 40
    china = {**AWS, "region": "cn-north-1", "zones": ["cn-north-1a", "cn-north-1b"]}
    found = resolved({"p": H100}, china)
    assert found.pools[0].price.usd_per_hour is None
    assert found.deployment is not None
    assert found.deployment.hourly_usd is None
    assert resolved({"p": {**H100, "capacity": "spot"}}, CW).pools[0].price.usd_per_hour == 2 * 19.71


def test_the_limit_on_cost() -> None:
    found = resolved({"p": H100}, AWS, limits={"hourly": "100 USD"})
    assert found.deployment is None
    assert gap(found, "limits/hourly").best == "110.08 USD/h"
    assert resolved({"p": H100}, AWS, limits={"hourly": "111 USD"}).deployment is not None
    unknown = resolved({"p": H100}, DC, limits={"hourly": "1 USD"})
    assert unknown.deployment is not None
    assert any("limits.hourly can't be checked" in note for note in unknown.notes)


def test_what_costs_money_beside_the_nodes_is_said() -> None:
    made = resolved({"web": {"nodes": 1, "cpu": {"cores": 4}}}, AWS).deployment
    assert made is not None
    assert {
        "EKS control plane (0.10 USD/h, list price of 2026-04-01)",
        "2 NAT gateways (0.10 USD/h, list price of 2026-02-24) and the data through them (0.045 USD/GB, list price of"
        " 2026-09-09)",
        "data transfer",
    } <= {*prices.not_in_cost(made)}


def test_an_api_server_open_to_the_internet_is_noted() -> None:
    pools = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
    office = {**AWS, "kubernetes": {"publicAccessCidrs": ["203.0.113.0/24"]}}
    assert any("whole internet" in note for note in resolved(pools, AWS).notes)
    assert not any("whole internet" in note for note in resolved(pools, office).notes)


def test_bucket_names_differ_between_accounts_that_are_named() -> None:
    def bucket(**environment: str) -> str:
        storage = {"data": {"kind": "object", "size": "1GiB"}}
        made = resolved({"web": {"nodes": 1}}, {**AWS, **environment}, storage=storage).deployment
        assert made is not None
        return made.object_store("data").bucket

    assert bucket() == "m-e-data-" + hashlib.sha256(b"m/e/data/aws/us-east-1").hexdigest()[:8]
    assert len({bucket(), bucket(account="1" * 12), bucket(account="2" * 12)}) == 3


def test_rdma_on_aws_is_efa_in_one_zone() -> None:
    pools = {"p": {**H100, "fabric": "f"}, "web": {"nodes": 2}}
    found = resolved(pools, AWS, fabrics={"f": {"kind": "rdma", "placement": "cluster"}})
    train, web = found.pools
    assert train.zones == ("us-east-1a",)
    assert web.zones == ("us-east-1a", "us-east-1b")
    assert train.fabric is not None
    assert (train.fabric.kind, train.fabric.resource, train.fabric.resource_count) == (
        "efa",
        "vpc.amazonaws.com/efa",
        32,
    )
    assert train.fabric.env["FI_PROVIDER"] == "efa"
    interfaces = train.fabric.interfaces
    assert (interfaces[0].interface_type, interfaces[0].device_index) == ("efa", 0)
    assert {(i.interface_type, i.device_index) for i in interfaces[1:]} == {("efa-only", 1)}
    assert [i.network_card_index for i in interfaces] == list(range(32))
    assert (train.ami_type, web.ami_type) == ("AL2023_x86_64_NVIDIA", "AL2023_x86_64_STANDARD")
    assert train.taints
    assert not web.taints


def test_a_primary_card_without_efa() -> None:
    pool = {"nodes": 1, "accelerator": {"model": "B300", "count": 8}, "fabric": "f"}
    fabric = resolved({"p": pool}, AWS, fabrics={"f": {"kind": "rdma"}}).pools[0].fabric
    assert fabric is not None
    assert [i.interface_type for i in fabric.interfaces] == ["interface", *["efa-only"] * 16]
    assert {i.device_index for i in fabric.interfaces} == {0}


def test_rdma_on_coreweave_is_one_boolean_resource() -> None:
    fabric = resolved({"p": {**H100, "fabric": "f"}}, CW, fabrics={"f": {"kind": "rdma"}}).pools[0].fabric
    assert fabric is not None
    assert (fabric.kind, fabric.resource, fabric.resource_count) == ("infiniband", "rdma/ib", 1)
    assert fabric.env["UCX_NET_DEVICES"].count("ibp") == 8


@pytest.mark.parametrize(
    ("accelerator", "is_asked_for"),
    [({"model": "A10G", "count": 8}, False), ({"model": "L40S", "count": 8}, True), (H100["accelerator"], True)],
)
def test_a_device_that_can_not_read_remote_memory_is_not_asked_to(accelerator: Any, is_asked_for: bool) -> None:
    """finding A4: libfabric ends the program on g5 and g4dn"""
    pools = {"p": {"nodes": 2, "accelerator": accelerator, "fabric": "f"}}
    made = resolved(pools, AWS, fabrics={"f": {"kind": "rdma"}}).deployment
    assert made is not None
    fabric = made.pool("p").fabric
    assert fabric is not None
    assert fabric.env["FI_PROVIDER"] == "efa"
    assert ("FI_EFA_USE_DEVICE_RDMA" in fabric.env) == is_asked_for


def test_a_machine_whose_efa_cards_are_not_known_has_no_fabric() -> None:
    """finding A14"""
    pools = {"p": {**GB200, "nodes": 18, "fabric": "f", "capacity": "reserved"}}
    environment = {**AWS, "capacity": {"blocks": ["cr-1"]}}
    found = resolved(pools, environment, fabrics={"f": {"kind": "rdma"}})
    assert found.deployment is None
    reasons = {each.machine: each.reason for each in found.rejected["p"]}
    assert reasons["p6e-gb200.36xlarge"] == "which of its network cards carry EFA is not known"


def test_a14_a_machine_that_nobody_has_confirmed_is_placed_where_it_would_work_with_a_note() -> None:
    environment = {**AWS, "capacity": {"blocks": ["cr-1"]}}
    made = resolved({"p": {**GB200, "nodes": 18, "arch": "arm64", "capacity": "reserved"}}, environment)
    assert made.deployment is not None
    assert made.deployment.pool("p").fabric is None
    [note] = [note for note in made.notes if "from one source" in note]
    assert note.startswith("pool p: what meshctl knows of p6e-gb200.36xlarge")
    assert not [note for note in resolved({"p": {**H100}}, AWS).notes if "from one source" in note]


def test_gpu_nodes_carry_no_taint_beside_a_cpu_pool_that_may_be_empty() -> None:
    """finding A11: DNS would have no node"""
    pools = {"gpu": H100, "web": {"nodes": {"min": 0, "max": 2}, "cpu": {"cores": 4}}}
    made = resolved(pools, AWS).deployment
    assert made is not None
    assert made.pool("gpu").taints == ()
    pools["web"] = {"nodes": 1, "cpu": {"cores": 4}}
    made = resolved(pools, AWS).deployment
    assert made is not None
    assert made.pool("gpu").taints


def test_reservations_go_to_reserved_pools() -> None:
    pools = {"a": {**H100, "capacity": "reserved"}, "b": {**H100, "capacity": "reserved"}, "c": H100}
    capacity = {"reservations": [{"id": "cr-b", "pool": "b", "zone": "us-east-1b"}], "blocks": ["cr-block"]}
    found = {pool.name: pool for pool in resolved(pools, {**AWS, "capacity": capacity}).pools}
    assert (found["a"].market, found["a"].reservation) == ("capacity-block", "cr-block")
    assert (found["b"].market, found["b"].reservation, found["b"].zones) == ("reserved", "cr-b", ("us-east-1b",))
    assert (found["c"].market, found["c"].reservation) == ("on-demand", "")
    missing = resolved(pools, AWS)
    assert gap(missing, "pool/a").wanted == "reserved capacity"
    assert resolved({"p": {**H100, "capacity": "reserved"}}, CW).deployment is not None


def test_the_network_has_a_public_and_a_private_subnet_for_each_zone() -> None:
    found = resolved({"p": {"nodes": 1}}, AWS).deployment
    assert found is not None
    assert found.network is not None
    assert [(s.name, s.cidr) for s in found.network.subnets] == [
        ("public-a", "10.64.128.0/20"),
        ("private-a", "10.64.0.0/20"),
        ("public-b", "10.64.144.0/20"),
        ("private-b", "10.64.16.0/20"),
    ]
    more = resolved({"p": {"nodes": 1}}, {**AWS, "zones": ["us-east-1a", "us-east-1b", "us-east-1c"]}).deployment
    assert more is not None
    assert more.network is not None
    assert more.network.subnets[:4] == found.network.subnets


@pytest.mark.parametrize(
    ("environment", "subject"),
    [
        ({**AWS, "zones": ["us-east-1a"]}, "network"),
        ({**AWS, "network": {"adopt": {"vpc": "vpc-1"}}}, "network"),
        ({**AWS, "capacity": {"blocks": [{"id": "cr-1", "zone": "us-east-1f"}]}}, "capacity/cr-1"),
        ({"provider": "onprem", "inventory": "hosts.yaml"}, "environment"),
    ],
)
def test_what_an_environment_cannot_be(environment: dict[str, Any], subject: str) -> None:
    found = resolved({"p": {"nodes": 1}}, environment)
    assert found.deployment is None
    assert gap(found, subject).hint


def test_ssh_hosts_are_refused_clearly() -> None:
    found = resolved({"p": {"nodes": 1}}, {"provider": "onprem", "inventory": "hosts.yaml"})
    hint = "SSH hosts are not supported yet: give `kubernetes: {kubeconfig: …}`"
    assert gap(found, "environment").hint == hint


def test_names_need_a_zone() -> None:
    more: dict[str, Any] = {
        "workloads": {"w": {"kind": "service", "pool": "p", "image": "i", "ports": {"http": 80}}},
        "endpoints": {"w": {"host": "w.example.com", "workload": "w", "port": "http"}},
    }
    pools = {"p": {"nodes": 1}}
    assert gap(resolved(pools, AWS, **more), "endpoint/w").best == "no dns section"
    found = resolved(pools, AWS, **more, dns={"provider": "route53", "zone": "example.com"})
    assert found.deployment is not None


def test_an_unknown_environment() -> None:
    mesh = Mesh.model_validate({"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 1}}})
    document = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"aws-east": AWS}}
    with pytest.raises(UsageError, match='did you mean "aws-east"'):
        resolve(mesh, Environments.model_validate(document), "aws-est", CATALOG)


def test_a_range_of_nodes_starts_at_its_minimum() -> None:
    pool = resolved({"p": {**H100, "nodes": {"min": 2, "max": 6}}}, AWS).pools[0]
    assert (pool.nodes, pool.nodes_min, pool.nodes_max) == (2, 2, 6)


def test_existing_nodes_are_chosen_by_hardware() -> None:
    nodes = [gpu_node("g3"), gpu_node("g1"), gpu_node("g2", ready=False), gpu_node("g4"), node("c1"), node("c2")]
    pools = {"train": {**H100, "fabric": "f"}, "web": {"nodes": 1}}
    found = resolved(pools, DC, Facts(nodes=tuple(nodes)), fabrics={"f": {"kind": "rdma"}})
    train, web = found.pools
    assert train.node_names == ("g1", "g3")
    assert web.node_names == ("c1",)
    assert train.fabric is not None
    assert train.fabric.resource == "rdma/hca"
    assert train.machine == "gpu-node-h100"
    again = resolved(pools, DC, Facts(nodes=tuple(reversed(nodes))), fabrics={"f": {"kind": "rdma"}})
    assert again.pools == found.pools


def test_a_node_stays_with_the_pool_whose_label_it_has() -> None:
    nodes = (gpu_node("g1"), gpu_node("g2", labels={"meshctl.dev/pool": "b"}), gpu_node("g3"))
    pools = {"a": {**H100, "nodes": 1}, "b": {**H100, "nodes": 1}}
    found = {pool.name: pool.node_names for pool in resolved(pools, DC, Facts(nodes=nodes)).pools}
    assert found == {"a": ("g1",), "b": ("g2",)}


def test_nodes_are_known_by_the_product_label_of_nvidia() -> None:
    product = {"gpu_model": "NVIDIA-H100-80GB-HBM3", "gpu_memory_gib": 79.6}
    environment = {**DC, "prices": {"gpu-node-h100": "20 USD/h"}}
    found = resolved({"p": H100}, environment, Facts(nodes=(gpu_node("g1", **product), gpu_node("g2", **product))))
    pool = found.pools[0]
    assert (pool.gpu_model, pool.machine, pool.price.usd_per_hour) == ("H100", "gpu-node-h100", 40)
    assert pool.machine == resolved({"p": H100}, environment).pools[0].machine


def test_a_pool_is_of_one_model_where_it_can() -> None:
    wanted = {"nodes": 2, "accelerator": {"model": ["H100", "H200"], "count": 8}}
    nodes = (gpu_node("a"), gpu_node("b", gpu_model="H200"), gpu_node("c", gpu_model="H200"))
    assert resolved({"p": wanted}, DC, Facts(nodes=nodes)).pools[0].node_names == ("b", "c")
    own = gpu_node("a", labels={"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"})
    assert resolved({"p": wanted}, DC, Facts(nodes=(own, *nodes[1:]))).pools[0].node_names == ("b", "c")
    assert resolved({"p": wanted}, DC, Facts(nodes=nodes[:2])).pools[0].node_names == ("a", "b")


def test_nodes_of_another_mesh_are_left_to_it() -> None:
    labels = {"meshctl.dev/mesh": "other", "meshctl.dev/pool": "p"}
    found = resolved({"p": {**H100, "nodes": 1}}, DC, Facts(nodes=(gpu_node("g1", labels=labels), gpu_node("g2"))))
    assert found.pools[0].node_names == ("g2",)
    assert reason(found, "g1") == "serves mesh other"


WEIGHTS = {"kind": "object", "size": "2TiB"}
READER = {"kind": "service", "pool": "p", "image": "i", "mounts": {"w": {"path": "/w", "readOnly": True}}}


@pytest.mark.parametrize(
    ("pool", "environment", "facts", "best"),
    [
        ({"cpu": {"cores": 16}}, AWS, None, "c7i.4xlarge of pool p has 170 GiB for it"),  # the root volume
        ({"accelerator": {"model": "A10G", "count": 1}}, AWS, None, "g5.xlarge of pool p has 197.9 GiB"),
        ({"cpu": {"cores": 8}}, DC, Facts(nodes=(node("c1", scratch_gb=500), node("c2", scratch_gb=900))), "395.8 GiB"),
    ],
)
def test_what_is_staged_must_fit_on_the_nodes_disk(
    pool: dict[str, Any], environment: dict[str, Any], facts: Facts | None, best: str
) -> None:
    found = resolved({"p": {"nodes": 1, **pool}}, environment, facts, storage={"w": WEIGHTS}, workloads={"r": READER})
    told = gap(found, "workload/r")
    assert (
        told.wanted
        == "2048 GiB of local disk per pod, for its local storage and the object stores that it mounts with readOnly"
    )
    assert best in told.best
    assert "scratch" in told.hint


def test_staged_data_fits_on_local_nvme_and_limits_the_pods_of_a_node() -> None:
    gpus = {"p": {"nodes": 1, "accelerator": {"model": "H100", "count": 8}}}
    one = resolved(gpus, AWS, storage={"w": WEIGHTS}, workloads={"r": READER})
    assert one.deployment is not None
    assert one.deployment.workload("r").staged_gib == 2048
    many = resolved(gpus, AWS, storage={"w": WEIGHTS}, workloads={"r": {**READER, "replicas": 20}})
    assert gap(many, "workload/r").best == "11 fit on its 1 node (p5.48xlarge), limited by local disk"


def test_offline_the_disks_of_an_existing_cluster_are_not_known_and_writable_mounts_stage_nothing() -> None:
    pool = {"p": {"nodes": 1, "cpu": {"cores": 8}}}
    assert resolved(pool, DC, storage={"w": WEIGHTS}, workloads={"r": READER}).deployment is not None
    writer = {**READER, "mounts": {"w": {"path": "/w"}}}
    assert resolved(pool, AWS, storage={"w": WEIGHTS}, workloads={"r": writer}).deployment is not None


@pytest.mark.parametrize(("replicas", "ephemeral", "fits"), [(2, False, False), (1, False, True), (2, True, True)])
def test_a_job_of_several_pods_has_no_lasting_block_for_each(replicas: int, ephemeral: bool, fits: bool) -> None:
    storage = {"b": {"kind": "block", "size": "1GiB", "ephemeral": ephemeral}}
    job = {"kind": "batch", "pool": "p", "image": "i", "replicas": replicas, "mounts": {"b": {"path": "/b"}}}
    found = resolved({"p": {"nodes": 1}}, AWS, storage=storage, workloads={"j": job})
    assert (found.deployment is not None) == fits
    if not fits:
        assert "ephemeral: true" in gap(found, "workload/j").hint


def test_a_gap_says_which_mesh_holds_the_nodes_that_would_fit() -> None:
    held = {"meshctl.dev/mesh": "other", "meshctl.dev/pool": "p"}
    nodes = (gpu_node("g1"), gpu_node("g2", labels=held), gpu_node("g3", labels=held), node("c1", labels=held))
    found = resolved({"p": {**H100, "nodes": 2}}, DC, Facts(nodes=nodes))
    assert gap(found, "pool/p").best == "1 nodes: g1 (g2, g3 serve mesh other)"


def test_too_few_nodes_are_a_gap() -> None:
    found = resolved({"p": H100}, DC, Facts(nodes=(gpu_node("g1"), node("c1"))))
    assert found.deployment is None
    assert gap(found, "pool/p").best == "1 nodes: g1"
    assert reason(found, "c1") == "no GPU, wanted H100"


def test_offline_an_existing_cluster_is_taken_to_fit() -> None:
    found = resolved({"p": H100}, {**DC, "prices": {"gpu-node-h100": "21.50 USD/h"}})
    assert found.deployment is not None
    assert found.pools[0].price.usd_per_hour == 43
    assert any("found by their hardware at plan and up" in note for note in found.notes)


def test_storage_classes_are_found_in_the_cluster() -> None:
    classes = (
        StorageClass(name="fast", provisioner="x", default=True),
        StorageClass(name="nfs", provisioner="nfs.csi.k8s.io"),
    )
    environment = {key: value for key, value in copy.deepcopy(DC).items() if key != "storageClasses"}
    storage = {"fs": {"kind": "filesystem", "size": "1TiB"}, "disk": {"kind": "block", "size": "1GiB"}}
    facts = Facts(nodes=(node("c1"),), storage_classes=classes)
    found = resolved({"p": {"nodes": 1}}, environment, facts, storage=storage).deployment
    assert found is not None
    assert found.file_systems[0].storage_class == "nfs"
    assert found.blocks[0].storage_class == "fast"


def test_offline_an_existing_cluster_is_taken_to_have_storage_classes() -> None:
    """As its nodes are: `check` looks at no cluster, and `plan` will find them."""
    environment = {key: value for key, value in copy.deepcopy(DC).items() if key != "storageClasses"}
    storage = {"fs": {"kind": "filesystem", "size": "1TiB"}, "disk": {"kind": "block", "size": "1GiB"}}
    found = resolved({"p": {"nodes": 1}}, environment, storage=storage)
    assert found.deployment is not None
    assert found.storage_as == {
        "fs": "claim on a storage class of the cluster",
        "disk": "claim on a storage class of the cluster for each pod",
    }
    assert [note for note in found.notes if "storage classes are found in the cluster at plan and up" in note]
    assert not [note for note in resolved({"p": {"nodes": 1}}, DC, storage=storage).notes if "storage class" in note]
    hosts = {**environment, "inventory": "hosts.yaml"}
    del hosts["kubernetes"]
    assert gap(resolved({"p": {"nodes": 1}}, hosts, storage=storage), "storage/disk").best == "no storage class for it"


def test_hosts_beside_a_cluster_are_noted_as_not_read() -> None:
    both = resolved({"p": {"nodes": 1}}, {**DC, "inventory": "hosts.yaml"})
    assert both.deployment is not None
    assert [note for note in both.notes if note.startswith("inventory hosts.yaml is not read")]
    assert not [note for note in resolved({"p": {"nodes": 1}}, DC).notes if "inventory" in note]


def test_a_cluster_without_the_class_says_which_it_has() -> None:
    environment = {key: value for key, value in copy.deepcopy(DC).items() if key != "storageClasses"}
    storage = {"fs": {"kind": "filesystem", "size": "1TiB"}, "disk": {"kind": "block", "size": "1GiB"}}
    classes = tuple(StorageClass(name=name, provisioner=f"x/{name}") for name in ("local-path", "ceph-rbd"))
    found = resolved(
        {"p": {"nodes": 1}}, environment, Facts(nodes=(node("c1"),), storage_classes=classes), storage=storage
    )
    has = "of the storage classes that the cluster has: ceph-rbd, local-path"
    assert gap(found, "storage/fs").best == f"none is shared {has}"
    assert gap(found, "storage/disk").best == f"none is the default {has}"
    assert "storageClasses: {block: NAME}" in gap(found, "storage/disk").hint
    found = resolved({"p": {"nodes": 1}}, environment, Facts(nodes=(node("c1"),)), storage=storage)
    assert gap(found, "storage/disk").best == "the cluster has no storage class"


def test_c4_the_limit_says_what_it_does_not_contain() -> None:
    made = resolved({"p": H100}, AWS, limits={"hourly": "200 USD"})
    [note] = [note for note in made.notes if "limits.hourly" in note]
    assert note.startswith(
        "not counted against limits.hourly: EKS control plane (0.10 USD/h, list price of 2026-04-01), 2 NAT"
    )
    assert not any("limits.hourly" in note for note in resolved({"p": H100}, AWS).notes)


def test_c4_a_region_without_prices_has_none_of_another() -> None:
    china = {**AWS, "region": "cn-north-1", "zones": ["cn-north-1a", "cn-north-1b"]}
    made = resolved({"web": {"nodes": 1, "cpu": {"cores": 4}}}, china).deployment
    assert made is not None
    assert {"EKS control plane", "2 NAT gateways and the data through them"} <= {*prices.not_in_cost(made)}

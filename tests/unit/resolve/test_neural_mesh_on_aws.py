"""What a NeuralMesh takes of AWS beside cores, memory and drives: addresses of the subnet, and room on root volumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshctl.model.deployment import Deployment
from meshctl.model.neural_mesh import NodeShare
from meshctl.resolve.data import neural_mesh_sizing as sizing
from meshctl.resolve.placement import addresses
from tests.unit.resolve.meshes import AWS, CATALOG
from tests.unit.resolve.test_neural_mesh import FILES, STORE, TRAIN, carried, deployed, work
from tests.unit.resolve.test_neural_mesh_formed import again
from tests.unit.stacks.declared_on_aws import declared

POOLS = {"p": STORE, "web": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}}
ON_P = {**FILES, "pool": "p"}


@pytest.fixture
def with_clients() -> Deployment:
    deployment, _ = deployed(carried(POOLS, AWS, ON_P, workloads=work("web")))
    return deployment


def root_volumes_gib(given: Deployment) -> dict[str, int]:
    templates = declared(given).of_type("ec2:LaunchTemplate").values()
    return {
        template["LaunchTemplateName"].removeprefix("m-e-"): template["LaunchTemplateData"]["BlockDeviceMappings"][0][
            "Ebs"
        ]["VolumeSize"]
        for template in templates
    }


def test_weka_has_room_on_the_root_volume_beside_the_pods(with_clients: Deployment) -> None:
    """20 GiB for a container and 10 for a core: of a p5, whose drives it has, 4 + 8 + 1 cores in three containers."""
    gpus, _ = deployed(carried({"p": TRAIN}, AWS))
    assert root_volumes_gib(gpus) == {"p": 200 + 3 * 20 + 13 * 10}
    assert root_volumes_gib(with_clients) == {"p": 200 + 2 * 20 + 6 * 10, "web": 200 + 20 + 10}
    assert with_clients.pool("p").disk_gib == 200  # what pods have


def test_nodes_that_are_up_keep_their_root_volumes(with_clients: Deployment) -> None:
    """Another size would be another launch template, and replace all nodes with the data on their drives."""
    mesh = with_clients.neural_mesh
    assert mesh is not None
    shares = {name: share.model_copy(update={"disk_gib": 0}) for name, share in mesh.shares.items()}
    older = with_clients.model_copy(update={"neural_mesh": mesh.model_copy(update={"shares": shares})})
    after, _ = deployed(again(older, POOLS, AWS, {"s": ON_P}, work("web")))
    assert root_volumes_gib(after) == {"p": 200, "web": 200}


def test_a_client_that_comes_later_does_with_the_root_volume_that_there_is() -> None:
    share = NodeShare(cpu_cores=16, memory_gib=40, hugepages_mib=14_456, set_aside_mib=20_480, network_interfaces=5)
    machine = sizing.Hardware("i3en.12xlarge", 48, 384, drives=4, drive_gb=7500, threads_per_core=2, interfaces=6)
    wish = sizing.Wish(nodes=6, capacity_gib=1000)
    first = sizing.size(machine, replace(wish, has_clients=False))
    assert isinstance(first, sizing.Sizing)
    formed = sizing.FormedSizes(
        layout=first.layout,
        drives=first.drives.model_copy(update={"cores": 2}),
        compute=first.compute.model_copy(update={"cores": 3, "hugepages_mib": 9216}),
        client=first.client,
        share=share,
        has_client=False,
    )
    later = sizing.size(machine, wish, formed)
    assert isinstance(later, sizing.Sizing)
    assert (later.share.disk_gib, later.share.set_aside_mib) == (0, 20_480)


def test_wekas_interfaces_take_addresses_of_the_subnet(with_clients: Deployment) -> None:
    """One for each of its cores, and one more that the policy makes."""
    web = with_clients.pool("web")
    without = addresses.of_node(web.model_copy(update={"storage": None}), "aws", CATALOG)
    assert addresses.of_node(web, "aws", CATALOG) == without + 2
    assert addresses.of_node(with_clients.pool("p"), "aws", CATALOG) == 30 + 7
    udp, _ = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": {"udp": True}}))
    assert addresses.of_node(udp.pool("p"), "aws", CATALOG) == 30


def test_a_small_network_is_told_of_them() -> None:
    """A private subnet of a /20 has 251 addresses: enough for 8 x 30, and not for 8 x (two blocks of 16, and 8)."""
    small = {**AWS, "network": {"cidr": "10.0.0.0/20"}}
    assert any("pool p: 8 nodes x 40" in note for note in carried({"p": {**STORE, "nodes": 8}}, small).notes)
    udp = {**small, "neuralMesh": {"udp": True}}
    assert not any("nodes x" in note for note in carried({"p": {**STORE, "nodes": 8}}, udp).notes)


def test_small_nodes_take_blocks_too() -> None:
    """They counted with the 15 addresses of an interface, and came up without a block for their pods."""
    deployment, mesh = deployed(carried({"p": STORE}, {**AWS, "network": {"cidr": "10.0.0.0/20"}}))
    pool = deployment.pool("p")
    assert pool.storage is not None
    share = pool.storage.model_copy(update={"network_interfaces": 3})
    small = pool.model_copy(update={"nodes": 12, "machine": "m6i.xlarge", "storage": share})
    where = "aws", deployment.network, CATALOG
    assert mesh.has_address_blocks
    [found] = addresses.gaps([small], *where, mesh)
    assert found.wanted.startswith("450 addresses in a private subnet (pool p: 12 nodes x 37;")
    assert "10.0.0.0/19" in found.hint
    assert not list(addresses.gaps([small.model_copy(update={"nodes": 6})], *where, mesh))
    without = mesh.model_copy(update={"has_address_blocks": False})
    assert not list(addresses.gaps([small], *where, without))


def unproven(deployment_notes: tuple[str, ...]) -> list[str]:
    return [note for note in deployment_notes if "vendor does not list" in note or "weka-nics" in note]


def test_what_nobody_has_said_of_weka_on_such_machines_is_a_note() -> None:
    assert unproven(carried({"p": STORE}, AWS).notes) == []
    l40s = {"p": {"nodes": 6, "accelerator": {"model": "L40S", "count": 8}, "scratch": "7TB"}}
    [note] = unproven(carried(l40s, AWS, {**FILES, "size": "2TiB"}).notes)
    assert note.startswith("pool/p: WEKA's vendor does not list g6e.48xlarge for its drives")
    assert unproven(carried({"p": TRAIN}, AWS).notes) == []
    fabric = {"fabrics": {"fast": {"kind": "rdma", "bandwidth": "3200Gbps", "placement": "cluster"}}}
    efa = {"p": {**TRAIN, "fabric": "fast"}}
    [note] = unproven(carried(efa, AWS, **fabric).notes)
    assert note.startswith(
        "pool/p: not known whether WEKA's operator leaves the 31 other network interfaces of the fabric alone"
    )
    assert "of each is 14" in note
    assert unproven(carried(efa, {**AWS, "neuralMesh": {"udp": True}}, **fabric).notes) == []

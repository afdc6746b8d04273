"""Addresses that the network plugin keeps ready on each node, which all come out of one zone's subnet."""

from __future__ import annotations

import json

from meshctl.catalog import load_catalog
from meshctl.platforms import registry
from stacks.aws.cluster import ONE_INTERFACE
from tests.unit.preflight.asking import H100, deployment
from tests.unit.resolve.meshes import AWS
from tests.unit.resolve.test_neural_mesh import FILES, STORE, carried, deployed, resolved_again, work
from tests.unit.resolve.test_neural_mesh_formed import again
from tests.unit.stacks.declared_on_aws import declared, example

ADDON = "cluster:addon-vpc-cni"


def test_b4_nodes_with_efa_keep_a_few_addresses_ready_and_not_a_hundred() -> None:
    inputs = declared(example()).inputs
    assert json.loads(inputs[ADDON]["configurationValues"]) == {
        "env": {"MINIMUM_IP_TARGET": "10", "WARM_IP_TARGET": "5"}
    }
    others = [name for name in inputs if name.startswith("cluster:addon-") and name != ADDON]
    assert [name for name in others if "configurationValues" in inputs[name]] == ["cluster:addon-aws-ebs-csi-driver"]


def test_b4_without_efa_the_plugin_has_its_own_defaults() -> None:
    pools = {"train": {"nodes": 2, "accelerator": H100}, "web": {"nodes": 2, "cpu": {"cores": 4}}}
    assert "configurationValues" not in declared(deployment(pools)).inputs[ADDON]


def test_b4_a_plugin_that_is_up_keeps_the_settings_that_it_came_up_with() -> None:
    """A new setting restarts it on every node."""
    recorder = declared(example())
    assert "configurationValues" in recorder.ignored[ADDON]
    assert "configurationValues" not in recorder.ignored["cluster:addon-aws-ebs-csi-driver"]


def test_what_is_declared_for_new_resources_alone_is_no_drift() -> None:
    """But for versions, of which the provider knows that they only go up, and the path of a role, which is fixed.
    Objects of Kubernetes have it with their declaration."""
    known = registry.platform("aws").nodes.left_alone or ()
    ignored = {
        (name, each)
        for name, paths in declared(example()).ignored.items()
        for each in paths
        if not name.startswith("storage/") and each not in {"version", "kubernetesVersion", "Path"}
    }
    assert ignored
    assert not [each for each in ignored if not any(each[0].endswith(end) and each[1] == path for end, path in known)]


RESERVED = "ec2:SubnetCidrReservation"


def test_beside_weka_the_plugin_keeps_to_a_nodes_first_interface() -> None:
    """WEKA takes every other one for itself, those of pods as well."""
    made, _ = deployed(carried({"p": STORE}, AWS))
    settings = json.loads(declared(made).inputs[ADDON]["configurationValues"])
    assert settings == {"env": ONE_INTERFACE}
    assert (settings["env"]["MAX_ENI"], settings["env"]["ENABLE_PREFIX_DELEGATION"]) == ("1", "true")
    udp, _ = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": {"udp": True}}))
    recorder = declared(udp)
    assert "configurationValues" not in recorder.inputs[ADDON]
    assert not recorder.of_type(RESERVED)


def test_blocks_of_addresses_have_half_of_each_private_subnet_for_them() -> None:
    """Before a node takes single ones, which EC2 gives at random: one in each block, and no block is free."""
    made, _ = deployed(carried({"p": STORE}, AWS))
    recorder = declared(made)
    blocks = recorder.of_type(RESERVED)
    assert {name: each["Cidr"] for name, each in blocks.items()} == {
        "network:blocks-private-a": "10.64.8.0/21",
        "network:blocks-private-b": "10.64.24.0/21",
    }
    assert {each["ReservationType"] for each in blocks.values()} == {"prefix"}
    assert blocks.keys() <= recorder.waits_for["pool/p:nodegroup"]


def test_a_cluster_whose_nodes_weka_had_before_keeps_its_addresses() -> None:
    """Brought up by a meshctl without blocks: half of its subnets would be lost to its nodes."""
    up, formed = deployed(carried({"p": STORE}, AWS))
    assert formed.has_address_blocks
    older = up.model_copy(update={"neural_mesh": formed.model_copy(update={"has_address_blocks": False})})
    after, mesh = deployed(resolved_again(6, older))
    assert not mesh.has_address_blocks
    assert not declared(after).of_type(RESERVED)
    _, same = deployed(resolved_again(6, up))
    assert same.has_address_blocks


def test_with_a_further_pool_it_hands_out_blocks_and_has_room_for_them() -> None:
    """`up` asks for a plugin that does so; without the reservation WEKA's single addresses leave no block free."""
    storage = {"s": {**FILES, "pool": "p"}}
    pools = {"p": STORE, "web": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}}
    up, formed = deployed(carried({"p": STORE}, AWS, storage["s"]))
    older = up.model_copy(update={"neural_mesh": formed.model_copy(update={"has_address_blocks": False})})
    _, same = deployed(again(older, {"p": STORE}, AWS, storage, work()))
    assert not same.has_address_blocks
    after, mesh = deployed(again(older, pools, AWS, storage, work("web")))
    assert mesh.has_address_blocks
    assert declared(after).of_type(RESERVED)


def test_one_interface_is_enough_for_all_pods_of_any_machine() -> None:
    """The kubelet counts the addresses of all interfaces of network card 0, one for each slot; blocks are of 16."""
    machines = [each for each in load_catalog().machines["aws"] if each.interface_addresses]
    assert machines
    assert not [each.name for each in machines if each.pods > 16 * (each.interface_addresses - 1)]

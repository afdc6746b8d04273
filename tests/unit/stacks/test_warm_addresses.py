"""Addresses that the network plugin keeps ready on each node, which all come out of one zone's subnet."""

from __future__ import annotations

import json

from meshctl.catalog import load_catalog
from stacks.aws.cluster import ONE_INTERFACE
from tests.unit.preflight.asking import H100, deployment
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


def test_beside_weka_the_plugin_keeps_to_a_nodes_first_interface() -> None:
    """WEKA takes every other one for itself, those of pods as well."""
    storage = {"data": {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh", "pool": "train"}}
    pools = {"train": {"nodes": 6, "cpu": {"cores": 48, "memory": "384GiB"}, "scratch": "30TB"}}
    settings = json.loads(declared(deployment(pools, {"storage": storage})).inputs[ADDON]["configurationValues"])
    assert settings == {"env": ONE_INTERFACE}
    assert (settings["env"]["MAX_ENI"], settings["env"]["ENABLE_PREFIX_DELEGATION"]) == ("1", "true")
    udp = deployment(pools, {"storage": storage}, neuralMesh={"udp": True})
    assert "configurationValues" not in declared(udp).inputs[ADDON]


def test_one_interface_is_enough_for_all_pods_of_any_machine() -> None:
    """The kubelet counts the addresses of all interfaces of network card 0, one for each slot; blocks are of 16."""
    machines = [each for each in load_catalog().machines["aws"] if each.interface_addresses]
    assert machines
    assert not [each.name for each in machines if each.pods > 16 * (each.interface_addresses - 1)]

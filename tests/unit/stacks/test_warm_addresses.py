"""Addresses that the network plugin keeps ready on each node, which all come out of one zone's subnet."""

from __future__ import annotations

import json

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

"""A cluster that is up gets a NeuralMesh: whether its network plugin leaves WEKA's interfaces alone."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer, InPlace
from meshctl.model.resource_types import WEKA_CLUSTER
from tests.unit.preflight.asking import MADE, NOTHING, asked, deployment, findings, up_as

STORE = {"store": {"nodes": 6, "cpu": {"cores": 48, "memory": "384GiB"}, "scratch": "30TB"}}
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
DATA = {"storage": {"data": {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh", "pool": "store"}}}


def with_weka(**environment: Any) -> Deployment:
    return deployment({**WEB, **STORE}, DATA, **environment)


def plugin(values: str | None) -> dict[str, ApiAnswer]:
    settings = {} if values is None else {"configurationValues": values}
    return {"network-plugin": ApiAnswer({"addon": {"addonName": "vpc-cni", **settings}})}


def command(wanted: Deployment, in_place: InPlace, values: str | None) -> str:
    [gap] = [each for each in findings(wanted, plugin(values), in_place).gaps if each.subject == "cluster"]
    assert gap.wanted == "network interfaces that WEKA alone has, on the nodes of pool store"
    return gap.hint


def test_a_cluster_that_is_up_is_asked_about_its_plugin() -> None:
    in_place = up_as(deployment(WEB))
    assert asked(with_weka(), in_place)["network-plugin"] == "describe_addon"
    assert "network-plugin" not in asked(with_weka(), NOTHING)  # the run makes it as it must be
    assert "network-plugin" not in asked(deployment({**WEB, **STORE}), in_place)
    assert "network-plugin" not in asked(with_weka(neuralMesh={"udp": True}), in_place)


@pytest.mark.parametrize("values", [None, "", '{"env": {"WARM_IP_TARGET": "5"}}', "env:\n  MAX_ENI: '3'\n"])
def test_one_that_takes_further_interfaces_is_a_gap(values: str | None) -> None:
    hint = command(with_weka(), up_as(deployment(WEB)), values)
    assert "`aws eks update-addon --cluster-name m-e --addon-name vpc-cni --configuration-values" in hint
    assert "--region us-east-1`" in hint
    assert "neuralMesh: {udp: true}" in hint


def test_the_command_keeps_what_somebody_has_set() -> None:
    settings = {"AWS_VPC_K8S_CNI_EXTERNALSNAT": "true", "MAX_ENI": "3", "AWS_VPC_K8S_PLUGIN_LOG_FILE": "it's.log"}
    before = json.dumps({"env": settings, "enableNetworkPolicy": "true"})
    words = shlex.split(command(with_weka(), up_as(deployment(WEB)), before).split("`")[1])
    values = json.loads(words[words.index("--configuration-values") + 1])
    assert values["enableNetworkPolicy"] == "true"
    assert values["env"]["AWS_VPC_K8S_PLUGIN_LOG_FILE"] == "it's.log"
    assert (values["env"]["AWS_VPC_K8S_CNI_EXTERNALSNAT"], values["env"]["MAX_ENI"]) == ("true", "1")


def test_one_that_keeps_to_the_first_interface_is_none() -> None:
    answers = plugin('{"env": {"MAX_ENI": "1"}}')
    assert findings(with_weka(), answers, up_as(deployment(WEB))).gaps == ()
    not_there = {"network-plugin": ApiAnswer(code="ResourceNotFoundException")}
    assert findings(with_weka(), not_there, InPlace((), MADE)).gaps == ()


def test_nodes_that_weka_has_already_are_left_alone() -> None:
    """A mesh of an older release: its plugin is as it came up, and so are its nodes."""
    up = with_weka()
    in_place = InPlace(up.pools, {**MADE, WEKA_CLUSTER: 1})
    assert "network-plugin" not in asked(up, in_place)
    assert findings(up, plugin(None), in_place).gaps == ()


@pytest.mark.parametrize("has_nodes", [True, False])
def test_a_first_run_that_was_cut_off_before_its_weka_cluster_is_asked_about(has_nodes: bool) -> None:
    """Of an older meshctl: its plugin has no setting, and WEKA would take the interfaces that pods have."""
    wanted = with_weka()
    in_place = InPlace(wanted.pools, MADE) if has_nodes else InPlace((), MADE, begun=wanted.pools)
    assert asked(wanted, in_place)["network-plugin"] == "describe_addon"
    assert "MAX_ENI" in command(wanted, in_place, None)

"""What keeps an environment on AWS healthy, patched and accounted for, as its resources are declared."""

from __future__ import annotations

import pytest

from tests.unit.stacks.declared_on_aws import Recorder, declared, example


@pytest.fixture(scope="module")
def program() -> Recorder:
    return declared(example())


def test_c3_a_sick_gpu_node_is_found_and_replaced(program: Recorder) -> None:
    groups = {each["nodegroupName"]: each for each in program.of_type("eks:Nodegroup").values()}
    assert {name: group.get("nodeRepairConfig") for name, group in groups.items()} == {
        "train": {"enabled": True},
        "serve": {"enabled": True},
        "web": None,
    }
    assert program.inputs["cluster:addon-eks-node-monitoring-agent"]["addonName"] == "eks-node-monitoring-agent"


def test_c3_what_is_up_stays_as_it_is(program: Recorder) -> None:
    assert all("nodeRepairConfig" in program.ignored[name] for name in program.of_type("eks:Nodegroup"))


def test_c3_without_gpus_nothing_watches_for_sick_ones() -> None:
    deployment = example()
    plain = deployment.pool("web")
    workloads = tuple(each for each in deployment.workloads if each.pool == "web")
    endpoints = tuple(each for each in deployment.endpoints if each.workload in {w.name for w in workloads})
    update = {"pools": (plain,), "workloads": workloads, "endpoints": endpoints}
    program = declared(deployment.model_copy(update=update))
    assert "cluster:addon-eks-node-monitoring-agent" not in program.types


def test_c4_a_cluster_made_new_leaves_with_standard_support_and_one_that_is_up_keeps_its_policy(
    program: Recorder,
) -> None:
    assert program.inputs["cluster:eks"]["upgradePolicy"] == {"supportType": "STANDARD"}
    assert "upgradePolicy" in program.ignored["cluster:eks"]

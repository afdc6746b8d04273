"""What nodes the lab's controllers want, from what was asked of the platforms."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from moto.core.types import Base64EncodedString

from meshctl.catalog import load_catalog
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.controllers import coreweave, eks, onprem
from meshctl.lab.controllers.huge_pages import mib
from meshctl.lab.controllers.nodes import APPLIED_ANNOTATION, GROUP_LABEL, Group, capacity, manifest
from meshctl.lab.state import Lab
from meshctl.model.deployment import NodeShare
from meshctl.resolve.placement import allocatable
from stacks.aws import pools
from tests.unit.deployments import deployment

P5 = load_catalog().machine("aws", "p5.48xlarge")
assert P5 is not None


def nodegroup(**changed: Any) -> dict[str, Any]:
    return {
        "launched": {"p5.48xlarge": [0, 1]},
        "instanceTypes": ["p5.48xlarge"],
        "zones": ["us-east-1a", "us-east-1b"],
        "labels": {"meshctl.dev/pool": "train"},
        "taints": [{"key": "gpu", "effect": "NO_EXECUTE"}],
        "capacityType": "ON_DEMAND",
        "status": "CREATING",
        "placementGroup": "",
        "amiType": "AL2023_x86_64_NVIDIA",
        "efaInterfaces": 0,
        **changed,
    }


def test_a_node_has_the_hardware_of_its_machine_type() -> None:
    assert P5 is not None
    found = capacity(P5)
    assert (found["cpu"], found["nvidia.com/gpu"], found["vpc.amazonaws.com/efa"]) == ("192", "8", "32")


def test_b2_a_p5_reports_what_a_real_one_reports() -> None:
    """as awsome-distributed-training shows it"""
    assert P5 is not None
    status = manifest(Group("train", P5, 1, ("a",), "us-east-1"), 0)["status"]
    left_kib = int(status["allocatable"]["memory"].removesuffix("Mi")) * 1024
    assert 0 <= left_kib - 2052371068 < 1024  # to the MiB
    assert status["allocatable"]["pods"] == "100"
    assert status["allocatable"]["hugepages-2Mi"] == "42242Mi"
    assert status["capacity"]["hugepages-2Mi"] == "42242Mi"


def test_b2_a_p4de_keeps_half_as_many_huge_pages() -> None:
    machine = load_catalog().machine("aws", "p4de.24xlarge")
    assert machine is not None
    assert capacity(machine)["hugepages-2Mi"] == "21122Mi"
    assert allocatable.huge_pages_mib(machine.cpu_cores) == 21122


def test_a_machine_without_gpus_offers_none() -> None:
    machine = load_catalog().machine("aws", "m7i.4xlarge")
    assert machine is not None
    assert not {"nvidia.com/gpu", "vpc.amazonaws.com/efa"} & set(capacity(machine))


def test_nodes_are_spread_over_the_zones_in_turn() -> None:
    assert P5 is not None
    group = Group("train", P5, 3, ("a", "b"), "us-east-1", {"x": "y"}, ({"key": "k", "effect": "NoSchedule"},))
    nodes = [manifest(group, number) for number in range(group.count)]
    assert [node["metadata"]["name"] for node in nodes] == group.node_names() == ["train-0", "train-1", "train-2"]
    assert [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes] == ["a", "b", "a"]
    labels = nodes[0]["metadata"]["labels"]
    assert (labels["x"], labels[GROUP_LABEL], labels["kubernetes.io/arch"]) == ("y", "train", "amd64")
    assert nodes[0]["spec"]["taints"] == [{"key": "k", "effect": "NoSchedule"}]
    assert json.loads(nodes[0]["metadata"]["annotations"][APPLIED_ANNOTATION])["labels"] == {"x": "y"}


class TestEks:
    @pytest.mark.parametrize("interfaces", [0, 16, 32])
    def test_efa_is_there_for_the_interfaces_of_the_template_alone(self, interfaces: int) -> None:
        """finding A14"""
        (group,) = eks.groups({"nodegroups": {"train": nodegroup(efaInterfaces=interfaces)}}, "us-east-1")
        has = manifest(group, 0)["status"]["capacity"]
        assert int(has.get("vpc.amazonaws.com/efa", "0")) == interfaces

    def test_huge_pages_of_the_user_data_are_no_memory(self) -> None:
        """Read from what meshctl's own script says, beside the pages that the machine's EFA driver sets aside."""
        share = NodeShare(cpu_cores=1, memory_gib=1, hugepages_mib=1000, set_aside_mib=2048, network_interfaces=0)
        pool = deployment("aws-east").pool("train").model_copy(update={"storage": share})
        template = {"UserData": base64.b64encode(pools.user_data(pool).encode()).decode()}
        pages = launch_rules.huge_pages(template)
        as_moto_keeps_it = {**template, "UserData": Base64EncodedString(template["UserData"])}
        assert launch_rules.huge_pages(as_moto_keeps_it) == pages
        assert pages == 1024
        groups = [eks.groups({"nodegroups": {"a": nodegroup(hugePages=each)}}, "us-east-1")[0] for each in (0, pages)]
        before, after = (manifest(group, 0)["status"] for group in groups)
        assert mib(after["capacity"]["hugepages-2Mi"]) - mib(before["capacity"]["hugepages-2Mi"]) == 2048
        assert mib(before["allocatable"]["memory"]) - mib(after["allocatable"]["memory"]) == 2048
        assert launch_rules.huge_pages({}) == 0

    @pytest.mark.parametrize(("ami", "gpus"), [("AL2023_x86_64_STANDARD", None), ("CUSTOM", "8")])
    def test_an_image_without_the_driver_shows_no_gpu(self, ami: str, gpus: str | None) -> None:
        """finding E: a p5 with the standard image"""
        (group,) = eks.groups({"nodegroups": {"train": nodegroup(amiType=ami)}}, "us-east-1")
        for resources in ("capacity", "allocatable"):
            assert manifest(group, 0)["status"][resources].get("nvidia.com/gpu") == gpus

    def test_a_node_group(self) -> None:
        (group,) = eks.groups({"nodegroups": {"train": nodegroup()}}, "us-east-1")
        assert (group.name, group.machine, group.count) == ("train", P5, 2)
        assert group.zones == ("us-east-1a", "us-east-1b")
        assert group.labels["eks.amazonaws.com/nodegroup"] == "train"
        assert group.taints == ({"key": "gpu", "effect": "NoExecute"},)

    def test_a_placement_group_lies_in_one_zone(self) -> None:
        (group,) = eks.groups({"nodegroups": {"train": nodegroup(placementGroup="pg")}}, "us-east-1")
        assert group.zones == ("us-east-1a",)

    def test_a7_a_group_of_several_machine_types_has_each_node_once(self) -> None:
        launched = {"p5.48xlarge": [0, 2], "p4d.24xlarge": [1]}
        made = eks.groups({"nodegroups": {"train": nodegroup(launched=launched)}}, "us-east-1")
        assert [(group.machine.name, group.node_names()) for group in made] == [
            ("p5.48xlarge", ["train-0", "train-2"]),
            ("p4d.24xlarge", ["train-1"]),
        ]

    @pytest.mark.parametrize(("status", "counts"), [("DELETING", [0]), ("CREATE_FAILED", [2]), ("ACTIVE", [2])])
    def test_status(self, status: str, counts: list[int]) -> None:
        found = eks.groups({"nodegroups": {"train": nodegroup(status=status)}}, "us-east-1")
        assert [group.count for group in found] == counts

    def test_a_machine_type_that_the_catalog_does_not_have_makes_no_node(self) -> None:
        assert eks.groups({"nodegroups": {"train": nodegroup(launched={"x9.huge": [0]})}}, "us-east-1") == []


def pool(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "serve", "uid": "u1"}, "spec": {"instanceType": "gd-8xh100ib-i128", **spec}}


class TestCoreWeave:
    def test_a_pool(self) -> None:
        taints = [{"key": "k", "value": "", "effect": "NoSchedule"}]
        group = coreweave.group_of(pool(targetNodes=2, nodeLabels={"a": "b"}, nodeTaints=taints), "US-EAST-04A")
        assert (group.name, group.count, group.zones) == ("serve", 2, ("US-EAST-04A",))
        assert (group.labels["a"], group.labels["node.coreweave.cloud/class"]) == ("b", "gpu")
        assert group.labels["compute.coreweave.com/node-pool"] == "serve"
        assert group.labels["backend.coreweave.cloud/flavor"] == "infiniband"
        assert group.taints == ({"key": "k", "effect": "NoSchedule"},)
        assert capacity(group.machine)["rdma/ib"] == "110"

    def test_racks_are_counted_in_nodes(self) -> None:
        assert coreweave.target_of({"instanceType": "gb200-4x", "targetRacks": 2}) == 36

    @pytest.mark.parametrize(
        ("spec", "condition"),
        [
            ({"instanceType": "no-such-type", "targetNodes": 1}, "Validated"),
            ({"instanceType": "gd-8xh100ib-i128"}, "Validated"),
            ({"instanceType": "gb200-4x", "targetNodes": 18, "targetRacks": 1}, "Validated"),
            ({"instanceType": "gd-8xh100ib-i128", "targetNodes": 0}, None),
        ],
    )
    def test_what_is_not_accepted(self, tmp_path: Path, spec: dict[str, Any], condition: str | None) -> None:
        found = coreweave.problem(Lab(tmp_path), spec)
        assert (found.condition if found else None) == condition

    def test_a_fault_on_order(self, tmp_path: Path) -> None:
        fault = {"operation": "NodePool", "condition": "Capacity", "error": "QueuedAwaitingCapacity"}
        (tmp_path / "faults.json").write_text(json.dumps([{"operation": "PutObject", "error": "SlowDown"}, fault]))
        found = coreweave.problem(Lab(tmp_path), {"instanceType": "gd-8xh100ib-i128", "targetNodes": 1})
        assert found is not None
        assert (found.condition, found.reason) == ("Capacity", "QueuedAwaitingCapacity")


def test_the_on_prem_site_has_what_the_docs_say() -> None:
    node = manifest(onprem.GPU_NODES, 0)
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert (node["status"]["allocatable"]["nvidia.com/gpu"], node["status"]["allocatable"]["rdma/ib"]) == ("8", "63")
    assert (onprem.GPU_NODES.count, onprem.CPU_NODES.count) == (6, 2)


@pytest.mark.parametrize("provider", ["aws", "coreweave"])
def test_a_node_has_less_for_pods_than_the_machine_and_at_least_what_check_allows(provider: str) -> None:
    for machine in load_catalog().machines[provider]:
        status = manifest(Group("g", machine, 1, ("z",), "r"), 0)["status"]
        left, has, usable = status["allocatable"], status["capacity"], allocatable.of_machine(machine)
        cores, memory_gib = int(left["cpu"].removesuffix("m")) / 1000, int(left["memory"].removesuffix("Mi")) / 1024
        assert usable.cpu_cores <= cores < int(has["cpu"]) == machine.cpu_cores, machine.name
        assert usable.memory_gib <= memory_gib < int(has["memory"].removesuffix("Mi")) / 1024, machine.name
        assert {key for key in has if left[key] != has[key]} == {"cpu", "memory"}


def test_a_site_whose_kubelets_keep_nothing_offers_all_that_it_has() -> None:
    status = manifest(onprem.CPU_NODES, 0)["status"]
    assert status["allocatable"] == status["capacity"]


def test_a_node_of_coreweave_reports_what_the_catalog_says_that_it_reports() -> None:
    machine = load_catalog().machine("coreweave", "gd-8xh200ib-i128")
    assert machine is not None
    assert capacity(machine)["memory"] == f"{math.ceil(2014.3 * 1024)}Mi"

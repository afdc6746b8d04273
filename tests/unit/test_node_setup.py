"""Finding B5: new nodes have huge pages for EFA and a client for Lustre; what is up is not replaced for it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.deploy.guards.running import running_pods
from meshctl.lab.controllers.nodes import capacity
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.render import platform_objects
from tests.unit import states
from tests.unit.preflight.asking import deployment
from tests.unit.resolve.meshes import AWS, CW, H100, resolved

TRAIN: dict[str, Any] = {**H100, "nodes": 2, "fabric": "f"}
WORK: dict[str, Any] = {
    "fabrics": {"f": {"kind": "rdma"}},
    "storage": {"shared": {"kind": "filesystem", "size": "1200GiB", "throughput": "1GB/s"}},
    "workloads": {
        "w": {"kind": "service", "pool": "web", "image": "a:1", "mounts": {"shared": {"path": "/d"}}},
        "t": {"kind": "training", "pool": "train", "image": "a:1", "resources": {"accelerators": 8}},
    },
}
WEB: dict[str, Any] = {"nodes": 2, "cpu": {"cores": 4}}
NODE_GROUP = "meshaws:eks:Nodegroup"


def wanted() -> Deployment:
    return deployment({"train": TRAIN, "web": WEB}, WORK)


def up_as(made: Deployment, version: str = "1.32") -> StackState:
    groups = [
        {
            "urn": f"urn:pulumi:e::m::{NODE_GROUP}::pool/{pool.name}:nodegroup",
            "type": NODE_GROUP,
            "id": f"m|{pool.name}",
            "custom": True,
            "outputs": {"status": "ACTIVE", "version": version},
        }
        for pool in made.pools
    ]
    stack = {"urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "type": "pulumi:pulumi:Stack"}
    return states.state({**stack, "outputs": {"deployment": made.model_dump(mode="json")}}, *groups)


def setups(made: Deployment) -> dict[str, tuple[str, ...]]:
    return {pool.name: pool.setup for pool in made.pools}


def test_b5_new_nodes_are_set_up_for_what_runs_on_them() -> None:
    made = running_pods.with_running_pods(wanted(), states.NOTHING)
    assert setups(made) == {"train": ("huge-pages",), "web": ("lustre-client",)}


def test_b5_nodes_that_are_up_keep_what_they_came_up_with() -> None:
    of_older_version = up_as(wanted())
    assert of_older_version.deployment is not None
    assert setups(running_pods.with_running_pods(wanted(), of_older_version)) == {"train": (), "web": ()}
    now = running_pods.with_running_pods(wanted(), states.NOTHING)
    assert setups(running_pods.with_running_pods(wanted(), up_as(now))) == setups(now)


def test_b5_nodes_that_are_replaced_by_other_machines_are_set_up() -> None:
    before = wanted()
    pools = tuple(pool.model_copy(update={"machine": "g6.48xlarge"}) for pool in before.pools)
    up = up_as(before.model_copy(update={"pools": pools}))
    assert setups(running_pods.with_running_pods(wanted(), up)) == {"train": ("huge-pages",), "web": ("lustre-client",)}


def test_b5_nodes_that_another_kubernetes_version_replaces_are_set_up() -> None:
    """Images since 1.33 have a kernel without Lustre's module."""
    before = wanted()
    newer = before.cluster.model_copy(update={"version": "1.33", "version_asked": True})
    upgraded = before.model_copy(update={"cluster": newer})
    made = running_pods.with_running_pods(upgraded, up_as(before))
    assert setups(made) == {"train": ("huge-pages",), "web": ("lustre-client",)}
    assert setups(running_pods.with_running_pods(upgraded, up_as(made, "1.33"))) == setups(made)
    by_somebody_else = up_as(before, "1.33")  # in the console: these nodes are not replaced
    assert setups(running_pods.with_running_pods(upgraded, by_somebody_else)) == {"train": (), "web": ()}
    not_asked = before.model_copy(update={"cluster": newer.model_copy(update={"version_asked": False})})
    assert setups(running_pods.with_running_pods(not_asked, up_as(before))) == {"train": (), "web": ()}


def test_new_nodes_keep_ports_for_the_storage_that_is_on_them() -> None:
    """And those that came up without keep to that: another launch template would replace them with their drives."""
    pools = {"store": {"nodes": 6, "cpu": {"cores": 48, "memory": "384GiB"}, "scratch": "30TB"}, "web": WEB}
    data = {"data": {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh", "pool": "store"}}
    made = deployment(pools, {"storage": data})
    assert setups(running_pods.with_running_pods(made, states.NOTHING)) == {"store": ("storage-ports",), "web": ()}
    assert setups(running_pods.with_running_pods(made, up_as(made))) == {"store": (), "web": ()}


def test_b5_nodes_of_other_platforms_are_told_nothing() -> None:
    made = resolved({"train": TRAIN}, CW, fabrics=WORK["fabrics"]).deployment
    assert made is not None
    assert running_pods.with_running_pods(made, states.NOTHING) is not None
    assert setups(running_pods.with_running_pods(made, states.NOTHING)) == {"train": ()}


@pytest.mark.parametrize(("count", "machine", "asked"), [(8, "p5.48xlarge", "5120Mi"), (1, "p5.4xlarge", "3522Mi")])
def test_b5_pods_ask_for_no_more_huge_pages_than_a_node_has(count: int, machine: str, asked: str) -> None:
    pools = {"train": {**TRAIN, "accelerator": {"model": "H100", "count": count}}}
    work = {**WORK["workloads"]["t"], "resources": {"accelerators": count}}
    made = resolved(pools, AWS, fabrics=WORK["fabrics"], workloads={"t": work}).deployment
    assert made is not None
    assert made.pool("train").machine == machine
    [job] = [each.manifest for each in platform_objects(made) if each.kind == "Job"]
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["hugepages-2Mi"] == asked
    row = load_catalog().machine("aws", machine)
    assert row is not None
    assert int(asked.removesuffix("Mi")) <= int(capacity(row)["hugepages-2Mi"].removesuffix("Mi"))


def test_b5_pods_without_efa_ask_for_none() -> None:
    made = resolved({"train": H100}, AWS, workloads={"t": {**WORK["workloads"]["t"]}}).deployment
    assert made is not None
    assert "hugepages" not in "".join(str(each.manifest) for each in platform_objects(made))

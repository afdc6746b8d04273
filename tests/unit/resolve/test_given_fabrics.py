"""The fabric on nodes that are given: as the nodes and environments.yaml say, and as it is up already."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.deploy.guards.running.pods import given_fabrics
from meshctl.model.deployment import Deployment, Fabric
from meshctl.model.observed import Facts, Requests
from meshctl.model.pods import pod_networks, pod_users
from meshctl.model.stack_state import STACK_TYPE, StackState
from meshctl.render.pod import pod_resources, pods
from tests.unit import states
from tests.unit.resolve.meshes import AWS, CW, DC, H100, gap, gpu_node, resolved

RDMA = {"f": {"kind": "rdma"}}
EFA = "vpc.amazonaws.com/efa"


def pod(accelerators: int = 8, replicas: int = 2) -> dict[str, Any]:
    resources = {"accelerators": accelerators}
    return {"kind": "inference", "pool": "p", "image": "i", "replicas": replicas, "resources": resources}


def made(
    fabric: dict[str, Any] | None, workload: dict[str, Any] | None = None, environment: Any = None, **node: Any
) -> Deployment:
    """Of two nodes with 8 GPUs each, which are not looked at where nothing is said of them."""
    facts = Facts(nodes=(gpu_node("g1", **node), gpu_node("g2", **node))) if node else None
    environment = {**(environment or DC), **({"fabric": fabric} if fabric is not None else {})}
    pools, workloads = {"p": {**H100, "fabric": "f"}}, {"w": workload or pod()}
    found = resolved(pools, environment, facts, fabrics=RDMA, workloads=workloads)
    assert found.deployment is not None, found.gaps
    return found.deployment


def offers(resource: str, count: int, **more: Any) -> dict[str, Any]:
    return {"rdma_resource": resource, "rdma_count": count, "rdma": {resource: count}, **more}


def fabric_of(deployment: Deployment) -> Fabric:
    fabric = deployment.pools[0].fabric
    assert fabric is not None
    return fabric


def pod_template(deployment: Deployment) -> dict[str, Any]:
    kinds = ("Deployment", "Job")
    items = [item for item in render.platform_objects(deployment) if item.subject.startswith("workload/")]
    (item,) = (item for item in items if item.kind in kinds)
    template: dict[str, Any] = item.manifest["spec"]["template"]
    return template


def limits(deployment: Deployment) -> dict[str, str]:
    return pod_resources.resources(deployment.workloads[0], deployment.pools[0])["limits"]


@pytest.mark.parametrize(
    ("resource", "on_node", "whole", "half"),
    [
        ("nvidia.com/hostdev", 1, "1", "1"),
        ("nvidia.com/hostdev", 8, "8", "4"),  # NicClusterPolicy, sriovDevicePlugin: one adapter each
        (EFA, 32, "32", "16"),
        ("openshift.io/mlnx", 16, "16", "8"),
        ("rdma/ib", 8, "8", "4"),  # SR-IOV under the shared plugin's prefix: Azure/aks-rdma-infiniband
        ("rdma/ib", 63, "1", "1"),  # rdmaHcaMax of the shared plugin
        ("rdma/hca_shared_devices_a", 1000, "1", "1"),
    ],
)
def test_pods_get_the_devices_that_the_nodes_count(resource: str, on_node: int, whole: str, half: str) -> None:
    node = offers(resource, on_node, huge_pages_mib=10256)
    assert limits(made(None, **node))[resource] == whole
    assert limits(made(None, pod(4, 2), **node))[resource] == half


def test_the_file_says_how_many_devices_a_whole_node_is() -> None:
    shared = offers("rdma/ib", 63)
    assert limits(made({"count": 8}, **shared))["rdma/ib"] == "8"
    assert limits(made({"count": 1}, **offers("nvidia.com/hostdev", 8)))["nvidia.com/hostdev"] == "1"
    assert limits(made({"count": 8}))["rdma/ib"] == "8"


def test_the_node_with_the_fewest_devices_decides() -> None:
    """Of those that have any: no pod can be on the others."""
    nodes = tuple(
        gpu_node(name, **offers(resource, count))
        for name, resource, count in (
            ("g1", "nvidia.com/hostdev", 8),
            ("g2", "nvidia.com/hostdev", 4),
            ("g3", "rdma/hca", 8),
        )
    )
    pools = {"p": {**H100, "nodes": 3, "fabric": "f"}}
    found = resolved(pools, {**DC, "fabric": {"resource": "nvidia.com/hostdev"}}, Facts(nodes=nodes), fabrics=RDMA)
    assert found.deployment is not None
    assert fabric_of(found.deployment).resource_count == 4


def test_the_resource_that_the_file_names_is_taken_where_the_nodes_have_it() -> None:
    both: dict[str, Any] = {"rdma_resource": "rdma/ib", "rdma_count": 8, "rdma": {"rdma/ib": 8, "rdma/shared_ib": 63}}
    assert fabric_of(made(None, **both)).resource == "rdma/ib"
    named = made({"resource": "rdma/shared_ib"}, **both)
    assert limits(named)["rdma/shared_ib"] == "1"
    assert given_fabrics.notes(named, up(named, resource="rdma/ib")) == (
        "pool p: its pods are replaced, as they ask for rdma/shared_ib and no longer rdma/ib",
    )


def test_without_a_name_the_first_resource_is_taken_as_ever() -> None:
    both: dict[str, Any] = {
        "rdma": {"openshift.io/mlnx": 8, "rdma/ib": 63},
        "rdma_resource": "openshift.io/mlnx",
        "rdma_count": 8,
    }
    assert fabric_of(made(None, **both)).resource == "openshift.io/mlnx"


def test_a_shared_device_that_is_a_guess_is_told() -> None:
    facts = Facts(nodes=(gpu_node("g1", **offers("rdma/ib", 63)), gpu_node("g2", **offers("rdma/ib", 63))))
    pools = {"p": {**H100, "fabric": "f"}}
    (told,) = (note for note in resolved(pools, DC, facts, fabrics=RDMA).notes if "rdma/ib" in note)
    assert told == (
        "pool p: its nodes offer 63 rdma/ib, more than they have GPUs, so they are taken for shares of the same"
        " adapters, of which a pod needs one; `fabric.count` says otherwise"
    )
    counted = {**DC, "fabric": {"count": 1}}
    assert not [note for note in resolved(pools, counted, facts, fabrics=RDMA).notes if "rdma/ib" in note]


def test_more_pods_than_a_node_has_devices_do_not_fit() -> None:
    node = offers("nvidia.com/hostdev", 4)
    facts = Facts(nodes=(gpu_node("g1", **node), gpu_node("g2", **node)))
    pools, workloads = {"p": {**H100, "fabric": "f"}}, {"w": pod(1, 16)}
    found = resolved(pools, DC, facts, fabrics=RDMA, workloads=workloads)
    assert gap(found, "workload/w").best == "8 fit on its 2 nodes (gpu-node-h100), limited by RDMA devices"
    assert resolved(pools, DC, fabrics=RDMA, workloads=workloads).deployment is not None  # offline nothing is known


# On an existing EKS cluster


def test_efa_on_a_given_cluster_is_what_the_aws_platform_renders() -> None:
    given = made({"kind": "efa"}, **offers(EFA, 32, huge_pages_mib=10256))
    own = made(None, environment=AWS)
    assert limits(given) == limits(own)
    assert limits(given)["hugepages-2Mi"] == "5120Mi"
    assert (fabric_of(given).kind, fabric_of(given).env) == ("efa", fabric_of(own).env)
    assert fabric_of(given).env["FI_PROVIDER"] == "efa"
    workload, pool = given.workloads[0], given.pools[0]
    assert not pod_users.locks_memory(workload, pool)
    assert pods.memory_volumes(workload, pool) == pods.memory_volumes(own.workloads[0], own.pools[0])


def test_offline_efa_is_taken_to_be_there() -> None:
    fabric = fabric_of(made({"kind": "efa"}))
    assert (fabric.kind, fabric.resource) == ("efa", EFA)


def test_nodes_that_offer_efa_have_efa() -> None:
    fabric = fabric_of(made(None, **offers(EFA, 32, huge_pages_mib=10256)))
    assert (fabric.kind, fabric.resource_count) == ("efa", 32)
    assert fabric_of(made({"kind": "infiniband"}, **offers(EFA, 32))).kind == "infiniband"


def test_nodes_without_huge_pages_are_asked_for_none() -> None:
    deployment = made({"kind": "efa"}, **offers(EFA, 4))
    assert "hugepages-2Mi" not in limits(deployment)
    assert [volume["name"] for volume in pods.memory_volumes(deployment.workloads[0], deployment.pools[0])] == ["0-shm"]


# RoCE


def test_roce_needs_the_networks_of_its_pods() -> None:
    found = resolved({"p": {**H100, "fabric": "f"}}, {**DC, "fabric": {"kind": "roce"}}, fabrics=RDMA)
    told = gap(found, "pool/p")
    assert told.wanted == "RDMA over RoCE"
    assert "fabric: {kind: roce, networks: [NAME]}" in told.hint
    assert "networks: []" in told.hint
    plain = {"f": {"kind": "ethernet"}}
    assert not resolved({"p": {**H100, "fabric": "f"}}, {**DC, "fabric": {"kind": "roce"}}, fabrics=plain).gaps


def test_pods_are_attached_to_the_networks_of_the_fabric() -> None:
    deployment = made({"kind": "roce", "networks": ["roce-p1", "net/roce-p2@net2"]})
    workload, pool = deployment.workloads[0], deployment.pools[0]
    assert pods.network_annotations(workload, pool) == {"k8s.v1.cni.cncf.io/networks": "roce-p1, net/roce-p2@net2"}
    assert pods.network_annotations(workload.model_copy(update={"accelerators": 0}), pool) == {}
    own = made({"kind": "roce", "networks": []})
    assert pods.network_annotations(own.workloads[0], own.pools[0]) == {}


@pytest.mark.parametrize("kind", ["inference", "training"])
def test_the_networks_are_an_annotation_of_the_pods(kind: str) -> None:
    run = {**pod(), "kind": kind, **({"nodes": 2} if kind == "training" else {})}
    if kind == "training":
        del run["replicas"]
    with_networks, without = (
        pod_template(made(fabric, run))["metadata"].get("annotations", {})
        for fabric in ({"kind": "roce", "networks": ["roce-p1", "roce-p2"]}, None)
    )
    assert with_networks == {**without, "k8s.v1.cni.cncf.io/networks": "roce-p1, roce-p2"}
    assert "k8s.v1.cni.cncf.io/networks" not in without


def test_efa_pods_of_a_given_cluster_run_as_those_of_the_aws_platform() -> None:
    given = pod_template(made({"kind": "efa"}, **offers(EFA, 32, huge_pages_mib=10256)))
    own = pod_template(made(None, environment=AWS))
    assert given["spec"]["securityContext"] == own["spec"]["securityContext"]
    assert given["spec"]["containers"][0]["securityContext"] == own["spec"]["containers"][0]["securityContext"]
    assert given["spec"]["securityContext"]["runAsUser"] == 1000
    settings = {entry["name"]: entry.get("value") for entry in given["spec"]["containers"][0]["env"]}
    assert settings["FI_PROVIDER"] == "efa"


def test_a_plan_calls_the_networks_as_the_file_does() -> None:
    annotations = f'spec.template.metadata.annotations["{pod_networks.ANNOTATION}"]'
    metadata = [{"annotations": {pod_networks.ANNOTATION: networks}} for networks in ("a", "a, b")]
    old, new = ({"spec": {"template": {"metadata": each}}} for each in metadata)
    step = Step("urn", "kubernetes:apps/v1:Deployment", "update", old, new, (PropertyChange(annotations),))
    assert [change.text() for change in fields(step)] == ["fabric.networks a -> a, b"]


# fabric.env


@pytest.mark.parametrize("environment", [AWS, CW, DC])
def test_settings_of_the_file_win_on_every_platform(environment: dict[str, Any]) -> None:
    settings = {"NCCL_BUFFSIZE": "8388608", "NCCL_SOCKET_IFNAME": "eth1"}
    fabric = fabric_of(made({"env": settings}, environment=environment))
    assert fabric.env == {**fabric_of(made(None, environment=environment)).env, **settings}


# What is up already


def up(deployment: Deployment, **fabric: Any) -> StackState:
    """The state of a deployment whose pool came up with another fabric."""
    (pool,) = deployment.pools
    before = fabric_of(deployment).model_copy(update=fabric)
    pools = (pool.model_copy(update={"fabric": before}),)
    document = deployment.model_copy(update={"pools": pools}).model_dump(mode="json")
    return states.state({"urn": "s", "type": STACK_TYPE, "outputs": {"deployment": document}})


def test_pods_that_are_up_keep_their_one_device_until_the_file_asks_for_more() -> None:
    node = offers("nvidia.com/hostdev", 8)
    now = made(None, **node)
    state = up(now, resource_count=1)
    assert limits(given_fabrics.with_running_fabrics(now, state))["nvidia.com/hostdev"] == "1"
    (told,) = given_fabrics.notes(now, state)
    assert "pods keep 1 of the 8 nvidia.com/hostdev of a node" in told
    assert "write `fabric: {count: 8}` into environments.e" in told
    asked = made({"count": 8}, **node)
    assert given_fabrics.with_running_fabrics(asked, state) is asked
    assert given_fabrics.notes(asked, state) == ()


def test_efa_that_is_up_as_infiniband_stays_so_until_the_file_says_efa() -> None:
    node = offers(EFA, 32, huge_pages_mib=10256)
    now = made({"env": {"NCCL_DEBUG": "INFO"}}, **node)
    state = up(now, kind="infiniband", resource_count=1, env={}, huge_pages_mib=None)
    kept = given_fabrics.with_running_fabrics(now, state)
    assert fabric_of(kept).env == {"NCCL_DEBUG": "INFO"}
    assert limits(kept) == {"nvidia.com/gpu": "8", EFA: "1"}
    assert pod_users.locks_memory(kept.workloads[0], kept.pools[0])
    assert "write `fabric: {kind: efa}`" in given_fabrics.notes(now, state)[0]
    asked = made({"kind": "efa"}, **node)
    assert given_fabrics.with_running_fabrics(asked, state) is asked


def test_what_is_new_has_all_devices() -> None:
    now = made(None, **offers("nvidia.com/hostdev", 8))
    assert given_fabrics.with_running_fabrics(now, states.NOTHING) is now
    assert given_fabrics.with_running_fabrics(now, up(now)) is now  # it came up with all of them
    other_nodes = up(now.model_copy(update={"pools": (now.pools[0].model_copy(update={"machine": "gpu-node-l4"}),)}))
    assert given_fabrics.with_running_fabrics(now, other_nodes) is now


def test_devices_that_others_have_are_missing() -> None:
    taken = Requests(rdma={"nvidia.com/hostdev": 5, "rdma/other": 8})
    facts = Facts(nodes=tuple(gpu_node(name, **offers("nvidia.com/hostdev", 8), taken=taken) for name in ("g1", "g2")))

    def answer(replicas: int) -> Any:
        workloads = {"w": pod(2, replicas)}  # two devices each
        return resolved({"p": {**H100, "fabric": "f"}}, DC, facts, fabrics=RDMA, workloads=workloads)

    assert answer(2).deployment is not None
    shortage = gap(answer(3), "workload/w")
    assert shortage.best.startswith("2 fit on its 2 nodes (gpu-node-h100), limited by RDMA devices")

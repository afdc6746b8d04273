"""Replicas of several nodes: which meshes may have them, where they fit, and what `check` says of them."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Resolution
from meshctl.model.files import references
from meshctl.model.pods import pod_groups, texts
from meshctl.resolve.placement.packing import Pods, placeable
from tests.unit.resolve.meshes import AWS, CW, DC, H100, gap, resolved


def llama(nodes: int, replicas: int, **more: Any) -> dict[str, Any]:
    fields = {"kind": "inference", "pool": "p", "image": "i", "resources": {"accelerators": 8}, "ports": {"http": 8080}}
    return {**fields, "health": {"path": "/health", "port": "http"}, "nodes": nodes, "replicas": replicas, **more}


def of_pool(pool_nodes: int, environment: Any = AWS, **workloads: Any) -> Resolution:
    pool = {**H100, "nodes": pool_nodes, "fabric": "backend"}
    fabrics = {"backend": {"kind": "rdma", "placement": "cluster"}}
    return resolved({"p": pool}, environment, fabrics=fabrics, workloads=workloads)


@pytest.mark.parametrize("environment", [AWS, CW, DC], ids=["aws", "coreweave", "onprem"])
def test_two_groups_of_two_whole_nodes_fit_on_four(environment: Any) -> None:
    resolution = of_pool(4, environment, llama=llama(2, 2))
    assert resolution.deployment is not None, resolution.gaps
    workload = resolution.deployment.workload("llama")
    assert (workload.replicas, workload.nodes_per_replica, workload.pods) == (2, 2, 4)
    assert workload.roll_out == ""


def test_on_three_nodes_they_do_not() -> None:
    found = gap(of_pool(3, llama=llama(2, 2)), "workload/llama")
    assert found.wanted == "2 groups of 2 pods, the pods of a group on a node each, on pool p"
    assert found.best.startswith("3 fit on its 3 nodes (p5.48xlarge)")


def test_two_pods_of_one_group_do_not_share_a_node_and_pods_of_two_groups_may() -> None:
    half = {"accelerators": 4}
    assert of_pool(2, llama=llama(2, 2, resources=half)).deployment is not None
    assert of_pool(1, llama=llama(2, 1, resources=half)).deployment is None


def test_groups_on_every_node_leave_what_they_do_not_take() -> None:
    pods = (Pods(4, (3,), most_on_node=2), Pods(2, (2,)))
    assert placeable(pods, (((8,), 2),)) == 6
    assert placeable((Pods(4, (3,), most_on_node=2), Pods(3, (2,))), (((8,), 2),)) == 6


def test_a_node_holds_one_pod_of_each_group() -> None:
    assert Pods(4, (1,), most_on_node=2).fit_on((8,)) == 2
    assert Pods(4, (1,), most_on_node=2).fit_on((1,)) == 1
    eighth = {"accelerators": 1}
    assert of_pool(2, llama=llama(3, 2, resources=eighth)).deployment is None
    assert of_pool(3, llama=llama(3, 2, resources=eighth)).deployment is not None


def test_a_replica_of_one_node_is_as_before() -> None:
    with_one = of_pool(2, llama=llama(1, 2)).deployment
    without = of_pool(2, llama={key: value for key, value in llama(1, 2).items() if key != "nodes"}).deployment
    assert with_one is not None
    assert with_one == without


def test_claims_count_pods() -> None:
    storage = {"cache": {"kind": "block", "size": "100GiB"}}
    pools = {"p": {**H100, "nodes": 4}}
    with_cache = {"llama": llama(2, 2, mounts={"cache": {"path": "/cache"}})}
    deployment = resolved(pools, AWS, storage=storage, workloads=with_cache).deployment
    single = {"llama": llama(1, 1, mounts={"cache": {"path": "/cache"}})}
    of_one = resolved(pools, AWS, storage=storage, workloads=single).deployment
    assert deployment is not None
    assert of_one is not None
    of_all, single_price = (each.blocks[0].price.usd_per_hour for each in (deployment, of_one))
    assert single_price is not None
    assert of_all == pytest.approx(4 * single_price, rel=0.01)


def test_check_says_what_the_cluster_can_not_do() -> None:
    notes = [note for note in of_pool(4, DC, llama=llama(2, 2)).notes if "llama" in note]
    assert any("the cluster has no controller for groups of pods" in note for note in notes)
    assert not any("without `health`" in note for note in notes)
    unasked = {key: value for key, value in llama(2, 2).items() if key != "health"}
    assert any("without `health` nobody notices" in note for note in of_pool(4, DC, llama=unasked).notes)
    assert not any("controller" in note for note in of_pool(4, DC, llama=llama(1, 4)).notes)


def test_a_single_group_is_down_in_a_roll_out() -> None:
    (note,) = (note for note in of_pool(2, llama=llama(2, 1)).notes if "roll-out" in note)
    assert "without a group" in note
    assert "`replicas: 2`" in note
    assert not any("roll-out" in note for note in of_pool(4, llama=llama(2, 2)).notes)


def problems(kind: str, **fields: Any) -> dict[str, str]:
    mesh = {"pools": {"p": {}}, "workloads": {"a": {"kind": kind, "pool": "p", "image": "i", **fields}}}
    return {".".join(map(str, path)): message for path, message in references.check_mesh(mesh)}


def test_who_can_have_nodes() -> None:
    assert problems("inference", nodes=2, replicas=2) == {}
    assert problems("service", nodes=2) == {}
    assert problems("training", nodes=2) == {}
    assert "write `kind: training`" in problems("batch", nodes=2)["workloads.a.nodes"]
    assert "only a training workload" in problems("inference", nodes=2, checkpoint={})["workloads.a.checkpoint"]


def test_a_group_and_a_workload_with_the_same_name_are_told() -> None:
    kept = {"kind": "service", "pool": "p", "image": "i", "mounts": {"rows": {"path": "/rows"}}}
    grouped = {"kind": "inference", "pool": "p", "image": "i", "nodes": 2, "replicas": 2}
    mesh = {
        "pools": {"p": {}},
        "storage": {"rows": {"kind": "block"}},
        "workloads": {"llama": grouped, "llama-1": kept},
    }
    messages = [message for _, message in references.check_mesh(mesh)]
    assert any('its StatefulSet would be called "llama-1"' in message for message in messages)


@pytest.mark.parametrize(("nodes", "is_known"), [(2, True), (1, False)])
def test_texts_may_name_the_variables_of_groups(nodes: int, *, is_known: bool) -> None:
    args = ["$(MESH_RANK) $(MESH_NODES) $(MESH_LEADER) $(MESH_HOSTS) $(MESH_REPLICA)"]
    mesh = {"workloads": {"a": {"kind": "inference", "nodes": nodes, "args": args}}}
    assert (not list(texts.check_mesh(mesh))) is is_known


@pytest.mark.parametrize("nodes", [True, "2", None, 2.0, [], {}])
def test_whatever_a_file_holds_is_no_group(nodes: object) -> None:
    assert not pod_groups.is_grouped({"kind": "inference", "nodes": nodes})


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ({"meshctl.dev/group": "1", "meshctl.dev/role": "leader", "apps.kubernetes.io/pod-index": "0"}, (1, 0)),
        ({"meshctl.dev/group": "1", "meshctl.dev/role": "worker", "apps.kubernetes.io/pod-index": "2"}, (1, 2)),
        (
            {"leaderworkerset.sigs.k8s.io/group-index": "3", "leaderworkerset.sigs.k8s.io/worker-index": "1"},
            (3, 1),
        ),
        ({"apps.kubernetes.io/pod-index": "2"}, (None, None)),
        ({"meshctl.dev/group": "x"}, (None, None)),
        ({"meshctl.dev/group": "0"}, (0, None)),
    ],
)
def test_labels_say_where_a_pod_belongs(labels: dict[str, str], place: tuple[int | None, int | None]) -> None:
    assert pod_groups.place_of(labels) == place

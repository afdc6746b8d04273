"""Which nodes a shift takes, what it disturbs, and between which pools it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.errors import UsageError
from meshctl.model.deployment import Fabric, NeuralMesh, Pool, WekaContainers
from meshctl.model.value import Price
from meshctl.shift.planning import equality, pods, room
from meshctl.shift.planning.choice import Disturbance, NodeLoad, PodLoad, choose, disturbances
from tests.unit.render import test_kai_queues
from tests.unit.resolve.lending_meshes import deployed as lending
from tests.unit.shift.world import declared

CHAT = PodLoad("mesh", "chat-1", "chat")
OTHER = PodLoad("team", "notebook")


def rank(number: int, workload: str = "pretrain") -> PodLoad:
    return PodLoad("mesh", f"{workload}-{number}", workload, stops_whole=True, grace_s=120)


def names(nodes: list[NodeLoad], count: int) -> list[str]:
    return [node.name for node in choose(nodes, count)]


def test_idle_nodes_come_first_then_the_cheapest_and_pods_of_others_last() -> None:
    nodes = [
        NodeLoad("a-other", pods=(OTHER,)),
        NodeLoad("b-gang", pods=(rank(0),)),
        NodeLoad("c-chat", pods=(CHAT,)),
        NodeLoad("d-idle"),
    ]
    assert names(nodes, 1) == ["d-idle"]
    assert names(nodes, 2) == ["c-chat", "d-idle"]
    assert names(nodes, 3) == ["b-gang", "c-chat", "d-idle"]


def test_pods_of_weka_stay_where_they_are() -> None:
    """The operator copies the labels of a WekaClient to them."""
    labels = {"app.kubernetes.io/managed-by": "meshctl"}
    metadata: dict[str, Any] = {"name": "chat-1", "namespace": "mesh", "labels": labels}
    chat: dict[str, Any] = {"metadata": metadata, "spec": {"nodeName": "n1"}}
    client = {**chat, "metadata": {**metadata, "ownerReferences": [{"kind": "WekaContainer", "name": "mesh-chat-n1"}]}}
    assert pods.to_move([client, chat], "mesh") == [chat]
    assert not pods.is_of_mesh(client, "mesh")
    assert pods.stays_with_its_node(client)


def test_a_second_node_of_a_stopped_gang_costs_less_than_a_second_gang() -> None:
    nodes = [
        NodeLoad("a", pods=(rank(0),)),
        NodeLoad("b", pods=(rank(0, "tune"),)),
        NodeLoad("c", pods=(rank(1),)),
        NodeLoad("d", pods=(rank(1, "tune"), CHAT)),
    ]
    assert names(nodes, 2) == ["a", "c"]


def test_domains_stay_whole_where_the_cost_is_the_same() -> None:
    nodes = [NodeLoad("a", ("rack-1",)), NodeLoad("b", ("rack-1",)), NodeLoad("c", ("rack-1",))]
    nodes += [NodeLoad("d", ("rack-2",)), NodeLoad("e", ("rack-2",))]
    assert names(nodes, 2) == ["d", "e"]
    assert names(nodes, 3) == ["a", "b", "c"]


def test_racks_and_switches_stay_whole() -> None:
    """Two nodes that leave both whole; three from the largest rack on, and then at the switch that is begun."""
    nodes = [NodeLoad("a", ("r1", "s1")), NodeLoad("b", ("r2", "s2")), NodeLoad("c", ("r2", "s2"))]
    nodes += [NodeLoad("d", ("r3", "s1")), NodeLoad("e", ("r4", "s2"))]
    assert names(nodes, 2) == ["a", "d"]
    assert names(nodes, 3) == ["b", "c", "e"]
    unlabelled = [NodeLoad("a", ("", "s1")), NodeLoad("b", ("", "s2")), NodeLoad("c", ("", "s2"))]
    assert names(unlabelled, 2) == ["b", "c"]
    assert names(unlabelled, 1) == ["a"]


@pytest.mark.parametrize(
    ("provider", "inner", "outer"),
    [
        ("aws", "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2"),
        ("coreweave", "node.coreweave.cloud/rack", "backend.coreweave.cloud/leafgroup"),
        ("onprem", "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-1"),
        ("kubernetes", "backend.coreweave.cloud/leafgroup", "backend.coreweave.cloud/superpod"),
    ],
)
def test_what_nodes_share_is_read_from_the_labels_of_their_platform(provider: str, inner: str, outer: str) -> None:
    keys = room.domain_labels(provider)
    assert keys[0] == "nvidia.com/gpu.clique"
    assert keys.index(inner) < keys.index(outer)
    node = {"metadata": {"name": "n1", "labels": {inner: "x", outer: "y"}}}
    domains = room.load(declared().model_copy(update={"provider": provider}), node, []).domains
    assert [each for each in domains if each] == ["x", "y"]
    assert ("topology.k8s.aws/network-node-layer-3" in keys) is (provider != "coreweave")


def test_an_idle_node_is_worth_more_than_a_whole_domain() -> None:
    nodes = [NodeLoad("a", ("rack-1",), (CHAT,)), NodeLoad("b", ("rack-2",)), NodeLoad("c", ("rack-2",))]
    assert names(nodes, 1) == ["b"]


@pytest.mark.parametrize("count", [-1, 0, 3])
def test_as_many_nodes_as_there_are(count: int) -> None:
    with pytest.raises(UsageError, match="can't shift") as caught:
        choose([NodeLoad("a"), NodeLoad("b")], count)
    assert caught.value.why == "2 nodes of the pool are ready and not cordoned"


def test_what_is_disturbed_and_for_how_long() -> None:
    nodes = [NodeLoad("a", pods=(rank(0), CHAT)), NodeLoad("b", pods=(rank(1), OTHER))]
    assert disturbances(nodes) == (
        Disturbance("mesh/chat", 1, stops_whole=False, grace_s=30),
        Disturbance("mesh/pretrain", 2, stops_whole=True, grace_s=120),
        Disturbance("team/notebook", 1, stops_whole=False, grace_s=30),
    )
    assert [str(each) for each in disturbances(nodes)][:2] == [
        "mesh/chat: 1 pod evicted, within 30 s",
        "mesh/pretrain: stops as a whole, within 120 s",
    ]


FABRIC = Fabric(
    name="ib", kind="infiniband", bandwidth_gbps=3200, placement="any", resource="rdma/ib", resource_count=8
)


def pool(name: str, **changes: Any) -> Pool:
    values: dict[str, Any] = {
        "name": name,
        "role": "training",
        "machine": "gpu-node-h100",
        "market": "on-demand",
        "nodes_min": 2,
        "nodes_max": 2,
        "nodes": 2,
        "gpu_model": "H100",
        "gpus_per_node": 8,
        "gpu_memory_gib": 80,
        "cpu_cores": 96,
        "memory_gib": 1024,
        "disk_gib": 500,
        "fabric": FABRIC,
        "price": Price(subject=f"pool/{name}", usd_per_hour=None, source="", date=""),
    }
    return Pool(**values | changes)


class TwoPools:
    environment = "dc"
    workloads: tuple[()] = ()
    neural_mesh: NeuralMesh | None = None

    def __init__(self, **changes: Any) -> None:
        self.pools: tuple[Pool, ...] = (pool("train"), pool("serve", **changes))


class WithStorage(TwoPools):
    """A WEKA cluster on the pool `on`, which the pools `clients` mount."""

    def __init__(self, on: str, *clients: str) -> None:
        super().__init__()
        self.pools = (*self.pools, pool("store"))
        self.neural_mesh = NeuralMesh(
            name="m",
            namespace="m",
            pool=on,
            nodes=9,
            least_nodes=8,
            client_pools=clients,
            image="weka:4.4.21",
            operator_version="v1.11.0",
            client=WekaContainers(containers=1, cores=1, hugepages_mib=1500, hugepages_offset_mib=328),
        )


def refusal(deployment: Any, taking: str = "serve") -> str:
    with pytest.raises(UsageError) as caught:
        equality.pools_of_shift(deployment, "train", taking)
    return f"{caught.value.what}: {caught.value.why}"


def test_equal_pools_may_differ_in_role_and_in_number() -> None:
    deployment: Any = TwoPools(role="inference", nodes=1, cpu_cores=48, disk_gib=0)
    giving, taking = equality.pools_of_shift(deployment, "train", "serve")
    assert (giving.name, taking.name) == ("train", "serve")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"gpu_model": "A100"}, "train has 8 x H100 80 GiB (nvidia.com/gpu) per node, serve has 8 x A100"),
        ({"gpus_per_node": 0}, "serve has no accelerators"),
        ({"arch": "arm64"}, "train has amd64 processors, serve has arm64"),
        ({"cpu_cores": 128}, "train has 96 cores per node, serve has 128"),
        ({"memory_gib": 2048}, "train has 1024 GiB of memory per node, serve has 2048"),
        ({"scratch_gb": 30400.0}, "train has 0 GB of local NVMe per node, serve has 30400"),
        ({"disk_gib": 28312.0}, "train has 500 GiB of disk per node, serve has 28312"),
        ({"fabric": None}, "train has infiniband at 3200 Gbit/s, 8 x rdma/ib, serve has no fabric"),
    ],
)
def test_unequal_pools_are_refused_with_the_difference(changes: dict[str, Any], difference: str) -> None:
    assert difference in refusal(TwoPools(**changes))


def test_pools_that_are_none_or_the_same_are_refused() -> None:
    assert "dc has no pool tools" in refusal(TwoPools(), "tools")
    assert "a shift needs two different pools" in refusal(TwoPools(), "train")


def test_nodes_with_drives_of_storage_are_not_given_away() -> None:
    assert refusal(WithStorage("train", "serve")) == (
        "nodes of pool train carry the drives of the mesh's file systems, and can't be given away: the WEKA cluster has"
        " 9 of them and needs at least 8: with fewer it loses data or stands still, and data is not moved off a node"
        " first"
    )
    assert "takes no nodes of another pool" in refusal(WithStorage("serve", "train"))


def test_nodes_without_a_client_do_not_go_where_pods_mount() -> None:
    assert "no WEKA client runs on them" in refusal(WithStorage("store", "serve"))
    for clients in (("train", "serve"), ("train",), ()):
        deployment: Any = WithStorage("store", *clients)
        assert [each.name for each in equality.pools_of_shift(deployment, "train", "serve")] == ["train", "serve"]


@pytest.mark.parametrize(("giving", "taking"), [("serve", "train"), ("train", "serve")])
def test_pools_of_which_kueue_counts_the_nodes_are_refused(giving: str, taking: str) -> None:
    with pytest.raises(UsageError) as caught:
        equality.pools_of_shift(lending(), giving, taking)
    assert "lends nodes or borrows them" in caught.value.what
    assert "remove `lend`" in caught.value.hint


def test_pools_of_which_kai_scheduler_counts_the_nodes_are_refused_too() -> None:
    with pytest.raises(UsageError) as caught:
        equality.pools_of_shift(test_kai_queues.deployed(), "serve", "train")
    assert "lends nodes or borrows them" in caught.value.what
    assert str(caught.value.why).startswith("KAI Scheduler counts the accelerators of its pool by a fixed quota")

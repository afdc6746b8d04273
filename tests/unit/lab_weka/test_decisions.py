"""What the lab's operator decides by itself: drives, pods, versions of the chart, durations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.lab.controllers import huge_pages
from meshctl.lab.controllers.nodes import nvme
from meshctl.lab.controllers.onprem import CPU_NODES, GPU_NODES
from meshctl.lab.weka.kinds import chart
from meshctl.lab.weka.kinds.definitions import all_definitions
from meshctl.lab.weka.operator import containers, drives, status
from tests.unit.lab_weka.kubernetes_in_memory import node, weka_client, weka_cluster


def owned(item: dict[str, Any]) -> dict[str, Any]:
    item["metadata"]["uid"] = "u-1"
    return item


def test_pods_have_the_labels_of_their_cluster_or_client() -> None:
    labels = {"app.kubernetes.io/managed-by": "meshctl"}
    cluster, client = owned(weka_cluster()), owned(weka_client())
    for each in (cluster, client):
        each["metadata"]["labels"] = labels
    for container in (containers.of_cluster(cluster)[0], containers.of_client(client, [node("n0")])[0]):
        for made in (containers.manifest(container), containers.pod(container, "u-2")):
            assert labels.items() < made["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("payload", "provider", "count"),
    [
        ({"type": "all-not-root"}, "onprem", 4),
        ({"type": "aws-all"}, "eks", 4),
        ({"type": "aws-all"}, "coreweave", 0),
        ({"type": "gcp-all"}, "eks", 0),
        ({"type": "device-identifiers", "pciDevices": {"vendorId": "1D0F", "deviceId": "cd01"}}, "eks", 4),
        ({"type": "device-identifiers", "pciDevices": {"vendorId": "144d", "deviceId": "a80a"}}, "eks", 0),
        ({"type": "device-paths", "devicePaths": ["/dev/nvme1n1", "/dev/nvme4n1"]}, "onprem", 2),
        ({"type": "device-paths", "devicePaths": ["/dev/nvme1n1"]}, "eks", 1),
    ],
)
def test_which_drives_a_payload_signs(payload: dict[str, Any], provider: str, count: int) -> None:
    assert len(drives.to_sign(node("n0"), payload, provider)) == count


@pytest.mark.parametrize(
    "payload", [{"type": "device-paths", "devicePaths": ["/dev/nvme0n1"]}, {"type": "device-identifiers"}]
)
def test_devices_that_are_not_there_are_an_error(payload: dict[str, Any]) -> None:
    """The first NVMe device is what the machine starts from."""
    with pytest.raises(drives.PolicyError):
        drives.to_sign(node("n0"), payload, "eks")


def test_serial_numbers_are_those_of_a_node() -> None:
    one, other = (drives.of_node(node(name)) for name in ("n0", "n1"))
    assert len({drive.serial for drive in (*one, *other)}) == 8
    assert one == drives.of_node(node("n0"))
    assert drives.of_node(node("n0", nvme="")) == ()


def test_drives_are_added_and_never_taken_away() -> None:
    each = node("n0")
    each["metadata"]["annotations"][drives.SIGNED] = json.dumps(["OLD"])
    metadata = drives.metadata_after(each, ["OLD", "NEW"])
    assert metadata is not None
    assert json.loads(metadata["annotations"][drives.SIGNED]) == ["OLD", "NEW"]
    assert drives.metadata_after(each, ["OLD"]) is None


def test_nodes_of_the_lab_have_drives() -> None:
    assert nvme(GPU_NODES.machine) == {drives.HARDWARE: "8x3840"}
    assert nvme(CPU_NODES.machine) == {drives.HARDWARE: "1x2000"}


def test_the_vendors_example_of_huge_pages() -> None:
    """i3en.12xlarge of weka/weka-eks: 2 drive cores with 4 drives, 3 compute cores, 1 of a client, by DPDK: 16,284 MiB
    with the compute pages that the example sets."""
    template = {"driveCores": 2, "numDrives": 4, "computeCores": 3, "driveContainers": 6, "computeContainers": 6}
    cluster = owned(weka_cluster(dynamicTemplate=template, network={}))
    *_, drive = containers.of_cluster(cluster)
    assert drive.hugepages_mib + drive.hugepages_offset_mib == 4656
    (client,) = containers.of_client(owned(weka_client(network={})), [node("n0")])
    assert client.hugepages_mib + client.hugepages_offset_mib == 1828


def test_what_a_cluster_says_of_huge_pages_holds() -> None:
    template = {"computeHugepages": 9408, "computeHugepagesOffset": 392, "computeCores": 3}
    first = containers.of_cluster(owned(weka_cluster(dynamicTemplate=template)))[0]
    assert containers.requests(first)["hugepages-2Mi"] == "9800Mi"


def test_a_pod_asks_for_drives_and_interfaces() -> None:
    dpdk = containers.of_cluster(owned(weka_cluster(network={})))[-1]
    asked = containers.requests(dpdk)
    assert (asked[drives.RESOURCE], asked[containers.INTERFACES], asked["cpu"]) == ("4", "2", "2")
    udp = containers.of_cluster(owned(weka_cluster()))[-1]
    chosen = containers.of_cluster(owned(weka_cluster(network={"ethDevices": ["eth1", "eth2"]})))[-1]
    assert all(containers.INTERFACES not in containers.requests(each) for each in (udp, chosen))
    threads = containers.of_cluster(owned(weka_cluster(cpuPolicy="dedicated_ht")))[-1]
    assert containers.requests(threads)["cpu"] == "5"


def test_a_pod_needs_a_namespace_that_lets_it() -> None:
    made = containers.pod(containers.of_cluster(owned(weka_cluster()))[0], "u-2")
    assert made["spec"]["hostNetwork"] is True
    assert made["spec"]["containers"][0]["securityContext"] == {"privileged": True}
    assert made["metadata"]["ownerReferences"][0]["kind"] == "WekaContainer"


def test_net_capacity_of_the_vendors_example() -> None:
    """Ten servers with 1 TB, one hot spare, 6+2: 6.075 TB (docs.weka.io, SSD capacity management)."""
    template = {"driveContainers": 10, "numDrives": 1}
    spec = {"dynamicTemplate": template, "hotSpare": 1, "stripeWidth": 6, "redundancyLevel": 2}
    assert status.net_bytes(spec, 10_000) == pytest.approx(6.075e12)


@pytest.mark.parametrize(
    ("count", "spec", "stripe"),
    [
        (6, {}, (3, 2, 0)),
        (5, {}, (3, 2, 0)),
        (10, {"hotSpare": 1}, (7, 2, 1)),
        (30, {"redundancyLevel": 4}, (16, 4, 0)),
    ],
)
def test_the_stripe_is_chosen_when_a_cluster_forms(count: int, spec: dict[str, Any], stripe: tuple[int, ...]) -> None:
    assert status.stripe({"dynamicTemplate": {"driveContainers": count}, **spec}) == stripe


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("24h", 86400), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5)]
)
def test_durations_of_go(text: str, seconds: float) -> None:
    assert status.duration_s(text) == seconds


@pytest.mark.parametrize(
    ("version", "exists"),
    [("v1.11.0", True), ("v1.5.0", True), ("1.11.0", False), ("v1.99.0", False), ("v2.0.0", False), ("latest", False)],
)
def test_versions_of_the_chart(version: str, exists: bool) -> None:
    assert chart.exists(version) is exists


def test_the_chart_says_whether_it_brings_the_csi_driver() -> None:
    for wanted in (True, False):
        release = chart.Release("weka-operator-system", "v1.11.0", {"csi": {"installationEnabled": wanted}})
        (manager,) = [each for each in chart.objects(release) if each["kind"] == "Deployment"]
        assert chart.has_csi(manager) is wanted
        assert manager["spec"]["template"]["spec"]["containers"][0]["image"] == f"{chart.IMAGE}:v1.11.0"


def test_every_object_of_the_chart_has_its_place_in_the_api() -> None:
    for item in chart.objects(chart.Release("ns", "v1.11.0")):
        path = chart.collection_of(item)
        assert path.startswith(("/api/", "/apis/"))
        assert ("/namespaces/ns/" in path) == ("namespace" in item["metadata"])


def test_there_is_a_definition_of_each_kind() -> None:
    kinds = {each["spec"]["names"]["kind"]: each for each in all_definitions()}
    assert set(kinds) == {"WekaCluster", "WekaClient", "WekaContainer", "WekaPolicy", "WekaManualOperation"}
    for each in kinds.values():
        (version,) = each["spec"]["versions"]
        assert (each["spec"]["scope"], version["subresources"]) == ("Namespaced", {"status": {}})


def test_huge_pages_are_taken_from_memory() -> None:
    each = {"status": {"capacity": {"hugepages-2Mi": "0"}, "allocatable": {"memory": "1024Mi", "hugepages-2Mi": "0"}}}
    changed = huge_pages.status_after(each, 256)
    assert changed == {
        "capacity": {"hugepages-2Mi": "256Mi"},
        "allocatable": {"hugepages-2Mi": "256Mi", "memory": "768Mi"},
    }
    assert huge_pages.status_after({"status": {"capacity": {"hugepages-2Mi": "256Mi"}}}, 256) is None


@pytest.mark.parametrize(
    ("quantity", "mib"), [("2Gi", 2048), ("1048576Ki", 1024), ("5Mi", 5), ("0", 0), ("1Ti", 2**20)]
)
def test_quantities_of_memory(quantity: str, mib: int) -> None:
    assert huge_pages.mib(quantity) == mib

"""The vendor's formulas for WEKA, by the examples that the vendor has published, and what they can't give."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from meshctl.catalog import load_catalog
from meshctl.model.files.units import gib_of_gb
from meshctl.resolve.data import neural_mesh_sizing as sizing
from meshctl.resolve.data.neural_mesh_shortages import Shortage
from meshctl.resolve.data.neural_mesh_sizing import FormedSizes, Hardware, Layout, Sizing, Wish

# as weka-eks has them: 8 interfaces, one of which is the node's and one that of its pods
I3EN = Hardware(
    "i3en.12xlarge", cpu_cores=48, memory_gib=384, drives=4, drive_gb=7500, threads_per_core=2, interfaces=6
)
P5 = Hardware("p5.48xlarge", 192, 2048, drives=8, drive_gb=3800, threads_per_core=2, interfaces=31, network_gbps=3200)


def sized(machine: Hardware, wish: Wish, formed: FormedSizes | None = None) -> Sizing:
    result = sizing.size(machine, wish, formed)
    assert isinstance(result, Sizing), result
    return result


def shortage(machine: Hardware, wish: Wish, formed: FormedSizes | None = None) -> Shortage:
    result = sizing.size(machine, wish, formed)
    assert isinstance(result, Shortage)
    return result


def formed(up: Sizing) -> FormedSizes:
    return FormedSizes(up.layout, up.drives, up.compute, up.client, up.share, has_client=up.client.containers > 0)


def test_the_published_example_of_six_interfaces() -> None:
    result = sized(I3EN, Wish(nodes=6, capacity_gib=1024))
    assert (result.drives.cores, result.compute.cores, result.client.cores) == (2, 3, 1)
    assert result.share.network_interfaces == 6
    kinds = (result.drives, result.compute, result.client)
    assert [sizing.requested_mib(each, dpdk=True) for each in kinds] == [4656, 9800, 1828]
    assert [each.hugepages_offset_mib for each in kinds] == [928, 392, 264]
    assert result.share.hugepages_mib == 16_284
    assert result.share.set_aside_mib == 2 * 10_240
    assert result.compute.hugepages_mib == 9216  # `computeHugepages` of the example
    assert (result.drives.drives, result.drives.containers) == (4, 6)


def test_the_published_net_capacity() -> None:
    assert sizing.net_capacity(10, 10, Layout(6, 2, 1)) == pytest.approx(6.075)


@pytest.mark.parametrize(("width", "parity", "nodes"), [(5, 2, 4), (16, 2, 9)])
def test_the_published_numbers_of_healthy_nodes(width: int, parity: int, nodes: int) -> None:
    assert sizing.healthy_nodes(width, parity) == nodes


def test_the_published_memory_of_a_node() -> None:
    assert sizing.planned_memory_gb(drive=2, compute=3, client=1) == pytest.approx(20.7)
    assert sizing.planned_memory_gb(drive=2, compute=2, client=1) == pytest.approx(16.8)


def test_what_a_node_gives_is_never_less_than_the_vendor_plans() -> None:
    for machine in (I3EN, P5, replace(I3EN, drives=2, interfaces=None)):
        result = sized(machine, Wish(nodes=6, capacity_gib=1024))
        planned = sizing.planned_memory_gb(
            drive=result.drives.cores, compute=result.compute.cores, client=result.client.cores
        )
        assert result.share.memory_gib + result.share.hugepages_mib / 1024 >= gib_of_gb(planned)


def test_the_published_throughput() -> None:
    assert sizing.expected_mbps("i3en.12xlarge", 8, 7) == (38_869, 12_455)
    assert sizing.expected_mbps("i3en.12xlarge", 16, 7) == (77_738, 24_910)
    assert sizing.expected_mbps("i3en.12xlarge", 8, 14) == (38_869, 12_455)  # more cores than were measured with
    assert sizing.expected_mbps("i3en.12xlarge", 8, 6)[0] == round(38_869 * 6 / 7)
    assert sizing.expected_mbps("p5.48xlarge", 8, 13) == (0, 0)


def test_udp_is_slower_than_what_was_measured() -> None:
    result = sized(replace(I3EN, interfaces=None), Wish(nodes=8, capacity_gib=1024, dpdk=False))
    assert (result.read_mbps, result.share.network_interfaces) == (0, 0)
    assert sizing.requested_mib(result.client, dpdk=False) == 1700


@pytest.mark.parametrize(
    ("drives", "cores"), [(1, (1, 2, 1)), (4, (4, 8, 1)), (6, (6, 12, 1)), (8, (4, 8, 1)), (7, (4, 8, 1))]
)
def test_cores_by_drives(drives: int, cores: tuple[int, int, int]) -> None:
    result = sized(replace(P5, drives=drives), Wish(nodes=6, capacity_gib=1024))
    assert (result.drives.cores, result.compute.cores, result.client.cores) == cores


def test_threads_are_what_kubernetes_counts() -> None:
    """2 * (2 + 3 + 1) cores and one more thread for each of three containers; without hyper-threading 6 + 3."""
    assert sized(I3EN, Wish(nodes=6, capacity_gib=1)).share.cpu_cores == 15
    assert sized(replace(I3EN, threads_per_core=1), Wish(nodes=6, capacity_gib=1)).share.cpu_cores == 9


def test_what_is_left_for_pods() -> None:
    result = sized(I3EN, Wish(nodes=6, capacity_gib=1024))
    assert result.left_cpu == 48 - 15
    assert result.left_memory_gib == pytest.approx(384 - result.share.memory_gib - 20)


def test_a_node_that_mounts_nothing_has_no_client() -> None:
    result = sized(I3EN, Wish(nodes=6, capacity_gib=1024, has_clients=False))
    assert result.client.containers == 0
    assert result.share.hugepages_mib == 4656 + sizing.requested_mib(result.compute, dpdk=True)


@pytest.mark.parametrize(
    ("nodes", "protection", "layout", "least"),
    [
        (5, 2, Layout(3, 2, 0), 5),
        (6, 2, Layout(3, 2, 1), 6),
        (8, 2, Layout(5, 2, 1), 8),
        (30, 2, Layout(16, 2, 1), 19),
        (7, 4, Layout(3, 4, 0), 7),
        (30, 4, Layout(16, 4, 1), 21),
    ],
)
def test_layouts(nodes: int, protection: Literal[2, 4], layout: Layout, least: int) -> None:
    assert sizing.layout_for(nodes, protection) == layout
    assert layout.least_nodes == least


@pytest.mark.parametrize(("nodes", "protection", "least"), [(4, 2, "at least 5"), (6, 4, "at least 7")])
def test_too_few_nodes(nodes: int, protection: Literal[2, 4], least: str) -> None:
    result = shortage(I3EN, Wish(nodes=nodes, capacity_gib=1, protection=protection))
    assert result.best.startswith(least)
    assert least in result.hint


def test_a_layout_that_is_formed_stays() -> None:
    up = formed(sized(I3EN, Wish(nodes=8, capacity_gib=1)))
    assert sized(I3EN, Wish(nodes=12, capacity_gib=1), up).layout == Layout(5, 2, 1)
    result = shortage(I3EN, Wish(nodes=7, capacity_gib=1), up)
    assert result.best == (
        "at least 8: it was formed with 5 of data + 2 of parity + 1 hot spare, which is fixed, and with fewer it loses"
        " data"
    )


def test_containers_of_a_cluster_that_is_up_stay_whatever_the_formulas_say_now() -> None:
    up = sized(replace(I3EN, interfaces=4), Wish(nodes=6, capacity_gib=1))
    grown = sized(I3EN, Wish(nodes=7, capacity_gib=1), formed(up))
    assert (grown.drives, grown.compute, grown.client) == tuple(
        each.model_copy(update={"containers": 7}) for each in (up.drives, up.compute, up.client)
    )
    assert grown.share == up.share


def test_a_client_that_comes_later_does_with_what_is_left() -> None:
    """Nodes are not set up anew for it, so that the pages that they set aside must be enough."""
    roomy = replace(I3EN, cpu_cores=96, interfaces=None)
    up = sized(roomy, Wish(nodes=6, capacity_gib=1, has_clients=False))
    later = sized(roomy, Wish(nodes=6, capacity_gib=1), formed(up))
    assert later.share.set_aside_mib == up.share.set_aside_mib
    assert later.share.hugepages_mib == up.share.hugepages_mib + sizing.requested_mib(later.client, dpdk=True)
    assert later.share.cpu_cores > up.share.cpu_cores
    assert (later.client.containers, later.client.cores) == (6, 1)
    alone = sized(I3EN, Wish(nodes=6, capacity_gib=1, has_clients=False))
    result = shortage(I3EN, Wish(nodes=6, capacity_gib=1), formed(alone))
    assert result.best == (
        "i3en.12xlarge has no core, network interface or huge pages left for it: what is up has 2 for drives + 4 for"
        " compute, and a node that is made anew has empty drives"
    )


def test_a_client_that_goes_leaves_its_part() -> None:
    up = sized(I3EN, Wish(nodes=6, capacity_gib=1))
    without = sized(I3EN, Wish(nodes=6, capacity_gib=1, has_clients=False), formed(up))
    assert (without.share, without.compute, without.client.containers) == (up.share, up.compute, 0)
    again = sized(I3EN, Wish(nodes=6, capacity_gib=1), formed(without))
    assert again.share == up.share


def test_no_drives() -> None:
    assert "m7i.8xlarge has none" in shortage(Hardware("m7i.8xlarge", 32, 128, 0, 0), Wish(6, 1)).best


def test_too_few_interfaces() -> None:
    result = shortage(replace(I3EN, interfaces=2), Wish(nodes=6, capacity_gib=1))
    assert (result.wanted, result.best) == (
        "a network interface for each of 3 WEKA cores of a node",
        "i3en.12xlarge has 2 left for them, beside those of the node, its pods and its fabric",
    )
    assert isinstance(sizing.size(replace(I3EN, interfaces=2), Wish(6, 1, has_clients=False)), Sizing)


def test_too_few_cores_and_too_little_memory() -> None:
    assert shortage(replace(I3EN, cpu_cores=8, threads_per_core=2), Wish(6, 1)).best == "i3en.12xlarge has 8"
    assert "20,480 MiB of huge pages" in shortage(replace(I3EN, memory_gib=32), Wish(6, 1)).wanted


def test_too_little_capacity_with_its_arithmetic() -> None:
    result = shortage(I3EN, Wish(nodes=6, capacity_gib=100 * 1024))
    assert result.wanted == "109,951 GB on drives"
    assert result.best == "81,000 GB = 6 x 4 x 7500 GB x 5/6 (hot spare) x 3/5 (parity) x 0.9"


def test_too_slow_by_the_network_and_by_what_was_measured() -> None:
    by_network = shortage(replace(P5, network_gbps=50), Wish(nodes=6, capacity_gib=1, throughput_mbps=40_000))
    assert by_network.best == "37.5 GB/s = 6 x 50 Gbit/s of p5.48xlarge"
    measured = shortage(I3EN, Wish(nodes=8, capacity_gib=1, throughput_mbps=36_000))
    assert measured.wanted == "36 GB/s of all NeuralMesh file systems together"
    assert measured.best == (
        "33.3 GB/s of reads of 8 x i3en.12xlarge, by what was measured on such nodes, with 6 WEKA cores on each"
        " (2 for drives + 3 for compute + 1 for the client)"
    )
    assert sized(P5, Wish(nodes=8, capacity_gib=1, throughput_mbps=36_000)).read_mbps == 0


def test_the_catalog_has_what_the_examples_are_about() -> None:
    machine = load_catalog().machine("aws", "i3en.12xlarge")
    assert machine is not None
    assert (machine.drives, machine.interfaces, machine.threads_per_core, machine.scratch_gb) == (4, 8, 2, 30_000)

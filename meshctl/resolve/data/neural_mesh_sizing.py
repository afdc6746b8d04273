"""How much of each node a NeuralMesh takes, and what it gives for that: the vendor's formulas. PURE.

Called by `neural_mesh`. What can't be had comes back as a `Shortage`, with the arithmetic in words. Every number that
the vendor has published an example for is a test of `tests/unit/resolve/test_neural_mesh_sizing.py`.

Sources, by the tags of the docstrings:
  weks  github.com/weka/weka-eks, weka-axon/README.md at ca43a192 (2026-04-27)
  wop   github.com/weka/weka-operator at 8abf0812 (2026-02-12): the allocator, controllers/resources/pod.go
  wdoc  github.com/weka/docs-weka-io, branch 4.4 at 9c5d09e1 (2024-10-24)
  wcdm  docs.weka.io, "Deploy dedicated WEKA on Kubernetes using the CDM" (read 2026-11-29)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from meshctl.catalog import measured
from meshctl.model.files.units import gib_of_gb
from meshctl.model.neural_mesh import NodeShare, WekaContainers
from meshctl.resolve.data import neural_mesh_shortages as shortages
from meshctl.resolve.data.neural_mesh_shortages import LEAST_NODES, STRIPE_WIDTHS, USED_BY_DATA, Shortage

_DRIVES_WITH_A_CORE_EACH: Final = 6
_DPDK_MIB: Final = 64  # huge pages of each core, once for itself and once in the offset (weks)
_PAGE_MIB: Final = 2
_PAGES_TO_SPARE: Final = 1.25
_PAGES_STEP: Final = 1024
_MIB: Final = 1024
_DISK_GIB_OF_A_CONTAINER: Final = 20
_DISK_GIB_OF_A_CORE: Final = 10


@dataclass(frozen=True, slots=True)
class Hardware:
    """One node. 0 = not known. `cpu_cores` as Kubernetes counts them, `threads_per_core` of which are one core.
    `interfaces`: how many WEKA may have of its own; None where any number of cores share a device, and in UDP mode."""

    name: str
    cpu_cores: int
    memory_gib: float
    drives: int
    drive_gb: float
    threads_per_core: int = 1
    interfaces: int | None = None
    network_gbps: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the file systems of a mesh ask for together. `capacity_gib`: on drives. `has_clients`: whether pods on the
    storage nodes mount them. `dpdk`: whether WEKA drives the network by itself; else by UDP."""

    nodes: int
    capacity_gib: float
    throughput_mbps: float = 0
    protection: Literal[2, 4] = 2
    has_clients: bool = True
    dpdk: bool = True


@dataclass(frozen=True, slots=True)
class Cores:
    """Of the containers on one node."""

    drive: int
    compute: int
    client: int

    @property
    def total(self) -> int:
        return self.drive + self.compute + self.client

    def __str__(self) -> str:
        parts = ((self.drive, "drives"), (self.compute, "compute"), (self.client, "the client"))
        return " + ".join(f"{count} for {what}" for count, what in parts if count)


@dataclass(frozen=True, slots=True)
class Layout:
    """How data is spread: `stripe_width` D blocks of data and `protection` P of parity, on nodes of which `hot_spare`
    are kept as a reserve. It is fixed when the cluster is formed."""

    stripe_width: int
    protection: Literal[2, 4]
    hot_spare: int

    @property
    def least_nodes(self) -> int:
        """With fewer the cluster loses data or stands still: max(5, ceil((D + P) / P), D + P + hot spare) (wdoc)."""
        return max(LEAST_NODES, healthy_nodes(self.stripe_width, self.protection), self._full_nodes)

    @property
    def _full_nodes(self) -> int:
        return self.stripe_width + self.protection + self.hot_spare


@dataclass(frozen=True, slots=True)
class FormedSizes:
    """Of a cluster that is up: its layout, which can't change, and its containers and what they take of a node, for
    which nodes with data on their drives were set up. `has_client`: whether pods on these nodes mount it."""

    layout: Layout
    drives: WekaContainers
    compute: WekaContainers
    client: WekaContainers
    share: NodeShare
    has_client: bool

    def cores(self, wish: Wish) -> Cores:
        return Cores(self.drives.cores, self.compute.cores, self.client.cores if wish.has_clients else 0)


@dataclass(frozen=True, slots=True)
class Sizing:
    """`read_mbps`, `write_mbps`: expected of the whole cluster; 0 = no expectation known. `left_cpu`,
    `left_memory_gib`: for pods on each node, 0 = not known."""

    layout: Layout
    drives: WekaContainers
    compute: WekaContainers
    client: WekaContainers
    share: NodeShare
    net_capacity_gib: float
    read_mbps: float
    write_mbps: float
    left_cpu: float
    left_memory_gib: float


def size(machine: Hardware, wish: Wish, formed: FormedSizes | None = None) -> Sizing | Shortage:
    """What carries the wish on such nodes, or what is too little. `formed`: of a cluster that is up."""
    layout = formed.layout if formed is not None else layout_for(wish.nodes, wish.protection)
    if isinstance(layout, Shortage):
        return layout
    if wish.nodes < layout.least_nodes:
        return shortages.too_few_to_keep(wish.nodes, layout)
    if not machine.drives:
        return shortages.without_drives(machine)
    cores = formed.cores(wish) if formed is not None else cores_for(machine, has_client=wish.has_clients)
    if isinstance(cores, Shortage):
        return cores
    drives, compute, client = _containers(machine, wish, cores, formed)
    share = _share(machine, wish, formed, (client if wish.has_clients else None, drives, compute))
    if isinstance(share, Shortage):
        return share
    net_gib = net_capacity(wish.nodes * machine.drives * gib_of_gb(machine.drive_gb), wish.nodes, layout)
    read, write = expected_mbps(machine.name, wish.nodes, cores.total) if wish.dpdk else (0.0, 0.0)
    shortage = (
        shortages.too_little_memory(machine, share)
        or shortages.too_little_capacity(machine, wish, layout, net_gib)
        or shortages.too_slow(machine, wish, cores, read)
    )
    if shortage is not None:
        return shortage
    return Sizing(
        layout=layout,
        drives=drives,
        compute=compute,
        client=client,
        share=share,
        net_capacity_gib=net_gib,
        read_mbps=read,
        write_mbps=write,
        left_cpu=max(machine.cpu_cores - share.cpu_cores, 0),
        left_memory_gib=max(machine.memory_gib - share.memory_gib - share.set_aside_mib / _MIB, 0),
    )


def _containers(
    machine: Hardware, wish: Wish, cores: Cores, formed: FormedSizes | None
) -> tuple[WekaContainers, WekaContainers, WekaContainers]:
    """Of drives, of compute and of clients. More nodes have more of them, each as those that are up."""
    mounting = wish.nodes if wish.has_clients else 0
    if formed is None:
        return (
            drive_containers(wish.nodes, cores.drive, machine.drives, dpdk=wish.dpdk),
            compute_containers(wish.nodes, cores.compute, dpdk=wish.dpdk),
            client_containers(mounting, dpdk=wish.dpdk),
        )
    counts = ((formed.drives, wish.nodes), (formed.compute, wish.nodes), (formed.client, mounting))
    drives, compute, client = (each.model_copy(update={"containers": count}) for each, count in counts)
    return drives, compute, client


def _share(
    machine: Hardware, wish: Wish, formed: FormedSizes | None, containers: tuple[WekaContainers | None, ...]
) -> NodeShare | Shortage:
    """What containers take of a node; of a cluster that is up, what nodes were set up for. A client that comes later
    must do with what that leaves: nodes that are made anew for it would have empty drives. One that is no longer needed
    leaves its part unused."""
    if formed is not None and (formed.has_client or not wish.has_clients):
        return formed.share
    needed = share_of(
        *containers,
        threads_per_core=machine.threads_per_core,
        dpdk=wish.dpdk,
        interface_for_each_core=machine.interfaces is not None,
    )
    if formed is None:
        return needed
    most_cores = min(_most_by_interfaces(machine), _most_by_cpu(machine, containers=3))
    if formed.cores(wish).total > most_cores or needed.hugepages_mib > formed.share.set_aside_mib:
        return shortages.without_room_for_client(machine, Cores(formed.drives.cores, formed.compute.cores, 0))
    as_up = {"set_aside_mib": formed.share.set_aside_mib, "disk_gib": formed.share.disk_gib}
    return needed.model_copy(update=as_up)


def healthy_nodes(stripe_width: int, protection: int) -> int:
    """How many nodes must be healthy for data to be there: ceil((D + P) / P) (wdoc: 5+2 -> 4, 16+2 -> 9)."""
    return math.ceil((stripe_width + protection) / protection)


def layout_for(nodes: int, protection: Literal[2, 4]) -> Layout | Shortage:
    """The layout that WEKA chooses by itself: D = nodes - P - 1, between 3 and 16 (wdoc); one node is a hot spare where
    that leaves it."""
    narrowest, widest = STRIPE_WIDTHS
    least = max(LEAST_NODES, narrowest + protection)
    if nodes < least:
        return shortages.too_few(nodes, protection, least)
    stripe_width = max(narrowest, min(nodes - protection - 1, widest))
    return Layout(stripe_width, protection, 1 if nodes > stripe_width + protection else 0)


def net_capacity(raw: float, nodes: int, layout: Layout) -> float:
    """What files can take: raw * (N - hot spare) / N * D / (D + P) * 0.9, in the unit of `raw` (wdoc: 10 servers of
    1 TB, hot spare 1, 6+2 -> 6.075 TB)."""
    protected = layout.stripe_width / (layout.stripe_width + layout.protection)
    return raw * (nodes - layout.hot_spare) / nodes * protected * USED_BY_DATA


def cores_for(machine: Hardware, *, has_client: bool) -> Cores | Shortage:
    """One core for each drive up to 6 drives, else one for two drives; two compute cores for each of these; one for the
    client (weks). In DPDK mode each core has a network interface, so that a node may have fewer cores than that: the
    client's stays, and of the rest one in three, rounded up, is for drives, as in the vendor's example of 6 interfaces
    (2 + 3 + 1)."""
    client = 1 if has_client else 0
    drive = machine.drives if machine.drives <= _DRIVES_WITH_A_CORE_EACH else math.ceil(machine.drives / 2)
    enough, least = 3 * drive + client, 2 + client
    most = int(min(enough, _most_by_interfaces(machine), _most_by_cpu(machine, containers=least)))
    if most < least:
        few_interfaces = _most_by_interfaces(machine) < least
        return shortages.too_few_interfaces(machine, least) if few_interfaces else shortages.too_few_cores(machine)
    for_storage = most - client
    drive = math.ceil(for_storage / 3)
    return Cores(drive, for_storage - drive, client)


def _most_by_interfaces(machine: Hardware) -> float:
    return math.inf if machine.interfaces is None else machine.interfaces


def _most_by_cpu(machine: Hardware, *, containers: int) -> float:
    """One thread more for each container (wop), and one for the node itself (wdoc)."""
    if not machine.cpu_cores:
        return math.inf
    return (machine.cpu_cores - containers - 1) // machine.threads_per_core


def drive_containers(nodes: int, cores: int, drives: int, *, dpdk: bool) -> WekaContainers:
    """Huge pages: 1400 MiB for a core and 200 for a drive, and an offset of 200 for a drive (wop; weks: with DPDK, 2
    cores and 4 drives -> 4656 MiB in all)."""
    return WekaContainers(
        containers=nodes,
        cores=cores,
        drives=drives,
        hugepages_mib=1400 * cores + 200 * drives,
        hugepages_offset_mib=200 * drives + _DPDK_MIB * cores * dpdk,
    )


def compute_containers(nodes: int, cores: int, *, dpdk: bool) -> WekaContainers:
    """Huge pages: 3 GiB for a core, as the vendor has one write it since operator 1.11 (weks: 3 cores -> 9800 MiB);
    left out, the operator takes max(3000 * cores, 1700 * cores + raw GiB * 1.024 / containers) (wop), which is 34 GB on
    an i3en.12xlarge."""
    return WekaContainers(
        containers=nodes, cores=cores, hugepages_mib=3072 * cores, hugepages_offset_mib=_offset_mib(cores, dpdk=dpdk)
    )


def client_containers(nodes: int, *, cores: int = 1, dpdk: bool) -> WekaContainers:
    """Huge pages: 1500 MiB for a core (wop; weks: 1 core -> 1828 MiB). `nodes`: of all pools that mount."""
    return WekaContainers(
        containers=nodes, cores=cores, hugepages_mib=1500 * cores, hugepages_offset_mib=_offset_mib(cores, dpdk=dpdk)
    )


def _offset_mib(cores: int, *, dpdk: bool) -> int:
    return 200 + _DPDK_MIB * cores * dpdk


def requested_mib(containers: WekaContainers, *, dpdk: bool) -> int:
    """The huge pages that the pod of one container requests: what is asked for, the offset, and with DPDK 64 MiB for a
    core (weks)."""
    return containers.hugepages_mib + containers.hugepages_offset_mib + _DPDK_MIB * containers.cores * dpdk


def planned_memory_gb(*, drive: int, compute: int, client: int) -> float:
    """What to plan for WEKA on a node with such cores, huge pages included: 2.8 GB + 2.2 for each of the client, 3.9
    for compute, 2.0 for drives (weks: cores 2 + 3 + 1 -> 20.7 GB; an earlier example: 2 + 2 + 1 -> 16.8 GB)."""
    return 2.8 + 2.2 * client + 3.9 * compute + 2.0 * drive


def share_of(
    client: WekaContainers | None,
    drives: WekaContainers | None = None,
    compute: WekaContainers | None = None,
    *,
    threads_per_core: int,
    dpdk: bool,
    interface_for_each_core: bool,
) -> NodeShare:
    """What one container of each kind asks Kubernetes for on a node. The static CPU manager gives a container all
    threads of its cores, and one thread more; memory is asked for beside huge pages (wop, `setResources`). On the
    node's own disk it has 20 GiB for a container and 10 for a core (wcdm)."""
    memory_mib = 0
    if drives is not None:
        memory_mib += 8000 + 3000 * drives.cores + 700 * drives.drives
    if compute is not None:
        memory_mib += 6700 + 5200 * compute.cores
    if client is not None:
        memory_mib += 3965 + 3050 * client.cores
    kinds = [each for each in (drives, compute, client) if each is not None]
    pages_mib = sum(requested_mib(each, dpdk=dpdk) for each in kinds)
    return NodeShare(
        cpu_cores=sum(threads_per_core * each.cores + 1 for each in kinds),
        memory_gib=round(memory_mib / _MIB, 2),
        hugepages_mib=pages_mib,
        set_aside_mib=_PAGE_MIB * pages_to_set_aside(pages_mib),
        network_interfaces=sum(each.cores for each in kinds) if interface_for_each_core else 0,
        drives=drives.drives if drives is not None else 0,
        disk_gib=sum(_DISK_GIB_OF_A_CONTAINER + _DISK_GIB_OF_A_CORE * each.cores for each in kinds),
    )


def expected_mbps(machine: str, nodes: int, cores: int) -> tuple[float, float]:
    """MB/s of reads and writes of the whole cluster, from what was measured on such nodes; (0, 0) = no expectation
    known. It grows with the nodes. Fewer cores than were measured with give as much less; more give no more (inferred).
    """
    rows = [row for row in measured.storage_nodes() if (row.service, row.machine) == ("neuralmesh", machine)]
    if not rows:
        return 0, 0
    row = min(rows, key=lambda each: abs(each.nodes - nodes))
    factor = nodes / row.nodes * min(1, cores / row.cores) / 1e6
    return round(row.read_bytes_per_s * factor), round(row.write_bytes_per_s * factor)


def pages_to_set_aside(requested: int) -> int:
    """How many pages of 2 MiB a node sets aside for so many MiB: a quarter more, in steps of 1024 pages, as the vendor
    does (weks: 16,284 MiB -> 10,240 pages)."""
    return math.ceil(requested / _PAGE_MIB * _PAGES_TO_SPARE / _PAGES_STEP) * _PAGES_STEP

"""What a NeuralMesh can't have on the nodes of a pool, in words, with the arithmetic. PURE.

Called by `neural_mesh_sizing`, whose docstring says what the marks of the limits stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshctl.model.files.units import format_in_gib
from meshctl.model.neural_mesh import NodeShare
from meshctl.words import pluralize

if TYPE_CHECKING:
    from meshctl.resolve.data.neural_mesh_sizing import Cores, Hardware, Layout, Wish

LEAST_NODES: Final = 5  # a container of a kind on each, and five of a kind at the least (wop)
STRIPE_WIDTHS: Final = (3, 16)
USED_BY_DATA: Final = 0.9  # of the net capacity; the rest is the file system's own (wdoc)
_MIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Shortage:
    """What can't be had, as a `Gap` says it."""

    wanted: str
    best: str
    hint: str


def too_few(nodes: int, protection: int, least: int) -> Shortage:
    why = f"stripes are of at least {STRIPE_WIDTHS[0]} blocks of data and {protection} of parity, on a node each"
    return Shortage(
        wanted=f"a WEKA cluster of {pluralize(nodes, 'node')}",
        best=f"at least {least}: it needs {LEAST_NODES} containers of a kind, one on a node, and {why}",
        hint=f"ask for at least {least} nodes",
    )


def too_few_to_keep(nodes: int, layout: Layout) -> Shortage:
    least, width, parity, spare = layout.least_nodes, layout.stripe_width, layout.protection, layout.hot_spare
    sums = f"{width} of data + {parity} of parity" + (f" + {spare} hot spare" if spare else "")
    return Shortage(
        wanted=f"a WEKA cluster of {pluralize(nodes, 'node')}",
        best=f"at least {least}: it was formed with {sums}, which is fixed, and with fewer it loses data",
        hint=f"ask for at least {least} nodes",
    )


def without_room_for_client(machine: Hardware, cores: Cores) -> Shortage:
    return Shortage(
        wanted="a WEKA client on nodes that were set up for drives alone",
        best=f"{machine.name} has no core, network interface or huge pages left for it: what is up has {cores}, and a"
        " node that is made anew has empty drives",
        hint="mount the file systems in workloads of other pools",
    )


def without_drives(machine: Hardware) -> Shortage:
    return Shortage(
        wanted="local NVMe drives for a WEKA cluster",
        best=f"{machine.name} has none, or how many it has is not known",
        hint="name a pool with `scratch`; on nodes of which meshctl can't know it, write how many drives each has, or"
        " which, into environments.yaml: `neuralMesh: {drives: 8}`",
    )


def too_few_interfaces(machine: Hardware, least: int) -> Shortage:
    return Shortage(
        wanted=f"a network interface for each of {least} WEKA cores of a node",
        best=f"{machine.name} has {machine.interfaces} left for them, beside those of the node, its pods and its"
        " fabric",
        hint="ask for larger nodes, or write `neuralMesh: {udp: true}` into environments.yaml, which is slower",
    )


def too_few_cores(machine: Hardware) -> Shortage:
    return Shortage(
        wanted="CPU cores for a drive and a compute container on a node",
        best=f"{machine.name} has {machine.cpu_cores}",
        hint="ask for larger nodes",
    )


def too_little_memory(machine: Hardware, share: NodeShare) -> Shortage | None:
    needed_gib = share.memory_gib + share.set_aside_mib / _MIB
    if not machine.memory_gib or needed_gib <= machine.memory_gib:
        return None
    pages = f"{share.set_aside_mib:,} MiB of huge pages"
    return Shortage(
        wanted=f"{format_in_gib(needed_gib)} memory for WEKA on a node: {pages} + {format_in_gib(share.memory_gib)}",
        best=f"{machine.name} has {format_in_gib(machine.memory_gib)}",
        hint="ask for larger nodes",
    )


def too_little_capacity(machine: Hardware, wish: Wish, layout: Layout, net_gib: float) -> Shortage | None:
    if wish.capacity_gib <= net_gib:
        return None
    nodes, width, parity, spare = wish.nodes, layout.stripe_width, layout.protection, layout.hot_spare
    raw = f"{nodes} x {machine.drives} x {machine.drive_gb:g} GB"
    reserve = f" x {nodes - spare}/{nodes} (hot spare)" if spare else ""
    return Shortage(
        wanted=f"{_gb(wish.capacity_gib)} on drives",
        best=f"{_gb(net_gib)} = {raw}{reserve} x {width}/{width + parity} (parity) x {USED_BY_DATA:g}",
        hint="ask for more nodes or larger drives, lower `size`, or name an object store as `tier`, to which cold data"
        " goes",
    )


def too_slow(machine: Hardware, wish: Wish, cores: Cores, read_mbps: float) -> Shortage | None:
    """What has been measured, or what the network carries at the most, is less than what is asked for."""
    wanted = f"{wish.throughput_mbps / 1000:g} GB/s of all NeuralMesh file systems together"
    hint = "ask for more nodes, or lower `throughput`"
    line_mbps = (machine.network_gbps or 0) * 1000 / 8 * wish.nodes
    if line_mbps and wish.throughput_mbps > line_mbps:
        best = f"{line_mbps / 1000:g} GB/s = {wish.nodes} x {machine.network_gbps:g} Gbit/s of {machine.name}"
        return Shortage(wanted, best, hint)
    if read_mbps and wish.throughput_mbps > read_mbps:
        best = f"{read_mbps / 1000:.1f} GB/s of reads of {wish.nodes} x {machine.name}, by what was measured on such"
        return Shortage(wanted, f"{best} nodes, with {cores.total} WEKA cores on each ({cores})", hint)
    return None


def _gb(gib: float) -> str:
    """As drives are sold."""
    return f"{round(gib * 2**30 / 1e9):,} GB"

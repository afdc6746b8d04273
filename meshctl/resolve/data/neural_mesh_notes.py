"""What a user should know of a NeuralMesh before it is up: what it takes, what it gives, what can't be undone. PURE.

Called by `neural_mesh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshctl.catalog import neural_mesh as catalog
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Pool
from meshctl.model.files.units import format_in_gib
from meshctl.model.neural_mesh import NeuralMesh, NodeShare
from meshctl.resolve.data import neural_mesh_sizing as sizing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.words import pluralize


def takes(share: NodeShare) -> str:
    """`15 cores, 45.6 GiB memory, 16,284 MiB of huge pages and 6 network interfaces`."""
    parts = [f"{share.cpu_cores} cores", f"{format_in_gib(share.memory_gib)} memory"]
    parts += [f"{share.hugepages_mib:,} MiB of huge pages"]
    parts += [pluralize(share.network_interfaces, "network interface")] if share.network_interfaces else []
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def notes(mesh: mesh_model.Mesh, environment: str, value: NeuralMesh, *, nodes_are_made: bool) -> Iterator[str]:
    """`nodes_are_made`: whether meshctl replaces nodes."""
    for name, share in value.shares.items():
        disk = f"; it keeps {share.disk_gib} GiB in /opt/k8s-weka" if share.disk_gib else ""
        yield (
            f"pool/{name}: WEKA takes {takes(share)} of each node; nodes set"
            f" {sizing.pages_to_set_aside(share.hugepages_mib)} huge pages of 2 MiB aside when they start, and run the"
            f" kubelet's static CPU manager{disk}"
        )
    if value.joined is None:
        yield from _notes_of_cluster(mesh.name, environment, value, nodes_are_made=nodes_are_made)
        return
    yield (
        f"neuralmesh/{mesh.name}: its clients run {value.image}, and WEKA admits only clients whose release fits the"
        " cluster's: set `neuralMesh.image` to the image of the cluster"
    )
    tiered = [name for name, storage in mesh.storage.items() if storage.tier is not None]
    if tiered:
        yield (
            f"storage/{tiered[0]}: `tier` has no effect here: only the owner of an existing WEKA cluster sets its"
            " tiering"
        )


def unproven(value: NeuralMesh, pools: Iterable[Pool], provider: str) -> Iterator[str]:
    """What nobody has said of WEKA on such machines."""
    for pool in pools:
        if pool.name == value.pool and not catalog.is_named(provider, pool.machine):
            yield f"pool/{pool.name}: WEKA's vendor does not list {pool.machine} for its drives: ask the vendor first"
        others = len(pool.fabric.interfaces) - 1 if pool.fabric is not None else 0
        if others > 0 and pool.storage is not None and pool.storage.network_interfaces:
            yield (
                f"pool/{pool.name}: not known whether WEKA's operator leaves the"
                f" {pluralize(others, 'other network interface')} of the fabric alone: once nodes are up, check that"
                f" `weka.io/weka-nics` of each is {pool.storage.network_interfaces + 1}; `neuralMesh: {{udp: true}}`,"
                " which can't be changed later, needs no such interfaces"
            )


def left(usable: Mapping[str, Usable], pools: Iterable[str]) -> Iterator[str]:
    """What pods have of each node of these pools, without what storage takes. `usable`: without it already."""
    for name in pools:
        cores, memory_gib = usable[name].cpu_cores, usable[name].memory_gib
        if cores:  # of nodes that nobody has looked at nothing is known
            yield f"pool/{name}: each node has {cores:.4g} cores and {format_in_gib(memory_gib)} memory left for pods"


def _notes_of_cluster(name: str, environment: str, value: NeuralMesh, *, nodes_are_made: bool) -> Iterator[str]:
    width, parity, spare = value.stripe_width, value.redundancy, value.hot_spare
    reserve = f" and {spare} hot spare" if spare else ""
    drives = value.drives.drives if value.drives else 0
    yield (
        f"neuralmesh/{name}: {value.nodes} x {pluralize(drives, 'drive')} of pool {value.pool} hold"
        f" {format_in_gib(value.net_capacity_gib)} in stripes of {width} + {parity}{reserve}. Protection and stripes"
        f" are fixed once the cluster is formed; with fewer than {value.least_nodes} nodes it loses data or stands"
        " still"
    )
    if value.read_mbps:
        yield (
            f"neuralmesh/{name}: {value.read_mbps / 1000:.1f} GB/s of reads and {value.write_mbps / 1000:.1f} GB/s of"
            " writes are expected of all clients together, by what was measured on such nodes"
        )
    else:
        yield (
            f"neuralmesh/{name}: how fast it is on such nodes is not known;"
            f" `meshctl bench {environment} --what storage` measures it"
        )
    yield (
        f"neuralmesh/{name}: `migrate` leaves its file systems behind, as all others; WEKA moves them by snapshots that"
        " are uploaded to a bucket which both clusters reach"
    )
    yield (
        f"neuralmesh/{name}: a deleted cluster is kept for 24 hours (gracefulDestroyDuration), during which it can be"
        " brought back, and its drives are not free"
    )
    if nodes_are_made:
        yield (
            f"neuralmesh/{name}: a node that is replaced (another machine, image or Kubernetes version) comes back with"
            f" empty drives: replace no more than {parity} before WEKA has built their data anew"
        )
    yield f"neuralmesh/{name}: WEKA reports to its vendor (WEKA Home) unless the operator's chart says otherwise"
    yield from _notes_of_options(name, value)


def _notes_of_options(name: str, value: NeuralMesh) -> Iterator[str]:
    if not value.licence_secret:
        yield f"neuralmesh/{name}: no licence is named (`neuralMesh.licence`): without one WEKA runs for a trial time"
    if value.organization is not None:
        yield (
            f"neuralmesh/{name}: its file systems are in the organization {value.organization.name}, which is"
            " deleted with the cluster; a file system can't be moved to another organization later"
        )
    if value.encryption is not None:
        yield f"neuralmesh/{name}: encrypted file systems are read without RDMA and without GPUDirect Storage"

"""The NeuralMesh of a mesh in an environment: one WEKA cluster that carries file systems on the drives of a pool. PURE.

Called by `meshctl.resolve` once the pools are placed. How much it takes and gives is the business of
`neural_mesh_sizing`; what it takes of a node is taken from what pods can have there by `neural_mesh_room`. Declared by
`meshctl.render`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from meshctl.catalog import Machine
from meshctl.catalog import neural_mesh as catalog_releases
from meshctl.catalog.neural_mesh import Releases
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Deployment, FileSystem, Gap, Pool, Price, WekaContainers
from meshctl.model.files.units import format_gib
from meshctl.model.keys.neural_mesh import NeuralMeshOptions, WekaCluster
from meshctl.model.neural_mesh import JoinedWeka, NeuralMesh, NodeShare
from meshctl.platforms.interface import NeuralMeshNodes
from meshctl.resolve.data import neural_mesh_formed, neural_mesh_notes, neural_mesh_options
from meshctl.resolve.data import neural_mesh_sizing as sizing
from meshctl.resolve.data.existing_storage import PAID_BY_OWNER
from meshctl.resolve.data.neural_mesh_formed import Formed, Wanted
from meshctl.resolve.data.neural_mesh_shortages import Shortage
from meshctl.resolve.data.storage import Place
from meshctl.resolve.placement.neural_mesh_places import Places
from meshctl.words import pluralize

# Of a tiered file system, what is on drives: the default of github.com/weka/terraform-aws-weka, tiering_ssd_percent
_SHARE_ON_DRIVES: Final = 0.2
_GIVEN: Final = NeuralMeshNodes(sign_drives="all-not-root", interfaces=None, emptied_by=frozenset())
_LICENCE: Final = "its drives are those of the pool, in whose price they are; WEKA's licence depends on the contract"


@dataclass
class Carried:
    """`value` None: there is none, or gaps forbid it. `pools`: all of them, the storage's own without its drives."""

    pools: list[Pool]
    value: NeuralMesh | None = None
    file_systems: list[FileSystem] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve(place: Place, where: Places, pools: Sequence[Pool], up: Deployment | None) -> Carried:
    """`up`: what is up. Its cluster keeps its layout, its containers, and its releases until others are named."""
    carried = Carried(list(pools))
    if not where.names:
        return carried
    if where.joined is None and not where.pool:
        carried.gaps.append(_which_pool(where))
        return carried
    if (impossible := neural_mesh_options.gap_of_organization(place, where, _on_drives_gib)) is not None:
        carried.gaps.append(impossible)
        return carried
    by_name = {pool.name: pool for pool in pools}
    if where.pool and where.pool not in by_name:  # has a gap of its own
        return carried
    decide = _joined if where.joined else _made
    outcome = decide(place, where, by_name, up)
    if not isinstance(outcome, NeuralMesh):
        carried.gaps.extend(outcome)
        return carried
    carried.value = outcome
    carried.pools = [_with_share(place, pool, outcome) for pool in pools]
    for name in where.names:
        system = _file_system(place.mesh, name, outcome)
        carried.file_systems.append(system)
        carried.words[name] = _words(outcome, system)
    nodes_are_made = place.platform.nodes.made_of is not None
    carried.notes.extend(neural_mesh_notes.notes(place.mesh, place.name, outcome, nodes_are_made=nodes_are_made))
    carried.notes.extend(neural_mesh_notes.unproven(outcome, carried.pools, place.environment.provider))
    return carried


def _which_pool(where: Places) -> Gap:
    if where.candidates:
        best = f"pools {' and '.join(where.candidates)} have `scratch` and mount it"
    else:
        best = "no pool has `scratch` and a workload that mounts it"
    return _gap(where.names[0], "a pool whose nodes' drives carry it", best, "name one: `pool: NAME`, beside `engine`")


def _gap(name: str, wanted: str, best: str, hint: str) -> Gap:
    return Gap(subject=f"storage/{name}", wanted=wanted, best=best, hint=hint)


def _made(
    place: Place, where: Places, pools: Mapping[str, Pool], up: Deployment | None
) -> NeuralMesh | tuple[Gap, ...]:
    """One that meshctl makes."""
    name, pool, options = where.names[0], pools[where.pool], place.environment.neural_mesh
    protection = _protection(place.mesh, where)
    formed = neural_mesh_formed.formed(up, nodes_are_made=place.platform.nodes.made_of is not None)
    impossible = (
        _taken_back(place.mesh, where, pool, formed)
        or (neural_mesh_formed.gap(name, _wanted(pool, protection, options), formed) if formed else None)
        or _without_devices(name, place, options)
    )
    if impossible is not None:
        return (impossible,)
    machine = _hardware(place, pool, options, formed)
    wish = sizing.Wish(
        nodes=pool.nodes,
        capacity_gib=sum(_on_drives_gib(place.mesh.storage[each]) for each in where.names),
        throughput_mbps=sum(place.mesh.storage[each].throughput_mbps or 0 for each in where.names),
        protection=protection,
        has_clients=pool.name in where.client_pools,
        dpdk=not options.udp,
    )
    sized = sizing.size(machine, wish, formed.sizes if formed else None)
    if isinstance(sized, Shortage):
        return (_gap(name, sized.wanted, sized.best, sized.hint),)
    others = _client_shares(place, where, pools, sized.client, up)
    shares = {pool.name: sized.share, **others}
    gaps = (*_too_few_interfaces(place, pools, others), *_too_few_pages(place, pools, shares))
    if gaps:
        return gaps
    return _cluster(place, where, pools, formed, sized, shares, up)


def _cluster(
    place: Place,
    where: Places,
    pools: Mapping[str, Pool],
    formed: Formed | None,
    sized: sizing.Sizing,
    shares: dict[str, NodeShare],
    up: Deployment | None,
) -> NeuralMesh:
    """As it is declared. `shares`: what it takes of a node, by pool."""
    pool, options = pools[where.pool], place.environment.neural_mesh
    paths = options.drives if isinstance(options.drives, tuple) else ()
    releases = _releases(options, up.neural_mesh if up is not None else None)
    return NeuralMesh(
        name=place.mesh.name,
        namespace=place.mesh.name,
        pool=pool.name,
        nodes=pool.nodes,
        formed_nodes=(formed.value.formed_nodes or formed.value.nodes) if formed else pool.nodes,
        least_nodes=sized.layout.least_nodes,
        client_pools=where.client_pools,
        image=releases.image,
        image_pull_secret=options.image_pull_secret or "",
        operator_chart=releases.operator_chart,
        operator_version=releases.operator_version,
        drives=sized.drives,
        compute=sized.compute,
        client=sized.client.model_copy(update={"containers": _client_nodes(where, pools)}),
        stripe_width=sized.layout.stripe_width,
        redundancy=sized.layout.protection,
        hot_spare=sized.layout.hot_spare,
        drivers_service=neural_mesh_options.drivers_service(options),
        udp=options.udp,
        ethernet_devices=options.devices,
        **neural_mesh_formed.interfaces_policy(sized.share.network_interfaces, shares, up),
        sign_drives="device-paths" if paths else _nodes(place).sign_drives,
        drive_paths=paths,
        shares=shares,
        net_capacity_gib=round(sized.net_capacity_gib, 1),
        read_mbps=sized.read_mbps,
        write_mbps=sized.write_mbps,
        licence_secret=options.licence or "",
        encryption=neural_mesh_options.encryption(options),
        organization=neural_mesh_options.organization(options),
    )


def _joined(
    place: Place, where: Places, pools: Mapping[str, Pool], up: Deployment | None
) -> NeuralMesh | tuple[Gap, ...]:
    """One that exists: clients of it on the pools whose pods mount."""
    options, joined = place.environment.neural_mesh, where.joined or WekaCluster()
    if (without_devices := _without_devices(where.names[0], place, options)) is not None:
        return (without_devices,)
    client = sizing.client_containers(_client_nodes(where, pools), dpdk=not options.udp)
    shares = _client_shares(place, where, pools, client, up)
    gaps = (*_too_few_interfaces(place, pools, shares), *_too_few_pages(place, pools, shares))
    if gaps:
        return gaps
    interfaces = max((share.network_interfaces for share in shares.values()), default=0)
    releases = _releases(options, up.neural_mesh if up is not None else None)
    return NeuralMesh(
        name=place.mesh.name,
        namespace=place.mesh.name,
        pool="",
        nodes=0,
        least_nodes=0,
        client_pools=where.client_pools,
        image=releases.image,
        image_pull_secret=options.image_pull_secret or "",
        operator_chart=releases.operator_chart,
        operator_version=releases.operator_version,
        client=client,
        drivers_service=neural_mesh_options.drivers_service(options),
        udp=options.udp,
        ethernet_devices=options.devices,
        **neural_mesh_formed.interfaces_policy(interfaces, shares, up),
        shares=shares,
        joined=JoinedWeka(
            cluster=joined.cluster or "",
            namespace=joined.namespace or "",
            endpoints=joined.endpoints,
            secret=joined.secret or "",
            csi_driver=joined.driver or "",
        ),
    )


def _client_nodes(where: Places, pools: Mapping[str, Pool]) -> int:
    return sum(max(pools[each].nodes, 0) for each in where.client_pools if each in pools)


def _releases(options: NeuralMeshOptions, up: NeuralMesh | None) -> Releases:
    """Those that environments.yaml names; else those that are up, which move only when asked; else the catalog's."""
    pinned = catalog_releases.releases()
    return replace(
        pinned,
        image=options.image or (up.image if up else pinned.image),
        operator_chart=options.chart or (up.operator_chart if up else pinned.operator_chart),
        operator_version=options.operator or (up.operator_version if up else pinned.operator_version),
    )


def _protection(mesh: mesh_model.Mesh, where: Places) -> Literal[2, 4]:
    return next((value for name in where.names if (value := mesh.storage[name].protection) is not None), 2)


def _taken_back(mesh: mesh_model.Mesh, where: Places, pool: Pool, formed: Formed | None) -> Gap | None:
    """Nodes that the platform, or whoever scales the pool, takes back, with what is on their drives."""
    lasting = [name for name in where.names if not mesh.storage[name].ephemeral]
    hint = "set the pool's capacity to on-demand or reserved, or name another `pool`"
    wanted, nodes = "drives that stay", f"nodes of pool {pool.name}"
    if pool.market == "spot":
        return _gap(where.names[0], wanted, f"{nodes} are spot: they go at any time, with data", hint)
    if pool.market == "capacity-block" and lasting:
        hint = f"name another `pool`, or set `ephemeral: true` on {', '.join(lasting)} if it may be lost then"
        return _gap(lasting[0], wanted, f"{nodes} are a capacity block: they go at its end, with data", hint)
    if pool.nodes_min != pool.nodes_max:
        best = f"pool {pool.name} has {pool.nodes_min} to {pool.nodes_max}: who scales it ends nodes with data on them"
        least = max(pool.nodes, formed.value.nodes if formed else 0)
        return _gap(where.names[0], "nodes that stay", best, f"write one number: `nodes: {least}`, or more")
    return None


def _wanted(pool: Pool, protection: int, options: NeuralMeshOptions) -> Wanted:
    return Wanted(
        pool=pool,
        protection=protection,
        drives=options.drives if isinstance(options.drives, int) else None,
        drive_paths=options.drives if isinstance(options.drives, tuple) else (),
        udp=options.udp,
        devices=options.devices,
        encryption=neural_mesh_options.encryption(options),
        organization=options.organization.name if options.organization else "",
    )


def _nodes(place: Place) -> NeuralMeshNodes:
    """How the platform's nodes carry it; where it does not say so, as nodes do that are given as they are."""
    return place.platform.storage.neural_mesh or _GIVEN


def _without_devices(name: str, place: Place, options: NeuralMeshOptions) -> Gap | None:
    if options.udp or options.devices or _nodes(place).interfaces is not None:
        return None
    hint = (
        f"write `neuralMesh: {{devices: [eth1]}}` for environment {place.name} into environments.yaml; or `{{udp:"
        " true}`, which needs none and is slower"
    )
    return _gap(name, "the network devices that WEKA uses", "which ones its nodes have for it is not known here", hint)


def _machine(place: Place, pool: Pool) -> Machine | None:
    return place.catalog.machine(place.environment.provider, pool.machine)


def _hardware(place: Place, pool: Pool, options: NeuralMeshOptions, formed: Formed | None) -> sizing.Hardware:
    """A node of the pool. Drives that environments.yaml names are as large as the machine's, or share its scratch."""
    machine = _machine(place, pool)
    of_machine = machine.drives if machine is not None else 0
    named = len(options.drives) if isinstance(options.drives, tuple) else options.drives
    drives = formed.drives.drives if formed else named or of_machine
    return sizing.Hardware(
        name=pool.machine,
        cpu_cores=pool.cpu_cores,
        memory_gib=pool.memory_gib,
        drives=drives if pool.scratch_gb else 0,
        drive_gb=pool.scratch_gb / (of_machine or drives or 1),
        threads_per_core=machine.threads_per_core if machine is not None else 1,
        interfaces=_interfaces(place, pool),
        network_gbps=machine.network_gbps if machine is not None else None,
    )


def _interfaces(place: Place, pool: Pool) -> int | None:
    """How many WEKA may have of its own on a node; None where its cores share devices."""
    machine, count = _machine(place, pool), _nodes(place).interfaces
    if count is None or machine is None or place.environment.neural_mesh.udp:
        return None
    return count(machine, pool)


def _client_shares(
    place: Place, where: Places, pools: Mapping[str, Pool], client: WekaContainers, up: Deployment | None
) -> dict[str, NodeShare]:
    """By pool that mounts and does not carry."""
    udp = place.environment.neural_mesh.udp
    shares = {}
    for name in where.client_pools:
        if name == where.pool or name not in pools:
            continue
        machine = _machine(place, pools[name])
        share_up = neural_mesh_formed.share_up(up, pools[name], client, udp=udp)
        shares[name] = share_up or sizing.share_of(
            client,
            threads_per_core=machine.threads_per_core if machine is not None else 1,
            dpdk=not udp,
            interface_for_each_core=_interfaces(place, pools[name]) is not None,
        )
    return shares


def _too_few_interfaces(place: Place, pools: Mapping[str, Pool], shares: Mapping[str, NodeShare]) -> Iterator[Gap]:
    for name, share in shares.items():
        left = _interfaces(place, pools[name])
        if left is not None and left < share.network_interfaces:
            yield Gap(
                subject=f"pool/{name}",
                wanted=f"{pluralize(share.network_interfaces, 'network interface')} for the WEKA client of a node",
                best=f"{pools[name].machine} has {left} left",
                hint="ask for larger nodes, or write `neuralMesh: {udp: true}` into environments.yaml, which is slower",
            )


def _too_few_pages(place: Place, pools: Mapping[str, Pool], shares: Mapping[str, NodeShare]) -> Iterator[Gap]:
    """Nodes that are there and set fewer huge pages aside: WEKA's pods would find no node."""
    nodes = {node.name: node for node in (place.facts.nodes if place.facts else ())}
    for name, share in shares.items():
        own = [nodes[each] for each in pools[name].node_names if each in nodes]
        short = [node for node in own if node.huge_pages_mib < share.hugepages_mib]
        if short:
            pages = sizing.pages_to_set_aside(share.hugepages_mib)
            least = min(node.huge_pages_mib for node in short)
            yield Gap(
                subject=f"pool/{name}",
                wanted=f"{share.hugepages_mib:,} MiB of huge pages on each node for WEKA",
                best=f"{pluralize(len(short), 'node')} set aside fewer ({short[0].name}: {least:,} MiB)",
                hint=f"set `vm.nr_hugepages={pages}` (pages of 2 MiB, beside those of other programs) on these nodes,"
                " at best at their start, and start the kubelet again",
            )


def _with_share(place: Place, pool: Pool, value: NeuralMesh) -> Pool:
    """The pool with what storage takes of its nodes. Of those whose drives it has: nodes must not join them to a volume
    of their own, and pods have none."""
    if pool.name in value.shares:
        pool = pool.model_copy(update={"storage": value.shares[pool.name]})
    if pool.name != value.pool:
        return pool
    made_of = place.platform.nodes.made_of
    own_disk = made_of.root_disk_gib if made_of is not None else pool.disk_gib if pool.node_names else 0
    return pool.model_copy(update={"scratch_gb": 0, "disk_gib": own_disk})


def _on_drives_gib(storage: mesh_model.Storage) -> int:
    return math.ceil(storage.size_gib * (_SHARE_ON_DRIVES if storage.tier else 1))


def _file_system(mesh: mesh_model.Mesh, name: str, value: NeuralMesh) -> FileSystem:
    storage = mesh.storage[name]
    is_tiered = storage.tier is not None and value.joined is None
    return FileSystem(
        name=name,
        service="neuralmesh",
        size_gib=math.ceil(storage.size_gib),
        throughput_mbps=storage.throughput_mbps or 0,
        ephemeral=storage.ephemeral,
        tier=(storage.tier or "") if is_tiered else "",
        drive_gib=_on_drives_gib(storage) if is_tiered else 0,
        price=Price(subject=f"storage/{name}", usd_per_hour=None, source=PAID_BY_OWNER if value.joined else _LICENCE),
    )


def _words(value: NeuralMesh, system: FileSystem) -> str:
    if value.joined is not None:
        cluster = f"{value.joined.namespace}/{value.joined.cluster}" if value.joined.cluster else ""
        return f"NeuralMesh of the WEKA cluster {cluster or ', '.join(value.joined.endpoints)}"
    where = f"on the drives of pool {value.pool}"
    if system.tier:
        return f"NeuralMesh, {format_gib(system.drive_gib)} of it {where}, cold data in {system.tier}"
    return f"NeuralMesh {where}"

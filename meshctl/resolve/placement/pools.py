"""Turns a mesh's pools into node groups of one environment. PURE.

Called by `meshctl.resolve`. Where the platform makes nodes, a machine type is chosen from its catalog; where nodes are
given, they are found by their hardware once there are facts, and until then a pool is taken to be what the mesh asks
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from meshctl.catalog import Catalog, Machine, vendors
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Fabric, Gap, Market, Pool, Rejected
from meshctl.model.environment import PlatformEnvironment
from meshctl.model.files.units import gib_of_gb
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.pods import tolerations
from meshctl.platforms import registry
from meshctl.platforms.interface import Machines
from meshctl.resolve.placement import fabric, neural_mesh_places, slices
from meshctl.resolve.placement.capacity import Assigned, Reserved
from meshctl.resolve.placement.given import existing, given_fabric
from meshctl.resolve.placement.machine_types import alternatives, machines, offerings, prices, racks


@dataclass
class Pools:
    made: list[Pool] = field(default_factory=list)
    rejected: dict[str, tuple[Rejected, ...]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve(
    mesh: mesh_model.Mesh,
    environment: PlatformEnvironment,
    catalog: Catalog,
    facts: Facts | None,
    up: Deployment | None = None,
) -> Pools:
    """`up`: what is up, where that is known."""
    offer = registry.platform(environment.provider).nodes.made_of
    carrying = neural_mesh_places.places(mesh, environment).pool
    if offer is None:
        return _from_cluster(mesh, environment, facts, carrying)
    offered = offerings.in_environment(catalog, environment)
    return _from_catalog(mesh, environment, offer, offered, carrying, _machine_with_data(carrying, up))


def _machine_with_data(carrying: str, up: Deployment | None) -> str:
    """The machine whose drives a NeuralMesh has in this pool; "" for none."""
    if up is None or up.neural_mesh is None or up.neural_mesh.pool != carrying:
        return ""
    return next((pool.machine for pool in up.pools if pool.name == carrying), "")


def _with_machine_first(choice: machines.Choice, name: str) -> machines.Choice:
    """A machine that fits and has data on its drives is taken, whatever is cheaper now."""
    fitting = sorted(choice.fitting, key=lambda machine: machine.name != name)
    return replace(choice, fitting=tuple(fitting))


def _from_catalog(
    mesh: mesh_model.Mesh,
    environment: PlatformEnvironment,
    offer: Machines,
    catalog: Catalog,
    carrying: str,
    kept_machine: str,
) -> Pools:
    """`carrying`: the pool of a NeuralMesh, "" for none; `kept_machine`: whose drives it has."""
    assigned = offer.reservations(mesh, environment) if offer.reservations else Assigned()
    pools = Pools(gaps=assigned.gaps, notes=assigned.notes)
    mixed = any(not pool.accelerators and pool.nodes.min for pool in mesh.pools.values())
    rates = tuple(environment.prices.items())
    for name, pool in mesh.pools.items():
        target = assigned.pools.get(name)
        market: Market = target.market if target else pool.capacity
        if pool.capacity == "reserved" and offer.reservations and target is None:
            pools.gaps.append(_no_reservation(name))
        wanted_fabric = mesh.fabrics[pool.fabric] if pool.fabric else None
        listed = alternatives.of_pool(pool, wanted_fabric, market)
        # a rate by the pool's name holds for whatever machine it has, and so prefers none
        applying = () if name in environment.prices else rates
        requirement, choice = alternatives.choose(
            catalog, environment.provider, environment.region or "", listed, applying
        )
        pools.rejected[name] = choice.rejected
        if not choice.fitting:
            wanted = alternatives.wanted(listed)
            gap = Gap(subject=f"pool/{name}", wanted=wanted, best=choice.best, hint=choice.hint)
            pools.gaps.append(gap)
            continue
        if name == carrying:
            choice = _with_machine_first(choice, kept_machine)
        made = _pool_of_machine(
            name, mesh, environment, offer, choice, requirement, target, mixed=mixed, is_carrying=name == carrying
        )
        pools.made.append(made)
        pools.gaps.extend(offer.pool_gaps(made))
        pools.notes.extend(alternatives.note(name, listed[: listed.index(requirement) + 1]))
    return pools


def _no_reservation(name: str) -> Gap:
    return Gap(
        subject=f"pool/{name}",
        wanted="reserved capacity",
        best="no reservation or capacity block left in the environment's capacity",
        hint="add its id to capacity.reservations or capacity.blocks, or set the pool's capacity to on-demand",
    )


def _pool_of_machine(
    name: str,
    mesh: mesh_model.Mesh,
    environment: PlatformEnvironment,
    offer: Machines,
    choice: machines.Choice,
    requirement: machines.Requirement,
    target: Reserved | None,
    *,
    mixed: bool,
    is_carrying: bool,
) -> Pool:
    pool, machine = mesh.pools[name], choice.fitting[0]
    zone, region = target.zone if target else "", environment.region or ""
    price = prices.of_machine(
        f"pool/{name}", name, pool.nodes.min, machine, requirement.market, region, environment.prices
    )
    # RDMA does not leave its subnet, nor a placement group or a reservation its zone; WEKA wants its nodes in one
    in_one_zone = requirement.rdma or requirement.placement == "cluster" or target is not None or is_carrying
    return Pool(
        name=name,
        role=pool.role,
        machine=machine.name,
        market=requirement.market,
        nodes_min=pool.nodes.min,
        nodes_max=pool.nodes.max,
        nodes=pool.nodes.min,
        gpu_model=machine.gpu_model,
        gpus_per_node=machine.gpu_count,
        gpu_memory_gib=machine.gpu_memory_gib,
        gpu_resource=vendors.of_model(machine.gpu_model).resource,
        cpu_cores=machine.cpu_cores,
        memory_gib=machine.memory_gib,
        scratch_gb=machine.scratch_gb,
        # local NVMe carries images and emptyDir volumes where there is any
        disk_gib=gib_of_gb(machine.scratch_gb) or offer.root_disk_gib,
        arch="arm64" if machine.arch == "arm64" else "amd64",
        zones=(zone,) if zone else offer.zones(environment, in_one_zone),
        reservation=target.id if target else "",
        ami_type=offer.image(machine),
        fabric=_machine_fabric(pool.fabric, mesh, environment, machine),
        labels=_labels(mesh, name),
        # Without plain nodes the cluster's own add-ons need the GPU nodes too; a pool that may be empty has none.
        taints=offer.gpu_taints if mixed and machine.gpu_model else (),
        tolerations=environment.pod_tolerations,
        alternatives=tuple(other.name for other in choice.fitting[1:]),
        price=price,
    )


def _labels(mesh: mesh_model.Mesh, pool: str) -> dict[str, str]:
    return {MESH_LABEL: mesh.name, POOL_LABEL: pool, "meshctl.dev/role": mesh.pools[pool].role}


def _from_cluster(mesh: mesh_model.Mesh, environment: PlatformEnvironment, facts: Facts | None, carrying: str) -> Pools:
    """`carrying`: the pool of a NeuralMesh, whose drives have no file system that the kubelet could tell of."""
    pools = Pools()
    listed = {
        name: alternatives.of_pool(
            pool.model_copy(update={"scratch_gb": None}) if name == carrying else pool,
            mesh.fabrics[pool.fabric] if pool.fabric else None,
            pool.capacity,
        )
        for name, pool in mesh.pools.items()
    }
    wanted = {
        name: existing.Wanted(
            mesh.pools[name].nodes.min,
            alternatives.askable(each) or each,
            pods=tuple(environment.pod_fields(key) for key, work in mesh.workloads.items() if work.pool == name),
            labels=_labels(mesh, name),
        )
        for name, each in listed.items()
    }
    chosen = existing.Chosen(requirements={name: each.alternatives[0] for name, each in wanted.items()})
    if facts is None:
        pools.notes.append("nodes are found by their hardware at plan and up; offline they are taken to be there")
    else:
        chosen = existing.choose(facts, mesh.name, wanted, partial(_tolerations, mesh, environment))
        pools.notes.extend([*facts.notes, *chosen.notes])
    pools.gaps, pools.rejected = [*_unsupported(listed), *chosen.gaps], chosen.rejected
    pools.made = [_pool_of_nodes(name, mesh, environment, chosen) for name in mesh.pools]
    declared = registry.platform(environment.provider).fabric.declared(environment)
    pools.gaps.extend(given_fabric.gaps(pools.made, declared))
    pools.notes.extend(given_fabric.notes(pools.made, facts, declared))
    pools.notes.extend(_user_notes(pools.made))
    if any(pool.fabric and pool.fabric.bandwidth_gbps for pool in pools.made):
        pools.notes.append(
            "the fabric's bandwidth can't be read from a cluster: measure it, for example with nccl-tests"
        )
    return pools


def _unsupported(listed: Mapping[str, alternatives.Alternatives]) -> list[Gap]:
    """The gaps of accelerators that pods can't request on any cluster. `listed`: the accelerators by pool."""
    resources = " and ".join(f"{vendor.name} ({vendor.resource})" for vendor in vendors.supported())
    gaps = []
    for name, each in listed.items():
        if alternatives.askable(each):
            continue
        models = list(dict.fromkeys(model for requirement in each for model in requirement.models))
        makers = {vendors.of_model(model).name for model in models}
        wanted = f"{' or '.join(models)} of {' or '.join(sorted(makers))}"
        hint = "name an accelerator of one of these makers too: model: [A, B] is in order of preference"
        best = f"on existing clusters, pods can ask for accelerators of {resources}"
        shares = [requirement.share for requirement in each if requirement.share]
        if shares and any(vendors.of_model(model).resource for model in models):
            best = f"{shares[0]} is a slice of NVIDIA's accelerators, which these are not"
        gaps.append(Gap(subject=f"pool/{name}", wanted=wanted, best=best, hint=hint))
    return gaps


def _user_notes(pools: list[Pool]) -> list[str]:
    """What the nodes must allow the pods' user, by the vendor of their accelerators."""
    noted = ((pool.name, vendors.of_resource(pool.gpu_resource).user_note) for pool in pools if pool.gpus_per_node)
    return [f"pool {name}: {note}" for name, note in noted if note]


def _tolerations(
    mesh: mesh_model.Mesh, environment: PlatformEnvironment, pool: str, requirement: machines.Requirement
) -> list[tolerations.Rendered]:
    """Of all pods of a pool, on whichever of the nodes that a requirement allows they are: by their accelerators'
    vendors, and as far as environments.yaml adds some to the pods of each workload of the pool."""
    makers = [vendors.of_model(model) for model in requirement.models] or vendors.supported()
    resources = [maker.resource for maker in makers if maker.resource] or [vendors.vendors()[0].resource]
    provider, given = environment.provider, environment.pod_tolerations
    made = [
        toleration
        for resource in (dict.fromkeys(resources) if requirement.gpus else [""])
        for toleration in tolerations.of_pods(provider, (), given, gpu_resource=resource)
    ]
    overrides = [environment.pod_fields(name) for name, each in mesh.workloads.items() if each.pool == pool]
    return [*made, *tolerations.of_all_overrides(overrides)]


def _pool_of_nodes(
    name: str,
    mesh: mesh_model.Mesh,
    environment: PlatformEnvironment,
    chosen: existing.Chosen,
) -> Pool:
    """A pool of the chosen nodes, with what all of them have. Without nodes: with what the mesh asks for."""
    pool, nodes, requirement = mesh.pools[name], chosen.nodes.get(name, ()), chosen.requirements[name]
    model = existing.model_of(requirement, nodes)
    hardware = existing.hardware_name(model, requirement.share)
    resource = nodes[0].gpu_resource if nodes else slices.resource_of(model, requirement.share)
    whole_resource = vendors.of_resource(resource).resource
    return Pool(
        name=name,
        role=pool.role,
        machine=hardware,
        market=pool.capacity,
        nodes_min=pool.nodes.min,
        nodes_max=pool.nodes.max,
        nodes=pool.nodes.min,
        gpu_model=model,
        gpus_per_node=min((node.gpu_capacity or node.gpu_count for node in nodes), default=requirement.gpus),
        gpu_memory_gib=requirement.gpu_memory_gib,
        gpu_resource=whole_resource,
        share=requirement.share,
        share_resource=resource if resource != whole_resource else "",
        cpu_cores=min((node.cpu_cores for node in nodes), default=pool.cpu.cores or 0),
        memory_gib=min((node.memory_gib for node in nodes), default=pool.cpu.memory_gib or 0),
        scratch_gb=pool.scratch_gb or 0,
        disk_gib=gib_of_gb(min((node.scratch_gb for node in nodes), default=pool.scratch_gb or 0)),
        arch=pool.arch,
        fabric=_cluster_fabric(pool.fabric, mesh, environment, nodes),
        labels=_labels(mesh, name),
        tolerations=environment.pod_tolerations,
        node_names=tuple(node.name for node in nodes),
        price=prices.of_hardware(f"pool/{name}", name, pool.nodes.min, hardware, environment.prices),
    )


def _machine_fabric(
    name: str | None, mesh: mesh_model.Mesh, environment: PlatformEnvironment, machine: Machine
) -> Fabric | None:
    if not name:
        return None
    wanted = mesh.fabrics[name]
    return _with_wishes(fabric.of_machine(name, wanted, machine, environment.fabric.env), wanted)


def _with_wishes(made: Fabric, wanted: mesh_model.Fabric) -> Fabric:
    """With what the mesh says of it, on any machine."""
    update = {"nvlink": wanted.nvlink or "", "expect": wanted.expect or 0.0}
    return made.model_copy(update={key: value for key, value in update.items() if value})


def _cluster_fabric(
    name: str | None,
    mesh: mesh_model.Mesh,
    environment: PlatformEnvironment,
    nodes: tuple[ObservedNode, ...],
) -> Fabric | None:
    if not name:
        return None
    declared, wanted = registry.platform(environment.provider).fabric.declared(environment), mesh.fabrics[name]
    made = _with_wishes(given_fabric.of_nodes(name, wanted, declared, nodes), wanted)
    return made.model_copy(update={"is_one_rack": True}) if made.nvlink and racks.are_of_one(nodes) else made

"""Turns a mesh's pools into node groups of one environment. PURE.

Called by `meshctl.resolve`. On aws and coreweave a machine type is chosen from the catalog; on existing clusters
nodes are found by their hardware once there are facts, and until then a pool is taken to be what the mesh asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from meshctl.catalog import Catalog, Machine
from meshctl.model import environment as environment_model
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import (
    AWS_ROOT_VOLUME_GIB,
    MESH_LABEL,
    POOL_LABEL,
    Fabric,
    Gap,
    Market,
    Pool,
    Rejected,
    Taint,
)
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.units import gib_of_gb
from meshctl.resolve import existing, fabric, machines, prices
from meshctl.resolve.capacity import Reserved, assign
from meshctl.words import counted

# Running instances of one group in one zone. Source: EC2 user guide, placement strategies, spread.
_SPREAD_PER_ZONE: Final = 7
_GPU_TAINT: Final = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")


@dataclass
class Pools:
    made: list[Pool] = field(default_factory=list)
    rejected: dict[str, tuple[Rejected, ...]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve(
    mesh: mesh_model.Mesh, environment: environment_model.Environment, catalog: Catalog, facts: Facts | None
) -> Pools:
    if isinstance(environment, environment_model.AwsEnvironment | environment_model.CoreweaveEnvironment):
        return _from_catalog(mesh, environment, catalog)
    return _from_cluster(mesh, environment, facts)


def _from_catalog(
    mesh: mesh_model.Mesh,
    environment: environment_model.AwsEnvironment | environment_model.CoreweaveEnvironment,
    catalog: Catalog,
) -> Pools:
    assigned = assign(mesh, environment)
    pools = Pools(gaps=assigned.gaps, notes=assigned.notes)
    mixed = any(pool.accelerator is None for pool in mesh.pools.values())
    rates = tuple(environment.prices.items())
    for name, pool in mesh.pools.items():
        target = assigned.pools.get(name)
        market: Market = target.market if target else pool.capacity
        if pool.capacity == "reserved" and environment.provider == "aws" and target is None:
            pools.gaps.append(_no_reservation(name))
        wanted_fabric = mesh.fabrics[pool.fabric] if pool.fabric else None
        requirement = machines.requirement_of(pool, wanted_fabric, market)
        # a rate by the pool's name holds for whatever machine it has, and so prefers none
        applying = () if name in environment.prices else rates
        choice = machines.choose(catalog, environment.provider, environment.region, requirement, applying)
        pools.rejected[name] = choice.rejected
        if not choice.fitting:
            gap = Gap(subject=f"pool/{name}", wanted=str(requirement), best=choice.best, hint=choice.hint)
            pools.gaps.append(gap)
            continue
        made = _pool_of_machine(name, mesh, environment, choice, requirement, target, mixed=mixed)
        pools.made.append(made)
        pools.gaps.extend(_too_spread(made) if environment.provider == "aws" else ())
    return pools


def _too_spread(pool: Pool) -> tuple[Gap, ...]:
    """A pool in a reservation has no placement group here: the reservation was made in a placement of its own."""
    zones = len(pool.zones)
    most = _SPREAD_PER_ZONE * zones
    spread = pool.fabric is not None and pool.fabric.placement == "spread" and not pool.reservation
    if not spread or pool.nodes <= most:
        return ()
    gap = Gap(
        subject=f"pool/{pool.name}",
        wanted=f"{pool.nodes} nodes in a spread placement group",
        best=f"{most} nodes: {_SPREAD_PER_ZONE} in each of {counted(zones, 'zone')}",
        hint=f"lower the pool's nodes to {most}, add zones, or set the fabric's placement to any",
    )
    return (gap,)


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
    environment: environment_model.AwsEnvironment | environment_model.CoreweaveEnvironment,
    choice: machines.Choice,
    requirement: machines.Requirement,
    target: Reserved | None,
    *,
    mixed: bool,
) -> Pool:
    pool, machine = mesh.pools[name], choice.fitting[0]
    aws = isinstance(environment, environment_model.AwsEnvironment)
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
        cpu_cores=machine.cpu_cores,
        memory_gib=machine.memory_gib,
        scratch_gb=machine.scratch_gb,
        # local NVMe carries images and emptyDir volumes where there is any (on AWS `stacks.aws.pools` joins the disks)
        disk_gib=gib_of_gb(machine.scratch_gb) or (AWS_ROOT_VOLUME_GIB if aws else 0),
        arch="arm64" if machine.arch == "arm64" else "amd64",
        zones=_zones(environment, requirement, target),
        reservation=target.id if target else "",
        ami_type=_ami_type(machine) if aws else "",
        fabric=fabric.of_machine(pool.fabric, mesh.fabrics[pool.fabric], machine) if pool.fabric else None,
        labels=_labels(mesh, name),
        # Without a pool of plain nodes the cluster's own add-ons need the GPU nodes too.
        taints=(_GPU_TAINT,) if aws and mixed and machine.gpu_model else (),
        alternatives=tuple(other.name for other in choice.fitting[1:]),
        price=prices.of_machine(
            f"pool/{name}", name, pool.nodes.min, machine, requirement.market, environment.region, environment.prices
        ),
    )


def _zones(
    environment: environment_model.AwsEnvironment | environment_model.CoreweaveEnvironment,
    requirement: machines.Requirement,
    target: Reserved | None,
) -> tuple[str, ...]:
    """One zone for a placement group, for RDMA (EFA does not leave its subnet) and for a reservation; else all."""
    if isinstance(environment, environment_model.CoreweaveEnvironment):
        return (environment.region,)
    if target is not None and target.zone:
        return (target.zone,)
    single = requirement.rdma or requirement.placement == "cluster" or target is not None
    return environment.zones[:1] if single else environment.zones


def _ami_type(machine: Machine) -> str:
    architecture = "ARM_64" if machine.arch == "arm64" else "x86_64"
    return f"AL2023_{architecture}_{'NVIDIA' if machine.gpu_model else 'STANDARD'}"


def _labels(mesh: mesh_model.Mesh, pool: str) -> dict[str, str]:
    return {MESH_LABEL: mesh.name, POOL_LABEL: pool, "meshctl.dev/role": mesh.pools[pool].role}


def _from_cluster(
    mesh: mesh_model.Mesh,
    environment: environment_model.KubernetesEnvironment | environment_model.OnpremEnvironment,
    facts: Facts | None,
) -> Pools:
    pools = Pools()
    wanted = {}
    for name, pool in mesh.pools.items():
        wanted_fabric = mesh.fabrics[pool.fabric] if pool.fabric else None
        wanted[name] = (pool.nodes.min, machines.requirement_of(pool, wanted_fabric, pool.capacity))
    chosen = existing.Chosen()
    if facts is None:
        pools.notes.append("nodes are found by their hardware at plan and up; offline they are taken to be there")
    else:
        chosen = existing.choose(facts, mesh.name, wanted)
    pools.gaps, pools.rejected = chosen.gaps, chosen.rejected
    pools.made = [_pool_of_nodes(name, mesh, environment, chosen.nodes.get(name, ())) for name in mesh.pools]
    if any(pool.fabric and pool.fabric.bandwidth_gbps for pool in pools.made):
        pools.notes.append(
            "the fabric's bandwidth can't be read from a cluster: measure it, for example with nccl-tests"
        )
    return pools


def _pool_of_nodes(
    name: str,
    mesh: mesh_model.Mesh,
    environment: environment_model.KubernetesEnvironment | environment_model.OnpremEnvironment,
    nodes: tuple[ObservedNode, ...],
) -> Pool:
    """A pool of the nodes chosen: what all of them have. Without nodes: what the mesh asks for."""
    pool = mesh.pools[name]
    accelerator = pool.accelerator
    model = existing.model_of(accelerator.model if accelerator else (), nodes)
    hardware = existing.hardware_name(model)
    return Pool(
        name=name,
        role=pool.role,
        machine=hardware,
        market=pool.capacity,
        nodes_min=pool.nodes.min,
        nodes_max=pool.nodes.max,
        nodes=pool.nodes.min,
        gpu_model=model,
        gpus_per_node=min((node.gpu_count for node in nodes), default=accelerator.count if accelerator else 0),
        gpu_memory_gib=(accelerator.memory_gib or 0) if accelerator else 0,
        cpu_cores=min((node.cpu_cores for node in nodes), default=pool.cpu.cores or 0),
        memory_gib=min((node.memory_gib for node in nodes), default=pool.cpu.memory_gib or 0),
        scratch_gb=pool.scratch_gb or 0,
        disk_gib=gib_of_gb(min((node.scratch_gb for node in nodes), default=pool.scratch_gb or 0)),
        arch=pool.arch,
        fabric=_cluster_fabric(pool.fabric, mesh, environment, nodes),
        labels=_labels(mesh, name),
        node_names=tuple(node.name for node in nodes),
        price=prices.of_hardware(f"pool/{name}", name, pool.nodes.min, hardware, environment.prices),
    )


def _cluster_fabric(
    name: str | None,
    mesh: mesh_model.Mesh,
    environment: environment_model.KubernetesEnvironment | environment_model.OnpremEnvironment,
    nodes: tuple[ObservedNode, ...],
) -> Fabric | None:
    if name is None:
        return None
    made = fabric.of_cluster(name, mesh.fabrics[name], environment.fabric)
    found = {node.rdma_resource for node in nodes if node.rdma_resource}
    if made.kind != "ethernet" and found and made.resource not in found:
        return made.model_copy(update={"resource": min(found)})
    return made

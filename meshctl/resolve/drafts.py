"""What is decided of a mesh before it is known whether anything is missing: pools, storage, workloads, room. PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from meshctl.catalog import Catalog
from meshctl.model.deployment import AwsNetwork, Deployment, Endpoint, Pool, Workload
from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ShiftsInForce
from meshctl.platforms import registry
from meshctl.platforms.interface import Platform
from meshctl.resolve.data import claims, existing_storage, neural_mesh, neural_mesh_room, storage
from meshctl.resolve.placement import allocatable, neural_mesh_places, pools, whole_nodes
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.placement.machine_types import offerings
from meshctl.resolve.work import gateways, monitors, shifted_room, workloads
from meshctl.resolve.work.lending import lending, lending_counters, lent_replicas
from meshctl.resolve.work.lending.lending_counters import Counter


@dataclass(frozen=True, slots=True)
class Inputs:
    """What `meshctl.resolve.resolve` was given, which says what each is. `name`: of an environment that there is, and
    whose platform can be used here; `listed`: the catalog."""

    mesh: Mesh
    environments: Environments
    name: str
    listed: Catalog
    facts: Facts | None
    served: Collection[str]
    up: Deployment | None
    shifts: ShiftsInForce

    @property
    def environment(self) -> PlatformEnvironment:
        return self.environments.environments[self.name]

    @property
    def platform(self) -> Platform:
        return registry.platform(self.environment.provider)

    @property
    def nodes_are_made(self) -> bool:
        return self.platform.nodes.made_of is not None

    @property
    def cluster_is_made(self) -> bool:
        return self.platform.cluster.made is not None

    @property
    def network(self) -> AwsNetwork | None:
        made = self.platform.cluster.made
        return made.network(self.environment) if made is not None else None

    @property
    def pools_up(self) -> tuple[Pool, ...]:
        """Those whose machines meshctl has chosen."""
        return self.up.pools if self.up is not None and self.nodes_are_made else ()

    @property
    def catalog(self) -> Catalog:
        """As listed, with the machines of `pools_up`, which can be had whatever the list says of them."""
        return offerings.with_running(self.listed, self.environment.provider, self.pools_up)


@dataclass(frozen=True, slots=True)
class Draft:
    """What will be deployed if nothing is missing.

    `asked_for`: the workloads as mesh.yaml has them, `workloads`: with lent replicas, and in the queues that those wait
    in which are in `waiting` (by job, the pools that will lend to it once Kueue is up). `usable`: by pool, what pods
    can use of each node; `room`: with the nodes that a shift has brought. `counter`: who counts what pools lend.
    """

    pools: pools.Pools
    storage: storage.Storages
    weka: neural_mesh.Carried
    endpoints: tuple[Endpoint, ...]
    asked_for: tuple[Workload, ...]
    workloads: tuple[Workload, ...]
    waiting: Mapping[str, tuple[str, ...]]
    usable: Mapping[str, Usable]
    room: Mapping[str, Usable]
    counter: Counter


def draft(inputs: Inputs) -> Draft:
    """Raises: PlatformError when the platform can't be used here."""
    mesh, environment, facts = inputs.mesh, inputs.environment, inputs.facts
    catalog, counter = inputs.catalog, _counter(inputs)
    made = pools.resolve(mesh, environment, catalog, facts, inputs.up)
    made.made[:] = lending.with_lenders(mesh, made.made, counter)
    carried = _workloads(inputs, made.made, counter)
    place = _place(inputs, catalog, made.made)
    stored = storage.resolve(place)
    weka = neural_mesh.resolve(place, neural_mesh_places.places(mesh, environment), made.made, inputs.up)
    made.made[:] = weka.pools
    stored.take(weka.file_systems, weka.words, list(mesh.storage))
    carried = existing_storage.mounted(carried, stored.file_systems, stored.blocks, facts, mesh.name)
    usable = {pool.name: allocatable.of_pool(pool, environment.provider, catalog, facts) for pool in made.made}
    usable |= neural_mesh_room.without_shares(usable, weka.value)
    room = shifted_room.with_gained(usable, made.made, inputs.shifts, facts)
    waiting = lending.waiting_for_kueue(mesh, carried, made.made, usable, counter)
    return Draft(
        pools=made,
        storage=stored,
        weka=weka,
        endpoints=gateways.endpoints(mesh, environment, inputs.environments.dns),
        asked_for=carried,
        workloads=lending.in_queues_to_come(lent_replicas.decided(carried, made.made, room), waiting),
        waiting=waiting,
        usable=usable,
        room=room,
        counter=counter,
    )


def _counter(inputs: Inputs) -> Counter:
    return lending_counters.seen(
        inputs.facts,
        inputs.served,
        inputs.environment.kai,
        nodes_are_made=inputs.nodes_are_made,
        cluster_is_made=inputs.cluster_is_made,
    )


def _workloads(inputs: Inputs, made: list[Pool], counter: Counter) -> tuple[Workload, ...]:
    """Those of the mesh on their pools, and the gateways that its endpoints need."""
    mesh, environment = inputs.mesh, inputs.environment
    own = whole_nodes.with_all_accelerators(workloads.resolve(mesh, environment), mesh, made)
    own = monitors.with_monitors(own, inputs.facts, inputs.served)
    return (*lending.with_borrowers(mesh.name, own, made, counter), *gateways.workloads(mesh, environment))


def _place(inputs: Inputs, catalog: Catalog, made: list[Pool]) -> storage.Place:
    """Storage of one zone goes to that of the first pool that is bound to one."""
    mesh = inputs.mesh
    zone = next((pool.zones[0] for pool in made if len(pool.zones) == 1), "") or _first_zone(inputs)
    counts = (claims.least(mesh), claims.most(mesh))
    return storage.Place(mesh, inputs.name, inputs.environment, catalog, inputs.facts, zone, *counts)


def _first_zone(inputs: Inputs) -> str:
    """Where storage of one zone goes that no pool binds to another; "" where nodes are not made in zones."""
    offer = inputs.platform.nodes.made_of
    return offer.zones(inputs.environment, True)[0] if offer is not None else ""

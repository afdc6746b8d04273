"""(Mesh, Environment, Catalog, Facts) -> Deployment, or the gaps that forbid one. PURE and deterministic.

Called by `meshctl.cli` (check), `meshctl.engine` (plan, up) and `meshctl.migrate`. What it returns is declared by
`stacks.*` and rendered by `meshctl.render`, which decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from meshctl.catalog import Catalog
from meshctl.errors import DiagnosticsError, UsageError
from meshctl.model import served_apis
from meshctl.model.deployment import Deployment, Endpoint, Gap, Resolution, Workload
from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.files.file_problems import suggestion
from meshctl.model.keys import lending as model_lending
from meshctl.model.keys import roll_outs as model_roll_outs
from meshctl.model.mesh import Mesh
from meshctl.model.neural_mesh import NeuralMesh
from meshctl.model.observed import NO_SHIFTS, Facts, ShiftsInForce
from meshctl.model.pods import pod_users
from meshctl.platforms import registry
from meshctl.resolve.data import (
    claims,
    existing_file_systems,
    existing_storage,
    neural_mesh,
    neural_mesh_notes,
    neural_mesh_room,
    storage,
)
from meshctl.resolve.placement import addresses, allocatable, fabric_expectation, neural_mesh_places, pools, whole_nodes
from meshctl.resolve.placement.machine_types import offerings, prices, racks
from meshctl.resolve.work import (
    evictions,
    gang_holds,
    gateways,
    monitors,
    queues,
    roll_outs,
    running,
    scaling,
    shifted_room,
    workloads,
)
from meshctl.resolve.work.lending import lending, lending_counters, lent_replicas
from meshctl.resolve.work.notes import (
    blueprint_notes,
    docker_hub,
    endpoint_notes,
    group_notes,
    mirror_notes,
    unconfirmed,
    unpublished_image,
    workload_notes,
)


def resolve(
    mesh: Mesh,
    environments: Environments,
    name: str,
    catalog: Catalog,
    facts: Facts | None = None,
    *,
    served: Collection[str] = (),
    up: Deployment | None = None,
    shifts: ShiftsInForce = NO_SHIFTS,
) -> Resolution:
    """Decide how `mesh` runs in the environment `name`.

    `facts`: what an existing cluster has, where its nodes are given; without them its nodes and storage classes are
    taken to be there. `served`: which of `served_apis` an existing cluster serves in which nodes are made. `up`: what
    is up in the environment, with the pools that came up: what is as it was is not refused for what the catalog says.
    `shifts`: their nodes have room for pods of the pool that they work for. Raises: UsageError when there is no such
    environment; DiagnosticsError, PlatformError when its platform can't be used here, or with `Mesh.mistakes`.
    """
    if mesh.mistakes:
        raise DiagnosticsError(list(mesh.mistakes))
    environment = environments.environments[checked_name(environments, name)]
    platform = registry.platform(environment.provider)
    pools_up = up.pools if up is not None and platform.nodes.made_of is not None else ()
    listed, catalog = catalog, offerings.with_running(catalog, environment.provider, pools_up)
    made = pools.resolve(mesh, environment, catalog, facts, up)
    nodes_are_made, cluster_is_made = platform.nodes.made_of is not None, platform.cluster.made is not None
    counter = _counter(environment, facts, served)
    made.made[:] = lending.with_lenders(mesh, made.made, counter)
    carried = whole_nodes.with_all_accelerators(workloads.resolve(mesh, environment), mesh, made.made)
    carried = lending.with_borrowers(mesh.name, monitors.with_monitors(carried, facts, served), made.made, counter)
    carried = (*carried, *gateways.workloads(mesh, environment))
    endpoints = gateways.endpoints(mesh, environment, environments.dns)
    zone = next((pool.zones[0] for pool in made.made if len(pool.zones) == 1), "") or _first_zone(environment)
    counts = (claims.least(mesh), claims.most(mesh))
    place = storage.Place(mesh, name, environment, catalog, facts, zone, *counts)
    stored = storage.resolve(place)
    places = neural_mesh_places.places(mesh, environment)
    weka = neural_mesh.resolve(place, places, made.made, up)
    made.made[:] = weka.pools
    stored.take(weka.file_systems, weka.words, list(mesh.storage))
    carried = existing_storage.mounted(carried, stored.file_systems, stored.blocks, facts, mesh.name)
    network = platform.cluster.made.network(environment) if platform.cluster.made else None
    usable = {pool.name: allocatable.of_pool(pool, environment.provider, catalog, facts) for pool in made.made}
    usable |= neural_mesh_room.without_shares(usable, weka.value)
    room = shifted_room.with_gained(usable, made.made, shifts, facts)
    waiting = lending.waiting_for_kueue(mesh, carried, made.made, usable, counter)
    asked_for, carried = carried, lending.in_queues_to_come(lent_replicas.decided(carried, made.made, room), waiting)
    gaps = [
        *platform.words.gaps(environment),
        *_dns_gaps(mesh, environments),
        *gateways.gaps(mesh, environment, facts),
        *made.gaps,
        *stored.gaps,
        *weka.gaps,
        *existing_file_systems.zone_gaps(stored.file_systems, carried, made.made),
        *workloads.gaps(lending.fixed(carried, waiting), made.made, room, running.unchanged(carried, up)),
        *lending.gaps(mesh, carried, made.made, usable, facts, counter),
        *queues.gaps(carried, facts),
        *scaling.gaps(carried, facts, served, nodes_are_made=nodes_are_made),
        *scaling.shortages(carried, made.made, room),
        *racks.gaps(carried, made.made, platform.name, catalog, facts),
    ]
    carried = carried if gaps else roll_outs.decided(carried, made.made, usable)
    carried = carried if gaps else evictions.decided(gang_holds.decided(carried, made.made, facts), made.made)
    groups = served_apis.LEADER_WORKER_SET
    is_kept = groups in served or (facts is not None and facts.serves(groups) is True)
    has_groups = is_kept and any(each.is_grouped for each in carried)
    deployment = (
        None
        if gaps
        else _deployment(
            mesh, name, environment, made, stored, weka.value, carried, endpoints, has_group_controller=has_groups
        )
    )
    over = _over_limit(mesh, deployment)
    mounts = {storage: (count, counts[1][storage]) for storage, count in counts[0].items()}
    most_usd = scaling.most_usd(deployment, usable, mounts) if deployment is not None else None
    # Not validated again: that would copy each pool's list of rejected machines, which is one shared value.
    return Resolution.model_construct(
        mesh=mesh.name,
        environment=name,
        deployment=None if over else deployment,
        most_hourly_usd=most_usd,
        gaps=(*gaps, *over),
        pools=tuple(made.made),
        rejected=made.rejected,
        storage_as=stored.words,
        stays_behind=storage.stays_behind(mesh, {each.name for each in stored.object_stores if each.is_adopted}),
        notes=(
            *blueprint_notes.notes(mesh),
            *made.notes,
            *stored.notes,
            *weka.notes,
            *neural_mesh_notes.left(usable, weka.value.shares if weka.value is not None else ()),
            *_notes(mesh, deployment, most_usd),
            *fabric_expectation.notes(made.made),
            *racks.notes(carried, made.made, platform.name, catalog, facts),
            *offerings.notes(made.made, environment, network, catalog),
            *offerings.running_notes(pools_up, environment, offerings.in_environment(listed, environment)),
            *unconfirmed.notes(made.made, platform.name, catalog),
            *running.kept_off_notes(carried, made.made, usable, running.unchanged(carried, up)),
            *addresses.notes(made.made, platform.name, network, catalog, weka.value),
            *(
                note
                for each in carried
                for note in workload_notes.notes(platform.name, each, endpoints, environment.images)
            ),
            *endpoint_notes.notes_of_mesh(platform.name, endpoints),
            *workloads.notes(carried),
            *(() if gaps else workloads.uncounted(lending.fixed(carried, waiting), made.made, room)),
            *(() if gaps else (*gang_holds.notes(carried, made.made, facts), *evictions.notes(carried, made.made))),
            *queues.notes((each for each in carried if each.name not in waiting), served, is_made=cluster_is_made),
            *lending.notes(mesh, asked_for, carried, made.made, counter),
            *lending.waiting_notes(waiting),
            *scaling.notes(
                carried,
                made.made,
                room,
                served,
                nodes_are_made=nodes_are_made,
                cluster_is_made=cluster_is_made,
            ),
            *platform.words.notes(environment),
        ),
    )


def _counter(
    environment: PlatformEnvironment, facts: Facts | None, served: Collection[str]
) -> lending_counters.Counter:
    """Who counts what pools lend."""
    platform = registry.platform(environment.provider)
    nodes_are_made, cluster_is_made = platform.nodes.made_of is not None, platform.cluster.made is not None
    return lending_counters.seen(
        facts, served, environment.kai, nodes_are_made=nodes_are_made, cluster_is_made=cluster_is_made
    )


def _deployment(
    mesh: Mesh,
    name: str,
    environment: PlatformEnvironment,
    made: pools.Pools,
    stored: storage.Storages,
    weka: NeuralMesh | None,
    carried: tuple[Workload, ...],
    endpoints: tuple[Endpoint, ...],
    *,
    has_group_controller: bool,
) -> Deployment:
    cluster = registry.platform(environment.provider).cluster
    deployment = Deployment(
        mesh=mesh.name,
        environment=name,
        provider=environment.provider,
        region=environment.region or "",
        profile=cluster.made.profile(environment) if cluster.made else "",
        labels=mesh.labels,
        cluster=cluster.describe(mesh, name, environment),
        network=cluster.made.network(environment) if cluster.made else None,
        pools=tuple(made.made),
        object_stores=tuple(stored.object_stores),
        file_systems=tuple(stored.file_systems),
        blocks=tuple(stored.blocks),
        workloads=carried,
        endpoints=endpoints,
        has_group_controller=has_group_controller,
        has_dotted_queues=any(model_lending.takes_part(pool, carried) for pool in made.made),
        kai=environment.kai if any(model_lending.takes_part(pool, carried) for pool in made.made) else None,
        images=environment.images,
        neural_mesh=weka,
    )
    deployment = deployment.model_copy(update={"namespace_is_given": bool(deployment.adopted_claims)})
    return pod_users.with_one_user(deployment)


def _first_zone(environment: PlatformEnvironment) -> str:
    """Where storage of one zone goes that no pool binds to another; "" where nodes are not made in zones."""
    offer = registry.platform(environment.provider).nodes.made_of
    return offer.zones(environment, True)[0] if offer is not None else ""


def checked_name(environments: Environments, name: str) -> str:
    """The name, if environments.yaml has it.

    Raises: UsageError, with the nearest name; DiagnosticsError when its platform can't be used here.
    """
    names = list(environments.environments)
    if name not in names:
        hint = f"environments.yaml has {', '.join(names)}"
        raise UsageError(f'no environment named "{name}"{suggestion(name, names)}', hint=hint)
    mistake = environments.mistake(name)
    if mistake is not None:
        raise DiagnosticsError([mistake])
    return name


def _dns_gaps(mesh: Mesh, environments: Environments) -> list[Gap]:
    """Whether the hosts fit the zone is found when the files are read: `environment_references.check_hosts`."""
    if environments.dns is not None:
        return []
    hint = "add dns: {provider: route53, zone: …} to environments.yaml"
    return [
        Gap(subject=f"endpoint/{name}", wanted=f"DNS for {endpoint.host}", best="no dns section", hint=hint)
        for name, endpoint in mesh.endpoints.items()
    ]


def _over_limit(mesh: Mesh, deployment: Deployment | None) -> tuple[Gap, ...]:
    limit = mesh.limits.hourly_usd
    cost = deployment.hourly_usd if deployment else None
    if limit is None or cost is None or cost <= limit:
        return ()
    hint = "raise limits.hourly, or ask for fewer or smaller nodes"
    return (Gap(subject="limits/hourly", wanted=f"at most {limit:g} USD/h", best=f"{cost:.2f} USD/h", hint=hint),)


def _notes(mesh: Mesh, deployment: Deployment | None, most_usd: float | None) -> tuple[str, ...]:
    if deployment is None:
        return ()
    notes = []
    if mesh.limits.hourly_usd is not None and most_usd is not None and most_usd > mesh.limits.hourly_usd:
        notes.append(
            f"limits.hourly holds for what is started: with all replicas that load may bring it costs {most_usd:.2f}"
            " USD/h"
        )
    if mesh.limits.hourly_usd is not None and deployment.hourly_usd is None:
        notes.append("limits.hourly can't be checked: the cost is unknown")
    left_out = prices.not_in_cost(deployment) if mesh.limits.hourly_usd is not None else ()
    if left_out and deployment.hourly_usd is not None:
        notes.append(f"limits.hourly does not contain: {', '.join(left_out)}")
    notes += group_notes.notes(deployment)
    notes += [*pod_users.notes(deployment), *model_roll_outs.notes(deployment), *mirror_notes.notes(deployment)]
    notes += unpublished_image.notes(deployment)
    return (*notes, *docker_hub.notes(deployment))

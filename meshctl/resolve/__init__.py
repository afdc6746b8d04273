"""(Mesh, Environment, Catalog, Facts) -> Deployment, or the gaps that forbid one. PURE and deterministic.

Called by `meshctl.cli` (check), `meshctl.engine` (plan, up) and `meshctl.migrate`. What it returns is declared by
`stacks.*` and rendered by `meshctl.render`, which decide nothing.
"""

from __future__ import annotations

from typing import Final

from meshctl.catalog import Catalog
from meshctl.errors import UsageError
from meshctl.model.deployment import Cluster, Deployment, Endpoint, Gap, Resolution, Workload
from meshctl.model.environment import (
    EVERYWHERE,
    AwsEnvironment,
    Environment,
    Environments,
    OnpremEnvironment,
)
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts
from meshctl.model.references import suggestion
from meshctl.resolve import allocatable, network, pools, storage, workloads
from meshctl.words import counted

# In standard support until 2027-03-27; 1.34 leaves it on 2026-12-02, and then costs six times as much an hour.
# Source: EKS version calendar (2026-04-24).
DEFAULT_EKS_VERSION: Final = "1.35"


def resolve(
    mesh: Mesh, environments: Environments, name: str, catalog: Catalog, facts: Facts | None = None
) -> Resolution:
    """Decide how `mesh` runs in the environment `name`.

    `facts`: what an existing cluster has (providers kubernetes and onprem); without them its nodes and storage classes
    are taken to be there.
    Raises: UsageError when there is no such environment.
    """
    environment = environments.environments[known(environments, name)]
    made = pools.resolve(mesh, environment, catalog, facts)
    carried = workloads.resolve(mesh)
    zone = next((pool.zones[0] for pool in made.made if len(pool.zones) == 1), "")
    zone = zone or (environment.zones[0] if isinstance(environment, AwsEnvironment) else "")
    place = storage.Place(mesh, name, environment, catalog, facts, zone, workloads.claims(mesh))
    stored = storage.resolve(place)
    usable = {pool.name: allocatable.of_pool(pool, environment.provider, catalog, facts) for pool in made.made}
    gaps = [
        *_environment_gaps(mesh, environments, environment),
        *made.gaps,
        *stored.gaps,
        *workloads.gaps(carried, made.made, usable),
    ]
    deployment = None if gaps else _deployment(mesh, name, environment, made, stored, carried)
    over = _over_limit(mesh, deployment)
    # Not validated again: that would copy each pool's list of rejected machines, which is one shared value.
    return Resolution.model_construct(
        mesh=mesh.name,
        environment=name,
        deployment=None if over else deployment,
        gaps=(*gaps, *over),
        pools=tuple(made.made),
        rejected=made.rejected,
        storage_as=stored.words,
        stays_behind=storage.stays_behind(mesh),
        notes=(*made.notes, *stored.notes, *_notes(mesh, deployment), *_open_notes(environment)),
    )


def _deployment(
    mesh: Mesh,
    name: str,
    environment: Environment,
    made: pools.Pools,
    stored: storage.Storages,
    carried: tuple[Workload, ...],
) -> Deployment:
    aws = environment if isinstance(environment, AwsEnvironment) else None
    return Deployment(
        mesh=mesh.name,
        environment=name,
        provider=environment.provider,
        region=environment.region or "",
        profile=(aws.profile or "") if aws else "",
        labels=mesh.labels,
        cluster=_cluster(mesh, name, environment),
        network=network.plan(aws.network.cidr, aws.region, aws.zones) if aws else None,
        pools=tuple(made.made),
        object_stores=tuple(stored.object_stores),
        file_systems=tuple(stored.file_systems),
        blocks=tuple(stored.blocks),
        workloads=carried,
        endpoints=_endpoints(mesh),
    )


def known(environments: Environments, name: str) -> str:
    """The name, if environments.yaml has it. Raises: UsageError, with the nearest name."""
    names = list(environments.environments)
    if name not in names:
        hint = f"environments.yaml has {', '.join(names)}"
        raise UsageError(f'no environment named "{name}"{suggestion(name, names)}', hint=hint)
    return name


def _cluster(mesh: Mesh, name: str, environment: Environment) -> Cluster:
    given = environment.kubernetes
    if isinstance(environment, AwsEnvironment):
        eks = environment.kubernetes
        return Cluster(
            name=f"{mesh.name}-{name}",
            version=eks.version or DEFAULT_EKS_VERSION,
            version_asked=bool(eks.version),
            public_access_cidrs=eks.public_access_cidrs,
        )
    kubeconfig, context = getattr(given, "kubeconfig", None), getattr(given, "context", None)
    return Cluster(name=context or name, kubeconfig=kubeconfig or "", context=context or "")


def _endpoints(mesh: Mesh) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(name=name, host=endpoint.host, workload=endpoint.workload, port=endpoint.port)
        for name, endpoint in mesh.endpoints.items()
    )


def _environment_gaps(mesh: Mesh, environments: Environments, environment: Environment) -> list[Gap]:
    gaps: list[Gap] = []
    if isinstance(environment, AwsEnvironment):
        gaps.extend(_aws_gaps(environment))
    if isinstance(environment, OnpremEnvironment) and environment.kubernetes is None:
        hint = "SSH hosts are not supported yet: give `kubernetes: {kubeconfig: …}`"
        gaps.append(Gap(subject="environment", wanted="a cluster on SSH hosts", best="an existing cluster", hint=hint))
    if mesh.blueprints:
        names = ", ".join(mesh.blueprints)
        hint = "blueprints are not supported yet: write their workloads into the mesh"
        gaps.append(Gap(subject="blueprints", wanted=names, best="nothing", hint=hint))
    gaps.extend(_dns_gaps(mesh, environments))
    return gaps


def _aws_gaps(environment: AwsEnvironment) -> list[Gap]:
    gaps: list[Gap] = []
    if environment.network.adopt is not None:
        hint = "adopting a network is not supported yet: give network: {cidr: …} and meshctl makes one"
        gaps.append(Gap(subject="network", wanted="an existing network", best="a new VPC", hint=hint))
    zones = len(environment.zones)
    if not 2 <= zones <= network.MAX_ZONES:
        wanted = f"subnets in 2 to {network.MAX_ZONES} zones (an EKS control plane spans at least two)"
        hint = (
            "list at least two zones of the region" if zones < 2 else f"leave out {zones - network.MAX_ZONES} of them"
        )
        gaps.append(Gap(subject="network", wanted=wanted, best=counted(zones, "zone"), hint=hint))
    for item in (*environment.capacity.reservations, *environment.capacity.blocks):
        if item.zone and item.zone not in environment.zones:
            hint = f"add {item.zone} to the environment's zones"
            gaps.append(Gap(subject=f"capacity/{item.id}", wanted=item.zone, best="no subnet there", hint=hint))
    return gaps


def _dns_gaps(mesh: Mesh, environments: Environments) -> list[Gap]:
    """Whether the hosts fit the zone is found when the files are read: `references.check_hosts`."""
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


def _notes(mesh: Mesh, deployment: Deployment | None) -> tuple[str, ...]:
    if deployment is None:
        return ()
    notes = []
    if mesh.limits.hourly_usd is not None and deployment.hourly_usd is None:
        notes.append("limits.hourly can't be checked: the cost is unknown")
    return tuple(notes)


def _open_notes(environment: Environment) -> tuple[str, ...]:
    """What is open to the whole internet, though not without IAM credentials."""
    if not isinstance(environment, AwsEnvironment) or EVERYWHERE not in environment.kubernetes.public_access_cidrs:
        return ()
    return (
        "the cluster's API server answers to the whole internet (with IAM credentials only): name your networks in"
        " kubernetes.publicAccessCidrs",
    )

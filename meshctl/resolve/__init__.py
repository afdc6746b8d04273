"""(Mesh, Environment, Catalog, Facts) -> Deployment, or the gaps that forbid one. PURE and deterministic.

Called by `meshctl.cli` (check), `meshctl.engine` (plan, up) and `meshctl.migrate`. What it returns is declared by
`stacks.*` and rendered by `meshctl.render`, which decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from meshctl.catalog import Catalog
from meshctl.errors import DiagnosticsError, UsageError
from meshctl.model import served_apis
from meshctl.model.deployment import Deployment, Resolution, Workload
from meshctl.model.environment import Environments
from meshctl.model.files.file_problems import suggestion
from meshctl.model.keys import lending
from meshctl.model.mesh import Mesh
from meshctl.model.observed import NO_SHIFTS, Facts, ShiftsInForce
from meshctl.model.pods import pod_users
from meshctl.resolve import all_gaps, all_notes, drafts
from meshctl.resolve.data import claims, storage
from meshctl.resolve.drafts import Draft, Inputs
from meshctl.resolve.work import evictions, gang_holds, roll_outs, scaling


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
    checked_name(environments, name)
    inputs = Inputs(mesh, environments, name, catalog, facts, served, up, shifts)
    draft = drafts.draft(inputs)
    gaps = all_gaps.gaps(inputs, draft)
    carried = draft.workloads if gaps else _finished(draft, facts)
    deployment = None if gaps else _deployment(inputs, draft, carried)
    over = all_gaps.over_limit(mesh, deployment)
    most_usd = _most_usd(draft, deployment, mesh)
    stored = draft.storage
    # Not validated again: that would copy each pool's list of rejected machines, which is one shared value.
    return Resolution.model_construct(
        mesh=mesh.name,
        environment=name,
        deployment=None if over else deployment,
        most_hourly_usd=most_usd,
        gaps=(*gaps, *over),
        pools=tuple(draft.pools.made),
        rejected=draft.pools.rejected,
        storage_as=stored.words,
        stays_behind=storage.stays_behind(mesh, {each.name for each in stored.object_stores if each.is_adopted}),
        notes=all_notes.notes(inputs, draft, carried, deployment, most_usd, has_gaps=bool(gaps)),
    )


def _finished(draft: Draft, facts: Facts | None) -> tuple[Workload, ...]:
    """The workloads with what can be decided once all of them have room: how they are rolled out, which gangs are held
    until they are complete, and who is evicted for whom."""
    made = draft.pools.made
    carried = roll_outs.decided(draft.workloads, made, draft.usable)
    return evictions.decided(gang_holds.decided(carried, made, facts), made)


def _deployment(inputs: Inputs, draft: Draft, carried: tuple[Workload, ...]) -> Deployment:
    environment, cluster, made = inputs.environment, inputs.platform.cluster, draft.pools.made
    lends = any(lending.takes_part(pool, carried) for pool in made)
    deployment = Deployment(
        mesh=inputs.mesh.name,
        environment=inputs.name,
        provider=environment.provider,
        region=environment.region or "",
        profile=cluster.made.profile(environment) if cluster.made else "",
        labels=inputs.mesh.labels,
        cluster=cluster.describe(inputs.mesh, inputs.name, environment),
        network=inputs.network,
        pools=tuple(made),
        object_stores=tuple(draft.storage.object_stores),
        file_systems=tuple(draft.storage.file_systems),
        blocks=tuple(draft.storage.blocks),
        workloads=carried,
        endpoints=draft.endpoints,
        has_group_controller=_has_group_controller(inputs, carried),
        has_dotted_queues=lends,
        kai=environment.kai if lends else None,
        images=environment.images,
        neural_mesh=draft.weka.value,
    )
    deployment = deployment.model_copy(update={"namespace_is_given": bool(deployment.adopted_claims)})
    return pod_users.with_one_user(deployment)


def _has_group_controller(inputs: Inputs, carried: tuple[Workload, ...]) -> bool:
    """Whether groups of pods are left to the LeaderWorkerSet controller of the cluster."""
    groups, facts = served_apis.LEADER_WORKER_SET, inputs.facts
    is_served = groups in inputs.served or (facts is not None and facts.serves(groups) is True)
    return is_served and any(each.is_grouped for each in carried)


def _most_usd(draft: Draft, deployment: Deployment | None, mesh: Mesh) -> float | None:
    """What an hour costs once load has brought all replicas; None where that is not known."""
    if deployment is None:
        return None
    least, most = claims.least(mesh), claims.most(mesh)
    mounts = {name: (count, most[name]) for name, count in least.items()}
    return scaling.most_usd(deployment, draft.usable, mounts)


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

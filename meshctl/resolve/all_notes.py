"""All that a user should know of a resolution, whether it has gaps or not. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import roll_outs
from meshctl.model.mesh import Mesh
from meshctl.model.pods import pod_users
from meshctl.resolve.data import neural_mesh_notes
from meshctl.resolve.drafts import Draft, Inputs
from meshctl.resolve.placement import addresses, fabric_expectation
from meshctl.resolve.placement.machine_types import offerings, prices, racks
from meshctl.resolve.work import evictions, gang_holds, queues, running, scaling, workloads
from meshctl.resolve.work.lending import lending
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


def notes(
    inputs: Inputs,
    draft: Draft,
    carried: tuple[Workload, ...],
    deployment: Deployment | None,
    most_usd: float | None,
    *,
    has_gaps: bool,
) -> tuple[str, ...]:
    """`carried`: the workloads with what was decided last. `deployment`: also where only its price forbids it."""
    made = draft.pools.made
    return (
        *blueprint_notes.notes(inputs.mesh),
        *draft.pools.notes,
        *draft.storage.notes,
        *draft.weka.notes,
        *neural_mesh_notes.left(draft.usable, draft.weka.value.shares if draft.weka.value is not None else ()),
        *(_of_deployment(inputs.mesh, deployment, most_usd) if deployment is not None else ()),
        *fabric_expectation.notes(made),
        *_of_machines(inputs, draft, carried),
        *_of_workloads(inputs, draft, carried),
        *(() if has_gaps else _of_room(inputs, draft, carried)),
        *_of_queues(inputs, draft, carried),
        *inputs.platform.words.notes(inputs.environment),
    )


def _of_deployment(mesh: Mesh, deployment: Deployment, most_usd: float | None) -> Iterator[str]:
    if mesh.limits.hourly_usd is not None:
        yield from _of_limit(mesh.limits.hourly_usd, deployment, most_usd)
    yield from group_notes.notes(deployment)
    yield from pod_users.notes(deployment)
    yield from roll_outs.notes(deployment)
    yield from mirror_notes.notes(deployment)
    yield from unpublished_image.notes(deployment)
    yield from docker_hub.notes(deployment)


def _of_limit(hourly_usd: float, deployment: Deployment, most_usd: float | None) -> Iterator[str]:
    if most_usd is not None and most_usd > hourly_usd:
        yield (
            "limits.hourly is checked for what `up` starts: with all replicas that load may add, the mesh costs"
            f" {most_usd:.2f} USD/h"
        )
    if deployment.hourly_usd is None:
        yield "limits.hourly can't be checked: the cost is unknown"
    elif left_out := prices.not_in_cost(deployment):
        yield f"not counted against limits.hourly: {', '.join(left_out)}"


def _of_machines(inputs: Inputs, draft: Draft, carried: tuple[Workload, ...]) -> Iterator[str]:
    """Whether the machines can be had, and as what they are known."""
    made, environment, platform, catalog = draft.pools.made, inputs.environment, inputs.platform.name, inputs.catalog
    yield from racks.notes(carried, made, platform, catalog, inputs.facts)
    yield from offerings.notes(made, environment, inputs.network, catalog)
    listed = offerings.in_environment(inputs.listed, environment)
    yield from offerings.running_notes(inputs.pools_up, environment, listed)
    yield from unconfirmed.notes(made, platform, catalog)


def _of_workloads(inputs: Inputs, draft: Draft, carried: tuple[Workload, ...]) -> Iterator[str]:
    made, platform = draft.pools.made, inputs.platform.name
    yield from running.kept_off_notes(carried, made, draft.usable, running.unchanged(carried, inputs.up))
    yield from addresses.notes(made, platform, inputs.network, inputs.catalog, draft.weka.value)
    for each in carried:
        yield from workload_notes.notes(platform, each, draft.endpoints, inputs.environment.images)
    yield from endpoint_notes.notes_of_mesh(platform, draft.endpoints)
    yield from workloads.notes(carried)


def _of_room(inputs: Inputs, draft: Draft, carried: tuple[Workload, ...]) -> Iterator[str]:
    made = draft.pools.made
    yield from workloads.uncounted(lending.fixed(carried, draft.waiting), made, draft.room)
    yield from gang_holds.notes(carried, made, inputs.facts)
    yield from evictions.notes(carried, made)


def _of_queues(inputs: Inputs, draft: Draft, carried: tuple[Workload, ...]) -> Iterator[str]:
    """Who waits for whom, who lends to whom, and what load brings."""
    made, served = draft.pools.made, inputs.served
    in_queues = (each for each in carried if each.name not in draft.waiting)
    yield from queues.notes(in_queues, served, is_made=inputs.cluster_is_made)
    yield from lending.notes(inputs.mesh, draft.asked_for, carried, made, draft.counter)
    yield from lending.waiting_notes(draft.waiting)
    yield from scaling.notes(
        carried,
        made,
        draft.room,
        served,
        nodes_are_made=inputs.nodes_are_made,
        cluster_is_made=inputs.cluster_is_made,
    )

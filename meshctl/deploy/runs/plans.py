"""Makes a `Plan` from the steps of a preview or a run: changes by subject, cost, data at risk and notes. PURE.

Called by `preview`, by `environment_up`, and by `bucket_runs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from meshctl.changes import Change, Plan, group
from meshctl.changes.losses import Loss
from meshctl.changes.notes import block_updates, certificates, changed_groups, endpoint_access, roll_outs, storage
from meshctl.changes.steps import Step, subject_of
from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.model.pods import object_names
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry
from meshctl.resolve.data import existing_storage
from meshctl.resolve.data.storage import adoption_notes
from meshctl.resolve.placement.machine_types import prices
from meshctl.resolve.work.notes import endpoint_notes, workload_notes

_UNSEEN = "drift was not checked (--no-refresh): what is gone or was changed outside meshctl is not shown"
_OTHER_PROFILE = (
    "drift was not checked: AWS refuses the profile of the last `up`, and environments.yaml names another one, which"
    " the next `up` will use"
)
_GPU_METRICS = (
    "GPU nodes get NVIDIA's DCGM exporter, by which Prometheus sees their GPUs, as new environments have it from the"
    " start; no pod of the mesh changes"
)
_UNCHECKED = "the cluster does not exist yet: Kubernetes objects are shown as declared, not checked by its API server"


def plan_of_preview(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    dns_changes: tuple[Change, ...],
    losses: tuple[Loss, ...] = (),
    more_notes: Sequence[str] = (),
    drift: Sequence[Step] = (),
) -> Plan:
    """The plan of a preview.

    `before`: what is deployed; `dns_changes`: the changes of DNS records; `losses`: the data that it would lose;
    `drift`: what is no longer as the last `up` left it.
    """
    notes = [*more_notes, *_of_adopted_storage(deployment), *storage.notes(steps)]
    notes += roll_outs.notes(deployment, steps)
    notes += block_updates.notes(before, deployment, steps)
    notes += _of_changed_workloads(deployment, steps)
    notes += endpoint_access.notes(before, deployment)
    notes += changed_groups.notes(before, deployment)
    notes += endpoint_notes.notes(deployment.provider, deployment.endpoints)
    created = [step for step in steps if step.op == "create"]
    if before is not None and any(step.urn.endswith(f"::{object_names.GPU_METRICS}") for step in created):
        notes.append(_GPU_METRICS)
    if any(step.type in registry.cluster_types() for step in created):
        notes.append(_UNCHECKED)
    return _plan(deployment, steps, before, dns_changes, notes, losses, drift)


def _of_adopted_storage(deployment: Deployment) -> tuple[str, ...]:
    """What is used and belongs to somebody else: no resource stands for it, so that no change would show it."""
    mounted_by = {each.name: [mount.storage for mount in each.mounts] for each in deployment.workloads}
    return (
        *adoption_notes(deployment.object_stores),
        *existing_storage.notes(deployment.file_systems, deployment.blocks, mounted_by),
    )


def _of_changed_workloads(deployment: Deployment, steps: Sequence[Step]) -> list[str]:
    """What may keep workloads from running, of those that the run makes or changes."""
    changed = {subject_of(step.urn) for step in steps if step.action not in (None, "same", "delete")}
    workloads = [each for each in deployment.workloads if f"workload/{each.name}" in changed]
    given = (deployment.endpoints, deployment.images)
    return [note for each in workloads for note in workload_notes.notes(deployment.provider, each, *given)]


def plan_of_run(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    dns_changes: tuple[Change, ...],
    losses: tuple[Loss, ...] = (),
    drift: Sequence[Step] = (),
    notes: Sequence[str] = (),
) -> Plan:
    """The plan of a run that has made its changes. Arguments: as `plan_of_preview`."""
    return _plan(deployment, steps, before, dns_changes, notes, losses, drift)


def notes_without_refresh(state: StackState, *, is_refreshed: bool, is_other_profile: bool = False) -> list[str]:
    """The note of a plan that was made without a check for drift.

    `is_other_profile`: the check was skipped because AWS refuses the profile that the resources were made with.
    """
    if is_other_profile:
        return [_OTHER_PROFILE]
    return [_UNSEEN] if state.resources and not is_refreshed else []


def plan_of_buckets(
    deployment: Deployment, steps: Sequence[Step], before: Deployment | None, losses: tuple[Loss, ...] = ()
) -> Plan:
    """The plan of a run of the buckets alone. Besides them, only what was up before is counted in the cost."""
    stores = deployment.object_stores
    after = before.model_copy(update={"object_stores": stores}) if before else _alone(deployment, stores)
    return _plan(after, steps, before, (), [], losses)


def _alone(deployment: Deployment, stores: Iterable[ObjectStore]) -> Deployment:
    """The deployment with these buckets and nothing else."""
    nothing: dict[str, Any] = {"pools": (), "workloads": (), "file_systems": (), "blocks": ()}
    return deployment.model_copy(update={**nothing, "object_stores": tuple(stores)})


def _usd_of_buckets(deployment: Deployment, steps: Sequence[Step]) -> float | None:
    """The cost of the buckets that existed before anything else was brought up."""
    existing = {subject_of(step.urn) for step in steps if step.type == BUCKET and step.action not in (None, "create")}
    return _alone(deployment, (s for s in deployment.object_stores if f"storage/{s.name}" in existing)).hourly_usd


def _plan(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    dns_changes: tuple[Change, ...],
    notes: Sequence[str],
    losses: tuple[Loss, ...],
    drift: Sequence[Step] = (),
) -> Plan:
    plan = group(
        steps,
        environment=deployment.environment,
        digest=deployment.digest,
        hourly_usd_before=before.hourly_usd if before else _usd_of_buckets(deployment, steps),
        hourly_usd_after=deployment.hourly_usd,
        declared=storage.declared(before, deployment) | certificates.declared(before, deployment),
        extra=dns_changes,
        losses=losses,
        notes=tuple(notes),
        drift=drift,
    )
    return replace(plan, price_sources=prices.sources(deployment.prices))

"""What a run's steps amount to, as a `Plan`: changes by subject, cost, and what else is to be known. PURE.

Called by `session` after a preview and after a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from meshctl.changes import Change, Plan, group, roll_outs, storage
from meshctl.changes.losses import Loss
from meshctl.changes.steps import Step, subject_of
from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry
from meshctl.resolve import workload_notes

_UNSEEN = (
    "AWS and the cluster were not looked at (--no-refresh): what is gone or was changed outside meshctl is not seen"
)
_OTHER_PROFILE = (
    "AWS and the cluster were not looked at: the profile of the last `up` is refused, and environments.yaml names"
    " another one, which the next `up` goes on with"
)
_UNCHECKED = "the cluster does not exist yet: Kubernetes objects are shown as they are declared, unchecked"


def previewed(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    names: tuple[Change, ...],
    losses: tuple[Loss, ...] = (),
    more_notes: Sequence[str] = (),
    drift: Sequence[Step] = (),
) -> Plan:
    """Of a preview. `before`: what is deployed; `names`: the changes of names that go with it; `losses`: the data
    that it would lose; `drift`: what is no longer as the last `up` left it."""
    notes = [*more_notes, *storage.notes(steps), *roll_outs.notes(deployment, steps)]
    notes += _of_changed_workloads(deployment, steps)
    if any(step.op == "create" and step.type in registry.cluster_types() for step in steps):
        notes.append(_UNCHECKED)
    return _plan(deployment, steps, before, names, notes, losses, drift)


def _of_changed_workloads(deployment: Deployment, steps: Sequence[Step]) -> list[str]:
    """What may keep them from running, of the workloads that the run makes or changes."""
    changed = {subject_of(step.urn) for step in steps if step.action not in (None, "same", "delete")}
    workloads = [each for each in deployment.workloads if f"workload/{each.name}" in changed]
    given = (deployment.endpoints, deployment.images)
    return [note for each in workloads for note in workload_notes.notes(deployment.provider, each, *given)]


def done(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    names: tuple[Change, ...],
    losses: tuple[Loss, ...] = (),
    drift: Sequence[Step] = (),
    notes: Sequence[str] = (),
) -> Plan:
    """Of a run that changed things. Arguments: as `previewed`."""
    return _plan(deployment, steps, before, names, notes, losses, drift)


def looked_at(state: StackState, *, looked: bool, other_profile: bool = False) -> list[str]:
    """The note of a plan for which nobody looked at the world. `other_profile`: it could not be looked at with the AWS
    profile that it was made with."""
    if other_profile:
        return [_OTHER_PROFILE]
    return [_UNSEEN] if state.resources and not looked else []


def of_buckets(
    deployment: Deployment, steps: Sequence[Step], before: Deployment | None, losses: tuple[Loss, ...] = ()
) -> Plan:
    """Of the buckets alone, before or after the run: beside them only what was up before costs anything."""
    stores = deployment.object_stores
    after = before.model_copy(update={"object_stores": stores}) if before else _alone(deployment, stores)
    return _plan(after, steps, before, (), [], losses)


def _alone(deployment: Deployment, stores: Iterable[ObjectStore]) -> Deployment:
    """These buckets and nothing else."""
    nothing: dict[str, Any] = {"pools": (), "workloads": (), "file_systems": (), "blocks": ()}
    return deployment.model_copy(update={**nothing, "object_stores": tuple(stores)})


def _usd_of_buckets(deployment: Deployment, steps: Sequence[Step]) -> float | None:
    """What the buckets cost that were there before anything else was brought up."""
    there = {subject_of(step.urn) for step in steps if step.type == BUCKET and step.action not in (None, "create")}
    return _alone(deployment, (s for s in deployment.object_stores if f"storage/{s.name}" in there)).hourly_usd


def _plan(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Deployment | None,
    names: tuple[Change, ...],
    notes: Sequence[str],
    losses: tuple[Loss, ...],
    drift: Sequence[Step] = (),
) -> Plan:
    return group(
        steps,
        environment=deployment.environment,
        digest=deployment.digest,
        hourly_usd_before=before.hourly_usd if before else _usd_of_buckets(deployment, steps),
        hourly_usd_after=deployment.hourly_usd,
        declared=storage.declared(before, deployment),
        extra=names,
        losses=losses,
        notes=tuple(notes),
        drift=drift,
    )

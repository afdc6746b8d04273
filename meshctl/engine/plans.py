"""What a run's steps amount to, as a `Plan`: changes by subject, cost, and what else is to be known. PURE.

Called by `session` after a preview and after a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshctl.changes import Change, Plan, group, storage
from meshctl.changes.steps import Step, subject_of
from meshctl.model.deployment import Deployment, ObjectStore

_BUCKET = "meshaws:s3:Bucket"
_UNCHECKED = "the cluster does not exist yet: Kubernetes objects are shown as they are declared, unchecked"


def previewed(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Mapping[str, Any],
    names: tuple[Change, ...],
    said: Sequence[str] = (),
) -> Plan:
    """Of a preview. `before`: the stack's outputs; `names`: the changes of names that go with it; `said`: notes on what
    stays as it is."""
    notes = [*storage.notes(steps), *said]
    if any(step.op == "create" and step.type == "meshaws:eks:Cluster" for step in steps):
        notes.append(_UNCHECKED)
    return _plan(deployment, steps, before, names, notes)


def done(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Mapping[str, Any],
    names: tuple[Change, ...],
    said: Sequence[str] = (),
) -> Plan:
    """Of a run that changed things. Arguments: as `previewed`."""
    return _plan(deployment, steps, before, names, said)


def of_buckets(deployment: Deployment, steps: Sequence[Step], before: Mapping[str, Any]) -> Plan:
    """Of the buckets alone, before or after the run: beside them only what was up before costs anything."""
    old = _up_before(before)
    stores = deployment.object_stores
    after = old.model_copy(update={"object_stores": stores}) if old else _alone(deployment, stores)
    return _plan(after, steps, before, (), [])


def _up_before(before: Mapping[str, Any]) -> Deployment | None:
    return Deployment.model_validate(before["deployment"]) if before.get("deployment") else None


def _alone(deployment: Deployment, stores: Iterable[ObjectStore]) -> Deployment:
    """These buckets and nothing else."""
    nothing: dict[str, Any] = {"pools": (), "workloads": (), "file_systems": (), "blocks": ()}
    return deployment.model_copy(update={**nothing, "object_stores": tuple(stores)})


def _usd_of_buckets(deployment: Deployment, steps: Sequence[Step]) -> float | None:
    """What the buckets cost that were there before anything else was brought up."""
    there = {subject_of(step.urn) for step in steps if step.type == _BUCKET and step.action not in (None, "create")}
    return _alone(deployment, (s for s in deployment.object_stores if f"storage/{s.name}" in there)).hourly_usd


def _plan(
    deployment: Deployment,
    steps: Sequence[Step],
    before: Mapping[str, Any],
    names: tuple[Change, ...],
    notes: Sequence[str],
) -> Plan:
    old = _up_before(before)
    return group(
        steps,
        environment=deployment.environment,
        digest=deployment.digest,
        hourly_usd_before=old.hourly_usd if old else _usd_of_buckets(deployment, steps),
        hourly_usd_after=deployment.hourly_usd,
        declared=storage.declared(old, deployment),
        extra=names,
        notes=tuple(notes),
    )

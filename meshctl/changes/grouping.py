"""Steps -> a Plan: one Change for each mesh subject, its resources as detail. PURE.

Called by `meshctl.deploy.session`; what comes next is `human.plan_text` or `Plan.document` (the stable JSON of
`meshctl plan`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshctl.changes.field_change import ROLL_OUTS, FieldChange
from meshctl.changes.fields import fields, value_at
from meshctl.changes.losses import Loss
from meshctl.changes.notes import jobs
from meshctl.changes.steps import Action, Step, resource_name, subject_of
from meshctl.words import pluralize

# Which of several actions on one subject names the change: the one a reader must not miss.
_WEIGHT: dict[Action, int] = {"same": 0, "update": 1, "create": 2, "move": 3, "delete": 4, "replace": 5}


@dataclass(frozen=True)
class ResourceChange:
    urn: str
    type: str
    action: Action


@dataclass(frozen=True)
class Change:
    """What happens to one mesh subject."""

    subject: str
    action: Action
    summary: str
    fields: tuple[FieldChange, ...]
    resources: tuple[ResourceChange, ...]


@dataclass(frozen=True)
class Plan:
    """All that `up` would do in one environment. `digest` is the deployment's.

    `changes` come from the mesh. `outside` is what is no longer as the last `up` left it, and what an `up` does about
    it: it makes again what is gone ("create"), and sets back what was changed ("update").
    """

    environment: str
    digest: str
    changes: tuple[Change, ...]
    counts: Mapping[str, int]
    hourly_usd_before: float | None
    hourly_usd_after: float | None
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    outside: tuple[Change, ...] = ()
    price_sources: tuple[str, ...] = ()  # of the costs, for people: `check` has them in its JSON

    @property
    def pending(self) -> bool:
        return bool(self.changes or self.outside)

    @property
    def data_at_risk(self) -> tuple[str, ...]:
        """The subjects that would lose data, or no longer be protected."""
        return tuple(sorted({loss.subject for loss in self.losses}))

    def document(self) -> dict[str, Any]:
        """The stable JSON of `meshctl plan` (without the version key, which the CLI adds)."""
        return {
            "environment": self.environment,
            "digest": self.digest,
            "changes": [_change_document(change) for change in self.changes],
            "outside": [_change_document(change) for change in self.outside],
            "counts": dict(self.counts),
            "cost": {"hourly_usd_before": self.hourly_usd_before, "hourly_usd_after": self.hourly_usd_after},
            "data_at_risk": list(self.data_at_risk),
            "data_losses": [loss.document() for loss in self.losses],
            "notes": list(self.notes),
        }


def joined(first: Plan, second: Plan) -> Plan:
    """Two runs of one `up`, the second of which has started what the first has made: as if one run had done it all."""
    made = {change.subject for change in first.changes}
    more = tuple(change for change in second.changes if change.subject not in made)
    counts = dict(first.counts)
    for resource in (resource for change in more for resource in change.resources):
        counts[resource.action] = counts.get(resource.action, 0) + 1
    return replace(
        second,
        changes=(*first.changes, *more),
        counts=counts,
        hourly_usd_before=first.hourly_usd_before,
        losses=(*first.losses, *second.losses),
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
        outside=(*first.outside, *second.outside),
    )


def _change_document(change: Change) -> dict[str, Any]:
    return {
        "subject": change.subject,
        "action": change.action,
        "summary": change.summary,
        "fields": [
            {"path": f.path, "old": f.old, "new": f.new, "forces_replace": f.forces_replace} for f in change.fields
        ],
        "resources": [{"urn": r.urn, "type": r.type, "action": r.action} for r in change.resources],
    }


def group(
    steps: Iterable[Step],
    *,
    environment: str,
    digest: str,
    hourly_usd_before: float | None,
    hourly_usd_after: float | None,
    extra: tuple[Change, ...] = (),
    declared: Mapping[str, tuple[FieldChange, ...]] | None = None,
    losses: tuple[Loss, ...] = (),
    notes: tuple[str, ...] = (),
    drift: Iterable[Step] = (),
) -> Plan:
    """Group an engine run's steps by mesh subject.

    `extra` are changes that the engine run does not cover (the endpoints' names, which live in a stack of their own);
    `declared`, by subject, those that the mesh says and no resource does (`storage.declared`); `losses`: see `losses`;
    `drift`: see `meshctl.engine.drift`.
    """
    own = [step for step in steps if step.action is not None and not step.is_engine_own]
    own.sort(key=lambda step: step.urn)  # the engine works on many at once: its order is another one each time
    counts = {"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 0}
    by_subject: dict[str, list[Step]] = {subject: [] for subject in declared or ()}
    for step in own:
        counts[step.action or "same"] += 1
        if step.action != "same":
            by_subject.setdefault(subject_of(step.urn), []).append(step)
    declared_names = declared or {}
    changes = [_change(subject, group_, declared_names.get(subject, ())) for subject, group_ in by_subject.items()]
    for change in extra:
        for resource in change.resources:
            counts[resource.action if resource.action in counts else "update"] += 1
    return Plan(
        environment=environment,
        digest=digest,
        changes=tuple(sorted(_joined([*extra, *changes]), key=lambda change: _order(change.subject))),
        counts=counts,
        hourly_usd_before=hourly_usd_before,
        hourly_usd_after=hourly_usd_after,
        losses=losses,
        notes=notes,
        outside=_outside(drift),
    )


def _joined(changes: Iterable[Change]) -> list[Change]:
    """One change for each subject: the name of an endpoint and its certificate are in two stacks."""
    by_subject: dict[str, Change] = {}
    for change in changes:
        first = by_subject.get(change.subject)
        by_subject[change.subject] = change if first is None else _both(first, change)
    return list(by_subject.values())


def _both(first: Change, second: Change) -> Change:
    action: Action = first.action if first.action == second.action else "update"
    fields_ = (*first.fields, *second.fields)
    summary = f"{first.summary}, {second.summary}"
    return Change(first.subject, action, summary, fields_, (*first.resources, *second.resources))


def _outside(drift: Iterable[Step]) -> tuple[Change, ...]:
    """One change for each subject: what is gone and what was changed there."""
    by_subject: dict[str, list[Step]] = {}
    for step in sorted(drift, key=lambda step: step.urn):
        by_subject.setdefault(subject_of(step.urn), []).append(step)
    changes = [_outside_change(subject, steps) for subject, steps in by_subject.items()]
    return tuple(sorted(changes, key=lambda change: _order(change.subject)))


def _outside_change(subject: str, steps: list[Step]) -> Change:
    gone = [step for step in steps if step.op == "delete"]
    shown = _without_duplicates([field for step in steps if step.op == "update" for field in fields(step)])
    names = [_name_of_gone(step) for step in gone]
    words = [f"gone: {', '.join(names)}"] if names else []
    words += [field.text() for field in shown[:3]]
    words += [f"and {len(shown) - 3} more"] if len(shown) > 3 else []
    resources = tuple(ResourceChange(s.urn, s.type, "create" if s.op == "delete" else "update") for s in steps)
    summary = ", ".join(words) or f"{pluralize(len(steps), 'resource')} changed"
    return Change(subject, "create" if gone else "update", summary, tuple(shown), resources)


def _name_of_gone(step: Step) -> str:
    name = resource_name(step.urn)
    runs = jobs.is_work(step) and not value_at(step.new, "spec.suspend")
    return f"{name.partition(':')[2] or name}{', which runs again' if runs else ''}"


_KINDS = ("network", "cluster", "pool", "neuralmesh", "storage", "platform", "workload", "endpoint")


def _order(subject: str) -> tuple[int, str]:
    kind = subject.split("/", 1)[0]
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), subject)


def _change(subject: str, steps: list[Step], declared: tuple[FieldChange, ...]) -> Change:
    changed = [field for step in steps if _is_told(step) for field in fields(step)]
    paths = {field.path for field in declared}
    shown = _without_duplicates([*declared, *(field for field in changed if field.path not in paths)])
    actions = {step.action for step in steps if step.action} or {"update"}
    action: Action = max(actions, key=lambda name: _WEIGHT[name])
    if action in ("create", "delete") and len(actions) > 1:
        action = "update"  # parts come and go, the subject itself stays
    resources = tuple(ResourceChange(step.urn, step.type, step.action or "same") for step in steps)
    return Change(subject, action, _summary(steps, shown), tuple(shown), resources)


def _is_told(step: Step) -> bool:
    """Whether its fields are shown: those of a job's release follow from the job."""
    return step.action in ("update", "replace") and not jobs.is_release(step)


def _without_duplicates(changes: list[FieldChange]) -> list[FieldChange]:
    """Drops equal changes of several objects, and keeps the one that forces a replacement. Roll-outs come last."""
    by_path: dict[str, FieldChange] = {}
    for field in changes:
        key = repr((field.path, field.old, field.new))
        if key not in by_path or field.forces_replace:
            by_path[key] = field
    return sorted(by_path.values(), key=lambda field: field.path in ROLL_OUTS)


def _summary(steps: list[Step], shown: list[FieldChange]) -> str:
    words = [field.text() for field in shown[:3]]
    if len(shown) > 3:
        words.append(f"and {len(shown) - 3} more")
    parts: dict[str, int] = {}
    for step in steps:
        if step.action in ("create", "delete", "replace"):
            parts[step.action] = parts.get(step.action, 0) + 1
    words += [f"{pluralize(count, 'resource')} to {action}" for action, count in parts.items()]
    words += jobs.consequences(steps)
    return ", ".join(words) or f"{pluralize(len(steps), 'resource')} to update"

"""Steps -> a Plan: one Change for each mesh subject, its resources as detail. PURE.

Called by `meshctl.engine.session`; what comes next is `human.plan_text` or `Plan.document` (the stable JSON of
`meshctl plan`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import Action, Step, subject_of

# What a provider's property is called in a mesh. (resource type, property path) -> mesh term.
_TERMS = {
    ("meshaws:eks:Nodegroup", "scalingConfig.desiredSize"): "nodes",
    ("meshaws:eks:Nodegroup", "scalingConfig.minSize"): "nodes.min",
    ("meshaws:eks:Nodegroup", "scalingConfig.maxSize"): "nodes.max",
    ("kubernetes:compute.coreweave.com/v1alpha1:NodePool", "spec.targetNodes"): "nodes",
    ("kubernetes:compute.coreweave.com/v1alpha1:NodePool", "spec.minNodes"): "nodes.min",
    ("kubernetes:compute.coreweave.com/v1alpha1:NodePool", "spec.maxNodes"): "nodes.max",
    ("kubernetes:compute.coreweave.com/v1alpha1:NodePool", "spec.instanceType"): "machine",
    ("kubernetes:apps/v1:Deployment", "spec.replicas"): "replicas",
    ("kubernetes:batch/v1:Job", "spec.suspend"): "suspended",
    ("kubernetes:batch/v1:Job", "spec.parallelism"): "nodes",
    ("meshaws:route53:RecordSet", "ResourceRecords[0].Value"): "address",
    ("meshaws:s3:Bucket", "ForceDestroy"): "ephemeral",
}
_IMAGE = re.compile(r"^spec\.template\.spec\.containers\[0\]\.(image|args|command|resources)\b")
_ENV = "spec.template.spec.containers[0].env"
_REVISION = re.compile(r"^spec\.template\.metadata\.annotations.*meshctl\.dev/(secrets|object-storage)-revision\b")
_SECRET = re.compile(r"^data\.(\w+)$")
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # how the engine writes a string that it does not know yet
LATER = "known after up"
# Which of several actions on one subject names the change: the one a reader must not miss.
_WEIGHT: dict[Action, int] = {"same": 0, "update": 1, "create": 2, "move": 3, "delete": 4, "replace": 5}
_DATA = re.compile(r"meshaws:(s3:Bucket|fsx:FileSystem|efs:FileSystem)$|kubernetes:core/v1:PersistentVolumeClaim$")


@dataclass(frozen=True)
class FieldChange:
    path: str
    old: Any
    new: Any
    forces_replace: bool = False


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
    """All that `up` would do in one environment. `digest` is the deployment's."""

    environment: str
    digest: str
    changes: tuple[Change, ...]
    counts: Mapping[str, int]
    hourly_usd_before: float | None
    hourly_usd_after: float | None
    data_at_risk: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        return bool(self.changes)

    def document(self) -> dict[str, Any]:
        """The stable JSON of `meshctl plan` (without the version key, which the CLI adds)."""
        return {
            "environment": self.environment,
            "digest": self.digest,
            "changes": [_change_document(change) for change in self.changes],
            "counts": dict(self.counts),
            "cost": {"hourly_usd_before": self.hourly_usd_before, "hourly_usd_after": self.hourly_usd_after},
            "data_at_risk": list(self.data_at_risk),
            "notes": list(self.notes),
        }


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
    notes: tuple[str, ...] = (),
) -> Plan:
    """Group an engine run's steps by mesh subject.

    `extra` are changes that the engine run does not cover (the endpoints' names, which live in a stack of their own).
    """
    own = [step for step in steps if step.action is not None and not step.is_engine_own]
    own.sort(key=lambda step: step.urn)  # the engine works on many at once: its order is another one each time
    counts = {"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 0}
    by_subject: dict[str, list[Step]] = {}
    for step in own:
        counts[step.action or "same"] += 1
        if step.action != "same":
            by_subject.setdefault(subject_of(step.urn), []).append(step)
    changes = [_change(subject, group_) for subject, group_ in by_subject.items()]
    for change in extra:
        for resource in change.resources:
            counts[resource.action if resource.action in counts else "update"] += 1
    return Plan(
        environment=environment,
        digest=digest,
        changes=tuple(sorted([*changes, *extra], key=lambda change: _order(change.subject))),
        counts=counts,
        hourly_usd_before=hourly_usd_before,
        hourly_usd_after=hourly_usd_after,
        data_at_risk=tuple(sorted({subject_of(step.urn) for step in own if _loses_data(step)})),
        notes=notes,
    )


_KINDS = ("network", "cluster", "pool", "storage", "platform", "workload", "endpoint")


def _order(subject: str) -> tuple[int, str]:
    kind = subject.split("/", 1)[0]
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), subject)


def _loses_data(step: Step) -> bool:
    return step.action in ("delete", "replace") and _DATA.search(step.type) is not None


def _change(subject: str, steps: list[Step]) -> Change:
    fields = tuple(field for step in steps if step.action in ("update", "replace") for field in _fields(step))
    actions = {step.action for step in steps if step.action}
    action: Action = max(actions, key=lambda name: _WEIGHT[name])
    if action in ("create", "delete") and len(actions) > 1:
        action = "update"  # parts come and go, the subject itself stays
    resources = tuple(ResourceChange(step.urn, step.type, step.action or "same") for step in steps)
    return Change(subject, action, _summary(steps, fields), fields, resources)


def _fields(step: Step) -> list[FieldChange]:
    plain = [change for change in step.properties if not change.path.startswith(_ENV)]
    fields = [
        FieldChange(
            _term(step.type, change.path),
            _known(value_at(step.old, change.path)),
            _known(value_at(step.new, change.path)),
            change.forces_replace,
        )
        for change in plain
    ]
    replaces = any(change.forces_replace for change in step.properties if change not in plain)
    return [*fields, *(_variables(step, forces_replace=replaces) if len(plain) < len(step.properties) else ())]


def _variables(step: Step, *, forces_replace: bool) -> list[FieldChange]:
    """The container's variables by name: a new one moves the places of all after it, which is no change of theirs."""
    old, new = (_by_name(value_at(inputs, _ENV)) for inputs in (step.old, step.new))
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return [FieldChange(f"env {name}", old.get(name), new.get(name), forces_replace) for name in names]


def _by_name(variables: Any) -> dict[str, Any]:
    entries = variables if isinstance(variables, list) else []
    return {str(entry["name"]): _known(entry.get("value", entry.get("valueFrom"))) for entry in entries}


def _known(value: Any) -> Any:
    return LATER if value == UNKNOWN else value


def _term(type_: str, path: str) -> str:
    known = _TERMS.get((type_, path))
    if known:
        return known
    revision = _REVISION.match(path)
    if revision:
        return f"revision of {revision.group(1).replace('-', ' ')}"
    secret = _SECRET.match(path)
    if secret and type_ == "kubernetes:core/v1:Secret":
        return f"secret {secret.group(1)}"
    part = _IMAGE.match(path)
    if part and path.endswith(part.group(1)):
        return part.group(1)
    return path


def value_at(inputs: Any, path: str) -> Any:
    """The value at a provider's property path (`spec.ports[0].port`, `metadata.labels["a.b/c"]`); None where there
    is none."""
    current = inputs
    for quoted, name, index in re.findall(r'\["([^"]+)"\]|([^.\[\]]+)|\[(\d+)\]', path):
        if index:
            current = current[int(index)] if isinstance(current, list) and int(index) < len(current) else None
        else:
            current = current.get(quoted or name) if isinstance(current, Mapping) else None
    return current


def _summary(steps: list[Step], fields: tuple[FieldChange, ...]) -> str:
    shown = [_field_text(field) for field in fields[:3]]
    if len(fields) > 3:
        shown.append(f"and {len(fields) - 3} more")
    parts: dict[str, int] = {}
    for step in steps:
        if step.action in ("create", "delete", "replace"):
            parts[step.action] = parts.get(step.action, 0) + 1
    shown += [f"{count} resource{'s' * (count != 1)} to {action}" for action, count in parts.items()]
    return ", ".join(shown)


def _field_text(field: FieldChange) -> str:
    """Values that are masked, or the same as far as they are known, say nothing."""
    if field.old == field.new:
        return f"{field.path} changes"
    return f"{field.path} {_short(field.old)} -> {_short(field.new)}"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = str(value)
    return text if len(text) <= 48 else f"{text[:45]}..."

"""What `up` does about a field that another program has set: take it over, leave it, or refuse. PURE.

Called by `ownership`; why each rule is as it is stands in ADR 0024.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from meshctl.clients.quantities import quantity
from meshctl.deploy.fields.field_owners import FieldConflict, Manager, path_text
from meshctl.errors import OwnedField, OwnedFieldsError

_LONGEST_VALUE = 60  # characters of a value in a message
_AUTOSCALER = ("kube-controller-manager", "scale")

REPLICAS = ("f:spec", "f:replicas")
_SUSPEND = ("f:spec", "f:suspend")
PARALLELISM = ("f:spec", "f:parallelism")
_CLAIM_SIZE = ("f:spec", "f:resources", "f:requests", "f:storage")
_SERVERS = ("Deployment", "StatefulSet")


class Verdict(Enum):
    TAKE_OVER = "the engine sets the mesh's value, once nobody else owns the field"
    SET = "meshctl sets the mesh's value itself: for the engine it would be a reason to replace the object"
    LEAVE = "the live value stays"
    REFUSE = "nothing is done until a person decides"


@dataclass(frozen=True)
class Decision:
    """One field of another owner, and what becomes of it. `owner`, and why it is left, are for a person."""

    conflict: FieldConflict
    verdict: Verdict
    owner: str
    why_left: str = ""

    @property
    def name(self) -> str:
        """As `--take-over` wants it: `workload/chat:.spec.template.spec.containers[main].image`."""
        return f"{self.conflict.subject}:{path_text(self.conflict.path)}"

    @property
    def where(self) -> str:
        return f"{path_text(self.conflict.path)} of {self.conflict.kind.lower()} {self.conflict.object_name}"

    @property
    def report(self) -> str:
        """A line of progress: what an `up` does."""
        values = f"({shown(self.conflict.live)} -> {shown(self.conflict.wanted)})"
        return f"takes over {self.where} from {self.owner} {values}"

    @property
    def forecast(self) -> str:
        """A line of a plan: who changed what outside of the mesh, and what an `up` will do."""
        live, wanted = shown(self.conflict.live), shown(self.conflict.wanted)
        changed = f"{self.conflict.subject}: {self.where} is {live}, set by {self.owner}"
        if self.verdict is Verdict.LEAVE:
            return f"{changed}: `up` does not set the mesh's {wanted}, as {self.why_left}"
        if self.verdict is Verdict.REFUSE:
            return f"{changed}, and the mesh says {wanted}: `up` needs --take-over {shlex.quote(self.name)}"
        return f"{changed}: `up` sets it back to {wanted}"


def decide(conflict: FieldConflict, autoscalers: Mapping[tuple[str, str], str], take_over: Collection[str]) -> Decision:
    """`autoscalers`: the name of the HorizontalPodAutoscaler by kind and name of what it scales."""
    autoscaler = autoscalers.get((conflict.kind, conflict.object_name), "")
    why = f"the autoscaler {autoscaler} scales it" if conflict.path == REPLICAS else "a volume can't shrink"
    verdict = _verdict(conflict, autoscalers, take_over)
    return Decision(conflict, verdict, _owner_text(conflict, autoscaler), why if verdict is Verdict.LEAVE else "")


def autoscaled(resource: str, declared: Mapping[str, Any], live: Mapping[str, Any]) -> FieldConflict | None:
    """The replicas of a workload that an autoscaler looks after, also where they happen to be as declared: it moves
    them on. An autoscaler that has not scaled yet owns no field, and would undo what is set all the same."""
    wanted, value = declared["spec"].get("replicas"), (live.get("spec") or {}).get("replicas")
    if value is None:
        return None
    name = str(declared["metadata"]["name"])
    manager = Manager(_AUTOSCALER[0], "Update", _AUTOSCALER[1])
    return FieldConflict(resource, str(declared["kind"]), name, REPLICAS, (manager,), value, wanted)


def refuse(environment: str, command: str, decisions: Collection[Decision]) -> None:
    """Raises: OwnedFieldsError with all fields that are for a person to decide.

    `command`: `up`; `migrate` for a step of a migration, which goes on with what it was planned with, whatever
    mesh.yaml says by now; or all that is to be given again, such as `meshctl migrate SRC DST`.
    """
    refused = [decision for decision in decisions if decision.verdict is Verdict.REFUSE]
    if not refused:
        return
    fields = [OwnedField(d.name, d.where, d.owner, shown(d.conflict.live), shown(d.conflict.wanted)) for d in refused]
    names = " ".join(f"--take-over {shlex.quote(name)}" for name in dict.fromkeys(field.name for field in fields))
    keep = "write the value into mesh.yaml if it is to stay; "
    if command == "migrate":
        keep, again = "", "meshctl migrations resume"
    else:
        again = command if command.startswith("meshctl ") else f"meshctl up {environment}"
    raise OwnedFieldsError(
        f"{environment}: {fields[0].where} is {fields[0].live}, set by {fields[0].owner}; the mesh says"
        f" {fields[0].wanted}{_and_more(len(fields) - 1)}",
        fields=fields,
        why=_others(fields[1:]) or "to bring it up would undo what another program has set; nothing was changed",
        hint=f"{keep}to set the mesh's value: `{again} {names}`",
    )


def matches(name: str, take_over: Collection[str]) -> bool:
    """Whether a field is named by `take_over`, itself or by what it is a part of (`workload/chat`)."""
    return any(name == given or name.startswith((f"{given}.", f"{given}[", f"{given}:")) for given in take_over)


def shown(value: Any) -> str:
    """A value in a message: text as it is, all else as JSON, not too long."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _verdict(
    conflict: FieldConflict, autoscalers: Mapping[tuple[str, str], str], take_over: Collection[str]
) -> Verdict:
    job_pods = conflict.kind == "Job" and conflict.path == PARALLELISM
    if matches(f"{conflict.subject}:{path_text(conflict.path)}", take_over):
        return Verdict.SET if job_pods else Verdict.TAKE_OVER
    if conflict.kind in _SERVERS and conflict.path == REPLICAS:
        is_autoscaled = (conflict.kind, conflict.object_name) in autoscalers
        # at zero an autoscaler does nothing: to pause and to start is for meshctl
        return Verdict.LEAVE if is_autoscaled and conflict.wanted and conflict.live else Verdict.TAKE_OVER
    if job_pods:
        return Verdict.SET
    if conflict.kind == "Job" and conflict.path == _SUSPEND:
        return Verdict.TAKE_OVER
    if conflict.kind == "PersistentVolumeClaim" and conflict.path == _CLAIM_SIZE:
        # a volume can't shrink: what was grown beyond the mesh's size stays so
        return Verdict.TAKE_OVER if quantity(str(conflict.wanted)) > quantity(str(conflict.live)) else Verdict.LEAVE
    return Verdict.REFUSE


def _owner_text(conflict: FieldConflict, autoscaler: str) -> str:
    return " and ".join(dict.fromkeys(_manager_text(manager, autoscaler) for manager in conflict.managers))


def _manager_text(manager: Manager, autoscaler: str) -> str:
    if (manager.name, manager.subresource) == _AUTOSCALER:
        return f"the autoscaler {autoscaler}" if autoscaler else "an autoscaler"
    return manager.name


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _others(fields: list[OwnedField]) -> str:
    return "; ".join(f"{f.where} is {f.live}, set by {f.owner}; the mesh says {f.wanted}" for f in fields)

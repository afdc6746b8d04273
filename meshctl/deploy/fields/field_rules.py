"""What `up` does about a field that another program has set: take it over, leave it, or refuse. PURE.

Called by `ownership`. ADR 0024 gives the reason of each rule.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from meshctl.clients.kubernetes.quantities import quantity
from meshctl.deploy.fields.field_owners import FieldConflict, Manager, path_text
from meshctl.errors import OwnedField, OwnedFieldsError

_LONGEST_VALUE = 60  # characters of a value in a message
_AUTOSCALER = ("kube-controller-manager", "scale")

DESTROY_MANAGER = "meshctl-destroy"  # under which name `weka_ends` sets how long a deleted cluster is kept
REPLICAS = ("f:spec", "f:replicas")
_SUSPEND = ("f:spec", "f:suspend")
PARALLELISM = ("f:spec", "f:parallelism")
_CLAIM_SIZE = ("f:spec", "f:resources", "f:requests", "f:storage")
_GRACE = ("f:spec", "f:gracefulDestroyDuration")
_SERVERS = ("Deployment", "StatefulSet", "LeaderWorkerSet")


class Verdict(Enum):
    TAKE_OVER = "other owners are removed, then the engine sets the mesh's value"
    SET = "meshctl sets the mesh's value itself, because the engine would replace the object to change it"
    LEAVE = "the live value stays"
    REFUSE = "nothing is done until the user decides"


@dataclass(frozen=True)
class Decision:
    """What is done about one conflict. `owner` and `why_left` are texts for messages."""

    conflict: FieldConflict
    verdict: Verdict
    owner: str
    why_left: str = ""

    @property
    def name(self) -> str:
        """The field as `--take-over` names it: `workload/chat:.spec.template.spec.containers[main].image`."""
        return f"{self.conflict.subject}:{path_text(self.conflict.path)}"

    @property
    def where(self) -> str:
        return f"{path_text(self.conflict.path)} of {self.conflict.kind.lower()} {self.conflict.object_name}"

    @property
    def report(self) -> str:
        """The line of progress when an `up` takes the field over."""
        values = f"({shown(self.conflict.live)} -> {shown(self.conflict.wanted)})"
        return f"takes over {self.where} from {self.owner} {values}"

    @property
    def forecast(self) -> str:
        """The line in a plan: who has set which value, and what an `up` will do about it."""
        live, wanted = shown(self.conflict.live), shown(self.conflict.wanted)
        changed = f"{self.conflict.subject}: {self.where} is {live}, set by {self.owner}"
        if self.verdict is Verdict.LEAVE:
            return f"{changed}: `up` does not set the mesh's {wanted}, because {self.why_left}"
        if self.verdict is Verdict.REFUSE:
            return f"{changed}, and the mesh says {wanted}: `up` needs --take-over {shlex.quote(self.name)}"
        return f"{changed}: `up` sets it back to {wanted}"


def decide(
    conflict: FieldConflict,
    autoscalers: Mapping[tuple[str, str], str],
    take_over: Collection[str],
    *,
    is_moved: bool = False,
) -> Decision:
    """`autoscalers`: the name of the HorizontalPodAutoscaler by kind and name of what it scales. `is_moved`: whether
    the field is a number that others move, or moved so far, between bounds of the mesh."""
    autoscaler = autoscalers.get((conflict.kind, conflict.object_name), "")
    why = f"the autoscaler {autoscaler} scales it" if conflict.path == REPLICAS else "a volume can't shrink"
    verdict = _verdict(conflict, autoscalers, take_over)
    if is_moved and verdict is Verdict.REFUSE:
        verdict = Verdict.TAKE_OVER
    return Decision(conflict, verdict, _owner_text(conflict, autoscaler), why if verdict is Verdict.LEAVE else "")


def autoscaled(resource: str, declared: Mapping[str, Any], live: Mapping[str, Any]) -> FieldConflict | None:
    """The conflict about the replicas of a workload that an autoscaler scales; None if the object has no replicas.

    It counts as a conflict also when the number happens to be the declared one, because the autoscaler will change it.
    An autoscaler that has not scaled yet owns no field, but would undo an `up` all the same.
    """
    wanted, value = declared["spec"].get("replicas"), (live.get("spec") or {}).get("replicas")
    if value is None:
        return None
    name = str(declared["metadata"]["name"])
    manager = Manager(_AUTOSCALER[0], "Update", _AUTOSCALER[1])
    return FieldConflict(resource, str(declared["kind"]), name, REPLICAS, (manager,), value, wanted)


def refuse(environment: str, command: str, decisions: Collection[Decision]) -> None:
    """Raises: OwnedFieldsError with all fields about which the user must decide.

    `command`, for the hint: `up`; `migrate` for a step of a migration, which keeps the mesh that it was planned with,
    so that a change of mesh.yaml has no effect; or a whole command to repeat, such as `meshctl migrate SRC DST`.
    """
    refused = [decision for decision in decisions if decision.verdict is Verdict.REFUSE]
    if not refused:
        return
    fields = [OwnedField(d.name, d.where, d.owner, shown(d.conflict.live), shown(d.conflict.wanted)) for d in refused]
    names = " ".join(f"--take-over {shlex.quote(name)}" for name in dict.fromkeys(field.name for field in fields))
    keep = "write the value into mesh.yaml, or into environments.yaml for this environment alone, to keep it; "
    if command == "migrate":
        keep, again = "", "meshctl migrations resume"
    else:
        again = command if command.startswith("meshctl ") else f"meshctl up {environment}"
    raise OwnedFieldsError(
        f"{environment}: {fields[0].where} is {fields[0].live}, set by {fields[0].owner}; the mesh says"
        f" {fields[0].wanted}{_and_more(len(fields) - 1)}",
        fields=fields,
        why=_texts(fields[1:]) or "`up` would overwrite what another program has set; nothing was changed",
        hint=f"{keep}to set the mesh's value, run `{again} {names}`",
    )


def matches(name: str, take_over: Collection[str]) -> bool:
    """Whether `take_over` names the field, or a part of the mesh that contains it (`workload/chat`)."""
    return any(name == each or name.startswith((f"{each}.", f"{each}[", f"{each}:")) for each in take_over)


def shown(value: Any) -> str:
    """A value as a message shows it: text as it is, other values as JSON, cut when too long."""
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
        # an autoscaler does nothing at zero replicas, so meshctl itself must pause and start the workload
        return Verdict.LEAVE if is_autoscaled and conflict.wanted and conflict.live else Verdict.TAKE_OVER
    if job_pods:
        return Verdict.SET
    if conflict.kind == "Job" and conflict.path == _SUSPEND:
        return Verdict.TAKE_OVER
    if conflict.kind == "WekaCluster" and conflict.path == _GRACE and _is_of_destroy(conflict):
        return Verdict.TAKE_OVER
    if conflict.kind == "PersistentVolumeClaim" and conflict.path == _CLAIM_SIZE:
        # a volume can't shrink, so one that was grown beyond the mesh's size is left
        return Verdict.TAKE_OVER if quantity(str(conflict.wanted)) > quantity(str(conflict.live)) else Verdict.LEAVE
    return Verdict.REFUSE


def _is_of_destroy(conflict: FieldConflict) -> bool:
    """Whether a `destroy` of ours had begun, and did not finish. What somebody else has set is theirs to say."""
    return {manager.name for manager in conflict.managers} == {DESTROY_MANAGER}


def _owner_text(conflict: FieldConflict, autoscaler: str) -> str:
    return " and ".join(dict.fromkeys(_manager_text(manager, autoscaler) for manager in conflict.managers))


def _manager_text(manager: Manager, autoscaler: str) -> str:
    if (manager.name, manager.subresource) == _AUTOSCALER:
        return f"the autoscaler {autoscaler}" if autoscaler else "an autoscaler"
    return manager.name


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _texts(fields: list[OwnedField]) -> str:
    return "; ".join(f"{f.where} is {f.live}, set by {f.owner}; the mesh says {f.wanted}" for f in fields)

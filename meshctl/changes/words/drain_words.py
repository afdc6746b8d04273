"""What the grace of pods that serve says, in the words of a mesh's `drain`. PURE. Called by `fields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.changes.leader_worker_sets import LEADER_WORKER_SET
from meshctl.changes.steps import Step
from meshctl.model.files.units import seconds_text
from meshctl.model.keys import drains
from meshctl.model.pods import pod_groups
from meshctl.render.controllers import groups

TERM: Final = "drain"
_SERVERS: Final = ("kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet", LEADER_WORKER_SET)


def change(step: Step) -> tuple[str, str | None, str | None] | None:
    """The term, and the drain on both sides; None for the grace of what does not serve."""
    if step.type not in _SERVERS:
        return None
    # the controller of groups ends workers once their leader has ended, so that they need not wait by themselves
    before, after = (
        _drain(inputs) if step.type == LEADER_WORKER_SET or _gets_requests(inputs) else None
        for inputs in (step.old, step.new)
    )
    return (TERM, before, after) if before != after else None


def _gets_requests(inputs: Mapping[str, Any]) -> bool:
    """Whether its pods wait before they are told to end, as all with ports do, and the workers of groups."""
    containers = _pod(inputs).get("containers") or [{}]
    return "lifecycle" in containers[0]


def _drain(inputs: Mapping[str, Any]) -> str | None:
    grace_s = _pod(inputs).get("terminationGracePeriodSeconds")
    if not isinstance(grace_s, int | float):
        return None
    labels = _mapping(_mapping(inputs.get("metadata")).get("labels"))
    is_worker = labels.get(pod_groups.ROLE_LABEL) == pod_groups.WORKER
    seconds = int(grace_s) - drains.LEAVING_S - groups.END_S * is_worker
    return seconds_text(seconds) if seconds > 0 else None


def _pod(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    template = _mapping(_mapping(inputs.get("spec")).get("template"))
    return _mapping(template.get("spec"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

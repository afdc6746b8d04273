"""Groups of pods that a controller keeps (LeaderWorkerSets): when they are ready, and which pods are theirs. Called by
`waiting`. PURE.

Source of the rules: sigs.k8s.io/lws v0.7.0, pkg/controllers. The official plugin waits for no object of this kind but
for the condition that the object names.
"""

from __future__ import annotations

from typing import Final

from providers.kubernetes.objects import Gvk, Json, metadata, name_of
from providers.kubernetes.waits import weka
from providers.kubernetes.waits.readiness import READY, RULES, Rule, Verdict, asked_rule, condition, part, selector_text

LEADER_WORKER_SET: Final = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"
SETTLING_S: Final = 3.0


def is_settled(obj: Json, gvk: Gvk, ready_for_s: float) -> bool:
    """Whether an object that has been ready for so long is so in its newest version.

    The status of a LeaderWorkerSet does not say which version its controller has looked at. A new object has no other
    one; a changed one counts once its controller had time to say that it rolls groups.
    """
    is_new = int(metadata(obj).get("generation") or 0) <= 1
    return str(gvk) != LEADER_WORKER_SET or is_new or ready_for_s >= SETTLING_S


def _not_yet(message: str) -> Verdict:
    return Verdict(ready=False, message=message)


def leader_worker_set(obj: Json) -> Verdict:
    """A group is ready when its leader is and its other pods are there. The status names no generation: see
    `is_settled`."""
    wanted, status = int(part(obj, "spec").get("replicas", 1)), part(obj, "status")
    updated, ready = int(status.get("updatedReplicas") or 0), int(status.get("readyReplicas") or 0)
    if not status.get("conditions") and wanted:
        return _not_yet("waiting for the controller of LeaderWorkerSets")
    if updated < wanted:
        return _not_yet(f"{updated} of {wanted} groups are of the new version")
    if int(status.get("replicas") or 0) > wanted:
        return _not_yet("old groups still run")
    if ready < wanted or (wanted and condition(obj, "Available").get("status") != "True"):
        return _not_yet(f"{min(ready, wanted)} of {wanted} groups are ready")
    return READY


def rule(gvk: Gvk, obj: Json) -> Rule | None:
    """The rule that the object asks for, or that of its kind. A LeaderWorkerSet asks for its condition `Available`, as
    the official plugin has no rule for it; its own rule says more."""
    if str(gvk) == LEADER_WORKER_SET:
        return leader_worker_set
    return asked_rule(obj) or RULES.get(str(gvk)) or weka.RULES.get(str(gvk))


def selector_of_pods(owner: Json) -> str:
    """As the API's query parameter, for an object that has pods."""
    if owner.get("kind") == "LeaderWorkerSet":
        return f"leaderworkerset.sigs.k8s.io/name={name_of(owner)}"
    return selector_text(part(owner, "spec").get("selector"))

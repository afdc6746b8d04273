"""How long the end of an object may take: as long as its pods may take to end, and some more. Called by `deleting` and
`provider.read`. PURE.

A trainer writes its checkpoint while it ends, for minutes where its grace period says so: a delete that gives up
earlier would call an object stuck that does what it is to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from providers.kubernetes.objects import Json, metadata
from providers.kubernetes.waits.readiness import part, timeout_s

DEFAULT_GRACE_S: Final = 30.0  # the API server's own, where a pod names none
MARGIN_S: Final = 120.0  # beyond the grace period: the kubelet's last report, volumes, garbage collection
OWNERS_OF_PODS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "LeaderWorkerSet"})


def has_pods(obj: Json) -> bool:
    return obj.get("kind") == "Pod" or obj.get("kind") in OWNERS_OF_PODS


def is_leaving(obj: Json) -> bool:
    """Whether it has pods and is being deleted, which nobody can take back: it is there until they have ended, and is
    to count as gone, so that its successor is made. Not so for what holds data or other objects, whose end is waited
    for."""
    return has_pods(obj) and bool(metadata(obj).get("deletionTimestamp"))


def grace_s(obj: Json) -> float | None:
    """Seconds that a pod, or each pod of an object, has to end; None for an object without pods."""
    if not has_pods(obj):
        return None
    spec = part(obj, "spec")
    groups = part(spec, "leaderWorkerTemplate")
    template = part(groups, "workerTemplate") if groups else part(spec, "template")
    pod = spec if obj.get("kind") == "Pod" else part(template, "spec")
    given = pod.get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_S if given is None else float(given)


def deletion_timeout_s(asked_s: float, inputs: Json, objects: Iterable[Json]) -> float:
    """How long to wait for the end of `objects`. A custom timeout (`asked_s`) counts as it is; the annotation and the
    default never cut a grace period short."""
    limit_s = timeout_s(asked_s, inputs, None)
    graces_s = [grace for grace in map(grace_s, objects) if grace is not None]
    return limit_s if asked_s > 0 or not graces_s else max(limit_s, max(graces_s) + MARGIN_S)

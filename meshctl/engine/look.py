"""Looks at the world before a plan and an `up`: what is gone, what others changed. EDGE.

Called by `session`. AWS resources are read by their provider, in one run of the engine; Kubernetes objects by label, in
one list for each kind (`ownership` has read them). Secrets are read by their provider, too: their values are for nobody
else to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import Step, resource_name
from meshctl.engine import cluster_identity, drift
from meshctl.engine.ownership import Ownership
from meshctl.engine.run import StackRun

_AWS = "meshaws:"
_OBJECT = "kubernetes:"
_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 (a resource type)
_CLUSTER = "meshaws:eks:Cluster"
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")

State = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """`by_engine` is the drift that the engine's refresh found, `in_cluster` that of Kubernetes objects."""

    by_engine: tuple[Step, ...] = ()
    in_cluster: tuple[Step, ...] = ()

    @property
    def drift(self) -> tuple[Step, ...]:
        return (*self.by_engine, *self.in_cluster)

    @property
    def cluster_is_gone(self) -> bool:
        """Whether AWS itself says that the cluster is no more, and all that was in it with it."""
        return any(step.op == "delete" and step.type == _CLUSTER for step in self.by_engine)


def engine_urns(state: State) -> list[str]:
    """What the engine has to read: AWS resources, and the cluster's Secrets."""
    resources = state.get("resources") or ()
    read = [r for r in resources if r.get("custom") and (r["type"].startswith(_AWS) or r["type"] == _SECRET)]
    return sorted({resource["urn"] for resource in read})


def compare(run: StackRun, state: State) -> tuple[Step, ...]:
    """The drift of what the engine reads; the state stays as it is. Raises: EngineError and its leaves."""
    urns = engine_urns(state)
    return tuple(drift.of_refresh(run.compare(urns))) if urns else ()


def in_cluster(state: State, owned: Ownership) -> tuple[Step, ...]:
    """The drift of the objects that were looked for."""
    resources = {resource_name(r["urn"]): r for r in state.get("resources") or () if r["type"].startswith(_OBJECT)}
    found = []
    for item in owned.looked_at:
        resource = resources[item.name]
        if item.name not in owned.live or _is_leaving(owned.live[item.name][1]):
            found.append(drift.gone(resource))
            continue
        left = [*item.ignore_changes, *owned.left_paths(item.name)]
        step = drift.of_object(resource, item.manifest, owned.live[item.name][1], left)
        found += [step] if step is not None else []
    return tuple(found)


def _is_leaving(live: Mapping[str, Any]) -> bool:
    """Whether it is being deleted, which nobody can take back: its pods alone are still there. What holds data, or
    other objects, is gone when it is gone."""
    return live.get("kind") in _WITH_PODS and bool(live["metadata"].get("deletionTimestamp"))


def bring_into_state(run: StackRun, state: State, seen: tuple[Step, ...]) -> Look:
    """Put into the state what is in the world: what is gone goes, so that the next `up` makes it again, and what was
    changed is marked, or read, so that it sets it back. `seen`: what `in_cluster` found.

    Killed in between, the marks stay until an `up` has set the objects back. Raises: EngineError and its leaves.
    """
    changed = frozenset(step.urn for step in seen if step.op == "update")
    if changed:
        run.mark_changed(changed)
    gone = {step.urn for step in seen if step.op == "delete"}
    urns = sorted({*engine_urns(state), *gone})
    results = drift.of_refresh(run.reread(urns)) if urns else []
    look = Look(tuple(step for step in results if step.urn not in gone), seen)
    if look.cluster_is_gone:
        run.rewrite(cluster_identity.without_cluster)
    return look

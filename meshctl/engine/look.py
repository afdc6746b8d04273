"""Looks at the world before a plan and an `up`: what is gone, what others changed. EDGE.

Called by `session`. AWS resources are read by their provider, in one run of the engine; Kubernetes objects by label, in
one list for each kind (`ownership` has read them). Secrets are read by their provider, too: their values are for nobody
else to see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import Step, resource_name
from meshctl.engine import cluster_identity, drift, finished_jobs, gone_jobs, ownership, pending
from meshctl.engine.ownership import Ownership
from meshctl.engine.run import StackRun
from meshctl.errors import CredentialsError, UnreachableError
from meshctl.model.deployment import Deployment

_AWS = "meshaws:"
_OBJECT = "kubernetes:"
_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 (a resource type)
_CLUSTER = "meshaws:eks:Cluster"
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")

State = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """`by_engine` is the drift that the engine's refresh found, `in_cluster` that of Kubernetes objects. `unsettled`:
    an interrupted run left resources of which nobody knows yet whether they exist; they are no drift."""

    by_engine: tuple[Step, ...] = ()
    in_cluster: tuple[Step, ...] = ()
    unsettled: bool = False

    @property
    def drift(self) -> tuple[Step, ...]:
        return (*self.by_engine, *self.in_cluster)

    @property
    def changes_the_preview(self) -> bool:
        """Whether a preview over the state as it is shows something else than what an `up` will do."""
        return bool(self.by_engine) or self.unsettled

    @property
    def cluster_is_gone(self) -> bool:
        """Whether AWS itself says that the cluster is no more, and all that was in it with it."""
        return any(step.op == "delete" and step.type == _CLUSTER for step in self.by_engine)


def owners(deployment: Deployment, state: State, take_over: Collection[str]) -> Ownership:
    """The live objects and what other programs own of them; `silence` says what is in the way of asking the cluster."""
    try:
        return ownership.look(finished_jobs.with_marks(deployment, state), state, take_over)
    except (CredentialsError, UnreachableError) as error:
        return Ownership(deployment.environment, silence=error)


def before_plan(run: StackRun, state: State, owned: Ownership, allowed: Callable[[], None]) -> Look:
    """What is no longer as the last `up` left it; the state stays as it is. `allowed` raises where the environment is
    in another place: at another account everything would read as gone.

    Raises: EngineError and its leaves, and what stands in the way of asking the cluster.
    """
    allowed()
    placeholders = set(pending.placeholders(state))
    urns = [urn for urn in engine_urns(state, in_cluster=owned.silence is None) if urn not in placeholders]
    by_engine = tuple(drift.of_refresh(run.compare(urns))) if urns else ()
    objects = tuple(step for step in in_cluster(state, owned) if step.urn not in placeholders)
    return _heard(Look(by_engine, objects, unsettled=bool(placeholders)), owned)


def before_up(run: StackRun, state: State, owned: Ownership) -> Look:
    """The same, and the state is brought in line with it. Raises: as `before_plan`."""
    if pending.is_unsettled(state):
        state = run.settled()
    urns = engine_urns(state, in_cluster=owned.silence is None)
    seen = in_cluster(state, owned)
    _remember_jobs(run, state, owned, gone_jobs.gone_urns(seen))
    return _heard(bring_into_state(run, urns, seen), owned)


def _remember_jobs(run: StackRun, state: State, owned: Ownership, gone: Collection[str]) -> None:
    """Write into the state which jobs have finished, before those that are gone leave it."""
    live = {name: found for name, (_, found) in owned.live.items()}
    if gone_jobs.remembered(state, live, gone) != state:
        run.rewrite(lambda now: gone_jobs.remembered(now, live, gone))


def as_up_mends(deployment: Deployment, state: State, owned: Ownership, seen: tuple[Step, ...]) -> tuple[Step, ...]:
    """For a plan: the drift, with what an `up` of the deployment makes of the jobs that are gone."""
    live, gone = {name: found for name, (_, found) in owned.live.items()}, gone_jobs.gone_urns(seen)
    left = gone_jobs.without(gone_jobs.remembered(state, live, gone), gone)
    return gone_jobs.as_made_again(seen, finished_jobs.with_marks(deployment, left).marks)


def _heard(look: Look, owned: Ownership) -> Look:
    """A cluster that doesn't answer is never taken for gone, unless AWS itself says that it is."""
    if owned.silence is not None and not look.cluster_is_gone:
        raise owned.silence
    return look


def preview_after(run: StackRun, look: Look) -> list[Step]:
    """What an `up` would do once the state is as the world: what needs a resource that is gone changes, too."""
    record = run.preview(refresh=True, without_cluster=look.cluster_is_gone)
    return drift.without([step for step in record.steps if step.op != "refresh"], look.drift)


def engine_urns(state: State, *, in_cluster: bool = True) -> list[str]:
    """What the engine has to read: AWS resources, and the Secrets `in_cluster`."""
    resources = state.get("resources") or ()
    read = [r for r in resources if r.get("custom") and r["type"].startswith(_AWS)]
    read += [r for r in resources if r["type"] == _SECRET and in_cluster]
    return sorted({resource["urn"] for resource in read})


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


def bring_into_state(run: StackRun, urns: Collection[str], seen: tuple[Step, ...]) -> Look:
    """Put into the state what is in the world: what is gone goes, so that the next `up` makes it again, and what was
    changed is marked, or read, so that it sets it back. `urns`: what the engine reads; `seen`: what `in_cluster` found.

    Killed in between, the marks stay until an `up` has set the objects back. Raises: EngineError and its leaves.
    """
    changed = frozenset(step.urn for step in seen if step.op == "update")
    if changed:
        run.mark_changed(changed)
    gone = {step.urn for step in seen if step.op == "delete"}
    read = sorted({*urns, *gone})
    results = drift.of_refresh(run.reread(read)) if read else []
    look = Look(tuple(step for step in results if step.urn not in gone), seen)
    if look.cluster_is_gone:
        run.rewrite(cluster_identity.without_cluster)
    return look

"""Looks at the world before a plan and an `up`: what is gone, what others changed. EDGE.

Called by `session`. AWS resources are read by their provider, in one run of the engine; Kubernetes objects by label, in
one list for each kind (`ownership` has read them). Secrets are read by their provider, too: their values are for nobody
else to see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshctl.changes.steps import Step
from meshctl.clients import clusters
from meshctl.deploy.fields import ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.jobs import finished_jobs, gone_jobs
from meshctl.engine import drift, pending
from meshctl.engine.run import StackRun
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import AWS_PACKAGE
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry

_PROVIDER = f"pulumi:providers:{AWS_PACKAGE}"
_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 (a resource type)
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


@dataclass(frozen=True)
class Look:
    """`by_engine` is the drift that the engine's refresh found, `in_cluster` that of Kubernetes objects. `unsettled`:
    an interrupted run left resources of which nobody knows yet whether they exist; they are no drift. `readable`:
    whether the engine can read the objects in the cluster. `cluster_is_gone`: AWS itself says so, and all that was in
    it is gone with it."""

    by_engine: tuple[Step, ...] = ()
    in_cluster: tuple[Step, ...] = ()
    unsettled: bool = False
    readable: bool = True
    cluster_is_gone: bool = False
    other_profile: bool = False

    @property
    def drift(self) -> tuple[Step, ...]:
        return (*self.by_engine, *self.in_cluster)

    @property
    def changes_the_preview(self) -> bool:
        """Whether a preview over the state as it is shows something else than what an `up` will do, and one over the
        refreshed state can be made."""
        return (bool(self.by_engine) or self.unsettled) and (self.readable or self.cluster_is_gone)


def owners(deployment: Deployment, state: StackState, take_over: Collection[str]) -> Ownership:
    """The live objects and what other programs own of them; `silence` says what is in the way of asking the cluster."""
    try:
        return ownership.look(finished_jobs.with_marks(deployment, state), state, take_over)
    except (BusyError, CredentialsError, UnreachableError) as error:
        return Ownership(deployment.environment, silence=error)


def before_plan(
    run: StackRun, deployment: Deployment, state: StackState, owned: Ownership, allowed: Callable[[], None]
) -> Look:
    """What is no longer as the last `up` left it; the state stays as it is. `allowed` raises where the environment is
    in another place: at another account everything would read as gone.

    Raises: EngineError and its leaves, and what stands in the way of asking the cluster.
    """
    allowed()
    return _unless_by_another_profile(deployment, state, lambda: _compared(run, deployment, state, owned))


def before_up(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> Look:
    """The same, and the state is brought in line with it. Raises: as `before_plan`."""
    return _unless_by_another_profile(deployment, state, lambda: _brought_in_line(run, deployment, state, owned))


def _unless_by_another_profile(deployment: Deployment, state: StackState, looked: Callable[[], Look]) -> Look:
    """The engine reads with the profile of the last `up`. Where that is refused and environments.yaml names another one
    by now, nothing is looked at: the next `up` writes the new one into the state."""
    try:
        return looked()
    except CredentialsError:
        made_by = {str(provider.inputs.get("profile") or "") for provider in state.of_type(_PROVIDER)}
        if made_by <= {deployment.profile, *(store.profile for store in deployment.object_stores)}:
            raise
        return Look(other_profile=True)


def _compared(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> Look:
    placeholders = set(pending.placeholders(state))
    readable = _can_read(deployment, state, owned)
    urns = [urn for urn in engine_urns(state, in_cluster=readable) if urn not in placeholders]
    by_engine = tuple(drift.of_refresh(run.compare(urns))) if urns else ()
    objects = tuple(step for step in in_cluster(state, owned) if step.urn not in placeholders)
    is_gone = owned.silence is not None and _cluster_is_gone(deployment, state, by_engine)
    if owned.silence is not None and not is_gone:
        raise owned.silence
    return Look(by_engine, objects, bool(placeholders), readable, is_gone)


def _brought_in_line(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> Look:
    is_gone = owned.silence is not None
    if owned.silence is not None:
        _forget_objects(run, deployment, state, owned.silence)
        state = run.state()
    if pending.is_unsettled(state):
        state = run.settled()
    reads_objects = _can_read(deployment, state, owned)
    urns = engine_urns(state, in_cluster=reads_objects)
    seen = in_cluster(state, owned)
    _remember_jobs(run, state, owned, gone_jobs.gone_urns(seen))
    return replace(bring_into_state(run, urns, seen, reads_objects=reads_objects), cluster_is_gone=is_gone)


def _remember_jobs(run: StackRun, state: StackState, owned: Ownership, gone: Collection[str]) -> None:
    """Write into the state which jobs have finished, before those that are gone leave it."""
    live = {name: found for name, (_, found) in owned.live.items()}
    if gone_jobs.remembered(state, live, gone) != state:
        run.rewrite(lambda now: gone_jobs.remembered(now, live, gone))


def as_up_mends(
    deployment: Deployment, state: StackState, owned: Ownership, seen: tuple[Step, ...]
) -> tuple[Step, ...]:
    """For a plan: the drift, with what an `up` of the deployment makes of the jobs that are gone."""
    live, gone = {name: found for name, (_, found) in owned.live.items()}, gone_jobs.gone_urns(seen)
    left = gone_jobs.without(gone_jobs.remembered(state, live, gone), gone)
    return gone_jobs.as_made_again(seen, finished_jobs.with_marks(deployment, left).marks)


def _can_read(deployment: Deployment, state: StackState, owned: Ownership) -> bool:
    """Whether the engine can read Kubernetes objects of the state: the cluster answers, and it goes the right way."""
    access = clusters.access(deployment)
    return owned.silence is None and cluster_identity.is_reached_as_before(access, state)


def _forget_objects(run: StackRun, deployment: Deployment, state: StackState, silence: MeshError) -> None:
    """Drop the objects of a cluster that doesn't answer from the state, if AWS itself says that it is gone.

    Raises: `silence` if not: a cluster that doesn't answer is never taken for gone.
    """
    own = [cluster.urn for cluster in state.of_type(*registry.cluster_types())]
    by_engine = drift.of_refresh(run.compare(own)) if own else ()
    if not _cluster_is_gone(deployment, state, by_engine):
        raise silence
    run.rewrite(cluster_identity.without_cluster)


def _cluster_is_gone(deployment: Deployment, state: StackState, by_engine: Iterable[Step]) -> bool:
    """Whether the stack made its cluster itself, and has it no more: by what AWS says, or by the state of a run that
    was killed after AWS had said so."""
    if cluster_identity.recorded_access(deployment.environment, state) is not None:
        return False
    gone = {step.urn for step in by_engine if step.op == "delete"}
    own = {cluster.urn for cluster in state.of_type(*registry.cluster_types())}
    return own <= gone


def preview_after(run: StackRun, look: Look) -> list[Step]:
    """What an `up` would do once the state is as the world: what needs a resource that is gone changes, too."""
    record = run.preview(refresh=True, without_cluster=look.cluster_is_gone)
    return drift.without([step for step in record.steps if step.op != "refresh"], look.drift)


def engine_urns(state: StackState, *, in_cluster: bool = True) -> list[str]:
    """What the engine has to read: all that is outside clusters, and the Secrets `in_cluster`."""
    read = [resource for resource in state.resources if resource.is_real and not resource.is_kubernetes]
    secrets = state.of_type(_SECRET) if in_cluster else ()
    return sorted({resource.urn for resource in (*read, *secrets)})


def in_cluster(state: StackState, owned: Ownership) -> tuple[Step, ...]:
    """The drift of the objects that were looked for."""
    resources = {
        resource.name: resource
        for resource in state.resources
        if resource.is_kubernetes and not resource.is_deleted_for_replacement  # by a run that was killed then
    }
    found = []
    for item in (each for each in owned.looked_at if each.name in resources):  # an interrupted run may have made less
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


def bring_into_state(
    run: StackRun, urns: Collection[str], seen: tuple[Step, ...], *, reads_objects: bool = True
) -> Look:
    """Put into the state what is in the world: what is gone goes, so that the next `up` makes it again, and what was
    changed is marked, or read, so that it sets it back. `urns`: what the engine reads; `seen`: what `in_cluster` found;
    `reads_objects`: whether the engine can read Kubernetes objects. If not, those that are gone are marked, too: an
    update makes an object again that isn't there.

    Killed in between, the marks stay until an `up` has set the objects back. Raises: EngineError and its leaves.
    """
    changed = frozenset(step.urn for step in seen if step.op == "update" or not reads_objects)
    if changed:
        run.mark_changed(changed)
    gone = {step.urn for step in seen if step.op == "delete"} - changed
    read = sorted({*urns, *gone})
    results = drift.of_refresh(run.reread(read)) if read else []
    return Look(tuple(step for step in results if step.urn not in gone), seen)

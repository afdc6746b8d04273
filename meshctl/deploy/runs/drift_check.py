"""Checks for drift before a plan and an `up`: resources that are gone, and fields changed outside meshctl. EDGE.

Called by `environment_plan`, `environment_up` and `preview`. AWS resources are read by their provider, in one refresh
of the engine. Kubernetes objects come from `ownership`, which has read them with one list call for each kind. Secrets
are read by their provider as well, so that nothing else sees their values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshctl.changes.steps import Step
from meshctl.clients.kubernetes import clusters
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
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "LeaderWorkerSet")


@dataclass(frozen=True)
class DriftCheck:
    """The result of a check.

    `engine_drift` comes from the engine's refresh, `object_drift` from the Kubernetes objects. `has_placeholders`: an
    interrupted run left resources that may or may not exist; they don't count as drift. `readable`: the engine can read
    the objects in the cluster. `cluster_is_gone`: AWS says that the cluster no longer exists, so nothing in it does.
    `is_other_profile`: nothing was checked, because AWS refuses the profile that made the resources.
    """

    engine_drift: tuple[Step, ...] = ()
    object_drift: tuple[Step, ...] = ()
    has_placeholders: bool = False
    readable: bool = True
    cluster_is_gone: bool = False
    is_other_profile: bool = False

    @property
    def drift(self) -> tuple[Step, ...]:
        return (*self.engine_drift, *self.object_drift)

    @property
    def changes_the_preview(self) -> bool:
        """Whether a preview on the refreshed state is possible, and would differ from one on the recorded state."""
        return (bool(self.engine_drift) or self.has_placeholders) and (self.readable or self.cluster_is_gone)


def read_ownership(deployment: Deployment, state: StackState, take_over: Collection[str]) -> Ownership:
    """The live objects and the fields of them that other programs own. When the cluster can't be asked, the result has
    the error as `unreachable`."""
    try:
        return ownership.read_ownership(finished_jobs.with_finished_marks(deployment, state), state, take_over)
    except (BusyError, CredentialsError, UnreachableError) as error:
        return Ownership(deployment.environment, unreachable=error)


def detect_drift(
    run: StackRun, deployment: Deployment, state: StackState, owned: Ownership, allowed: Callable[[], None]
) -> DriftCheck:
    """What is no longer as the last `up` left it; the state is not changed.

    `allowed` raises when the environment is in another account or cluster, where everything would read as gone.
    Raises: EngineError and its leaves, and the error of a cluster that can't be asked.
    """
    allowed()
    return _skipped_with_another_profile(deployment, state, lambda: _detected(run, deployment, state, owned))


def refresh_state(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> DriftCheck:
    """As `detect_drift`, and bring the state in line with it. Raises: as `detect_drift`."""
    return _skipped_with_another_profile(deployment, state, lambda: _refreshed(run, deployment, state, owned))


def _skipped_with_another_profile(
    deployment: Deployment, state: StackState, check: Callable[[], DriftCheck]
) -> DriftCheck:
    """Skip the check when AWS refuses the profile of the last `up`, and environments.yaml names another one by now.

    The engine reads with the profile in the state, and the next `up` writes the new one there.
    """
    try:
        return check()
    except CredentialsError:
        made_by = {str(provider.inputs.get("profile") or "") for provider in state.of_type(_PROVIDER)}
        if made_by <= {deployment.profile, *(store.profile for store in deployment.object_stores)}:
            raise
        return DriftCheck(is_other_profile=True)


def _detected(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> DriftCheck:
    placeholders = set(pending.placeholders(state))
    readable = _can_read(deployment, state, owned)
    urns = [urn for urn in urns_to_read(state, in_cluster=readable) if urn not in placeholders]
    engine_drift = tuple(drift.drift_of_refresh(run.compare(urns))) if urns else ()
    objects = tuple(step for step in object_drift(state, owned) if step.urn not in placeholders)
    is_gone = owned.unreachable is not None and _cluster_is_gone(deployment, state, engine_drift)
    if owned.unreachable is not None and not is_gone:
        raise owned.unreachable
    return DriftCheck(engine_drift, objects, bool(placeholders), readable, is_gone)


def _refreshed(run: StackRun, deployment: Deployment, state: StackState, owned: Ownership) -> DriftCheck:
    is_gone = owned.unreachable is not None
    if owned.unreachable is not None:
        _forget_objects(run, deployment, state, owned.unreachable)
        state = run.state()
    if pending.is_interrupted(state):
        state = run.recovered_state()
    reads_objects = _can_read(deployment, state, owned)
    urns = urns_to_read(state, in_cluster=reads_objects)
    drifted = object_drift(state, owned)
    _record_finished_jobs(run, state, owned, gone_jobs.gone_urns(drifted))
    return replace(write_drift_into_state(run, urns, drifted, reads_objects=reads_objects), cluster_is_gone=is_gone)


def _record_finished_jobs(run: StackRun, state: StackState, owned: Ownership, gone: Collection[str]) -> None:
    """Record in the state which jobs have finished, before those whose objects are gone are removed from it."""
    live = {name: manifest for name, (_, manifest) in owned.live.items()}
    if gone_jobs.with_finished_jobs_recorded(state, live, gone) != state:
        run.rewrite(lambda current: gone_jobs.with_finished_jobs_recorded(current, live, gone))


def drift_with_job_marks(
    deployment: Deployment, state: StackState, owned: Ownership, drifted: tuple[Step, ...]
) -> tuple[Step, ...]:
    """The drift as a plan shows it: a finished job whose object is gone is created again suspended."""
    live = {name: manifest for name, (_, manifest) in owned.live.items()}
    gone = gone_jobs.gone_urns(drifted)
    remaining = gone_jobs.state_without(gone_jobs.with_finished_jobs_recorded(state, live, gone), gone)
    return gone_jobs.drift_with_suspended_jobs(drifted, finished_jobs.with_finished_marks(deployment, remaining).marks)


def _can_read(deployment: Deployment, state: StackState, owned: Ownership) -> bool:
    """Whether the engine can read the state's Kubernetes objects: the cluster answers, and the state recorded the
    kubeconfig and context that the deployment names."""
    access = clusters.access(deployment)
    return owned.unreachable is None and cluster_identity.is_reached_as_before(access, state)


def _forget_objects(run: StackRun, deployment: Deployment, state: StackState, unreachable: MeshError) -> None:
    """Drop the objects of a cluster that doesn't answer from the state, if AWS says that the cluster is gone.

    Raises: `unreachable` otherwise, because a cluster that doesn't answer may still exist.
    """
    own = [cluster.urn for cluster in state.of_type(*registry.cluster_types())]
    engine_drift = drift.drift_of_refresh(run.compare(own)) if own else ()
    if not _cluster_is_gone(deployment, state, engine_drift):
        raise unreachable
    run.rewrite(cluster_identity.without_cluster)


def _cluster_is_gone(deployment: Deployment, state: StackState, engine_drift: Iterable[Step]) -> bool:
    """Whether the stack made its cluster and the cluster no longer exists.

    Either AWS has just said so, or an interrupted run has already removed the cluster from the state.
    """
    if cluster_identity.recorded_access(deployment.environment, state) is not None:
        return False
    gone = {step.urn for step in engine_drift if step.op == "delete"}
    own = {cluster.urn for cluster in state.of_type(*registry.cluster_types())}
    return own <= gone


def preview_refreshed(run: StackRun, result: DriftCheck) -> list[Step]:
    """The steps of an `up` after a refresh: resources that depend on one that is gone change, too."""
    record = run.preview(refresh=True, without_cluster=result.cluster_is_gone)
    return drift.steps_without_drift([step for step in record.steps if step.op != "refresh"], result.drift)


def urns_to_read(state: StackState, *, in_cluster: bool = True) -> list[str]:
    """The URNs of the resources that the engine has to read: all outside the cluster, and Secrets if `in_cluster`."""
    outside = [resource for resource in state.resources if resource.is_real and not resource.is_kubernetes]
    secrets = state.of_type(_SECRET) if in_cluster else ()
    return sorted({resource.urn for resource in (*outside, *secrets)})


def object_drift(state: StackState, owned: Ownership) -> tuple[Step, ...]:
    """The drift of the Kubernetes objects that `owned` has read."""
    resources = {
        resource.name: resource
        for resource in state.resources
        if resource.is_kubernetes and not resource.is_deleted_for_replacement  # by a run that was killed during it
    }
    steps = []
    # an interrupted run may have created only some of the objects
    for item in (each for each in owned.expected if each.name in resources):
        resource = resources[item.name]
        if item.name not in owned.live or _is_being_deleted(owned.live[item.name][1]):
            steps.append(drift.drift_of_gone(resource))
            continue
        ignored = [*item.ignore_changes, *item.added_to, *owned.left_paths(item.name)]
        step = drift.drift_of_object(resource, item.manifest, owned.live[item.name][1], ignored)
        steps += [step] if step is not None else []
    return tuple(steps)


def _is_being_deleted(live: Mapping[str, Any]) -> bool:
    """Whether the object counts as gone, since its deletion has begun and only its pods still have to end.

    Objects with data, or with other objects in them, count as gone only when they no longer exist.
    """
    return live.get("kind") in _WITH_PODS and bool(live["metadata"].get("deletionTimestamp"))


def write_drift_into_state(
    run: StackRun, urns: Collection[str], drifted: tuple[Step, ...], *, reads_objects: bool = True
) -> DriftCheck:
    """Record drift in the state, so that the next `up` repairs it. Raises: EngineError and its leaves.

    Resources that are gone are removed from the state, and the next `up` creates them again. AWS resources that changed
    are read again; Kubernetes objects that changed are marked for an update. The marks stay until an `up` has repaired
    the objects, also when a run is killed in between.

    `urns`: the resources that the engine reads; `drifted`: the result of `object_drift`. If the engine can't read
    Kubernetes objects (not `reads_objects`), those that are gone are marked, too: an update creates a missing object.
    """
    changed = frozenset(step.urn for step in drifted if step.op == "update" or not reads_objects)
    if changed:
        run.mark_changed(changed)
    gone = {step.urn for step in drifted if step.op == "delete"} - changed
    read = sorted({*urns, *gone})
    results = drift.drift_of_refresh(run.reread(read)) if read else []
    return DriftCheck(tuple(step for step in results if step.urn not in gone), drifted)

"""Which data a run would lose. EDGE: reads the buckets and claims about which `changes.losses` decides.

Called by `runs` before anything is deleted. It goes by the state, not by the mesh, so
that storage declared by an earlier version of the mesh counts, too. Data is lost only after the user has agreed: the
session refuses, and the CLI asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshctl.changes import losses
from meshctl.changes.losses import CLAIM, STATEFUL_SET, UNSEEN, Loss, Outcome, Seen, Volume
from meshctl.changes.steps import Step
from meshctl.clients.kubernetes import clusters, volumes
from meshctl.deploy.guards import namespaces
from meshctl.errors import CredentialsError, MeshError, ProtectedDataError, UnreachableError
from meshctl.model.deployment import Deployment, ObjectStore, Price
from meshctl.model.pods import object_names
from meshctl.model.resource_types import BUCKET, WEKA_CLUSTER
from meshctl.model.stack_state import Resource, StackState
from meshctl.objects import object_access
from meshctl.platforms import registry


def lost_by_up(state: StackState, deployment: Deployment, steps: Iterable[Step]) -> tuple[Loss, ...]:
    """What bringing up `deployment` would lose, by the steps of its preview. A store that can't be reached counts as
    holding data.

    Raises: PlatformError when the platform of what is deployed is not installed."""
    return _lost(state, losses.outcome_of_up(state, state.deployment, deployment, steps), strict=False)


def lost_by_destroy(state: StackState, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
    """What deleting the environment would lose. `keep_buckets`: buckets stay, as at the end of a migration.

    Raises: CredentialsError, UnreachableError, MeshError when a store can't be reached, PlatformError when the platform
    of what is deployed is not installed.
    """
    outcome = losses.outcome_of_destroy(state, keep_buckets=keep_buckets, namespace_stays=namespaces.stays(state))
    return _lost(state, outcome, strict=True)


def lost_with_cluster(state: StackState) -> tuple[Loss, ...]:
    """The data in a cluster that is gone for good, by the state. Nothing of it is read or deleted.

    Raises: PlatformError as `lost_by_up` does."""
    _check_platform(state)
    in_cluster = (resource.urn for resource in state.resources if resource.is_kubernetes)
    lost = losses.losses(state, state.deployment, Outcome(frozenset(in_cluster)), Seen())
    return tuple(replace(loss, why="meshctl forgets it with its cluster, and does not delete it") for loss in lost)


def may_lose(state: StackState, deployment: Deployment) -> bool:
    """Whether bringing up `deployment` could lose data. Only a preview says whether it would.

    A bucket could be lost when it is no longer declared as it was. A file system or a volume of pods could be lost by
    many changes, so for these any change of the deployment counts.
    """
    _check_platform(state)
    deployed = state.deployment
    if losses.given_up(deployed, deployment):
        return True
    unchanged = deployed is not None and deployed.digest == deployment.digest
    declared = {f"storage/{name}" for name in deployment.ephemeral}
    if may_lose_buckets(state, deployment):
        return True
    with_data = (CLAIM, WEKA_CLUSTER, *registry.file_system_types())
    for resource in losses.protected(state, deployed):
        if resource.type in with_data and (not unchanged or resource.subject not in declared):
            return True
        if resource.type == STATEFUL_SET and not unchanged and losses.claim_patterns(resource.inputs):
            return True
    return False


def may_lose_buckets(state: StackState, deployment: Deployment) -> bool:
    """Whether a bucket that was deployed is no longer declared as it was."""
    places = {_place(store) for store in deployment.object_stores}
    buckets = (each for each in losses.protected(state, state.deployment) if each.type == BUCKET)
    return any(_place(_store(bucket, state)) not in places for bucket in buckets)


def with_deployed_protection(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment in which storage is `ephemeral` only if it was so in the last `up`.

    For runs that ask no question: nobody has agreed to storage becoming ephemeral yet.
    """
    newly_ephemeral = losses.given_up(state.deployment, deployment)
    parts = {
        kind: tuple(
            each.model_copy(update={"ephemeral": False}) if each.name in newly_ephemeral else each
            for each in getattr(deployment, kind)
        )
        for kind in ("object_stores", "file_systems", "blocks")
    }
    return deployment.model_copy(update=parts)


def bucket_urns(lost: Iterable[Loss]) -> frozenset[str]:
    """The URNs of the buckets among `lost`."""
    return frozenset(loss.urn for loss in lost if loss.kind == "bucket")


def orphaned_stores(deployment: Deployment, state: StackState) -> frozenset[str]:
    """The stores whose buckets hold data and have this environment's tag, but are no longer in its state.

    A destroy that keeps data drops them from the state and re-imports them; it was killed in between.
    Raises: CredentialsError, UnreachableError, MeshError when the buckets can't be read.
    """
    in_state = {bucket.subject for bucket in state.of_type(BUCKET)}
    own = [store for store in deployment.object_stores if not (store.ephemeral or store.is_adopted)]
    candidates = [store for store in own if f"storage/{store.name}" not in in_state]
    return frozenset(
        store.name
        for store in candidates
        if object_access.owner_urn(store) == _bucket_urn(deployment, store) and object_access.content_summary(store)
    )


def _bucket_urn(deployment: Deployment, store: ObjectStore) -> str:
    return f"urn:pulumi:{deployment.environment}::{deployment.mesh}::{BUCKET}::storage/{store.name}:bucket"


_COPY = "copy what must be kept into object storage first (docs/migrate.md, File systems and volumes)"


def refused_by_up(environment: str, lost: Iterable[Loss]) -> ProtectedDataError:
    lost = tuple(lost)
    return _refused(environment, lost, _undo(environment, lost), f"meshctl up {environment}")


def refused_by_migrate(target: str, lost: Iterable[Loss]) -> ProtectedDataError:
    """The refusal for a target that is up already. Its hint must not be `up`: that would start workloads there that
    still run at the source."""
    lost = tuple(lost)
    return _refused(target, lost, _undo(target, lost), f"meshctl destroy {target}", then=", then migrate")


def _undo(environment: str, lost: Iterable[Loss]) -> str:
    """A Kubernetes version, a tag or adopted storage is in one file, a pool or storage that is made in the other."""
    shown = f"`meshctl plan {environment}` shows as its cause"
    guides = sorted({loss.guide for loss in lost if loss.guide})
    return "; ".join([f"to keep the data, undo the change in mesh.yaml or environments.yaml that {shown}", *guides])


def refused_by_destroy(environment: str, lost: Iterable[Loss]) -> ProtectedDataError:
    losses_ = list(lost)
    only_buckets = all(loss.kind == "bucket" for loss in losses_)
    keep = f"`meshctl migrate {environment} NEW` moves the data to another environment" if only_buckets else _COPY
    return _refused(environment, losses_, keep, f"meshctl destroy {environment}")


def refused_by_migration_destroy(environment: str, lost: Iterable[Loss], command: str) -> ProtectedDataError:
    """`command`: the command of the migration that destroys the environment."""
    return _refused(environment, lost, _COPY, command)


def _refused(environment: str, lost: Iterable[Loss], keep: str, command: str, *, then: str = "") -> ProtectedDataError:
    """The error before anything is changed. Its hint says first how to keep the data, and only then how to lose it."""
    allow = f"`{command} --allow-data-loss`, which asks for the name {environment}{then}"
    return ProtectedDataError(
        f"{environment} would lose data, or no longer protect it: {'; '.join(loss.text() for loss in lost)}",
        why="meshctl deletes no data unless you say so; nothing was changed",
        hint=f"{keep}; if all of this may be lost, run {allow}",
    )


def _lost(state: StackState, outcome: Outcome, *, strict: bool) -> tuple[Loss, ...]:
    _check_platform(state)
    old = state.deployment
    to_read = losses.buckets_to_look_into(state, old, outcome)
    contents = {
        bucket.urn: _content_of(_store(bucket, state), strict=strict)
        for bucket in losses.protected(state, old)
        if bucket.urn in to_read
    }
    needs_cluster = losses.needs_cluster(state, old, outcome)
    return losses.losses(state, old, outcome, Seen(contents, _volumes(state) if needs_cluster else ()))


def _check_platform(state: StackState) -> None:
    """Check that the platform of what is deployed is installed: only it knows which resources hold data.

    Raises: PlatformError when it isn't installed, or can't be used.
    """
    if state.deployment is not None:
        registry.platform(state.deployment.provider)


def _content_of(store: ObjectStore, *, strict: bool) -> str:
    try:
        return object_access.content_summary(store)
    except (CredentialsError, UnreachableError):
        if strict:
            raise
        return UNSEEN


def _place(store: ObjectStore) -> tuple[str, ...]:
    """What identifies the bucket and how it is reached: a change of any of these may replace it."""
    return store.name, store.bucket, store.endpoint, store.region, store.profile


def _store(bucket: Resource, state: StackState) -> ObjectStore:
    """The bucket as the state has it: its name, and its provider's region, profile and endpoint."""
    provider = state.provider_of(bucket)
    settings = provider.inputs if provider is not None else {}
    addressing = settings.get("s3Addressing") or "auto"
    return ObjectStore(
        name=bucket.subject.removeprefix("storage/"),
        bucket=str(bucket.inputs["Bucket"]),
        size_gib=0,
        endpoint=str(settings.get("endpointUrl") or ""),
        region=str(settings.get("region") or "us-east-1"),
        profile=str(settings.get("profile") or ""),
        addressing=addressing,
        price=Price(subject="", usd_per_hour=None, source="not asked"),
    )


def _volumes(state: StackState) -> tuple[Volume, ...] | None:
    """The volumes in the cluster; None when they can't be read."""
    old = state.deployment
    if old is None:
        return None
    try:
        own_labels = object_names.labels(old.mesh, old.environment)
        return volumes.volumes(clusters.access(old, state.outputs), old.namespace, own_labels)
    except MeshError:
        return None

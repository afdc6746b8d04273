"""Which data a run would lose: looks into the buckets and at the claims that `changes.losses` decides about. EDGE.

Called by `session` before it deletes anything. Reads the state, not the mesh: what is there counts, also what was
declared by an earlier version of the mesh. Nothing is lost before somebody has answered: `session` refuses, and the CLI
asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshctl.changes import losses
from meshctl.changes.losses import CLAIM, STATEFUL_SET, UNSEEN, Loss, Outcome, Seen, Volume
from meshctl.changes.steps import Step
from meshctl.clients import clusters, volumes
from meshctl.errors import CredentialsError, MeshError, ProtectedDataError, UnreachableError
from meshctl.model.deployment import Deployment, ObjectStore, Price
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import Resource, StackState
from meshctl.objects import object_access
from meshctl.platforms import registry


def lost_by_up(state: StackState, deployment: Deployment, steps: Iterable[Step]) -> tuple[Loss, ...]:
    """What bringing up `deployment` would lose, going by the steps of its preview. A store that can't be asked counts
    as one that holds something.

    Raises: PlatformError when the platform of what is deployed is not installed."""
    return _lost(state, losses.outcome_of_up(state, state.deployment, deployment, steps), strict=False)


def lost_by_destroy(state: StackState, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
    """What deleting the environment would lose. `keep_buckets`: they stay, as when a migration retires a side.

    Raises: CredentialsError, UnreachableError, MeshError where a store can't be asked, PlatformError when the platform
    of what is deployed is not installed.
    """
    outcome = losses.outcome_of_destroy(state, keep_buckets=keep_buckets)
    return _lost(state, outcome, strict=True)


def forgotten(state: StackState) -> tuple[Loss, ...]:
    """What is in a cluster that is gone for good, as the state knows it: nothing of it is looked at, or deleted.

    Raises: PlatformError as `lost_by_up` does."""
    _ask_for_platform(state)
    in_cluster = (resource.urn for resource in state.resources if resource.is_kubernetes)
    found = losses.losses(state, state.deployment, Outcome(frozenset(in_cluster)), Seen())
    return tuple(replace(loss, why="it is forgotten with its cluster, and not deleted") for loss in found)


def may_lose(state: StackState, deployment: Deployment) -> bool:
    """Whether bringing up `deployment` could lose data. Only a preview says whether it does.

    A bucket goes when it is no longer declared as it was. What becomes of a file system or of pods' volumes depends on
    more, so that any change of the deployment counts.
    """
    _ask_for_platform(state)
    saved = state.deployment
    if losses.given_up(saved, deployment):
        return True
    unchanged = saved is not None and saved.digest == deployment.digest
    declared = {f"storage/{name}" for name in deployment.ephemeral}
    if may_lose_buckets(state, deployment):
        return True
    lasting = (CLAIM, *registry.file_system_types())
    for resource in losses.protected(state, saved):
        if resource.type in lasting and (not unchanged or resource.subject not in declared):
            return True
        if resource.type == STATEFUL_SET and not unchanged and losses.claim_patterns(resource.inputs):
            return True
    return False


def may_lose_buckets(state: StackState, deployment: Deployment) -> bool:
    """Whether a bucket that was deployed is no longer declared as it was."""
    places = {_place(store) for store in deployment.object_stores}
    buckets = (each for each in losses.protected(state, state.deployment) if each.type == BUCKET)
    return any(_place(_store(bucket, state)) not in places for bucket in buckets)


def still_protected(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with storage that is `ephemeral` only if it was so when it was deployed: for a run that asks no
    question."""
    unasked = losses.given_up(state.deployment, deployment)
    parts = {
        kind: tuple(
            each.model_copy(update={"ephemeral": False}) if each.name in unasked else each
            for each in getattr(deployment, kind)
        )
        for kind in ("object_stores", "file_systems", "blocks")
    }
    return deployment.model_copy(update=parts)


def buckets(found: Iterable[Loss]) -> frozenset[str]:
    """The URNs of the buckets among them."""
    return frozenset(loss.urn for loss in found if loss.kind == "bucket")


def let_go(deployment: Deployment, state: StackState) -> frozenset[str]:
    """The stores whose buckets hold data and are this environment's by their tag, but no longer in its state: a destroy
    let go of them, and was cut off before they were taken back.

    Raises: CredentialsError, UnreachableError, MeshError when that can't be told.
    """
    there = {bucket.subject for bucket in state.of_type(BUCKET)}
    candidates = [s for s in deployment.object_stores if not s.ephemeral and f"storage/{s.name}" not in there]
    return frozenset(
        store.name
        for store in candidates
        if object_access.owner_urn(store) == _bucket_urn(deployment, store) and object_access.content_summary(store)
    )


def _bucket_urn(deployment: Deployment, store: ObjectStore) -> str:
    return f"urn:pulumi:{deployment.environment}::{deployment.mesh}::{BUCKET}::storage/{store.name}:bucket"


_COPY = "copy what must be kept into object storage first (docs/migrate.md, File systems and volumes)"


def refused_by_up(environment: str, lost: Iterable[Loss]) -> ProtectedDataError:
    keep = f"`meshctl plan {environment}` shows what forces it: take that change back in mesh.yaml to keep the data"
    return _refused(environment, lost, keep, f"meshctl up {environment}")


def refused_by_migrate(target: str, lost: Iterable[Loss]) -> ProtectedDataError:
    """Of a target that is up already. Never a hint at `up`: that would start there what still runs at the source."""
    keep = f"`meshctl plan {target}` shows what forces it: take that change back in mesh.yaml to keep the data"
    return _refused(target, lost, keep, f"meshctl destroy {target}", then=", then migrate")


def refused_by_destroy(environment: str, lost: Iterable[Loss]) -> ProtectedDataError:
    found = list(lost)
    only_buckets = all(loss.kind == "bucket" for loss in found)
    keep = f"`meshctl migrate {environment} NEW` moves it to another environment" if only_buckets else _COPY
    return _refused(environment, found, keep, f"meshctl destroy {environment}")


def refused_by_retire(environment: str, lost: Iterable[Loss], command: str) -> ProtectedDataError:
    """`command`: the one of the migration that destroys the environment."""
    return _refused(environment, lost, _COPY, command)


def _refused(environment: str, lost: Iterable[Loss], keep: str, command: str, *, then: str = "") -> ProtectedDataError:
    """What is said before anything is done; never first how to lose the data."""
    allow = f"`{command} --allow-data-loss`, which asks for the name {environment}{then}"
    return ProtectedDataError(
        f"{environment} would lose data, or no longer protect it: {'; '.join(loss.text() for loss in lost)}",
        why="no data is given up unless you say so; nothing was changed",
        hint=f"{keep}; if all of this may be lost: {allow}",
    )


def _lost(state: StackState, outcome: Outcome, *, strict: bool) -> tuple[Loss, ...]:
    _ask_for_platform(state)
    old = state.deployment
    looked_into = losses.buckets_to_look_into(state, old, outcome)
    held = {
        bucket.urn: _held(_store(bucket, state), strict=strict)
        for bucket in losses.protected(state, old)
        if bucket.urn in looked_into
    }
    asks = losses.needs_cluster(state, old, outcome)
    return losses.losses(state, old, outcome, Seen(held, _volumes(state) if asks else ()))


def _ask_for_platform(state: StackState) -> None:
    """Only the platform that an environment was deployed on knows which resources hold data: without it, its file
    systems would count as nothing.

    Raises: PlatformError when it isn't installed, or can't be used.
    """
    if state.deployment is not None:
        registry.platform(state.deployment.provider)


def _held(store: ObjectStore, *, strict: bool) -> str:
    try:
        return object_access.content_summary(store)
    except (CredentialsError, UnreachableError):
        if strict:
            raise
        return UNSEEN


def _place(store: ObjectStore) -> tuple[str, ...]:
    """Which bucket it is, and who reaches it: a change of either may replace it."""
    return store.name, store.bucket, store.endpoint, store.region, store.profile


def _store(bucket: Resource, state: StackState) -> ObjectStore:
    """The bucket as the state knows it: its name, and its provider's region, profile and endpoint."""
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
    """None where the cluster can't say."""
    old = state.deployment
    if old is None:
        return None
    try:
        return volumes.volumes(clusters.access(old, state.outputs), old.namespace)
    except MeshError:
        return None

"""Which storage of a stack holds data that could be lost. EDGE (it looks into buckets, and at claims).

Called by `session` before `destroy`, and before an `up` that might delete or replace storage. Reads the state, not the
mesh: what is there counts, also what was declared by an earlier version of the mesh. Ephemeral storage, empty buckets
and claims that no volume is bound to hold nothing to lose; old versions of objects are something.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import subject_of
from meshctl.engine import clusters, object_access
from meshctl.engine.run import stack_outputs
from meshctl.errors import MeshError, ProtectedDataError
from meshctl.model.deployment import Deployment, ObjectStore, Price

_CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
_BUCKET = "meshaws:s3:Bucket"
_FILE_SYSTEMS = ("meshaws:fsx:FileSystem", "meshaws:efs:FileSystem", _CLAIM)
_BLOCKS = "kubernetes:apps/v1:StatefulSet"  # each of its pods has claims of its own, which go with the namespace
_IN_CLUSTER = (_CLAIM, _BLOCKS, "kubernetes:core/v1:Namespace")
_UNSEEN = "whose content can't be seen from here"


@dataclass(frozen=True)
class Risk:
    """Storage with something in it. `store` is set for buckets."""

    subject: str
    urn: str
    what: str
    store: ObjectStore | None = None


def bucket_urns(risks: Iterable[Risk]) -> frozenset[str]:
    return frozenset(risk.urn for risk in risks if risk.store is not None)


def data_at_risk(state: Mapping[str, Any]) -> list[Risk]:
    """The storage that holds data, each subject once, in the state's order."""
    found: dict[str, Risk] = {}
    for risk in _risks(state):
        found.setdefault(risk.subject, risk)
    return list(found.values())


def may_lose(state: Mapping[str, Any], deployment: Deployment) -> bool:
    """Whether bringing up `deployment` could delete or replace lasting storage. Only a preview says whether it does.

    A bucket goes when it is no longer declared as it was. What becomes of a file system depends on more, so that any
    change of the deployment counts.
    """
    saved = saved_deployment(state)
    unchanged = saved is not None and saved.digest == deployment.digest
    declared = {f"storage/{name}" for name in deployment.ephemeral}
    buckets = {_place(store) for store in deployment.object_stores}
    for resource, provider in _lasting(state):
        if resource["type"] == _BUCKET and _place(_store(resource, provider)) not in buckets:
            return True
        if resource["type"] in _FILE_SYSTEMS and (not unchanged or subject_of(resource["urn"]) not in declared):
            return True
    return False


def saved_deployment(state: Mapping[str, Any]) -> Deployment | None:
    """What the last `up` declared; None when there was none."""
    saved = stack_outputs(state).get("deployment")
    if isinstance(saved, str):
        saved = json.loads(saved)
    return Deployment.model_validate(saved) if saved else None


def let_go(deployment: Deployment, state: Mapping[str, Any]) -> frozenset[str]:
    """The stores whose buckets hold data and are this environment's by their tag, but no longer in its state: a destroy
    let go of them, and was cut off before they were taken back.

    Raises: CredentialsError, UnreachableError, MeshError when that can't be told.
    """
    there = {subject_of(r["urn"]) for r in state.get("resources") or () if r["type"] == _BUCKET}
    candidates = [s for s in deployment.object_stores if not s.ephemeral and f"storage/{s.name}" not in there]
    return frozenset(
        store.name
        for store in candidates
        if object_access.owner(store) == _bucket_urn(deployment, store) and object_access.held(store)
    )


def _bucket_urn(deployment: Deployment, store: ObjectStore) -> str:
    return f"urn:pulumi:{deployment.environment}::{deployment.mesh}::{_BUCKET}::storage/{store.name}:bucket"


def loss_refused(environment: str, lost: list[Risk]) -> ProtectedDataError:
    """What `up` says before it does anything."""
    return ProtectedDataError(
        f"this would delete or replace {', '.join(f'{risk.subject} ({risk.what})' for risk in lost)}",
        why="`up` loses no data unless told to; nothing was changed",
        hint=f"`meshctl plan {environment}` shows what forces it; `meshctl up {environment} --allow-data-loss` does it",
    )


def _risks(state: Mapping[str, Any]) -> Iterator[Risk]:
    kept = list(_lasting(state))
    deployment = saved_deployment(state)
    bound = _bound_claims(deployment, state) if any(r["type"] in _IN_CLUSTER for r, _ in kept) else None
    for resource, provider in kept:
        subject = subject_of(resource["urn"])
        if resource["type"] == _BUCKET:
            store = _store(resource, provider)
            held = object_access.held(store)
            if held:
                yield Risk(subject, resource["urn"], held, store)
        elif resource["type"] == _BLOCKS:
            for block in _blocks(resource["inputs"], bound):
                yield Risk(f"storage/{block}", resource["urn"], f"volumes {_UNSEEN}")
        elif resource["type"] == _CLAIM:
            if bound is None or resource["inputs"]["metadata"]["name"] in bound:
                yield Risk(subject, resource["urn"], f"a volume {_UNSEEN}")
        elif resource["type"] in _FILE_SYSTEMS:
            yield Risk(subject, resource["urn"], f"a file system {_UNSEEN}")
    for claim in sorted((bound or frozenset()) - _named_claims(state, bound or frozenset())):
        yield Risk(f"claim/{claim}", "", f"a volume {_UNSEEN}, which the mesh no longer names")


def _lasting(state: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The resources that belong to nothing ephemeral, each with its provider's inputs."""
    ephemeral = _ephemeral(saved_deployment(state))
    resources = state.get("resources") or ()
    providers = {f"{r['urn']}::{r.get('id', '')}": r.get("inputs") or {} for r in resources}
    for resource in resources:
        if subject_of(resource["urn"]) not in ephemeral:
            yield resource, providers.get(resource.get("provider", ""), {})


def _place(store: ObjectStore) -> tuple[str, ...]:
    """Which bucket it is, and who reaches it: a change of either may replace it."""
    return store.name, store.bucket, store.endpoint, store.region, store.profile


def _store(resource: Mapping[str, Any], provider: Mapping[str, Any]) -> ObjectStore:
    """The bucket as the state knows it: its name, and the provider's region, profile and endpoint."""
    addressing = provider.get("s3Addressing") or "auto"
    return ObjectStore(
        name=subject_of(resource["urn"]).removeprefix("storage/"),
        bucket=str(resource["inputs"]["Bucket"]),
        size_gib=0,
        endpoint=str(provider.get("endpointUrl") or ""),
        region=str(provider.get("region") or "us-east-1"),
        profile=str(provider.get("profile") or ""),
        addressing=addressing,
        price=Price(subject="", usd_per_hour=None, source="not asked"),
    )


def _bound_claims(deployment: Deployment | None, state: Mapping[str, Any]) -> frozenset[str] | None:
    """Names of claims with a volume; None where the cluster can't say: then each may hold data."""
    if deployment is None:
        return None
    try:
        return clusters.bound_claims(clusters.access(deployment, stack_outputs(state)), deployment.namespace)
    except MeshError:
        return None


def _named_claims(state: Mapping[str, Any], bound: frozenset[str]) -> set[str]:
    """The claims that a resource of the state stands for. Others were left when a stateful set went: their volumes are
    used by nobody, and go with the namespace."""
    found: set[str] = set()
    for resource in state.get("resources") or ():
        if resource["type"] == _CLAIM:
            found.add(str(resource["inputs"]["metadata"]["name"]))
        elif resource["type"] == _BLOCKS:
            prefixes = tuple(_claim_prefixes(resource["inputs"]).values())
            found |= {name for name in bound if name.startswith(prefixes)} if prefixes else set()
    return found


def _blocks(stateful_set: Mapping[str, Any], bound: frozenset[str] | None) -> Iterator[str]:
    """The blocks that a stateful set's pods have volumes of."""
    for block, prefix in _claim_prefixes(stateful_set).items():
        if bound is None or any(name.startswith(prefix) for name in bound):
            yield block


def _claim_prefixes(stateful_set: Mapping[str, Any]) -> dict[str, str]:
    """By block: how the names of the pods' claims begin, BLOCK-SET-NUMBER."""
    blocks = [str(claim["metadata"]["name"]) for claim in stateful_set["spec"].get("volumeClaimTemplates") or ()]
    return {block: f"{block}-{stateful_set['metadata']['name']}-" for block in blocks}


def _ephemeral(deployment: Deployment | None) -> set[str]:
    if deployment is None:
        return set()
    return {f"storage/{name}" for name, ephemeral in deployment.ephemeral.items() if ephemeral}

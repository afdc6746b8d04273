"""Which storage of a stack holds data that could be lost. EDGE (it looks into buckets, and at claims).

Called by `session` before `destroy`, and before an `up` that might delete or replace storage. Reads the state, not the
mesh: what is there counts, also what was declared by an earlier version of the mesh. Ephemeral storage, empty buckets
and claims that no volume is bound to hold nothing to lose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import subject_of
from meshctl.engine import clusters, object_access
from meshctl.engine.run import stack_outputs
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, ObjectStore, Price

_CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
_BUCKET = "meshaws:s3:Bucket"
_FILE_SYSTEMS = ("meshaws:fsx:FileSystem", "meshaws:efs:FileSystem", _CLAIM)
_BLOCKS = "kubernetes:apps/v1:StatefulSet"  # each of its pods has claims of its own, which go with the namespace
_UNSEEN = "whose content can't be seen from here"


@dataclass(frozen=True)
class Risk:
    """Storage with something in it. `store` is set for buckets."""

    subject: str
    urn: str
    what: str
    store: ObjectStore | None = None


def data_at_risk(state: Mapping[str, Any]) -> list[Risk]:
    """The storage that holds data, each subject once, in the state's order."""
    found: dict[str, Risk] = {}
    for risk in _risks(state):
        found.setdefault(risk.subject, risk)
    return list(found.values())


def has_file_systems(state: Mapping[str, Any]) -> bool:
    """Whether there is storage that a delete loses without a word: no row refuses it as that of full buckets does."""
    ephemeral = _ephemeral(saved_deployment(state))
    resources = state.get("resources") or ()
    return any(r["type"] in _FILE_SYSTEMS and subject_of(r["urn"]) not in ephemeral for r in resources)


def saved_deployment(state: Mapping[str, Any]) -> Deployment | None:
    """What the last `up` declared; None when there was none."""
    saved = stack_outputs(state).get("deployment")
    if isinstance(saved, str):
        saved = json.loads(saved)
    return Deployment.model_validate(saved) if saved else None


def _risks(state: Mapping[str, Any]) -> Iterator[Risk]:
    deployment = saved_deployment(state)
    ephemeral = _ephemeral(deployment)
    resources = list(state.get("resources") or ())
    providers = {f"{r['urn']}::{r.get('id', '')}": r.get("inputs") or {} for r in resources}
    kept = [r for r in resources if subject_of(r["urn"]) not in ephemeral]
    bound = _bound_claims(deployment, state) if any(r["type"] in (_CLAIM, _BLOCKS) for r in kept) else None
    for resource in kept:
        subject = subject_of(resource["urn"])
        if resource["type"] == _BUCKET:
            store = _store(resource, providers.get(resource.get("provider", ""), {}))
            count = object_access.object_count(store)
            if count:
                yield Risk(subject, resource["urn"], f"{'at least ' if count >= 1000 else ''}{count} objects", store)
        elif resource["type"] == _BLOCKS:
            for block in _blocks(resource["inputs"], bound):
                yield Risk(f"storage/{block}", resource["urn"], f"volumes {_UNSEEN}")
        elif resource["type"] == _CLAIM:
            if bound is None or resource["inputs"]["metadata"]["name"] in bound:
                yield Risk(subject, resource["urn"], f"a volume {_UNSEEN}")
        elif resource["type"] in _FILE_SYSTEMS:
            yield Risk(subject, resource["urn"], f"a file system {_UNSEEN}")


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


def _blocks(stateful_set: Mapping[str, Any], bound: frozenset[str] | None) -> Iterator[str]:
    """The blocks that a stateful set's pods have volumes of: their claims are named BLOCK-SET-NUMBER."""
    for claim in stateful_set["spec"].get("volumeClaimTemplates") or ():
        block = str(claim["metadata"]["name"])
        prefix = f"{block}-{stateful_set['metadata']['name']}-"
        if bound is None or any(name.startswith(prefix) for name in bound):
            yield block


def _ephemeral(deployment: Deployment | None) -> set[str]:
    if deployment is None:
        return set()
    names = [store.name for store in deployment.object_stores if store.ephemeral]
    names += [system.name for system in deployment.file_systems if system.ephemeral]
    names += [block.name for block in deployment.blocks if block.ephemeral]
    return {f"storage/{name}" for name in names}

"""Which storage of a stack holds data that `destroy` would lose. EDGE (it looks into buckets).

Called by `session`. Reads the state, not the mesh: what is there counts, also what was declared by an earlier
version of the mesh.
Ephemeral storage and empty buckets hold nothing to lose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.changes.steps import subject_of
from meshctl.engine import object_access
from meshctl.engine.run import stack_outputs
from meshctl.model.deployment import Deployment, ObjectStore, Price

_FILE_SYSTEMS = ("meshaws:fsx:FileSystem", "meshaws:efs:FileSystem", "kubernetes:core/v1:PersistentVolumeClaim")


@dataclass(frozen=True)
class Risk:
    """Storage with something in it. `store` is set for buckets."""

    subject: str
    urn: str
    what: str
    store: ObjectStore | None = None


def data_at_risk(state: Mapping[str, Any]) -> list[Risk]:
    """The storage that holds data, each subject once, in the state's order."""
    ephemeral = _ephemeral(state)
    found: dict[str, Risk] = {}
    for risk in _risks(state):
        if risk.subject not in ephemeral:
            found.setdefault(risk.subject, risk)
    return list(found.values())


def _risks(state: Mapping[str, Any]) -> Iterator[Risk]:
    resources = list(state.get("resources") or ())
    providers = {f"{r['urn']}::{r.get('id', '')}": r.get("inputs") or {} for r in resources}
    for resource in resources:
        subject = subject_of(resource["urn"])
        if resource["type"] == "meshaws:s3:Bucket":
            store = _store(resource, providers.get(resource.get("provider", ""), {}))
            count = object_access.object_count(store)
            if count:
                yield Risk(subject, resource["urn"], f"{'at least ' if count >= 1000 else ''}{count} objects", store)
        elif resource["type"] in _FILE_SYSTEMS:
            yield Risk(subject, resource["urn"], "a file system, whose content can't be seen from here")


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


def _ephemeral(state: Mapping[str, Any]) -> set[str]:
    saved = stack_outputs(state).get("deployment")
    if isinstance(saved, str):
        saved = json.loads(saved)
    if not saved:
        return set()
    deployment = Deployment.model_validate(saved)
    names = [store.name for store in deployment.object_stores if store.ephemeral]
    names += [system.name for system in deployment.file_systems if system.ephemeral]
    names += [block.name for block in deployment.blocks if block.ephemeral]
    return {f"storage/{name}" for name in names}

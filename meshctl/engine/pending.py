"""What a killed run was in the middle of, made findable: state in, state out. PURE.

Called by `run`, which lets the engine read the resources named here from their APIs before anything else is done. The
engine's own record of such an operation says only that it was begun: a create may have made something that the state
lacks, an update or a delete may have taken effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The id of a resource whose create was begun and never answered. `meshaws` looks for it by the tags that a create gives
# (`providers.base.crud`); a Kubernetes object is found by its name.
UNANSWERED = "unanswered"


def findable(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with each begun create as a resource, to be read.

    The operations stay until they are `settled`, all as creates: the engine keeps only those when it writes a state.
    """
    operations = deployment.get("pending_operations") or ()
    resources = list(deployment.get("resources") or ())
    known = {resource["urn"] for resource in resources}
    for operation in operations:
        begun = operation["resource"]
        if operation["type"] == "creating" and begun["urn"] not in known and _is_read(begun):
            resources.append({**begun, "id": _id_of(begun), "outputs": begun.get("inputs") or {}})
            known.add(begun["urn"])
    kept = [{**operation, "type": "creating"} for operation in operations]
    return {**deployment, "resources": resources, "pending_operations": kept}


def urns(deployment: Mapping[str, Any]) -> list[str]:
    """The resources that were being worked on and are in the state."""
    known = {resource["urn"] for resource in deployment.get("resources") or () if _is_read(resource)}
    begun = [operation["resource"]["urn"] for operation in deployment.get("pending_operations") or ()]
    return sorted(known & set(begun))


def settled(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The state once they have been read."""
    return {**deployment, "pending_operations": []}


def _is_read(resource: Mapping[str, Any]) -> bool:
    """Whether an API can tell of it: not the engine's own components and providers."""
    return bool(resource.get("custom")) and not str(resource["type"]).startswith("pulumi:")


def _id_of(begun: Mapping[str, Any]) -> str:
    metadata = (begun.get("inputs") or {}).get("metadata")
    if not str(begun["type"]).startswith("kubernetes:") or not isinstance(metadata, dict):
        return UNANSWERED
    return "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)

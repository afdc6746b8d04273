"""Where a user writes a key of a workload: at the workload itself, or inside of the blueprint that makes it. PURE.

Called by `meshctl.advise`, whose advice is to be written into the file. The way back, from a workload to the line that
it comes from, is `Expansion.origin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.model.files.file_problems import mapping
from meshctl.model.keys.blueprints import PART, SLOTS
from meshctl.model.mesh import Mesh

# keys of a workload that a blueprint has a key of its own for, by the blueprint's kind and the slot of the workload
_OWN_KEYS: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("serve", "llm"): {"replicas": "replicas", "resources.accelerators": "accelerators"},
    ("train", "trainer"): {"nodes": "nodes", "resources.accelerators": "accelerators"},
    ("notebook", "notebook"): {"resources.accelerators": "accelerators"},
    ("rag", "llm"): {"resources.accelerators": "accelerators"},
}


def edit(mesh: Mesh, workload: str, key: str, value: str) -> str:
    """What to write for a key of a workload, as `path: value`. `key`: like "resources.accelerators"; `value`: YAML in
    one line."""
    blueprint = next((name for name, made in mesh.made.items() if ("workloads", workload) in made), None)
    if blueprint is None:
        return f"workloads.{workload}.{key}: {value}"
    keys = mesh.blueprints[blueprint]
    slot = SLOTS[keys.kind] if workload == blueprint else workload.removeprefix(f"{blueprint}-")
    written: Any = getattr(keys, slot)
    at = f"blueprints.{blueprint}"
    own = _OWN_KEYS.get((keys.kind, slot), {}).get(key)
    if own is not None and not _has(written, key):
        return f"{at}.{own}: {value}"
    if isinstance(written, str):  # the name of its part alone
        return f"{at}.{slot}: {{{PART}: {written}, {_nested(key, value)}}}"
    return f"{at}.{slot}.{key}: {value}"


def _has(written: object, key: str) -> bool:
    """Whether a slot has a key of the workload, which wins over that of the blueprint."""
    for part in key.split("."):
        keys = mapping(written)
        if part not in keys:
            return False
        written = keys[part]
    return True


def _nested(key: str, value: str) -> str:
    first, _, rest = key.partition(".")
    return f"{first}: {{{_nested(rest, value)}}}" if rest else f"{first}: {value}"

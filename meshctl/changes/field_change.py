"""One changed field of a plan, in the words of a mesh, and the terms that plans ask for by name. PURE.

Made by `fields`; read by `grouping`, `storage` and `endpoint_access`, and printed by `human` and `Plan.document`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LATER = "known after up"
MASKED = "[secret]"  # how the engine writes a secret
EPHEMERAL = "ephemeral"
ROLL_OUT = "revision of secrets"
FILES_ROLL_OUT = "revision of files"
ROLL_OUTS = (ROLL_OUT, FILES_ROLL_OUT)
ORDER = "pods that a roll-out starts before one ends"
_ORDERS = {
    0: "roll-outs end a pod before they start its successor: the pool may have no room for one more pod",
    1: "roll-outs start a new pod before they end the old one: the pool has room for one more pod",
}


@dataclass(frozen=True)
class FieldChange:
    """One thing that changes. `path` is its term; `old` and `new` are None where there was or will be none."""

    path: str
    old: Any
    new: Any
    forces_replace: bool = False

    def text(self) -> str:
        """For a person. Values that are masked, long, or equal as far as they are known are left out."""
        if self.path in ROLL_OUTS:
            return "rolls out the pods that read them"
        if self.path == EPHEMERAL and self.new:
            return f"{EPHEMERAL} from now on: what is in it is no longer protected, nor moved by `migrate`"
        if self.path == EPHEMERAL:
            return f"no longer {EPHEMERAL}: what is in it is protected from now on"
        if self.path == ORDER and self.new in _ORDERS:
            return f"{_ORDERS[self.new]} (no pod is replaced for this)"
        shown = [_shown(value) for value in (self.old, self.new)]
        if self.old is None and shown[1] is None:
            return f"{self.path} comes"
        if self.new is None and shown[0] is None:
            return f"{self.path} goes"
        if None in shown or self.old == self.new:
            return f"{self.path} changes"
        return f"{self.path} {shown[0]} -> {shown[1]}"


def _shown(value: Any) -> str | None:
    """None for a value that tells a person nothing."""
    if value is None:
        return "none"
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        value = json.dumps(value)
    if isinstance(value, dict | list) or MASKED in str(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 48 else f"{text[:45]}..."

"""One step of the Pulumi engine as a plain value, and the mesh subject that its resource belongs to. PURE.

Made by `meshctl.engine.events`; read by `grouping`. Every stack names its resources `<subject>:<detail>`
(`pool/train:nodegroup`, `network:vpc`), so the subject is read off the URN and no table can go stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["create", "update", "replace", "delete", "move", "same"]

# Pulumi's step operations, of which a replacement makes three; only "replace" itself is counted.
_ACTIONS: dict[str, Action] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
    "same": "same",
}
# The engine's own resources: no user ever wrote them down.
_ENGINE_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")


@dataclass(frozen=True)
class PropertyChange:
    """One property that differs. `path` is the provider's own (`spec.replicas`)."""

    path: str
    forces_replace: bool = False


@dataclass(frozen=True)
class Step:
    """One step. `old` and `new` are the resource's inputs, secrets already masked by the engine."""

    urn: str
    type: str
    op: str
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    properties: tuple[PropertyChange, ...] = ()

    @property
    def action(self) -> Action | None:
        """The action in the plan's words; None for steps that are a part of another one."""
        return _ACTIONS.get(self.op)

    @property
    def is_engine_own(self) -> bool:
        return self.type.startswith(_ENGINE_TYPES)


def resource_name(urn: str) -> str:
    """The logical name: the part after the fourth `::`."""
    parts = urn.split("::", 3)
    return parts[3] if len(parts) == 4 else urn


def subject_of(urn: str) -> str:
    """`pool/train` of `urn:pulumi:aws-east::llm-prod::meshaws:eks:Nodegroup::pool/train:nodegroup`."""
    return resource_name(urn).split(":", 1)[0]

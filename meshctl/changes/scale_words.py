"""Replicas that follow load, in the words of a mesh: the range in place of the number that it happens to be. PURE.

Called by `fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.model import scaling

AUTOSCALER: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
_METRIC: Final = "spec.metrics[0].resource"
TERMS: Final = {
    (AUTOSCALER, "spec.minReplicas"): "replicas.min",
    (AUTOSCALER, "spec.maxReplicas"): "replicas.max",
    (AUTOSCALER, f"{_METRIC}.target.averageUtilization"): "scale.target",
    (AUTOSCALER, "spec.behavior.scaleDown.stabilizationWindowSeconds"): "scale.cooldown in seconds",
}
_ANNOTATION: Final = f'metadata.annotations["{scaling.REPLICAS_ANNOTATION}"]'


def replicas(path: str, old: Any, new: Any) -> tuple[str, Any, Any] | None:
    """Of changed replicas of what has a range, or gets or loses one: the term and both values; None of anything else.
    `old`, `new`: the declared objects."""
    before, after = (_range(inputs) for inputs in (old, new))
    if path not in ("spec.replicas", _ANNOTATION) or not (before or after):
        return None
    if before == after:  # a bound that was moved, or a number beyond the bounds that is set back
        return ("replicas", _number(old), _number(new)) if path == "spec.replicas" else None
    return "replicas", before or _number(old), after or _number(new)


def _range(inputs: Any) -> str:
    metadata = inputs.get("metadata") if isinstance(inputs, Mapping) else None
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return str((annotations or {}).get(scaling.REPLICAS_ANNOTATION) or "")


def _number(inputs: Any) -> Any:
    return ((inputs or {}).get("spec") or {}).get("replicas")

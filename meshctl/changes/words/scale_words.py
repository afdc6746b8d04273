"""Replicas that follow load, in the words of a mesh: the range in place of the number that it happens to be. PURE.

Called by `fields`. The bounds are said of what runs the pods, and so not again of what moves their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.changes.steps import Step, resource_name
from meshctl.model.keys import scaling

Change = tuple[str, Any, Any]  # the term, and both values

_AUTOSCALER: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
TERMS: Final = {
    (_AUTOSCALER, "spec.metrics[0].containerResource.target.averageUtilization"): "scale.target",
    (_AUTOSCALER, "spec.behavior.scaleDown.stabilizationWindowSeconds"): "scale.cooldown in seconds",
    (_AUTOSCALER, "spec.behavior.scaleDown.policies"): "pace at which replicas go",
}
# the last is the cooldown, where that is short
_SAID_ELSEWHERE: Final = ("spec.minReplicas", "spec.maxReplicas", "spec.behavior.scaleDown.policies[0].periodSeconds")
_ANNOTATION: Final = f'metadata.annotations["{scaling.REPLICAS_ANNOTATION}"]'
_SCALER: Final = "scaler"  # how the details of its objects begin
# variables of the scaler -> the key that they come from
_OF_VARIABLES: Final = {
    "SCALE_SERIES": "scale.metric",
    "SCALE_TARGET": "scale.target",
    "SCALE_COOLDOWN_S": "scale.cooldown in seconds",
    "METRICS_PORT": "metrics port",
    "METRICS_PATH": "metrics path",
    "METRICS_SCHEME": "metrics scheme",
}
_UNSHOWN: Final = {"text": "not shown"}


def replicas(path: str, old: Any, new: Any) -> Change | None:
    """Of changed replicas of what has a range, or gets or loses one: the term and both values; None of anything else.
    `old`, `new`: the declared objects."""
    before, after = (_range(inputs) for inputs in (old, new))
    if path not in ("spec.replicas", _ANNOTATION) or not (before or after):
        return None
    if before == after:  # a bound that was moved, or a number beyond the bounds that is set back
        return ("replicas", _number(old), _number(new)) if path == "spec.replicas" else None
    return "replicas", before or _number(old), after or _number(new)


def of_scaler(step: Step) -> tuple[Change, ...] | None:
    """All that a step changes of an object that moves the replicas of a workload; None of any other object, and of an
    autoscaler, whose fields have `TERMS`."""
    if not resource_name(step.urn).partition(":")[2].startswith(_SCALER):
        return None
    if not step.properties:
        return ()
    if step.type == "kubernetes:core/v1:ConfigMap":
        return (("program of the scaler", _UNSHOWN, _UNSHOWN),)
    return tuple(_of_variables(step)) if step.type == "kubernetes:apps/v1:Deployment" else ()


def is_said_elsewhere(step: Step, path: str) -> bool:
    return step.type == _AUTOSCALER and path in _SAID_ELSEWHERE


def _of_variables(step: Step) -> Iterator[Change]:
    before, after = (_container(inputs) for inputs in (step.old, step.new))
    for key, term in _OF_VARIABLES.items():
        old, new = (_variables(each).get(key) for each in (before, after))
        if old != new:
            yield term, old, new
    if before.get("image") != after.get("image"):
        yield "image of the scaler", before.get("image"), after.get("image")


def _container(inputs: Any) -> Mapping[str, Any]:
    pod = (((inputs or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or [{}]
    return containers[0] if isinstance(containers[0], Mapping) else {}


def _variables(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(each.get("name")): each.get("value") for each in container.get("env") or () if isinstance(each, Mapping)
    }


def _range(inputs: Any) -> str:
    metadata = inputs.get("metadata") if isinstance(inputs, Mapping) else None
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return str((annotations or {}).get(scaling.REPLICAS_ANNOTATION) or "")


def _number(inputs: Any) -> Any:
    return ((inputs or {}).get("spec") or {}).get("replicas")

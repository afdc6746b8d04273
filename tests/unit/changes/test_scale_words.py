"""A plan says the range of replicas and what moves them in the words of the mesh."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields

ANNOTATION = 'metadata.annotations["meshctl.dev/replicas"]'


def server(replicas: int, bounds: str = "") -> dict[str, Any]:
    return {
        "metadata": {"annotations": {"meshctl.dev/replicas": bounds} if bounds else {}},
        "spec": {"replicas": replicas},
    }


def scaler(**variables: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return {"spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "python:3", "env": env}]}}}}


def said(name: str, kind: str, old: Any, new: Any, *paths: str) -> list[str]:
    urn = f"urn:pulumi:cw::m::kubernetes:{kind}::workload/chat:{name}"
    step = Step(urn, f"kubernetes:{kind}", "update", old, new, tuple(map(PropertyChange, paths)))
    return [field.text() for field in fields(step)]


@pytest.mark.parametrize(
    ("old", "new", "paths", "expected"),
    [
        (server(4), server(4, "2 to 6"), (ANNOTATION,), ["replicas 4 -> 2 to 6"]),
        (server(5, "2 to 6"), server(3), (ANNOTATION, "spec.replicas"), ["replicas 2 to 6 -> 3"]),
        (server(5, "2 to 6"), server(5, "2 to 8"), (ANNOTATION,), ["replicas 2 to 6 -> 2 to 8"]),
        (server(9, "2 to 6"), server(6, "2 to 6"), ("spec.replicas",), ["replicas 9 -> 6"]),
        (server(2), server(3), ("spec.replicas",), ["replicas 2 -> 3"]),
    ],
)
def test_the_range_stands_for_the_number(old: Any, new: Any, paths: tuple[str, ...], expected: list[str]) -> None:
    assert said("deployment", "apps/v1:Deployment", old, new, *paths) == expected


def test_what_moves_them_is_said_by_its_keys_and_its_bounds_once() -> None:
    env = "spec.template.spec.containers[0].env[1].value"
    old = scaler(SCALE_TARGET="5", SCALE_MAX="6", SCALE_COOLDOWN_S="300")
    new = scaler(SCALE_TARGET="8", SCALE_MAX="9", SCALE_COOLDOWN_S="300")
    assert said("scaler", "apps/v1:Deployment", old, new, env) == ["scale.target 5 -> 8"]
    assert said("scaler-role", "rbac.authorization.k8s.io/v1:Role", {}, {}, "rules[1].resourceNames[0]") == []
    assert said("scaler-files", "core/v1:ConfigMap", {}, {}, 'data["scaler.py"]') == ["program of the scaler changes"]
    hpa = {"spec": {"minReplicas": 1, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}}
    slower = {"spec": {"minReplicas": 2, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}}}
    window = "spec.behavior.scaleDown.stabilizationWindowSeconds"
    assert said("autoscaler", "autoscaling/v2:HorizontalPodAutoscaler", hpa, slower, "spec.minReplicas", window) == [
        "scale.cooldown in seconds 300 -> 600"
    ]

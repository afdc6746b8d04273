"""A plan says how the pods of a gang start, and shows no program text."""

from __future__ import annotations

from typing import Any

from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.model.keys import gangs

GATES = "spec.template.spec.schedulingGates"


def job(*gates: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"schedulingGates": [{"name": gate} for gate in gates]}}}}


def said(name: str, kind: str, old: Any, new: Any, *paths: str) -> list[str]:
    urn = f"urn:pulumi:cw::m::kubernetes:{kind}::{name}"
    step = Step(urn, f"kubernetes:{kind}", "update", old, new, tuple(map(PropertyChange, paths)))
    return [field.text() for field in fields(step)]


def test_a_gate_is_said_in_words_of_the_gang_and_once() -> None:
    annotation = f'spec.template.metadata.annotations["{gangs.SIZE}"]'
    for path in (GATES, f"{GATES}[0]", f"{GATES}[0].name"):
        assert said("workload/fit:job", "batch/v1:Job", job(), job(gangs.GATE), path, annotation) == [
            "start of the pods one by one -> all of the gang at once"
        ]
    assert said("workload/fit:job", "batch/v1:Job", job(gangs.GATE), job("acme/quota"), GATES) == [
        "start of the pods all of the gang at once -> once acme/quota is removed"
    ]


def test_a_newer_program_is_one_line() -> None:
    files = "platform:gang-hold-files"
    assert said(files, "core/v1:ConfigMap", {}, {}, 'data["gangs.py"]') == ["program of the gang hold changes"]
    role = "platform:gang-hold-role"
    assert said(role, "rbac.authorization.k8s.io/v1:Role", {}, {}, "rules[0].verbs[1]") == []

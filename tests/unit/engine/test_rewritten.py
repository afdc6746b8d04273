"""A server that is rolled only because its texts are written down in another way: the plan says why."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.deploy import rewritten
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.render.sample import sample

TEXTS = {"args": ("$$",), "env": {"A": "$(MESH_POOL)", "GREETING": "pa$$word", "LOG": "$HOME"}}


def changed(**fields: Any) -> Deployment:
    deployment = sample("coreweave")
    workloads = tuple(w.model_copy(update=fields) if w.name == "chat" else w for w in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def older(deployment: Deployment) -> StackState:
    """The state of a meshctl that wrote texts as the mesh has them, and sorted the variables."""
    made = []
    for item in render.platform_objects(deployment):
        if item.kind in ("Deployment", "StatefulSet"):
            type_ = f"kubernetes:apps/v1:{item.kind}"
            made.append({"type": type_, "urn": f"urn:pulumi:e::m::{type_}::{item.name}", "inputs": item.manifest})
            workload = deployment.workload(item.subject.removeprefix("workload/"))
            main = item.manifest["spec"]["template"]["spec"]["containers"][0]
            main.update({"args": list(workload.args)} if workload.args else {})
            texts = [{**entry, "value": workload.env.get(entry["name"], entry.get("value"))} for entry in main["env"]]
            main["env"] = sorted(
                (old if "valueFrom" in old else new for old, new in zip(main["env"], texts, strict=True)),
                key=lambda entry: str(entry["name"]),
            )
    return states.state(*made)


def test_what_is_written_as_before_has_no_note() -> None:
    assert rewritten.notes(sample("coreweave"), older(sample("coreweave"))) == []
    assert rewritten.notes(sample("coreweave"), states.NOTHING) == []


def test_texts_that_arrive_now_are_named() -> None:
    deployment = changed(**TEXTS)
    (note,) = rewritten.notes(deployment, older(deployment))
    assert note.startswith(
        "workload/chat is rolled out with args, env.GREETING, references of env to MESH_ variables as"
    )


def test_a_change_of_the_mesh_has_no_note() -> None:
    assert rewritten.notes(changed(args=("$$",)), older(changed(args=("other",)))) == []


def test_a_newer_variable_that_the_mesh_names_from_now_on_has_no_note() -> None:
    after = changed(args=("$MESH_ADDRESS",))
    assert rewritten.notes(after, older(changed(args=("other",)))) == []


def test_a_new_workload_has_no_note() -> None:
    deployment = changed(**TEXTS)
    alone = deployment.model_copy(update={"workloads": deployment.workloads[2:]})
    assert rewritten.notes(deployment, older(alone)) == []

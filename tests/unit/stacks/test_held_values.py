"""What stays as the live object has it is declared with that value, and nothing else changes."""

from __future__ import annotations

from typing import Any

from meshctl import render
from stacks import platform
from tests.unit.deployments import deployment


def test_a_held_field_is_declared_with_the_live_value() -> None:
    (chat,) = [item for item in render.platform_objects(deployment("dc1")) if item.name == "workload/chat:deployment"]
    late: dict[str, Any] = dict.fromkeys(render.late_names([chat]), "1")
    plain = platform._inputs(chat, late)
    held = {
        render.live_value_name(chat.name, "spec.replicas"): 5,
        render.live_value_name("workload/other:deployment", "spec.replicas"): 7,
    }
    changed = platform._inputs(chat, late | held)
    assert (plain["spec"]["replicas"], changed["spec"]["replicas"]) == (2, 5)
    changed["spec"]["replicas"] = 2
    assert changed == plain
    assert chat.manifest["spec"]["replicas"] == 2  # what is rendered stays as it was


def test_a_field_that_belongs_to_another_program_is_left_out() -> None:
    (chat,) = [item for item in render.platform_objects(deployment("dc1")) if item.name == "workload/chat:deployment"]
    late: dict[str, Any] = dict.fromkeys(render.late_names([chat]), "1")
    changed = platform._inputs(chat, late | {render.live_value_name(chat.name, "spec.replicas"): None})
    assert "replicas" not in changed["spec"]
    assert chat.manifest["spec"]["replicas"] == 2

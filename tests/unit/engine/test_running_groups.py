"""Groups that are up stay held, or not held, as they came up: a gate on their pods would replace all of them."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running import running_groups
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.render.sample import sample

NEXT = "vllm/vllm-openai:v0.99.0"


def with_groups(*, held: bool, has_controller: bool = False, **changes: Any) -> Deployment:
    given = sample("coreweave")
    fields = {"nodes_per_replica": 2, "held_together": held, **changes}
    workloads = tuple(w.model_copy(update=fields) if w.name == "chat" else w for w in given.workloads)
    return given.model_copy(update={"workloads": workloads, "has_group_controller": has_controller})


def state_of(deployment: Deployment) -> StackState:
    return states.state(
        *(
            {
                "urn": f"urn:pulumi:cw::llm-prod::kubernetes:{item.kind}::{item.name}",
                "type": f"kubernetes:apps/v1:{item.kind}",
                "custom": True,
                "inputs": item.manifest,
            }
            for item in render.platform_objects(deployment)
        )
    )


def is_held(deployment: Deployment, state: StackState) -> bool:
    return running_groups.as_they_are_up(deployment, state).workload("chat").held_together


@pytest.mark.parametrize("has_controller", [True, False])
@pytest.mark.parametrize("was_held", [True, False])
@pytest.mark.parametrize("changes", [{}, {"replicas": 3}, {"env": {"A": "b"}}, {"paused": True}])
def test_what_is_up_keeps_its_pods(*, has_controller: bool, was_held: bool, changes: dict[str, Any]) -> None:
    state = state_of(with_groups(held=was_held, has_controller=has_controller))
    now = with_groups(held=not was_held, has_controller=has_controller, **changes)
    assert is_held(now, state) is was_held


@pytest.mark.parametrize("has_controller", [True, False])
def test_an_upgrade_changes_nothing_of_groups_that_are_up(*, has_controller: bool) -> None:
    before = with_groups(held=False, has_controller=has_controller)
    after = running_groups.as_they_are_up(with_groups(held=True, has_controller=has_controller), state_of(before))
    assert [item.manifest for item in render.platform_objects(after)] == [
        item.manifest for item in render.platform_objects(before)
    ]


@pytest.mark.parametrize("has_controller", [True, False])
def test_groups_that_get_another_image_get_the_hold(*, has_controller: bool) -> None:
    state = state_of(with_groups(held=False, has_controller=has_controller))
    assert is_held(with_groups(held=True, has_controller=has_controller, image=NEXT), state)


def test_groups_that_are_new_get_it() -> None:
    assert is_held(with_groups(held=True), states.NOTHING)
    single_pods = state_of(with_groups(held=False, nodes_per_replica=1))
    assert is_held(with_groups(held=True), single_pods), "single pods are other objects"
    assert is_held(with_groups(held=True, has_controller=True), state_of(with_groups(held=False))), "so are these"


def test_a_roll_out_that_was_cut_off_goes_on_with_the_hold() -> None:
    first, second = (state_of(with_groups(held=held, image=image)) for held, image in ((True, NEXT), (False, "old:1")))
    rolled = [each.record for each in first.resources if each.name.startswith("workload/chat:group-0")]
    left = [each.record for each in second.resources if each.name.startswith("workload/chat:group-1")]
    assert is_held(with_groups(held=True, image=NEXT), states.state(*map(dict, [*rolled, *left])))


def test_other_workloads_stay_as_they_are() -> None:
    plain = sample("coreweave")
    assert running_groups.as_they_are_up(plain, state_of(plain)) is plain

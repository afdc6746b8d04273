"""Groups that are up stay held, or not held, as they came up: a gate on their pods would replace all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running.pods import running_groups
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.data_world import ENVIRONMENTS, InMemory, World, patched
from tests.unit.deployments import deployment
from tests.unit.render.sample import sample

NEXT = "vllm/vllm-openai:v0.99.0"


def with_groups(*, held: bool, has_controller: bool = False, **changes: Any) -> Deployment:
    given = sample("coreweave")
    fields = {"nodes_per_replica": 2, "held_together": held, **changes}
    workloads = tuple(w.model_copy(update=fields) if w.name == "chat" else w for w in given.workloads)
    fixed = tuple(pool.model_copy(update={"nodes_min": pool.nodes, "nodes_max": pool.nodes}) for pool in given.pools)
    return given.model_copy(update={"workloads": workloads, "pools": fixed, "has_group_controller": has_controller})


def on_a_range(deployment: Deployment) -> Deployment:
    """The same with a pool that an autoscaler makes larger."""
    pool = deployment.workload("chat").pool
    pools = [p.model_copy(update={"nodes_max": p.nodes + 4}) if p.name == pool else p for p in deployment.pools]
    return deployment.model_copy(update={"pools": tuple(pools)})


def notes(wanted: Deployment, state: StackState) -> tuple[str, ...]:
    return running_groups.notes(wanted, running_groups.as_they_are_up(wanted, state), state)


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


@pytest.mark.parametrize("has_controller", [True, False])
def test_groups_lose_a_hold_that_keeps_their_pool_from_growing(*, has_controller: bool) -> None:
    """Autoscalers don't count pods with a gate: more groups would wait for nodes that nobody orders."""
    state = state_of(with_groups(held=True, has_controller=has_controller))
    now = on_a_range(with_groups(held=False, has_controller=has_controller, replicas=4))
    assert not is_held(now, state)
    (said,) = notes(now, state)
    assert said.startswith("workload/chat: the pods of its groups are replaced, as they are held no longer: pool")
    again = state_of(running_groups.as_they_are_up(now, state))
    assert notes(now, again) == (), "once they have been"
    assert (
        notes(now.model_copy(update={"workloads": (with_groups(held=False, image=NEXT).workload("chat"),)}), state)
        == ()
    )


def test_who_may_not_make_the_program_any_more_leaves_the_one_that_is_up() -> None:
    state = state_of(with_groups(held=True))
    assert is_held(with_groups(held=False), state), "it runs with rights of its own"
    (said,) = notes(with_groups(held=False), state)
    assert said == "workload/chat: the pods of each group start together, as they came up, until they get another image"


def test_groups_that_came_up_without_a_hold_are_said_to_start_one_by_one() -> None:
    state = state_of(with_groups(held=False))
    (said,) = notes(with_groups(held=True), state)
    assert said == (
        "workload/chat: the pods of each group start one by one, as they came up; they start together once they get"
        " another image"
    )
    assert notes(with_groups(held=True, image=NEXT), state) == ()
    assert notes(with_groups(held=True), states.NOTHING) == ()


def on_given_nodes(*, held: bool) -> Deployment:
    made = deployment("dc1")
    fields = {"nodes_per_replica": 2, "held_together": held, "mounts": ()}
    chat = next(each for each in made.workloads if each.kind == "inference").model_copy(update=fields)
    return made.model_copy(update={"workloads": (chat,), "object_stores": (), "endpoints": ()})


def test_plan_and_up_say_it(tmp_path: Path) -> None:
    world = World().begin(on_given_nodes(held=False))
    session = InMemory(tmp_path, "llm-prod", ENVIRONMENTS, refresh=False, world=world)
    with patched(world):
        for plan in (session.plan(on_given_nodes(held=True)), session.up(on_given_nodes(held=True)).plan):
            assert [note for note in plan.notes if "each group start one by one, as they came up" in note]


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

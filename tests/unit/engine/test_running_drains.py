"""How long pods may take to end their open requests: what is new, and what an older version brought up."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running.pods import changed_groups, running_drains
from meshctl.deploy.guards.running.running_pods import with_running_pods
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import STACK_TYPE, StackState
from meshctl.render.pod import pods, probes
from tests.unit import states
from tests.unit.deployments import deployment


def state_of(declared: Deployment) -> StackState:
    outputs = {"deployment": declared.model_dump(mode="json")}
    return states.state({"urn": "s", "type": STACK_TYPE, "outputs": outputs})


def saying(drain_s: int | None, **more: Any) -> Deployment:
    made = deployment("dc1")
    chat, *others = made.workloads
    return made.model_copy(update={"workloads": (chat.model_copy(update={"drain_s": drain_s, **more}), *others)})


def grace_s(declared: Deployment, name: str = "chat") -> int:
    return pods.grace_s(declared.workload(name))


def test_answers_of_what_is_new_may_take_minutes() -> None:
    assert grace_s(with_running_pods(saying(None), states.NOTHING)) == 310


def test_an_upgrade_keeps_the_grace_of_pods_that_are_up() -> None:
    up = state_of(saying(None))
    assert grace_s(with_running_pods(saying(None), up)) == 60
    assert with_running_pods(saying(None), up) == with_running_pods(saying(None), state_of(up.deployment or saying(1)))


def test_pods_of_a_first_up_that_was_cut_off_keep_theirs() -> None:
    urn = "urn:pulumi:dc1::llm-prod::kubernetes:apps/v1:Deployment::workload/chat"
    spec = {"template": {"spec": {"terminationGracePeriodSeconds": 60}}}
    record = {"urn": urn, "type": "kubernetes:apps/v1:Deployment", "custom": True, "id": "x", "inputs": {"spec": spec}}
    assert grace_s(running_drains.with_drains(saying(None), states.state(record))) == 60


def test_pods_of_a_later_up_that_was_cut_off_keep_theirs() -> None:
    """The outputs are then those of the run before, which do not have its new workloads."""
    up = saying(None)
    chat, *others = up.workloads
    before = state_of(up.model_copy(update={"workloads": tuple(others), "endpoints": ()}))
    urn = "urn:pulumi:dc1::llm-prod::kubernetes:apps/v1:Deployment::workload/chat"
    spec = {"template": {"spec": {"terminationGracePeriodSeconds": 60}}}
    record = {"urn": urn, "type": "kubernetes:apps/v1:Deployment", "custom": True, "id": "x", "inputs": {"spec": spec}}
    state = states.state(*(dict(resource.record) for resource in before.resources), record)
    assert state.deployment is not None
    assert chat.name not in {each.name for each in state.deployment.workloads}
    assert grace_s(running_drains.with_drains(up, state)) == 60


def test_what_the_mesh_says_counts_for_pods_that_are_up_too() -> None:
    assert grace_s(with_running_pods(saying(600), state_of(saying(None)))) == 610
    assert grace_s(with_running_pods(saying(None), state_of(saying(600)))) == 310, "without it the default comes back"


@pytest.mark.parametrize("more", [{"ports": {}, "health": None}, {"kind": "service"}, {"nodes_per_replica": 2}])
def test_what_has_no_long_answers_or_waits_the_whole_time_has_no_default(more: dict[str, Any]) -> None:
    made = running_drains.with_drains(saying(None, **more), states.NOTHING)
    assert made.workload("chat").drain_s is None


def test_a_gateway_waits_as_long_as_what_it_leads_to() -> None:
    made = saying(600)
    gateway = made.workload("chat").model_copy(
        update={"name": "api-gateway", "kind": "service", "forwards_to": ("chat",), "drain_s": None}
    )
    both = made.model_copy(update={"workloads": (*made.workloads, gateway)})
    assert grace_s(running_drains.with_drains(both, states.NOTHING), "api-gateway") == 610
    older = both.model_copy(update={"workloads": (*saying(None).workloads, gateway)})
    assert grace_s(running_drains.with_drains(older, state_of(older)), "api-gateway") == 60


@pytest.mark.parametrize(("drain_s", "wanted_s"), [(600, 910), (None, 360)])
def test_a_gateway_that_holds_requests_waits_for_their_pod_and_then_for_the_answer(
    drain_s: int | None, wanted_s: int
) -> None:
    made = saying(drain_s, kind="service", sleeps=True)
    gateway = made.workload("chat").model_copy(
        update={"name": "api-gateway", "forwards_to": ("chat",), "drain_s": None, "sleeps": False}
    )
    both = made.model_copy(update={"workloads": (*made.workloads, gateway)})
    assert grace_s(running_drains.with_drains(both, states.NOTHING), "api-gateway") == wanted_s


def test_deadlines_leave_time_for_the_drain() -> None:
    """A new pod may find no place until the old one has ended."""
    without, with_drain = saying(None).workload("chat"), saying(600).workload("chat")
    assert probes.ready_s(with_drain) - probes.ready_s(without) == 600
    assert probes.rollout_s(with_drain) - probes.rollout_s(without) == 1200, "one pod after the other"


def test_workers_of_a_group_end_after_their_leader() -> None:
    objects = {item.name: item.manifest for item in render.platform_objects(saying(600, nodes_per_replica=2))}
    graces = {
        name: manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for name, manifest in objects.items()
        if manifest["kind"] == "StatefulSet"
    }
    assert set(graces.values()) == {610, 640}


def test_the_end_of_old_groups_is_waited_for_as_long_as_their_pods_may_take() -> None:
    template = {"spec": {"terminationGracePeriodSeconds": 610}}
    templates = {"leaderTemplate": template, "workerTemplate": template}
    assert changed_groups.end_limit_s({"spec": {"leaderWorkerTemplate": templates}}) > 1220
    assert changed_groups.end_limit_s({}) == 300

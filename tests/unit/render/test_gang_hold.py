"""What is rendered for gangs that start together: a gate on their pods, and one program with the rights to take it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Deployment
from meshctl.model.keys import gangs
from meshctl.model.pods import own_images
from meshctl.render import PlatformObject, platform_objects
from tests.unit.render.sample import sample

JOB, PROGRAM = "workload/pretrain:job", "platform:gang-hold"


def held(**changes: Any) -> Deployment:
    deployment = sample("onprem")
    update = {"held_together": True, **changes}
    workloads = [each.model_copy(update=update) if each.name == "pretrain" else each for each in deployment.workloads]
    return deployment.model_copy(update={"workloads": tuple(workloads)})


def objects(deployment: Deployment) -> dict[str, PlatformObject]:
    return {item.name: item for item in platform_objects(deployment)}


def test_the_pods_of_a_gang_have_a_gate_and_say_whose_they_are() -> None:
    template = objects(held())[JOB].manifest["spec"]["template"]
    assert template["spec"]["schedulingGates"] == [{"name": gangs.GATE}]
    assert template["metadata"]["annotations"][gangs.GANG] == "pretrain"
    assert template["metadata"]["annotations"][gangs.SIZE] == "4"


def in_groups(*, has_controller: bool) -> dict[str, PlatformObject]:
    """Two groups of three pods of `chat`."""
    deployment = sample("onprem")
    update = {"held_together": True, "nodes_per_replica": 3}
    workloads = [each.model_copy(update=update) if each.name == "chat" else each for each in deployment.workloads]
    return objects(
        deployment.model_copy(update={"workloads": tuple(workloads), "has_group_controller": has_controller})
    )


def gangs_of(template: Any) -> tuple[Any, str, str]:
    annotations = template["metadata"]["annotations"]
    return template["spec"]["schedulingGates"], annotations[gangs.GANG], annotations[gangs.SIZE]


def test_each_group_is_a_gang_of_its_own() -> None:
    items = in_groups(has_controller=False)
    gate = [{"name": gangs.GATE}]
    for role in ("leader", "worker"):
        for group in (0, 1):
            template = items[f"workload/chat:group-{group}-{role}"].manifest["spec"]["template"]
            assert gangs_of(template) == (gate, f"chat-{group}", "3")
    assert PROGRAM in items


def test_groups_of_a_controller_share_their_templates_and_are_told_apart_by_its_label() -> None:
    items = in_groups(has_controller=True)
    templates = items["workload/chat:leader-worker-set"].manifest["spec"]["leaderWorkerTemplate"]
    for name in ("leaderTemplate", "workerTemplate"):
        assert gangs_of(templates[name]) == ([{"name": gangs.GATE}], "chat", "3")
    assert PROGRAM in items


@pytest.mark.parametrize("has_controller", [True, False])
def test_groups_that_a_run_waits_for_come_after_the_program_that_lets_them_start(*, has_controller: bool) -> None:
    items = in_groups(has_controller=has_controller)
    waited_for = [item for name, item in items.items() if name.startswith("workload/chat:") and gates_of(item)]
    assert len(waited_for) == (1 if has_controller else 4)
    assert all(PROGRAM in item.depends_on for item in waited_for)
    assert PROGRAM not in objects(held())[JOB].depends_on, "nobody waits for the pods of a job"


def gates_of(item: PlatformObject) -> bool:
    return "schedulingGates" in str(item.manifest)


def test_what_no_program_of_ours_holds_is_rendered_as_ever() -> None:
    items = objects(sample("onprem"))
    assert not [name for name in items if name.startswith(PROGRAM)]
    template = items[JOB].manifest["spec"]["template"]
    assert "schedulingGates" not in template["spec"]
    assert gangs.GANG not in (template["metadata"].get("annotations") or {})
    assert own_images.SCALER not in own_images.of(sample("onprem"))


def test_one_program_may_see_all_pods_and_change_those_of_the_mesh() -> None:
    deployment = held()
    items = objects(deployment)
    assert items[f"{PROGRAM}-role"].manifest["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    assert items[f"{PROGRAM}-cluster-role"].manifest["rules"] == [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]}
    ]
    assert items[f"{PROGRAM}-cluster-role"].manifest["metadata"]["name"] == f"{gangs.PROGRAM}-{deployment.mesh}"
    assert items[f"{PROGRAM}-files"].manifest["data"].keys() == {"gang_hold.py", "gangs.py"}
    program = items[PROGRAM]
    assert (program.manifest["spec"]["replicas"], program.wait) == (1, True)
    (container,) = program.manifest["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "GANG_NAMESPACE", "value": deployment.namespace}]
    assert container["image"] in own_images.of(deployment)


def test_the_program_rests_where_no_gang_is_to_have_pods() -> None:
    program = objects(held(paused=True))[PROGRAM]
    assert (program.manifest["spec"]["replicas"], program.wait) == (0, False)

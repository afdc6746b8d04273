"""Who lets the pods of a gang start together in an environment."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Resolution
from meshctl.model.observed import Facts
from tests.unit.resolve.meshes import AWS, DC, node, resolved
from tests.unit.resolve.test_resolve_fit import service

POOL = {"nodes": 2, "cpu": {"cores": 16}}
NODES = (node("web-0"), node("web-1"))


def with_gang(
    environment: dict[str, Any], *, facts: Facts | None = None, nodes: Any = 2, **override: Any
) -> Resolution:
    gang = {**service(1, "training"), "nodes": 2}
    gang.pop("replicas", None)
    overridden = {**environment, "workloads": {"fit": override}} if override else environment
    return resolved({"p": {**POOL, "nodes": nodes}}, overridden, facts=facts, workloads={"fit": gang})


def is_held(resolution: Resolution) -> bool:
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment.workload("fit").held_together


def note(resolution: Resolution) -> str:
    (text,) = [each for each in resolution.notes if each.startswith("workload/fit: its 2 pods start")]
    return text


@pytest.mark.parametrize(
    ("environment", "facts"), [(AWS, None), (DC, Facts(nodes=NODES, pods_are_seen=True))], ids=["made", "given"]
)
def test_a_gang_is_held_by_our_own_program(environment: dict[str, Any], facts: Facts | None) -> None:
    resolution = with_gang(environment, facts=facts)
    assert is_held(resolution)
    assert "meshctl's program in the cluster holds them until there is room for all" in note(resolution)


@pytest.mark.parametrize(
    ("override", "holder"),
    [
        ({"queue": "research"}, "Kueue, in its queue research,"),
        ({"labels": {"kueue.x-k8s.io/queue-name": "genai"}}, "Kueue, in its queue genai,"),
        ({"pod": {"schedulerName": "volcano"}}, "the scheduler volcano of environments.yaml"),
        ({"pod": {"schedulingGates": [{"name": "acme.example/quota"}]}}, "whoever removes the `schedulingGates`"),
    ],
)
def test_what_others_hold_they_hold_alone(override: dict[str, Any], holder: str) -> None:
    resolution = with_gang(AWS, **override)
    assert not is_held(resolution)
    assert f"start together if {holder}" in note(resolution)


def test_where_an_autoscaler_brings_the_nodes_nothing_is_held() -> None:
    resolution = with_gang(AWS, nodes={"min": 2, "max": 6})
    assert not is_held(resolution)
    assert "held pods don't count as waiting" in note(resolution)


def test_who_may_not_see_all_pods_can_let_no_program_see_them() -> None:
    resolution = with_gang(DC, facts=Facts(nodes=NODES))
    assert not is_held(resolution)
    assert "grant it `list` on `pods` in a ClusterRole" in note(resolution)


@pytest.mark.parametrize("nodes", [NODES, ()], ids=["its nodes are given", "its nodes are made"])
def test_who_may_not_make_what_it_takes_gets_the_gang_without_the_hold(nodes: tuple[Any, ...]) -> None:
    facts = Facts(
        nodes=nodes, pods_are_seen=bool(nodes), lacks_for_hold=("create clusterroles.rbac.authorization.k8s.io",)
    )
    resolution = with_gang(DC if nodes else AWS, facts=facts)
    assert not is_held(resolution)
    assert "start one by one, as they find nodes" in note(resolution)
    assert "rights that the program which would hold them needs: create clusterroles.rbac.authorization.k8s.io" in note(
        resolution
    )


def with_groups(nodes: Any = 4, **override: Any) -> Resolution:
    groups = {**service(1, "inference"), "replicas": 2, "nodes": 2}
    overridden = {**AWS, "workloads": {"fit": override}} if override else AWS
    return resolved({"p": {**POOL, "nodes": nodes}}, overridden, workloads={"fit": groups})


def note_on_groups(resolution: Resolution) -> str:
    (text,) = [each for each in resolution.notes if each.startswith("workload/fit: the 2 pods of a group start")]
    return text


def test_groups_of_what_serves_are_held_as_gangs_are() -> None:
    resolution = with_groups()
    assert is_held(resolution)
    assert "start together: meshctl's program in the cluster" in note_on_groups(resolution)
    assert note_on_groups(resolution).endswith(
        "; groups that are up without it do so from their next change of image on"
    )


def test_groups_are_left_to_others_and_to_autoscalers_as_gangs_are() -> None:
    resolution = with_groups(pod={"schedulerName": "volcano"})
    assert not is_held(resolution)
    assert "start together if the scheduler volcano" in note_on_groups(resolution)
    resolution = with_groups({"min": 4, "max": 6})
    assert not is_held(resolution)
    assert "start one by one" in note_on_groups(resolution)


def test_one_pod_is_no_gang() -> None:
    alone = {"fit": {**service(1, "training"), "nodes": 1}}
    alone["fit"].pop("replicas", None)
    resolution = resolved({"p": POOL}, AWS, workloads=alone)
    assert not is_held(resolution)
    assert not [each for each in resolution.notes if "start together" in each]

"""Pods have room on the nodes that a shift has given to their pool, for as long as it is in force."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.model.deployment import Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import NO_SHIFTS, Facts, ObservedNode, ShiftedNode, ShiftsInForce
from meshctl.model.stack_state import StackState
from meshctl.project import Project
from meshctl.resolve import resolve
from tests.unit.resolve.meshes import AWS, CATALOG, DC, gpu_node
from tests.unit.resolve.test_resolve_fit import service

GIVEN = ShiftsInForce({"g2": ShiftedNode("g2", "train", "serve")})
POOLS = {name: {"nodes": 2, "accelerator": {"model": "H100", "count": 8}} for name in ("train", "serve")}


def files(environment: dict[str, Any], **replicas: Any) -> tuple[Mesh, Environments]:
    chat = {**service(), "pool": "serve", "resources": {"accelerators": 8}, **replicas}
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": POOLS, "workloads": {"chat": chat}}
    declared = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": environment}}
    return Mesh.model_validate(mesh), Environments.model_validate(declared)


def facts(*names: str) -> Facts:
    pool = {"g1": "train", "g2": "train"}
    nodes = [gpu_node(n, labels={"meshctl.dev/pool": pool.get(n, "serve")}) for n in names]
    return Facts(nodes=tuple(nodes), pods_are_seen=True)


def resolved(environment: dict[str, Any], shifts: ShiftsInForce, seen: Facts | None, **replicas: Any) -> Resolution:
    return resolve(*files(environment, **replicas), "e", CATALOG, seen, shifts=shifts)


@pytest.mark.parametrize("replicas", [{"replicas": 3}, {"replicas": {"min": 1, "max": 3}}], ids=["number", "range"])
@pytest.mark.parametrize(
    ("environment", "seen"),
    [(AWS, None), (DC, None), (DC, facts("g1", "g2", "s1", "s2"))],
    ids=["made", "given, offline", "given"],
)
def test_a_replica_has_room_on_a_node_that_its_pool_has_gained(
    environment: dict[str, Any], seen: Facts | None, replicas: dict[str, Any]
) -> None:
    assert [gap.subject for gap in resolved(environment, NO_SHIFTS, seen, **replicas).gaps] == ["workload/chat"]
    resolution = resolved(environment, GIVEN, seen, **replicas)
    assert resolution.gaps == ()
    assert {pool.name: pool.nodes for pool in resolution.pools} == {"train": 2, "serve": 2}
    more = {"replicas": 4} if replicas["replicas"] == 3 else {"replicas": {"min": 1, "max": 4}}
    assert [gap.subject for gap in resolved(environment, GIVEN, seen, **more).gaps] == ["workload/chat"]


def test_a_node_that_is_gone_and_pods_of_others_on_it_leave_no_room() -> None:
    without = facts("g1", "s1", "s2")
    assert resolved(DC, GIVEN, without, replicas=3).gaps != ()
    whole = facts("g1", "g2", "s1", "s2")
    nodes = [_used(node) if node.name == "g2" else node for node in whole.nodes]
    assert resolved(DC, GIVEN, whole.model_copy(update={"nodes": tuple(nodes)}), replicas=3).gaps != ()


def _used(node: ObservedNode) -> ObservedNode:
    return node.model_copy(update={"taken": node.taken.model_copy(update={"gpus": 1})})


def test_what_has_room_only_until_the_undo_is_said() -> None:
    mesh, environments = files(AWS, replicas=3)
    session = SimpleNamespace(
        remarks={}, shifts_in_force=lambda _: GIVEN, state=lambda _: StackState(), environments=environments
    )
    resolution = Project(mesh, environments, cast("Any", session)).resolution("e")
    assert resolution.deployment is not None
    (note,) = [note for note in resolution.notes if "only while nodes are shifted" in note]
    assert note.startswith("workload/chat: ")
    assert "without them 2 fit on its 2 nodes" in note
    assert note.endswith("Lower the number, and `meshctl up e`, before the nodes go back")
    two, _ = files(AWS, replicas=2)
    fitting = Project(two, environments, cast("Any", session)).resolution("e")
    assert not any("only while nodes are shifted" in note for note in fitting.notes)

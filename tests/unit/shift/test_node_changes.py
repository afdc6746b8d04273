"""The patches of a shift, applied in memory as an API server applies a merge patch (RFC 7386)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshctl.model.deployment import POOL_LABEL, Taint
from meshctl.shift.planning import node_changes
from meshctl.shift.planning.node_changes import Original

ROLE = "meshctl.dev/role"
TRAIN = (Taint(key="train", value="", effect="NoSchedule"),)
SERVE = (Taint(key="serve", value="yes", effect="NoSchedule"),)
LABELS = {POOL_LABEL: "serve", ROLE: "inference"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-28T10:00:00Z"}

Node = dict[str, Any]


def node(**spec: Any) -> Node:
    return {
        "metadata": {"name": "g1", "resourceVersion": "7", "labels": {POOL_LABEL: "train", "zone": "a"}},
        "spec": spec,
    }


def merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def cordoned(of: Node) -> Node:
    """As the node controller leaves a node that is cordoned or not."""
    taints = [taint for taint in of["spec"].get("taints", ()) if taint["key"] != CORDON["key"]]
    taints += [CORDON] if of["spec"].get("unschedulable") else []
    spec = {key: value for key, value in of["spec"].items() if key != "taints"}
    return {**of, "spec": spec | ({"taints": taints} if taints else {})}


def shifted(of: Node, steps: int, before: Original) -> Node:
    if steps > 0:
        of = cordoned(merged(of, node_changes.hold(of)))
    if steps > 1:
        of = merged(of, node_changes.hand_over(of, LABELS, TRAIN, SERVE))
    if steps > 2:
        of = cordoned(merged(of, node_changes.release(of, before)))
    return of


def before_shift(of: Node) -> Original:
    return node_changes.original(of, LABELS, (*TRAIN, *SERVE))


OWNERS_TAINT = {"key": "owner", "value": "lab", "effect": "NoExecute"}
TRAIN_TAINT = {"key": "train", "effect": "NoSchedule"}
NODES = [
    node(),
    node(taints=[TRAIN_TAINT]),
    node(taints=[TRAIN_TAINT, OWNERS_TAINT]),
    node(taints=[OWNERS_TAINT, TRAIN_TAINT]),
    cordoned(node(unschedulable=True, taints=[TRAIN_TAINT, OWNERS_TAINT])),
]


@pytest.mark.parametrize("at_first", NODES)
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_the_way_back_from_every_step_ends_at_the_same_object(at_first: Node, steps: int) -> None:
    before = before_shift(at_first)
    now = shifted(copy.deepcopy(at_first), steps, before)
    if steps > 2:
        now = cordoned(merged(now, node_changes.hold(now)))
    now = merged(now, node_changes.put_back(now, before, SERVE))
    now = cordoned(merged(now, node_changes.release(now, before)))
    assert now == at_first


def test_a_shifted_node_has_the_labels_and_taints_of_the_taking_pool() -> None:
    at_first = node(taints=[TRAIN_TAINT, OWNERS_TAINT])
    now = shifted(at_first, 3, before_shift(at_first))
    assert now["metadata"]["labels"] == {**LABELS, "zone": "a"}
    assert now["spec"] == {"taints": [{"key": "serve", "value": "yes", "effect": "NoSchedule"}, OWNERS_TAINT]}


def test_a_taint_that_somebody_added_in_between_stays() -> None:
    before = before_shift(NODES[1])
    now = shifted(NODES[1], 2, before)
    now["spec"]["taints"].append(OWNERS_TAINT)
    back = merged(now, node_changes.put_back(now, before, SERVE))
    assert back["spec"]["taints"] == [TRAIN_TAINT, CORDON, OWNERS_TAINT]


def test_every_patch_names_the_version_that_it_was_made_from() -> None:
    at_first = NODES[1]
    before = before_shift(at_first)
    patches = [
        node_changes.hold(at_first),
        node_changes.hand_over(at_first, LABELS, TRAIN, SERVE),
        node_changes.release(at_first, before),
        node_changes.put_back(at_first, before, SERVE),
    ]
    assert [patch["metadata"]["resourceVersion"] for patch in patches] == ["7"] * 4

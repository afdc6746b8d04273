"""Why the scheduler leaves a pod without a node, and what to do about it, in the same words everywhere."""

from __future__ import annotations

import pytest

from meshctl.clients.kubernetes import scheduling
from meshctl.clients.kubernetes.clusters import pod_state
from meshctl.engine.failures import failure_of, without_code
from meshwire.kubernetes.objects import Condition

URN = "urn:pulumi:dc1::llm-prod::kubernetes:apps/v1:Deployment::workload/chat:deployment"
VICTIMS = "No preemption victims found for incoming pod"
HELPLESS = "Preemption is not helpful for scheduling"
FULL = f"0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 {VICTIMS}."
BIG = f"0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 {HELPLESS}."
TAINTED = "0/6 nodes are available: 6 node(s) had untolerated taint {team: vision}"
MIXED = (
    "0/9 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) didn't match Pod's node affinity/selector,"
    f" 4 node(s) had untolerated taint {{team: vision}}. preemption: 0/9 nodes are available: 2 {VICTIMS},"
    f" 7 {HELPLESS}."
)


@pytest.mark.parametrize(
    ("message", "words", "hints"),
    [
        (FULL, "no node takes it: 2 nodes have too little nvidia.com/gpu free", ("raise the pool's `nodes`",)),
        (
            BIG,
            "no node takes it: 2 nodes have less memory than the pod asks for",
            ("lower the workload's `resources`",),
        ),
        (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
            "no node takes it: 1 node has too little cpu",
            ("raise the pool's `nodes`", "lower the workload's `resources`"),
        ),
        (
            TAINTED,
            "no node takes it: 6 nodes have the taint team=vision",
            ("`tolerations: [{key: team, value: vision}]`",),
        ),
        (
            "0/6 nodes are available: 6 node(s) had untolerated taint(s).",
            "no node takes it: 6 nodes have a taint that it does not tolerate",
            ("TAINTS:.spec.taints", "`tolerations: "),
        ),
        (
            MIXED,
            "no node takes it: 2 nodes have too little nvidia.com/gpu free, 3 nodes are not of its pool,"
            " 4 nodes have the taint team=vision",
            ("raise the pool's `nodes`", "`tolerations: [{key: team, value: vision}]`"),
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }. no new claims"
            f" to deallocate, preemption: 0/1 nodes are available: 1 {HELPLESS}.",
            "no node takes it: 1 node has the taint node.kubernetes.io/unreachable",
            ("`kubectl get nodes`",),
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            "no node takes it: 2 nodes are not of its pool",
            ("`kubectl get nodes -L meshctl.dev/mesh,meshctl.dev/pool`",),
        ),
        (
            "0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable.",
            "no node takes it: 1 node has as many pods as it may have, 1 node is cordoned",
            ("`kubectl uncordon",),
        ),
        (
            "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
            "no node takes it: 1 node(s) had volume node affinity conflict",
            ("`kubectl describe pod",),
        ),
    ],
)
def test_full_too_big_and_tainted_are_told_apart(message: str, words: str, hints: tuple[str, ...]) -> None:
    failure = failure_of(
        URN, f"Deployment n/chat is not ready: pod p: {message} [code=Unschedulable]; 1 of 2 [Timeout]"
    )
    assert failure.code == "Unschedulable"
    assert failure.message == f"Deployment n/chat is not ready: pod p: {words}; 1 of 2 [Timeout]"
    for hint in hints:
        assert hint in failure.hint


def test_a_full_node_is_not_called_too_small_nor_tainted() -> None:
    hint = failure_of(URN, FULL).hint
    assert "larger nodes" not in hint
    assert "tolerations" not in hint
    assert "raise the pool's `nodes`" not in failure_of(URN, TAINTED).hint


def test_a_taint_of_kubernetes_itself_is_not_to_be_tolerated() -> None:
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."
    assert "tolerations" not in failure_of(URN, message).hint


def test_status_and_the_progress_of_up_use_the_same_words() -> None:
    condition: Condition = {"type": "PodScheduled", "status": "False", "message": FULL, "reason": "Unschedulable"}
    state = pod_state({"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [condition]}})
    assert state.reason == scheduling.in_words(FULL) == "no node takes it: 2 nodes have too little nvidia.com/gpu free"
    assert without_code(f"0 of 1; pod p: {FULL} [code=Unschedulable]") == f"0 of 1; pod p: {state.reason}"


@pytest.mark.parametrize(
    "message",
    [
        "0/4 nodes are available",
        "0/6 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        'persistentvolumeclaim "x" not found',
    ],
)
def test_what_is_no_list_of_nodes_stays_as_the_scheduler_says_it(message: str) -> None:
    assert scheduling.in_words(message) == message
    assert scheduling.hint(message) == ""

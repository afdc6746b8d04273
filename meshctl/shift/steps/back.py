"""The steps that give nodes back. EDGE: through `Gateway` alone. Listed in `actions`.

They act on every node whose original labels are in the journal, however far the shift has come. A node that is gone is
left out, and so is one that another mesh has by now.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import POOL_LABEL
from meshctl.shift.gateway import Gang, Node, Patch, Pod
from meshctl.shift.history import CORDONS
from meshctl.shift.planning import node_changes, pods
from meshctl.shift.planning.node_changes import Original
from meshctl.shift.steps.context import StepContext, alive_of_mesh, lost_nodes_of, patched
from meshctl.shift.steps.evictions import Remaining, until_ended, until_gone


def record_cordons(context: StepContext) -> dict[str, Any]:
    """Records which nodes are cordoned: a cordon that somebody set or removed while the shift was in force stays that
    way. Until the shift has released its nodes, their cordons are its own, and nothing is recorded."""
    if "release" not in context.done:
        return {}
    return {
        CORDONS: {pods.name(n): pods.is_cordoned(n) for n in context.live_nodes if pods.name(n) in context.originals}
    }


def undo_hold(context: StepContext) -> dict[str, Any]:
    for name in context.originals:
        is_held = patched(context, name, lambda node: None if pods.is_cordoned(node) else node_changes.hold(node))
        if not is_held and context.gateway.node(name) is None:
            context.say(f"{name} is no longer in the cluster: there are no labels and taints to put back")
    return {}


def not_held(context: StepContext) -> str:
    begun = [node for node in context.live_nodes if pods.name(node) in context.originals]
    names = [pods.name(node) for node in begun if not pods.is_cordoned(node)]
    return f"{', '.join(names)} can still get new pods" if names else ""


def undo_empty(context: StepContext) -> dict[str, Any]:
    """Evicts the pods from nodes that were handed over; no pod has to leave the others. A node that does not answer is
    not waited for: its labels can be put back all the same, and its pods end once it answers again."""
    for pod, refusal in until_ended(context, lambda: _to_move(context), context.plan.undo_limit_s):
        context.say(_of_lost(pod, refusal))
    return {}


def _to_move(context: StepContext) -> Remaining:
    """The pods on the nodes that were handed over."""
    nodes = [node for node in context.live_nodes if pods.labels(node).get(POOL_LABEL) == context.plan.taking]
    lost = {pods.name(node) for node in nodes if not pods.is_ready(node)}
    remaining = pods.to_move(context.gateway.pods_on(map(pods.name, nodes)), context.plan.namespace)
    return Remaining(
        [pod for pod in remaining if pods.node_of(pod) not in lost],
        [pod for pod in remaining if pods.node_of(pod) in lost],
    )


def _of_lost(pod: Pod, refusal: str) -> str:
    """Kubernetes deletes the pods on a node that does not answer by itself, by default after 300 s:
    https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions"""
    text = f"{pods.name(pod)} may still run on {pods.node_of(pod)}, which does not answer"
    if refusal:
        return (
            f"{text}; it was not evicted ({refusal}). If the node answers again before the cluster has deleted the pod"
            " (by default after 300 s), the pod keeps running there until somebody deletes it"
        )
    return f"{text}; it ends when the node answers again"


def put_back(context: StepContext) -> dict[str, Any]:
    def patch(node: Node, before: Original) -> Patch | None:
        now = node_changes.original(node, before.labels, (*context.plan.giving_taints, *context.plan.taking_taints))
        if (now.labels, now.taints) == (before.labels, before.taints):
            return None
        return node_changes.put_back(node, before, context.plan.taking_taints)

    for name, original in context.originals.items():
        if not patched(context, name, lambda node, before=original: patch(node, before)):  # type: ignore[misc]
            _say_whose(context, name)
    return {}


def _say_whose(context: StepContext, name: str) -> None:
    node = context.gateway.node(name)
    mesh = pods.other_mesh(node, context.plan.mesh) if node is not None else ""
    if mesh:
        context.say(f"{name} belongs to mesh {mesh} now, and is left unchanged")


def not_put_back(context: StepContext) -> str:
    taints = (*context.plan.giving_taints, *context.plan.taking_taints)
    names = []
    for node in context.live_nodes:
        before = context.originals.get(pods.name(node))
        now = node_changes.original(node, before.labels, taints) if before is not None else None
        if before is not None and now is not None and (now.labels, now.taints) != (before.labels, before.taints):
            names.append(pods.name(node))
    return f"{', '.join(names)} lack the labels and taints from before" if names else ""


def give_back_fields(context: StepContext) -> dict[str, Any]:
    for name, original in context.originals.items():
        patched(context, name, lambda node, before=original: node_changes.give_back_fields(node, before))  # type: ignore[misc]
    return {}


def start_gangs(context: StepContext) -> dict[str, Any]:
    grown = _grow(context)
    lost = _lost_ranks(context)
    started = [name for name in context.plan.waiting if context.gateway.suspend(name, suspended=False)]
    for name in (*started, *grown):
        ranks = [pod for pod in lost if pods.workload(pod) == name]
        context.say(f"{name} goes on from its last checkpoint{_once_ended(ranks)}")
    return {"started": started, "grown": grown}


def _lost_ranks(context: StepContext) -> list[Pod]:
    """Those of the gangs that waited. Their Jobs start no second one of the same rank before the cluster knows that the
    first has ended."""
    ranks = [pod for pod in alive_of_mesh(context) if pods.workload(pod) in context.plan.waiting]
    lost = lost_nodes_of(context, ranks) if ranks else frozenset()
    return [pod for pod in ranks if pods.node_of(pod) in lost]


def _once_ended(ranks: list[Pod]) -> str:
    if not ranks:
        return ""
    names = ", ".join(sorted(f"{pods.name(pod)} on {pods.node_of(pod)}" for pod in ranks))
    verb, whose = ("has", "its node does") if len(ranks) == 1 else ("have", "their nodes do")
    return f" once {names} {verb} ended: {whose} not answer"


def _grow(context: StepContext) -> list[str]:
    """The gangs that run with fewer ranks save, stop, and start again with all of them. Returns their names."""
    gateway, resized = context.gateway, context.plan.resized
    gangs = {each.workload: gang for each in resized if (gang := gateway.gang(each.workload)) is not None}
    changed = [each for each in resized if each.workload in gangs and _differs(gangs[each.workload], each.before)]
    running = [each.workload for each in changed if not gangs[each.workload].has_ended]
    for name in running:
        gateway.suspend(name, suspended=True)
    ending = [pod for pod in alive_of_mesh(context) if pods.workload(pod) in running]
    until_gone(context, ending, (), context.plan.undo_limit_s)
    for each in changed:
        gateway.resize(each.workload, each.before)
    return running


def _differs(gang: Gang, before: int) -> bool:
    """True as well for a gang that was stopped to be made smaller, and was not."""
    return gang.nodes != before or (gang.is_suspended and not gang.has_ended)

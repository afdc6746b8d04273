"""The steps that give nodes to the other pool. EDGE: through `Gateway` alone. Listed in `actions`.

Every step can be done again after it was interrupted: it looks at each node and pod and changes only what is not yet as
it should be.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.errors import LockedError, NotReadyError
from meshctl.shift.gateway import Node, Patch, Pod
from meshctl.shift.history import ORIGINALS, originals_document
from meshctl.shift.planning import node_changes, pods
from meshctl.shift.planning.gangs import Resized
from meshctl.shift.planning.node_changes import Original
from meshctl.shift.steps.context import StepContext, alive_of_mesh, existing, patch_existing, patched
from meshctl.shift.steps.evictions import Remaining, until_ended, until_gone

_ARRIVE_S: Final = 1800  # of a plan of an earlier version: images and weights of a large model
_PLACED_S: Final = 120  # the scheduler takes seconds; one that has just failed, up to a minute until it tries again
_RELEASE_S: Final = 30  # what holds gangs looks every ten seconds while they wait (`templates/gang_hold`)


def record_originals(context: StepContext) -> dict[str, Any]:
    """Records the nodes' labels, taints and cordons, unless an earlier run did so before it changed any. Raises:
    LockedError while an `up` or a roll-out is at work."""
    if context.originals:
        return {}
    changed_by = context.gateway.changed_by()
    if changed_by:
        raise LockedError(
            f"{context.plan.environment} is being changed: {changed_by}",
            why="a shift moves pods of what is up, and would move those that are about to be replaced",
            hint="wait until that has ended, and run the command again",
        )
    plan = context.plan
    taints = (*plan.giving_taints, *plan.taking_taints)
    nodes = {name: existing(context, name) for name in plan.nodes}
    originals = {name: node_changes.original(node, plan.labels, taints) for name, node in nodes.items()}
    return {ORIGINALS: originals_document(originals)}


def hold(context: StepContext) -> dict[str, Any]:
    for name in context.plan.nodes:
        patch_existing(context, name, lambda node: node_changes.hold(node) if _is_to_be_held(context, node) else None)
    return {}


def _is_to_be_held(context: StepContext, node: Node) -> bool:
    """A node that already carries the other pool's labels needs no cordon: it is empty, or has pods of that pool."""
    return not pods.is_cordoned(node) and not has_labels(context, node)


def has_labels(context: StepContext, node: Node) -> bool:
    return context.plan.labels.items() <= pods.labels(node).items()


def not_held(context: StepContext) -> str:
    begun = [node for node in context.live_nodes if pods.name(node) in context.originals]
    names = [pods.name(node) for node in begun if _is_to_be_held(context, node)]
    return f"{', '.join(names)} can still get new pods" if names else ""


def checkpoint(context: StepContext) -> dict[str, Any]:
    """Stops the gangs that lose a node: every pod gets the signal to save, and its grace period. Gangs that can go on
    with fewer ranks then start again, since the nodes of the shift take no new pods by now."""
    plan, gateway = context.plan, context.gateway
    if not plan.gangs:
        return {}
    ranks = [pod for pod in alive_of_mesh(context) if pods.workload(pod) in plan.gangs]
    shrinking = [each for each in plan.resized if _is_to_shrink(context, each)]
    for name in (*plan.waiting, *(each.workload for each in shrinking)):
        if not gateway.suspend(name, suspended=True):
            context.say(f"{name} has no Job in the cluster any more")
    shrunk = {each.workload for each in plan.resized} - {each.workload for each in shrinking}
    # one that has its size, and ranks on these nodes: somebody has given a node back while the shift is in force
    split = {name for name in shrunk if any(pods.workload(p) == name and pods.node_of(p) in plan.nodes for p in ranks)}
    ending = [pod for pod in ranks if pods.workload(pod) not in shrunk - split]
    evicted = [pod for pod in ending if pods.workload(pod) in {*plan.restarting, *split}]
    until_gone(context, ending, evicted, plan.end_limit_s, stopped=plan.waiting)
    for each in shrinking:
        gateway.resize(each.workload, each.nodes)
        context.say(f"{each.workload} goes on from its checkpoint with {each.nodes} of {each.before} nodes")
    return {"saved": sorted(plan.gangs)}


def _is_to_shrink(context: StepContext, resized: Resized) -> bool:
    """False also where an interrupted run has shrunk the gang already, or the gang has ended."""
    gang = context.gateway.gang(resized.workload)
    return gang is not None and not gang.has_ended and gang.nodes != resized.nodes


def empty(context: StepContext) -> dict[str, Any]:
    def look() -> Remaining:
        nodes = [existing(context, name) for name in context.plan.nodes]
        names = [pods.name(node) for node in nodes if not has_labels(context, node)]
        return Remaining(pods.to_move(context.gateway.pods_on(names), context.plan.namespace), lost=[])

    until_ended(context, look, context.plan.end_limit_s)
    return {}


def hand_over(context: StepContext) -> dict[str, Any]:
    plan = context.plan

    def patch(node: Node) -> Patch | None:
        if has_labels(context, node):
            return None
        return node_changes.hand_over(node, plan.labels, plan.giving_taints, plan.taking_taints)

    for name in plan.nodes:
        patch_existing(context, name, patch)
    return {}


def not_handed_over(context: StepContext) -> str:
    names = [pods.name(node) for node in context.live_nodes if not has_labels(context, node)]
    return f"{', '.join(names)} lack the labels of pool {context.plan.taking}" if names else ""


def release(context: StepContext) -> dict[str, Any]:
    for name, original in context.originals.items():
        patched(context, name, lambda node, before=original: released(node, before))  # type: ignore[misc]
    return {}


def released(node: Node, before: Original) -> Patch | None:
    return node_changes.release(node, before) if pods.is_cordoned(node) and not before.unschedulable else None


def not_released(context: StepContext) -> str:
    names = [
        pods.name(node)
        for node in context.live_nodes
        if pods.name(node) in context.originals and released(node, context.originals[pods.name(node)]) is not None
    ]
    return f"{', '.join(names)} can't get pods yet" if names else ""


def _taking(context: StepContext) -> list[Pod]:
    """The pods of the taking pool that have not ended and are not about to."""
    own = [pod for pod in context.gateway.pods_of_mesh() if pods.workload(pod) in context.plan.taking_workloads]
    return [pod for pod in own if not pods.has_ended(pod) and not pods.is_stopping(pod)]


def _pod_to_be_let_start(context: StepContext) -> str:
    """Which pod of the taking pool may be let start soon, while none of them is on the nodes."""
    alive = _taking(context)
    names = sorted(pods.name(pod) for pod in alive if pods.is_held(pod))
    has_arrived = any(pods.node_of(pod) in context.plan.nodes for pod in alive)
    return f"{names[0]} is held until there is room for all pods of its gang" if names and not has_arrived else ""


def arrive(context: StepContext) -> dict[str, Any]:
    """Wait for a ready pod of the taking pool on the nodes, where one waits for room. A gang may lack more than these
    nodes: its pods start when there is room for all of them, and are waited for only if that is so now. The nodes are
    handed over whatever becomes of the pods, so that one that is late ends no shift."""
    plan = context.plan
    placed_until = context.gateway.now() + _RELEASE_S + _PLACED_S

    def missing() -> str:
        alive = _taking(context)
        arrived = [pod for pod in alive if pods.node_of(pod) in plan.nodes]
        ready = [pod for pod in arrived if pods.is_ready(pod)]
        waiting = [pod for pod in alive if not (pods.node_of(pod) or pods.is_held(pod))]
        result.update(running=sorted(map(pods.name, ready)), waiting=sorted(map(pods.name, waiting)))
        if ready or not (arrived or waiting):
            return ""
        if not arrived and context.gateway.now() >= placed_until:
            result["late"] = _without_node(waiting)
            return ""
        names = sorted(map(pods.name, arrived or waiting))
        return f"{', '.join(names)} {'starts' if arrived else 'waits for a node'}"

    result: dict[str, Any] = {}
    context.wait_until(lambda: _pod_to_be_let_start(context), _RELEASE_S)
    limit_s = plan.arrive_limit_s or _ARRIVE_S
    text, error = context.wait_until(missing, limit_s)
    if error is not None:
        raise NotReadyError(f"{plan.environment} does not answer", why=text) from error
    if text:
        result["late"] = f"no pod of pool {plan.taking} is ready on them after {limit_s} s: {text}"
    if "late" in result:
        verb = "is" if len(plan.nodes) == 1 else "are"
        context.say(f"{', '.join(plan.nodes)} {verb} handed over, and {result['late']}")
    elif not result["running"]:
        context.say(f"no pod of pool {plan.taking} waits for a node: the nodes stay free for the next one")
    return result


def _without_node(waiting: list[Pod]) -> str:
    """The scheduler has had its time: these pods wait for something else than the nodes."""
    names = ", ".join(sorted(map(pods.name, waiting)))
    reason = next(filter(None, map(pods.why_unscheduled, waiting)), "")
    return f"{names} can't run on them" + (f": {reason}" if reason else "")

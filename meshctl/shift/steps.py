"""The steps of a shift and of its undoing: how each is observed, done and verified. EDGE: through `Gateway` alone.

`runner` takes them one by one. Every step can be done again after it was interrupted: it looks at each node and pod and
changes only what is not yet as it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshctl.engine import passing
from meshctl.errors import BusyError, LockedError, MeshError, NotReadyError, ShiftError
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.steps.grace import GraceWatch
from meshctl.model.deployment import POOL_LABEL
from meshctl.objects.progress import Stop
from meshctl.shift import node_changes, pods
from meshctl.shift.gateway import GONE, Gateway, Node, Patch, Pod
from meshctl.shift.history import ORIGINALS, originals_document
from meshctl.shift.node_changes import Original
from meshctl.shift.plan import ShiftPlan

POLL_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 30.0  # between two tries to evict a pod that a budget holds
_ARRIVE_S: Final = 1800  # images and weights of a large model
_TRIES: Final = 5  # of a patch, while others change the node


@dataclass(frozen=True)
class StepContext:
    """What the functions of a step use. `originals`: as recorded; empty before the first step."""

    gateway: Gateway
    plan: ShiftPlan
    originals: Mapping[str, Original]
    name: str
    title: str
    report: Report
    stop: Stop
    started: float

    def say(self, text: str) -> None:
        self.emit("message", text)

    def emit(self, kind: Any, text: str = "") -> None:
        elapsed_s = self.gateway.now() - self.started
        self.report(Event(kind, self.name, self.title, elapsed_s=elapsed_s, text=text))

    def wait_until(self, missing: Callable[[], str], timeout_s: float) -> tuple[str, MeshError | None]:
        """Wait until `missing` returns "": what is missing, in words. Returns what is still missing after the time,
        and the error of a cluster that does not answer. Raises: InterruptedByUserError, and what `missing` raises."""
        deadline = self.gateway.now() + timeout_s
        last_reported = ""
        while True:
            text, error = _poll(missing)
            if not text:
                return "", None
            if text != last_reported:
                self.say(text)
                last_reported = text
            self.stop.check()
            if self.gateway.now() >= deadline:
                return text, error
            self.gateway.sleep(POLL_S)

    @property
    def live_nodes(self) -> list[Node]:
        """Those of the chosen nodes that are still in the cluster."""
        return [node for node in map(self.gateway.node, self.plan.nodes) if node is not None]


def _poll(missing: Callable[[], str]) -> tuple[str, MeshError | None]:
    try:
        return missing(), None
    except MeshError as error:
        if not passing.may_pass(error):
            raise
        return passing.reason(error), error


@dataclass(frozen=True)
class Step:
    """`before`: what the intent of the step records. `act` returns what its `done` record holds. `missing`: what is not
    yet as the step leaves it, in words; "" where all is. None for a step that itself waits until it is done."""

    title: str
    act: Callable[[StepContext], dict[str, Any]]
    before: Callable[[StepContext], dict[str, Any]] = lambda _context: {}
    missing: Callable[[StepContext], str] | None = None


def _record_originals(context: StepContext) -> dict[str, Any]:
    """What the nodes have now, unless an earlier run has recorded it before it changed something. Raises: LockedError
    while an `up` or a roll-out is at work."""
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
    nodes = {name: _existing(context, name) for name in plan.nodes}
    originals = {name: node_changes.original(node, plan.labels, taints) for name, node in nodes.items()}
    return {ORIGINALS: originals_document(originals)}


def _hold(context: StepContext) -> dict[str, Any]:
    for name in context.plan.nodes:
        _existing(context, name)
        _patch(context, name, lambda node: None if pods.is_cordoned(node) else node_changes.hold(node))
    return {}


def _checkpoint(context: StepContext) -> dict[str, Any]:
    """The gangs that lose a node get the signal to save, all pods of each, and the grace of their pods."""
    plan, gateway = context.plan, context.gateway
    for name in plan.waiting:
        if not gateway.suspend(name, suspended=True):
            context.say(f"{name} has no Job in the cluster any more")
    gangs = {*plan.waiting, *plan.restarting}
    if not gangs:
        return {}
    ending = [pod for pod in _alive_of_mesh(context) if pods.workload(pod) in gangs]
    uids = frozenset(map(pods.uid, ending))
    restarting = [pod for pod in ending if pods.workload(pod) in plan.restarting]
    _until_ended(context, lambda: [p for p in _alive_of_mesh(context) if pods.uid(p) in uids], restarting)
    return {"saved": sorted(gangs)}


def _empty(context: StepContext) -> dict[str, Any]:
    names = context.plan.nodes

    def left() -> list[Pod]:
        for name in names:
            _existing(context, name)
        return pods.to_move(context.gateway.pods_on(names), context.plan.namespace)

    _until_ended(context, left, left())
    return {}


def _until_ended(context: StepContext, left: Callable[[], list[Pod]], to_evict: Collection[Pod]) -> None:
    """Evict those pods, each again later where a budget holds it, and wait until none is left. `left`: the pods that
    are still there. Raises: ShiftError after the plan's time, and NodeGone."""
    evictions = _Evictions(context, frozenset(map(pods.uid, to_evict)))
    watch = GraceWatch(POLL_S)

    def missing() -> str:
        remaining = left()
        now = context.gateway.now()
        evictions.ask(remaining, now)
        watch.look([_state(pod) for pod in remaining], now)
        return evictions.words(remaining)

    text, error = context.wait_until(missing, context.plan.end_limit_s)
    for message in watch.messages():
        context.say(message)
    if not text:
        return
    if error is not None:
        raise NotReadyError(f"{context.plan.environment} does not answer", why=text) from error
    raise _not_ended(context, text, left())


def _state(pod: Pod) -> Any:
    from meshctl.clients.clusters import pod_state

    return pod_state(pod)  # type: ignore[arg-type]


def _not_ended(context: StepContext, text: str, remaining: list[Pod]) -> ShiftError:
    lost = sorted({pods.name(node) for node in context.live_nodes if not pods.is_ready(node)})
    on_lost = sorted(pods.name(pod) for pod in remaining if pods.node_of(pod) in lost)
    if on_lost:
        return ShiftError(
            f"can't tell whether {', '.join(on_lost)} still run{'s' * (len(on_lost) == 1)}",
            why=f"{', '.join(lost)} does not answer, so that the cluster does not know what runs there",
        )
    return ShiftError(f"the nodes are not empty after {context.plan.end_limit_s} s", why=text)


@dataclass
class _Evictions:
    """Who was asked to leave, when it is asked again, and why it stays."""

    context: StepContext
    uids: frozenset[str]  # those that are to be evicted; other pods that are waited for end by themselves
    next_try: dict[str, float] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def ask(self, remaining: Collection[Pod], now: float) -> None:
        for pod in remaining:
            uid = pods.uid(pod)
            came_later = uid not in self.uids and pods.node_of(pod) in self.context.plan.nodes
            if pods.is_stopping(pod) or now < self.next_try.get(uid, 0) or not (uid in self.uids or came_later):
                continue
            why = self.context.gateway.evict(pods.namespace(pod), pods.name(pod), uid)
            self.refused[uid] = "" if why == GONE else why
            self.tries[uid] = self.tries.get(uid, 0) + 1
            self.next_try[uid] = now + min(POLL_S * 2 ** (self.tries[uid] - 1), _LONGEST_PAUSE_S)

    def words(self, remaining: Collection[Pod]) -> str:
        texts = [f"{pods.name(pod)}{_because(self.refused.get(pods.uid(pod), ''))}" for pod in remaining]
        return f"still running: {', '.join(sorted(texts))}" if texts else ""


def _because(why: str) -> str:
    return f" (not evicted: {why})" if why else ""


def _hand_over(context: StepContext) -> dict[str, Any]:
    plan = context.plan

    def patch(node: Node) -> Patch | None:
        if plan.labels.items() <= pods.labels(node).items():
            return None
        return node_changes.hand_over(node, plan.labels, plan.giving_taints, plan.taking_taints)

    for name in plan.nodes:
        _existing(context, name)
        _patch(context, name, patch)
    return {}


def _release(context: StepContext) -> dict[str, Any]:
    for name, original in context.originals.items():
        _patch(context, name, lambda node, before=original: _released(node, before))  # type: ignore[misc]
    return {}


def _released(node: Node, before: Original) -> Patch | None:
    return node_changes.release(node, before) if pods.is_cordoned(node) and not before.unschedulable else None


def _arrive(context: StepContext) -> dict[str, Any]:
    """Wait for a ready pod of the taking pool on the nodes, where one waits for room."""
    plan = context.plan

    def missing() -> str:
        own = [pod for pod in context.gateway.pods_of_mesh() if pods.workload(pod) in plan.taking_workloads]
        alive = [pod for pod in own if not pods.has_ended(pod) and not pods.is_stopping(pod)]
        arrived = [pod for pod in alive if pods.node_of(pod) in plan.nodes]
        ready = [pod for pod in arrived if pods.is_ready(pod)]
        waiting = [pods.name(pod) for pod in alive if not pods.node_of(pod)]
        if ready or not (arrived or waiting):
            result.update(running=sorted(map(pods.name, ready)), waiting=sorted(waiting))
            return ""
        names = [pods.name(pod) for pod in arrived] or waiting
        return f"{', '.join(sorted(names))} {'starts' if arrived else 'waits for a node'}"

    result: dict[str, Any] = {}
    text, error = context.wait_until(missing, _ARRIVE_S)
    if text:
        raise NotReadyError(
            f"no pod of pool {plan.taking} runs on {', '.join(plan.nodes)} after {_ARRIVE_S} s", why=text
        ) from error
    if not result["running"]:
        context.say(f"no pod of pool {plan.taking} waits for a node: the next one that is started finds them free")
    return result


def _undo_hold(context: StepContext) -> dict[str, Any]:
    for name in context.originals:
        if not _patch(context, name, lambda node: None if pods.is_cordoned(node) else node_changes.hold(node)):
            context.say(f"{name} is no longer in the cluster: nothing of it is to be put back")
    return {}


def _undo_empty(context: StepContext) -> dict[str, Any]:
    """Of nodes that were not handed over yet no pod has to leave. A node that does not answer is not waited for: its
    pods can't be moved, and its labels can be put back all the same."""
    pool = context.plan.taking

    def left() -> list[Pod]:
        names = [
            pods.name(node)
            for node in context.live_nodes
            if pods.labels(node).get(POOL_LABEL) == pool and pods.is_ready(node)
        ]
        return pods.to_move(context.gateway.pods_on(names), context.plan.namespace)

    _until_ended(context, left, left())
    return {}


def _put_back(context: StepContext) -> dict[str, Any]:
    def patch(node: Node, before: Original) -> Patch | None:
        now = node_changes.original(node, before.labels, (*context.plan.giving_taints, *context.plan.taking_taints))
        if (now.labels, now.taints) == (before.labels, before.taints):
            return None
        return node_changes.put_back(node, before, context.plan.taking_taints)

    for name, original in context.originals.items():
        _patch(context, name, lambda node, before=original: patch(node, before))  # type: ignore[misc]
    return {}


def _start_gangs(context: StepContext) -> dict[str, Any]:
    started = [name for name in context.plan.waiting if context.gateway.suspend(name, suspended=False)]
    for name in started:
        context.say(f"{name} goes on from its last checkpoint")
    return {"started": started}


def _not_held(context: StepContext) -> str:
    begun = [node for node in context.live_nodes if pods.name(node) in context.originals]
    names = [pods.name(node) for node in begun if not pods.is_cordoned(node)]
    return f"{', '.join(names)} can still get new pods" if names else ""


def _not_handed_over(context: StepContext) -> str:
    wanted = context.plan.labels.items()
    names = [pods.name(node) for node in context.live_nodes if not wanted <= pods.labels(node).items()]
    return f"{', '.join(names)} lack the labels of pool {context.plan.taking}" if names else ""


def _not_put_back(context: StepContext) -> str:
    taints = (*context.plan.giving_taints, *context.plan.taking_taints)
    names = []
    for node in context.live_nodes:
        before = context.originals.get(pods.name(node))
        now = node_changes.original(node, before.labels, taints) if before is not None else None
        if before is not None and now is not None and (now.labels, now.taints) != (before.labels, before.taints):
            names.append(pods.name(node))
    return f"{', '.join(names)} lack the labels and taints from before" if names else ""


def _not_released(context: StepContext) -> str:
    names = [
        pods.name(node)
        for node in context.live_nodes
        if pods.name(node) in context.originals and _released(node, context.originals[pods.name(node)]) is not None
    ]
    return f"{', '.join(names)} can't get pods yet" if names else ""


STEPS: Final[Mapping[str, Step]] = {
    "hold": Step("hold new work off the nodes", _hold, _record_originals, _not_held),
    "checkpoint": Step("let training save a checkpoint and stop", _checkpoint),
    "empty": Step("evict the other pods", _empty),
    "hand-over": Step("give the nodes the other pool's labels and taints", _hand_over, missing=_not_handed_over),
    "release": Step("let new pods come", _release, missing=_not_released),
    "arrive": Step("wait for a pod of the other pool", _arrive),
    "undo/hold": Step("hold new work off the nodes", _undo_hold, missing=_not_held),
    "undo/empty": Step("evict the pods of the other pool", _undo_empty),
    "undo/put-back": Step("put labels and taints back", _put_back, missing=_not_put_back),
    "undo/release": Step("let new pods come", _release, missing=_not_released),
    "undo/gangs": Step("start the training that waited", _start_gangs),
}


def _existing(context: StepContext, name: str) -> Node:
    """Raises: ShiftError where the node is gone."""
    node = context.gateway.node(name)
    if node is None:
        raise ShiftError(f"{name} is no longer in the cluster", why="a node that is gone can't be handed over")
    return node


def _patch(context: StepContext, name: str, change: Callable[[Node], Patch | None]) -> bool:
    """Apply the change to the node as it is now; where somebody changes it in between, to what it is then. False where
    the node is gone. Raises: BusyError when others change it all the time."""
    for _ in range(_TRIES):
        node = context.gateway.node(name)
        if node is None:
            return False
        patch = change(node)
        if patch is None or context.gateway.patch_node(name, patch):
            return True
    raise BusyError(f"{name} is changed all the time by somebody else", hint="run the command again a little later")


def _alive_of_mesh(context: StepContext) -> list[Pod]:
    return [pod for pod in context.gateway.pods_of_mesh() if not pods.has_ended(pod)]

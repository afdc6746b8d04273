"""What the functions of a step of a shift get: cluster, plan, what the nodes had before; waiting and patching. EDGE.

Made by `runner` for each step; used by `forward`, `back` and `evictions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.engine import passing
from meshctl.errors import BusyError, MeshError, ShiftError
from meshctl.migrate.progress import Event, Report
from meshctl.objects.progress import Stop
from meshctl.shift.gateway import Gateway, Node, Patch, Pod
from meshctl.shift.planning import pods
from meshctl.shift.planning.node_changes import Original
from meshctl.shift.planning.plan import ShiftPlan

POLL_S: Final = 2.0
_TRIES: Final = 5  # of a patch, while others change the node


@dataclass(frozen=True)
class StepContext:
    """What the functions of a step use. `originals`: as recorded; empty before the first step. `done`: the steps that
    are over."""

    gateway: Gateway
    plan: ShiftPlan
    originals: Mapping[str, Original]
    done: frozenset[str]
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
        """Those of the chosen nodes that are still in the cluster, and not another mesh's by now."""
        nodes = self.gateway.nodes_named(self.plan.nodes)
        return [node for node in nodes if not pods.other_mesh(node, self.plan.mesh)]


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


def alive_of_mesh(context: StepContext) -> list[Pod]:
    return [pod for pod in context.gateway.pods_of_mesh() if not pods.has_ended(pod)]


def existing(context: StepContext, name: str) -> Node:
    """Raises: ShiftError where the node is gone, or another mesh's."""
    node = context.gateway.node(name)
    if node is None:
        raise ShiftError(f"{name} is no longer in the cluster", why="a node that is gone can't be handed over")
    mesh = pods.other_mesh(node, context.plan.mesh)
    if mesh:
        raise ShiftError(f"{name} belongs to mesh {mesh} now", why="its label says so, and a node serves one mesh")
    return node


def lost_nodes_of(context: StepContext, running: Iterable[Pod]) -> frozenset[str]:
    """The nodes of these pods that do not answer, so that nobody knows what runs there. They are asked for by name:
    all nodes of a large cluster are tens of megabytes."""
    names = sorted({pods.node_of(pod) for pod in running} - {""})
    return frozenset(pods.name(node) for node in context.gateway.nodes_named(names) if not pods.is_ready(node))


def patch_existing(context: StepContext, name: str, change: Callable[[Node], Patch | None]) -> None:
    """As `patched`. Raises: as `existing`, too."""
    if not patched(context, name, change):
        existing(context, name)


def patched(context: StepContext, name: str, change: Callable[[Node], Patch | None]) -> bool:
    """Applies the change to the node as it is now, and again if somebody changes the node in between. False where the
    node is gone, or another mesh's. Raises: BusyError when others change it all the time."""
    for _ in range(_TRIES):
        node = context.gateway.node(name)
        if node is None or pods.other_mesh(node, context.plan.mesh):
            return False
        patch = change(node)
        if patch is None or context.gateway.patch_node(name, patch):
            return True
    raise BusyError(f"another program keeps changing {name}", hint="run the command again a little later")

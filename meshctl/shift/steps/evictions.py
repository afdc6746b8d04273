"""Evicts pods from their nodes, and waits until they have ended. EDGE. Used by `forward` and `back`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from meshctl.errors import NotReadyError, ShiftError
from meshctl.migrate.steps.grace import GraceWatch
from meshctl.shift.gateway import GONE, Pod
from meshctl.shift.planning import pods
from meshctl.shift.steps.context import POLL_S, StepContext, alive_of_mesh, lost_nodes_of

_LONGEST_PAUSE_S: Final = 30.0  # between two tries to evict a pod that a budget holds


class Remaining(NamedTuple):
    """The pods that are still there at one look. `lost`: those on nodes that do not answer, and that are not waited
    for."""

    awaited: list[Pod]
    lost: list[Pod]


class LostPod(NamedTuple):
    """A pod that may still run. `refusal`: why it was not evicted; "" where it was, or ends by itself."""

    pod: Pod
    refusal: str


def until_ended(
    context: StepContext, look: Callable[[], Remaining], limit_s: float, to_evict: Collection[Pod] = ()
) -> list[LostPod]:
    """Evicts the pods on the nodes of the shift, and `to_evict`; tries again where a disruption budget refuses, and
    waits until none is awaited. Returns those that are lost then. All of it is asked again while the cluster does not
    answer. Raises: ShiftError after `limit_s`, NotReadyError where the cluster did not answer then."""
    evictions = _Evictions(context, frozenset(map(pods.uid, to_evict)))
    watch = GraceWatch(POLL_S)
    remaining = Remaining([], [])

    def missing() -> str:
        nonlocal remaining
        remaining = look()
        now = context.gateway.now()
        evictions.ask([*remaining.lost, *remaining.awaited], now, is_last=not remaining.awaited)
        watch.look([_state(pod) for pod in remaining.awaited], now)
        return evictions.words(remaining.awaited)

    text, error = context.wait_until(missing, limit_s)
    for message in watch.messages():
        context.say(message)
    if not text:
        return evictions.lost(remaining.lost)
    if error is not None:
        raise NotReadyError(f"{context.plan.environment} does not answer", why=text) from error
    raise _not_ended(context, text, remaining.awaited, limit_s)


def until_gone(
    context: StepContext,
    ending: Collection[Pod],
    to_evict: Collection[Pod],
    limit_s: float,
    stopped: Collection[str] = (),
) -> None:
    """Wait for the end of exactly these pods, and evict some of them; the others end by themselves. `stopped`: the
    workloads that start nowhere else meanwhile: their pods on other nodes that do not answer are named, and not waited
    for. Raises: as `until_ended`."""
    uids = frozenset(map(pods.uid, ending))

    def look() -> Remaining:
        alive = [pod for pod in alive_of_mesh(context) if pods.uid(pod) in uids]
        lost = _out_of_reach(context, alive, stopped)
        return Remaining([pod for pod in alive if pod not in lost], lost)

    for pod, _ in until_ended(context, look, limit_s, to_evict):
        node = pods.node_of(pod)
        context.say(f"{pods.name(pod)} may still run on {node}, which does not answer: it is not waited for")


def _out_of_reach(context: StepContext, remaining: Collection[Pod], stopped: Collection[str]) -> list[Pod]:
    """The pods of these workloads on nodes that do not answer, and that the shift does not hand over."""
    own = ("", *context.plan.nodes)
    elsewhere = [pod for pod in remaining if pods.workload(pod) in stopped and pods.node_of(pod) not in own]
    lost = lost_nodes_of(context, elsewhere) if elsewhere else frozenset()
    return [pod for pod in elsewhere if pods.node_of(pod) in lost]


def _state(pod: Pod) -> Any:
    from meshctl.clients.kubernetes.clusters import pod_state

    return pod_state(pod)  # type: ignore[arg-type]


def _not_ended(context: StepContext, text: str, remaining: list[Pod], limit_s: float) -> ShiftError:
    lost = sorted(lost_nodes_of(context, remaining))
    on_lost = sorted(pods.name(pod) for pod in remaining if pods.node_of(pod) in lost)
    if on_lost:
        return ShiftError(
            f"can't tell whether {', '.join(on_lost)} still run{'s' * (len(on_lost) == 1)}",
            why=f"{', '.join(lost)} {'does' if len(lost) == 1 else 'do'} not answer, so that the cluster does not know"
            " what runs there",
        )
    return ShiftError(f"the nodes are not empty after {limit_s:g} s", why=text)


@dataclass
class _Evictions:
    """Who was asked to leave, when it is asked again, and why it stays."""

    context: StepContext
    uids: frozenset[str]  # those that are to be evicted wherever they are
    next_try: dict[str, float] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)  # as of `Gateway.evict`

    def ask(self, remaining: Collection[Pod], now: float, *, is_last: bool) -> None:
        """`is_last`: a pod that a budget holds is asked once more, however long ago that was."""
        for pod in remaining:
            uid = pods.uid(pod)
            has_to_go = uid in self.uids or pods.node_of(pod) in self.context.plan.nodes
            is_due = is_last or now >= self.next_try.get(uid, 0)
            if pods.is_stopping(pod) or not has_to_go or not is_due:
                continue
            self.answers[uid] = self.context.gateway.evict(pods.namespace(pod), pods.name(pod), uid)
            self.tries[uid] = self.tries.get(uid, 0) + 1
            self.next_try[uid] = now + min(POLL_S * 2 ** (self.tries[uid] - 1), _LONGEST_PAUSE_S)

    def words(self, remaining: Collection[Pod]) -> str:
        texts = [f"{pods.name(pod)}{_because(self._refusal(pod))}" for pod in remaining]
        return f"still running: {', '.join(sorted(texts))}" if texts else ""

    def lost(self, remaining: Iterable[Pod]) -> list[LostPod]:
        """Without those that were gone when they were to be evicted."""
        return [LostPod(pod, self._refusal(pod)) for pod in remaining if self.answers.get(pods.uid(pod)) != GONE]

    def _refusal(self, pod: Pod) -> str:
        answer = self.answers.get(pods.uid(pod), "")
        return "" if answer == GONE or pods.is_stopping(pod) else answer


def _because(why: str) -> str:
    return f" (not evicted: {why})" if why else ""

"""What KAI Scheduler does next with the pods that name it, by its documented rules. PURE.

The decision of `kai`, the lab's part that plays it. Source: github.com/NVIDIA/KAI-Scheduler, docs/fairness, docs/batch,
docs/plugins/minruntime.md, pkg/scheduler/plugins/proportion (capacity_policy, reclaimable/strategies). Left out is what
meshctl's objects don't use: weights above the quota, fractions of GPUs, topologies, preemption within a queue,
consolidation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

UNLIMITED: Final = -1
COUNTED: Final = ("gpu", "cpu", "memory")  # of a queue: GPUs, thousandths of a core, bytes
_KEEPING_OUT: Final = ("NoSchedule", "NoExecute")

Json = Mapping[str, Any]
Amounts = Counter[str]


@dataclass(frozen=True)
class Queue:
    """`quota`, `limit`: by each of `COUNTED`; what is missing is 0. `min_runtime_s`: how long a pod has run before it
    is taken back."""

    name: str
    parent: str = ""
    quota: Mapping[str, float] = field(default_factory=dict)
    limit: Mapping[str, float] = field(default_factory=dict)
    priority: int = 100
    min_runtime_s: float = 0


@dataclass(frozen=True)
class Node:
    name: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    allocatable: Mapping[str, int]
    is_well: bool = True


@dataclass(frozen=True)
class Pod:
    """`requests`: by the resources of nodes. `counted`: by `COUNTED`. `queue`: "" of a pod of another scheduler, which
    only takes room. `gang`: "" of a pod that starts by itself, `gang_size`: of how many with the same one none starts
    before all can. `started`: in seconds since 1970."""

    uid: str
    namespace: str
    name: str
    node: str
    requests: Mapping[str, int]
    queue: str = ""
    counted: Mapping[str, int] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[Json, ...] = ()
    preferred: tuple[Json, ...] = ()
    tolerations: tuple[Json, ...] = ()
    is_preemptible: bool = True
    priority: int = 0
    created: str = ""
    started: float = 0
    is_ending: bool = False
    gang: str = ""
    gang_size: int = 1


@dataclass(frozen=True)
class Decision:
    """`bound`: pods with the nodes that they get. `evicted`: pods that end for others. `waits`: why others have no
    node, by their UID. `again_s`: when to look again though nothing has changed; None for never."""

    bound: tuple[tuple[Pod, str], ...] = ()
    evicted: tuple[Pod, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict)
    again_s: float | None = None


def decide(queues: Mapping[str, Queue], nodes: Sequence[Node], pods: Sequence[Pod], now: float) -> Decision:
    """`pods`: all that have not ended, with a node or without."""
    return _Cycle(queues, nodes, pods, now).run()


class _Cycle:
    """One look. `room`: what is free on each node; `coming`: what pods that are ending leave, and nobody waits for."""

    def __init__(self, queues: Mapping[str, Queue], nodes: Sequence[Node], pods: Sequence[Pod], now: float) -> None:
        self.queues, self.nodes, self.now = queues, nodes, now
        self.running = [pod for pod in pods if pod.node and not pod.is_ending]
        self.pending = [pod for pod in pods if not pod.node and not pod.is_ending and pod.queue]
        self.room = {node.name: Counter(node.allocatable) for node in nodes}
        self.coming = {node.name: Counter[str]() for node in nodes}
        self.used = {name: Counter[str]() for name in queues}
        self.used_for_good = {name: Counter[str]() for name in queues}
        for pod in pods:
            if pod.node in self.room:
                self.room[pod.node].subtract(pod.requests)
                if pod.is_ending:
                    self.coming[pod.node].update(pod.requests)
        for pod in self.running:
            self._count(pod)
        self.bound: list[tuple[Pod, str]] = []
        self.evicted: list[Pod] = []
        self.waits: dict[str, str] = {}
        self.again_s: float | None = None

    def run(self) -> Decision:
        for group in sorted(_groups(self.pending), key=self._order):
            reason = self._place(group)
            if reason:
                self.waits |= {pod.uid: reason for pod in group}
        return Decision(tuple(self.bound), tuple(self.evicted), self.waits, self.again_s)

    def _order(self, group: Sequence[Pod]) -> tuple[Any, ...]:
        """Within its quota first, then the queue with the higher priority, then the more important, then the older."""
        first = group[0]
        queue = self.queues.get(first.queue)
        is_over = queue is None or not self._fits([queue], group, lambda each: each.quota)
        return (is_over, -(queue.priority if queue else 0), -first.priority, first.created, first.uid)

    def _place(self, group: Sequence[Pod]) -> str:
        """Give the pods their nodes, or take them back for them; why they wait, "" for those that have nodes."""
        reason = self._refused(group)
        if reason:
            return reason
        places = self._places(group, self.room)
        if places is not None:
            for pod in group:
                self.bound.append((pod, places[pod.uid]))
                self._take(pod, places[pod.uid])
            return ""
        if self._wait_for(group):
            return "waits for pods that are ending"
        victims = self._victims(group)
        if not victims:
            return f"no nodes with enough resources were found for {len(group)} pod(s) of queue {group[0].queue}"
        for victim in victims:
            self.evicted.append(victim)
            self.running.remove(victim)
            self._count(victim, sign=-1)
            self.coming[victim.node].update(victim.requests)
        self._wait_for(group)
        return f"takes back what {', '.join(sorted({victim.queue for victim in victims}))} has above its quota"

    def _refused(self, group: Sequence[Pod]) -> str:
        """What forbids the pods whatever room there is."""
        queue = self.queues.get(group[0].queue)
        if queue is None:
            return f"queue {group[0].queue} does not exist"
        if any(other.parent == queue.name for other in self.queues.values()):
            return f"queue {queue.name} is not a leaf queue"
        if queue.parent and queue.parent not in self.queues:
            return f"parent queue {queue.parent} of {queue.name} does not exist"
        gang = group[0].gang
        members = len(group) + sum(pod.gang == gang for pod in self.running if gang)
        if members < group[0].gang_size:
            return f"{members} of {group[0].gang_size} pods of the gang exist"
        line = self._line(queue)
        if not self._fits(line, group, lambda each: each.limit):
            return f"queue {queue.name} has reached its limit"
        if not group[0].is_preemptible and not self._fits(line, group, lambda each: each.quota, for_good=True):
            return f"a non-preemptible workload would be over the quota of queue {queue.name}"
        return ""

    def _line(self, queue: Queue) -> list[Queue]:
        """The queue and those above it."""
        line = [queue]
        while line[-1].parent in self.queues:
            line.append(self.queues[line[-1].parent])
        return line

    def _fits(
        self,
        line: Iterable[Queue],
        group: Sequence[Pod],
        bound: Callable[[Queue], Mapping[str, float]],
        *,
        for_good: bool = False,
    ) -> bool:
        wanted = _sum(pod.counted for pod in group)
        used = self.used_for_good if for_good else self.used
        return all(
            _is_within(used[queue.name][name] + wanted[name], bound(queue).get(name, 0))
            for queue in line
            for name in COUNTED
            if wanted[name]
        )

    def _count(self, pod: Pod, sign: int = 1) -> None:
        queue = self.queues.get(pod.queue)
        for each in self._line(queue) if queue is not None else ():
            changed = [self.used, self.used_for_good] if not pod.is_preemptible else [self.used]
            for used in changed:
                used[each.name].update({name: sign * amount for name, amount in pod.counted.items()})

    def _take(self, pod: Pod, node: str) -> None:
        self.room[node].subtract(pod.requests)
        self._count(pod)

    def _places(self, group: Sequence[Pod], room: Mapping[str, Amounts]) -> dict[str, str] | None:
        """A node for each of the pods; None where one has none."""
        left = {name: Counter(amounts) for name, amounts in room.items()}
        places: dict[str, str] = {}
        for pod in group:
            fitting = [
                node
                for node in self.nodes
                if node.is_well and may_run(pod, node) and _has(left[node.name], pod.requests)
            ]
            if not fitting:
                return None
            chosen = max(fitting, key=lambda node: (_preference(pod, node), node.name))
            left[chosen.name].subtract(pod.requests)
            places[pod.uid] = chosen.name
        return places

    def _wait_for(self, group: Sequence[Pod]) -> bool:
        """Keep for the pods what others are about to leave, if that is enough."""
        places = self._places(group, self._room_and_coming())
        if places is None:
            return False
        for pod in group:
            self._take(pod, places[pod.uid])
        return True

    def _room_and_coming(self) -> dict[str, Amounts]:
        both = {name: Counter(amounts) for name, amounts in self.room.items()}
        for name, amounts in self.coming.items():
            both[name].update(amounts)  # a sum of Counters would drop what is below nothing
        return both

    def _victims(self, group: Sequence[Pod]) -> list[Pod]:
        """The fewest of the newest pods above the quotas of other queues without which the group has room; none where
        the group itself would be above the quota of its own queue."""
        if not self._fits([self.queues[group[0].queue]], group, lambda each: each.quota):
            return []
        candidates = [pod for pod in self.running if pod.is_preemptible and pod.queue not in ("", group[0].queue)]
        candidates = sorted(filter(self._is_above_quota, candidates), key=lambda pod: (pod.priority, -pod.started))
        chosen: list[Pod] = []
        for pod in filter(self._has_run_long_enough, candidates):
            chosen.append(pod)
            if self._has_room_without(group, chosen):
                break
        else:
            return []
        for pod in list(chosen):
            others = [each for each in chosen if each is not pod]
            if self._has_room_without(group, others):
                chosen = others
        return chosen

    def _is_above_quota(self, pod: Pod) -> bool:
        queue = self.queues.get(pod.queue)
        return queue is not None and any(
            not _is_within(self.used[queue.name][name], queue.quota.get(name, 0)) for name in COUNTED
        )

    def _has_run_long_enough(self, pod: Pod) -> bool:
        left_s = pod.started + self.queues[pod.queue].min_runtime_s - self.now
        if left_s > 0:
            self.again_s = min(left_s, self.again_s or left_s)
        return left_s <= 0

    def _has_room_without(self, group: Sequence[Pod], victims: Iterable[Pod]) -> bool:
        room = self._room_and_coming()
        for victim in victims:
            room[victim.node].update(victim.requests)
        return self._places(group, room) is not None


def _groups(pods: Iterable[Pod]) -> list[list[Pod]]:
    by_gang: dict[str, list[Pod]] = {}
    for pod in pods:
        by_gang.setdefault(pod.gang or pod.uid, []).append(pod)
    return list(by_gang.values())


def _sum(amounts: Iterable[Mapping[str, int]]) -> Amounts:
    total: Amounts = Counter()
    for each in amounts:
        total.update(each)
    return total


def _is_within(amount: float, bound: float) -> bool:
    return bound == UNLIMITED or amount <= bound


def _has(room: Amounts, wanted: Mapping[str, int]) -> bool:
    return all(room[name] >= amount for name, amount in wanted.items() if amount)


def may_run(pod: Pod, node: Node) -> bool:
    """As far as labels and taints decide it."""
    if not pod.selector.items() <= node.labels.items():
        return False
    if pod.terms and not any(_matches(term, node) for term in pod.terms):
        return False
    keeping_out = [taint for taint in node.taints if taint.get("effect") in _KEEPING_OUT]
    return all(any(_tolerates(each, taint) for each in pod.tolerations) for taint in keeping_out)


def _matches(term: Json, node: Node) -> bool:
    return all(_is_met(rule, node.labels) for rule in term.get("matchExpressions") or ())


def _is_met(rule: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values") or ()
    met = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return met[rule["operator"]]


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or "")


def _preference(pod: Pod, node: Node) -> int:
    return sum(int(each["weight"]) for each in pod.preferred if _matches(each["preference"], node))

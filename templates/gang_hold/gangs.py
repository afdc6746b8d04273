"""Which gang of pods starts now, and what the others wait for. PURE.

The decision of `gang_hold.py`, which stands beside it in the pod and is its only caller. Nothing but Python's standard
library is there.

A gang starts when all of its pods exist and each of them finds room: on nodes that its labels and tolerations allow,
beside all pods that have a node or are about to get one. Gangs are looked at in one order, and none is let start while
pods of another one are still on their way to nodes: so two of them never take each other's room. Pods that the
scheduler has not placed for long, for a reason that is not known here (the zone of a volume, a claim of a device), keep
their room, and no other gang waits for them.

What serves may push out pods of lower priority (`preemptionPolicy`), and the scheduler ends these for it only once it
has no gate. So such a gang starts where there is room without them, too, and takes that room from all others: no two
gangs push out the same pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

GATE = "meshctl.dev/gang"
GANG = "meshctl.dev/gang"  # the annotation with the gang's name
SIZE = "meshctl.dev/gang-size"
WAITS = "meshctl.dev/gang-waits"
POOL = "meshctl.dev/pool"
MOST_HOLDERS = 3  # that are named
_UNITS = {"m": 1, "": 1000, "k": 10**6, "M": 10**9, "G": 10**12, "T": 10**15, "P": 10**18, "E": 10**21}
_UNITS |= {f"{letter}i": 1000 * 1024**power for power, letter in enumerate("KMGTPE", 1)}
_OF_JOB = "batch.kubernetes.io/controller-uid"
_OF_GROUP = "leaderworkerset.sigs.k8s.io/group-index"  # its templates are the same for all groups
_CORDON = "node.kubernetes.io/unschedulable"
_NOTHING: Mapping[Any, Any] = MappingProxyType({})

Json = Mapping[str, Any]
Amounts = Counter[str]  # by resource, in thousandths
Yielded = Mapping[int, Mapping[str, Amounts]]  # by a priority: what pods of lower ones have of each node


@dataclass(frozen=True)
class Node:
    """`trouble`: why no pod starts there now, whatever it asks for; "" for none."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    allocatable: Amounts
    trouble: str = ""


@dataclass(frozen=True)
class Pod:
    """`gang`: "" of a pod of no gang; with the UID of its Job, so that a Job that is made anew is another gang. `size`,
    `done`: of its gang, and how many of these have succeeded by the Job's own count."""

    uid: str
    name: str
    namespace: str
    workload: str
    node: str
    gates: tuple[str, ...]
    requests: Amounts
    selector: Mapping[str, str]
    tolerations: tuple[Json, ...]
    terms: tuple[Json, ...] = ()  # of its required node affinity: one of them must match
    phase: str = "Pending"
    is_ending: bool = False
    gang: str = ""
    size: int = 0
    done: int = 0
    priority: int = 0
    may_preempt: bool = False
    created: str = ""
    waits: str = ""
    version: str = ""

    @property
    def job(self) -> str:
        """The UID of the Job of its gang; "" of a gang that is no Job."""
        return self.gang.partition(" ")[2]

    @property
    def is_held(self) -> bool:
        return GATE in self.gates

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class Gang:
    """`members`: its pods that have not ended; `done`: how many have succeeded, which need no room any more."""

    key: str
    size: int
    members: tuple[Pod, ...]
    done: int

    @property
    def is_complete(self) -> bool:
        return len(self.members) + self.done >= self.size

    @property
    def held(self) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.members if pod.is_held)

    @property
    def order(self) -> tuple[bool, int, str, str]:
        """A gang that already has a part of its pods past the gate comes first, then the more important, the older."""
        is_whole_held = len(self.held) == len(self.members)
        priority = max(pod.priority for pod in self.members)
        return (is_whole_held, -priority, min(pod.created for pod in self.members), self.key)


@dataclass(frozen=True)
class Decision:
    """`released`: all held pods of one gang; none where no gang can start. `waits`: by the key of each other gang."""

    released: tuple[Pod, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict)


def decide(nodes: Sequence[Node], pods: Sequence[Pod], stuck: Collection[str] = ()) -> Decision:
    """Which gang starts now, and what the others wait for. `stuck`: the UIDs of released pods that the scheduler has
    not placed for too long."""
    room, is_settled = room_of(nodes, pods, stuck)
    yielded = yielded_by(pods)
    waiting = sorted((gang for gang in gangs_of(pods) if gang.held), key=lambda gang: gang.order)
    released: tuple[Pod, ...] = ()
    waits: dict[str, str] = {}
    for gang in waiting:
        left = placed_all(gang.held, nodes, room, yielded) if gang.is_complete else None
        if left is None:
            waits[gang.key] = words(gang, nodes, pods, room, yielded)
            continue
        room = left  # also of one that does not start yet: those behind it must not take its room
        if is_settled and not released:
            released = gang.held
    return Decision(released, waits)


def sized(pods: Iterable[Pod], jobs: Iterable[Json]) -> list[Pod]:
    """The pods, those of Jobs with the sizes that the Jobs have now: a shift makes an elastic gang smaller, and can't
    change the template of its pods. And with what the Jobs have counted: a pod that has succeeded may be gone."""
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    return [_sized(pod, by_uid[pod.job]) if pod.job in by_uid else pod for pod in pods]


def _sized(pod: Pod, job: Json) -> Pod:
    done = int((job.get("status") or {}).get("succeeded") or 0)
    return replace(pod, size=int(job["spec"].get("parallelism", 1)), done=done)


def gangs_of(pods: Iterable[Pod]) -> list[Gang]:
    """The gangs with pods that have not ended."""
    by_gang: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.gang and not pod.is_ending:
            by_gang.setdefault(pod.gang, []).append(pod)
    gangs = []
    for key, all_pods in by_gang.items():
        members = tuple(pod for pod in all_pods if not pod.has_ended)
        # the Job may not have counted the last of them yet
        done = max(sum(pod.phase == "Succeeded" for pod in all_pods), *(pod.done for pod in all_pods))
        if members:
            gangs.append(Gang(key, max(pod.size for pod in members), members, done))
    return gangs


def yielded_by(pods: Sequence[Pod]) -> Yielded:
    """What pods that have a node yield to those that have none and may push them out. Pods that are ending are among
    them: they have been pushed out, or go by themselves."""
    yielded: dict[int, dict[str, Amounts]] = {
        pod.priority: {} for pod in pods if pod.may_preempt and not (pod.node or pod.has_ended)
    }
    for pod in pods:
        for priority, by_node in yielded.items():
            if pod.node and not pod.has_ended and pod.priority < priority:
                by_node.setdefault(pod.node, Counter()).update(pod.requests)
    return yielded


def room_of(nodes: Sequence[Node], pods: Sequence[Pod], stuck: Collection[str] = ()) -> tuple[dict[str, Amounts], bool]:
    """What each node has left, also after the pods that the scheduler is about to place; and whether no gang has such
    pods that are not stuck. A pod for which there is no room at all is not about to be placed: it waits for whatever
    comes. Less than nothing is left where others are about to be pushed out."""
    room = {node.name: Counter(node.allocatable) for node in nodes}
    unplaced = []
    for pod in pods:
        if pod.has_ended:
            continue
        if pod.node in room:
            room[pod.node].subtract(pod.requests)
        elif not pod.node and not pod.gates and not pod.is_ending:
            unplaced.append(pod)
    in_order = sorted(unplaced, key=lambda pod: (-pod.priority, pod.created, pod.uid))
    yielded = yielded_by(pods)
    coming = [pod for pod in in_order if place(pod, nodes, room, yielded)]
    return room, not any(pod.gang and pod.uid not in stuck for pod in coming)


def placed_all(
    pods: Iterable[Pod], nodes: Sequence[Node], room: Mapping[str, Amounts], yielded: Yielded = _NOTHING
) -> dict[str, Amounts] | None:
    """What is left of the room when all pods have theirs; None where one of them finds none."""
    left = {name: Counter(amounts) for name, amounts in room.items()}
    largest_first = sorted(pods, key=lambda pod: sorted(pod.requests.items()), reverse=True)
    return left if all(place(pod, nodes, left, yielded) for pod in largest_first) else None


def place(pod: Pod, nodes: Sequence[Node], room: Mapping[str, Amounts], yielded: Yielded = _NOTHING) -> bool:
    """Take the room of a pod from the first node that has it, or else from the first that has it once others are pushed
    out; whether there is one."""
    node = _first_with_room(pod, nodes, room)
    pushed_out = yielded.get(pod.priority) if pod.may_preempt else None
    if node is None and pushed_out:
        node = _first_with_room(pod, nodes, room, pushed_out)
    if node is None:
        return False
    room[node.name].subtract(pod.requests)
    return True


def _first_with_room(
    pod: Pod, nodes: Sequence[Node], room: Mapping[str, Amounts], more: Mapping[str, Amounts] = _NOTHING
) -> Node | None:
    """`more`: what each node has beside its room."""
    fitting = (
        node
        for node in nodes
        if not node.trouble and matches(pod, node) and fits(pod, room[node.name], more.get(node.name))
    )
    return next(fitting, None)


def fits(pod: Pod, room: Amounts, more: Amounts | None = None) -> bool:
    extra = more or Counter()
    return all(room[name] + extra[name] >= amount for name, amount in pod.requests.items() if amount)


def matches(pod: Pod, node: Node) -> bool:
    """Whether the pod may run on the node, as far as labels and taints decide it."""
    if not pod.selector.items() <= node.labels.items():
        return False
    if pod.terms and not any(_term_matches(term, node) for term in pod.terms):
        return False
    keeping_out = (taint for taint in node.taints if taint.get("effect") in ("NoSchedule", "NoExecute"))
    return all(any(_tolerates(each, taint) for each in pod.tolerations) for taint in keeping_out)


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return toleration.get("key") == taint["key"] and same_value


def _term_matches(term: Json, node: Node) -> bool:
    """Of a required node affinity. Operators that compare numbers are left to the scheduler."""
    for rule in term.get("matchExpressions") or ():
        value, values = node.labels.get(rule["key"]), rule.get("values") or ()
        is_met = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(rule["operator"], True)
        if not is_met:
            return False
    return True


def words(
    gang: Gang, nodes: Sequence[Node], pods: Iterable[Pod], room: Mapping[str, Amounts], yielded: Yielded = _NOTHING
) -> str:
    """What a gang waits for, for people."""
    if not gang.is_complete:
        there = len(gang.members) + gang.done
        return f"waits until all of its pods exist: {there} of {gang.size} do"
    first = gang.held[0]
    pool = first.selector.get(POOL, "")
    where = f"pool {pool}" if pool else "its pool"
    own = [node for node in nodes if matches(first, node)]
    empty = {node.name: Counter(node.allocatable) for node in own}
    well = [Node(node.name, node.labels, node.taints, node.allocatable) for node in own]
    if (most := _count(gang.members, well, empty)) < len(gang.members):
        return (
            f"is larger than {where}: {_nodes(len(own))} with room for {most} of its {gang.size} pods,"
            " even when nothing else runs there"
        )
    text = _room_words(gang.held, where, own, room, yielded)
    pushed_out = yielded.get(first.priority, _NOTHING) if first.may_preempt else _NOTHING
    full = {
        node.name for node in own if not node.trouble and not fits(first, room[node.name], pushed_out.get(node.name))
    }
    reasons = [
        *_holders(first, gang, full, pods),
        *(f"{node.name} {node.trouble}" for node in own if node.trouble),
    ]
    return f"{text}; {', '.join(reasons)}" if reasons else text


def _room_words(
    held: Sequence[Pod], where: str, own: Sequence[Node], room: Mapping[str, Amounts], yielded: Yielded
) -> str:
    """How much room there is, and whether that is so only because others are pushed out."""
    free, count = (
        _count(held, own, {name: Counter(amounts) for name, amounts in room.items()}, each)
        for each in (_NOTHING, yielded)
    )
    text = f"waits for room for {len(held) - count} more of its pods: {where} has room for {count} of {len(held)} now"
    return f"{text}, without pods of lower priority" if count > free else text


def _count(pods: Iterable[Pod], nodes: Sequence[Node], room: Mapping[str, Amounts], yielded: Yielded = _NOTHING) -> int:
    return sum(place(pod, nodes, room, yielded) for pod in pods)


def _holders(pod: Pod, gang: Gang, full: Collection[str], pods: Iterable[Pod]) -> list[str]:
    """Who has the full nodes, on which the pod finds no room, by how many of them."""
    nodes_by_holder: dict[str, set[str]] = {}
    for other in pods:
        takes = any(other.requests[name] for name in pod.requests if name != "pods")
        stays = not (pod.may_preempt and other.priority < pod.priority)
        if other.node in full and takes and stays and not other.has_ended and other.gang != gang.key:
            holder = other.workload if other.namespace == pod.namespace else f"the namespace {other.namespace}"
            nodes_by_holder.setdefault(holder or other.name, set()).add(other.node)
    most_first = sorted(nodes_by_holder.items(), key=lambda item: (-len(item[1]), item[0]))
    return [f"{holder} holds {_nodes(len(names))}" for holder, names in most_first[:MOST_HOLDERS]]


def _nodes(count: int) -> str:
    return f"{count} node{'s' * (count != 1)}"


def thousandths(text: str) -> int:
    """A quantity of Kubernetes, in thousandths."""
    number = text.rstrip("kKMGTPEim")
    unit = text[len(number) :]
    return int(float(number) * _UNITS[unit]) if unit in _UNITS else int(float(text) * 1000)


def amounts(listed: Json | None) -> Amounts:
    return Counter({name: thousandths(str(value)) for name, value in (listed or {}).items()})


def requests_of(spec: Json) -> Amounts:
    """What the scheduler counts for a pod: its containers and sidecars, or the largest of what runs before them.

    Source: kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    sidecars: Amounts = Counter()
    before: Amounts = Counter()
    for container in spec.get("initContainers") or ():
        own = amounts((container.get("resources") or {}).get("requests"))
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + own
            before = before | sidecars
        else:
            before = before | (sidecars + own)
    running = sidecars
    for container in spec.get("containers") or ():
        running = running + amounts((container.get("resources") or {}).get("requests"))
    return (running | before) + amounts(spec.get("overhead")) + Counter({"pods": 1000})


def node_of(item: Json) -> Node:
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    trouble = "is cordoned" if spec.get("unschedulable") else "" if ready else "is not ready"
    # what Kubernetes says of a node's health by taints is `trouble` already
    taints = tuple(taint for taint in spec.get("taints") or () if taint["key"] != _CORDON)
    return Node(metadata["name"], metadata.get("labels") or {}, taints, amounts(status.get("allocatable")), trouble)


def pod_of(item: Json) -> Pod:
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        workload=labels.get("app.kubernetes.io/name", ""),
        node=spec.get("nodeName") or "",
        gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        requests=requests_of(spec),
        selector=spec.get("nodeSelector") or {},
        tolerations=tuple(spec.get("tolerations") or ()),
        terms=tuple(affinity.get("nodeSelectorTerms") or ()),
        phase=status.get("phase") or "Pending",
        is_ending=bool(metadata.get("deletionTimestamp")),
        gang=_gang_of(notes[GANG], labels) if GANG in notes else "",
        size=int(notes.get(SIZE) or 0),
        priority=int(spec.get("priority") or 0),
        may_preempt=spec.get("preemptionPolicy") != "Never",
        created=metadata.get("creationTimestamp") or "",
        waits=notes.get(WAITS, ""),
        version=metadata.get("resourceVersion", ""),
    )


def _gang_of(name: str, labels: Json) -> str:
    """The key of a gang. A Job that is made anew is another gang, a group that is made anew is not: what is left of the
    old one is on its way out."""
    group = labels.get(_OF_GROUP, "")
    return f"{name}-{group}" if group else f"{name} {labels.get(_OF_JOB, '')}".strip()

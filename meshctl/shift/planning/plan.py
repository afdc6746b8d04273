"""Decides a shift: which nodes, what becomes of the pods on them, and which labels and taints change. PURE.

Called by `shifts`. The plan is the first record of the shift's journal: what is done later follows it, whatever
mesh.yaml says by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshctl.model.deployment import Deployment, Pool, Taint
from meshctl.model.persisted import Format
from meshctl.model.value import Value, added_later
from meshctl.render.pod.pods import grace_s
from meshctl.render.pod.probes import ready_s
from meshctl.shift.gateway import Node, Pod
from meshctl.shift.planning import choice, equality, gangs, pods, room
from meshctl.shift.planning.choice import NodeLoad
from meshctl.shift.planning.gangs import Gangs, Resized

_END_MARGIN_S: Final = 120  # added to the longest grace


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for. `timeout_s`: how long the nodes may take to become empty, 0 = as long as the pods' grace
    and a margin. `until_s`: when the nodes go back, in seconds since the epoch; 0 = when asked."""

    giving: str
    taking: str
    nodes: int
    timeout_s: int = 0
    until_s: float = 0


class Disturbed(Value):
    """A workload whose pods have to leave. `effect`: `moves`, `restarts` (as a whole), `shrinks` (and goes on with
    fewer ranks) or `waits` (until its nodes are back). `without_room`: how many of those that move the pool's other
    nodes have no accelerators for now."""

    owner: str
    pods: int
    effect: str
    grace_s: int
    without_room: int = added_later(0)


class ShiftPlan(Value):
    """`labels` and `taking_taints`: what the nodes get; `giving_taints`: what they lose. `restarting`: the gangs all
    of whose pods end, and start again on the nodes that are left; `resized`: those that go on there with fewer ranks;
    `waiting`: those that stop until their nodes are back. `accelerators`: of each node. `until_s`: 0 = until the user
    takes it back."""

    mesh: str
    environment: str
    namespace: str
    giving: str
    taking: str
    nodes: tuple[str, ...]
    labels: dict[str, str]
    giving_taints: tuple[Taint, ...] = ()
    taking_taints: tuple[Taint, ...] = ()
    disturbed: tuple[Disturbed, ...] = ()
    restarting: tuple[str, ...] = ()
    resized: tuple[Resized, ...] = added_later(())
    waiting: tuple[str, ...] = ()
    taking_workloads: tuple[str, ...] = ()
    giving_workloads: tuple[str, ...] = ()
    taking_pods_waiting: int = 0
    gpu_model: str = ""
    accelerators: int = 0
    market: str = added_later("")  # of the giving pool
    ends: str = added_later("")  # when its reservation ends, in RFC 3339, in UTC
    pods_of_others: int = 0
    end_limit_s: int  # for the nodes to become empty
    undo_limit_s: int  # as much for the way back
    arrive_limit_s: int = added_later(0)  # for a pod of the taking pool to get ready there; 0 in older plans
    until_s: float = 0

    @property
    def gangs(self) -> frozenset[str]:
        """Those that stop as a whole, for a while or until the way back."""
        return frozenset({*self.restarting, *self.waiting, *(each.workload for each in self.resized)})


SHIFT_PLAN: Final[Format[ShiftPlan]] = Format(ShiftPlan.model_validate)  # the only reader of the plan in a journal


def plan_shift(
    deployment: Deployment, request: Request, nodes: Sequence[Node], all_pods: Sequence[Pod], waiting_pods: int
) -> ShiftPlan:
    """`all_pods`: those on the nodes of the giving pool. `waiting_pods`: of the taking pool, without a node.

    Raises: UsageError for pools that don't exist or are unequal, and where the pool has not so many nodes.
    """
    giving, taking = equality.pools_of_shift(deployment, request.giving, request.taking)
    usable = _usable(nodes, deployment.node_labels(giving.name))
    loads = [room.load(deployment, node, all_pods) for node in usable]
    chosen = choice.choose(loads, request.nodes)
    names = frozenset(load.name for load in chosen)
    moving = [pod for pod in pods.to_move(all_pods, deployment.namespace) if pods.node_of(pod) in names]
    rest = [load for load in loads if load.name not in names]
    stopped = gangs.decide(deployment, giving, frozenset(map(pods.workload, moving)), rest)
    disturbed = _disturbed(chosen, stopped, room.without_room(deployment, giving, moving, rest, stopped))
    return ShiftPlan(
        mesh=deployment.mesh,
        environment=deployment.environment,
        namespace=deployment.namespace,
        giving=giving.name,
        taking=taking.name,
        nodes=tuple(load.name for load in chosen),
        labels=_labels(deployment, giving, taking, [node for node in usable if pods.name(node) in names]),
        giving_taints=giving.taints,
        taking_taints=taking.taints,
        disturbed=disturbed,
        restarting=stopped.restarting,
        resized=stopped.resized,
        waiting=stopped.waiting,
        taking_workloads=tuple(w.name for w in deployment.workloads if w.pool == taking.name),
        giving_workloads=tuple(w.name for w in deployment.workloads if w.pool == giving.name),
        taking_pods_waiting=waiting_pods,
        gpu_model=giving.gpu_model,
        accelerators=giving.gpus_per_node,
        market=giving.market,
        ends=giving.ends,
        pods_of_others=sum(not pod.workload for load in chosen for pod in load.pods),
        end_limit_s=request.timeout_s or _ending_grace_s(deployment, disturbed, stopped) + _END_MARGIN_S,
        undo_limit_s=request.timeout_s or _longest_grace_s(deployment, taking, stopped) + _END_MARGIN_S,
        arrive_limit_s=max((ready_s(w) for w in deployment.workloads if w.pool == taking.name), default=0),
        until_s=request.until_s,
    )


def _usable(nodes: Iterable[Node], labels: Mapping[str, str]) -> list[Node]:
    """Those with these labels that are ready, and on which pods may be placed."""
    own = (node for node in nodes if labels.items() <= pods.labels(node).items())
    return [node for node in own if pods.is_ready(node) and not pods.is_cordoned(node)]


def _disturbed(chosen: Iterable[NodeLoad], stopped: Gangs, without_room: Mapping[str, int]) -> tuple[Disturbed, ...]:
    """`without_room`: by workload."""
    made = []
    for each in choice.disturbances([_own(load) for load in chosen]):
        name = each.owner.rpartition("/")[2]
        effect = stopped.effect(name) or ("restarts" if each.stops_whole else "moves")
        made.append(
            Disturbed(
                owner=each.owner,
                pods=each.pods,
                effect=effect,
                grace_s=each.grace_s,
                without_room=without_room.get(name, 0),
            )
        )
    return tuple(made)


def _ending_grace_s(deployment: Deployment, disturbed: Iterable[Disturbed], stopped: Gangs) -> int:
    """The longest of what the way there stops."""
    waiting = (grace_s(deployment.workload(name)) for name in stopped.waiting)
    return max((*(each.grace_s for each in disturbed), *waiting), default=0)


def _longest_grace_s(deployment: Deployment, pool: Pool, stopped: Gangs) -> int:
    """Of what the way back stops: the pods on the taking pool, and the gangs that grow again."""
    ending = (w for w in deployment.workloads if w.pool == pool.name or w.name in stopped.starting)
    return max(map(grace_s, ending), default=0)


def _labels(deployment: Deployment, giving: Pool, taking: Pool, nodes: Iterable[Node]) -> dict[str, str]:
    """The labels by which the nodes belong to the taking pool: that of the mesh, too, which a node lacks that died and
    came again under its name. Of the platform's further labels of a pool those that the nodes carry: on existing nodes
    meshctl sets only the labels of mesh and pool."""
    carried = set.intersection(*(set(pods.labels(node)) for node in nodes))
    further = {key: value for key, value in taking.labels.items() if giving.labels.get(key) != value and key in carried}
    return {**further, **deployment.node_labels(taking.name)}


def _own(load: NodeLoad) -> NodeLoad:
    return NodeLoad(load.name, load.domains, tuple(pod for pod in load.pods if pod.workload))

"""Which pods that leave their nodes find no room on the others, and how many their budgets let be missing. PURE.

Used by `plan`, for what a shift disturbs, and by `shifts`, which begins neither a shift nor an undo that could not end:
a pod without room stays Pending, and while it does so its disruption budget lets no other pod go.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.keys.nvlink import DOMAIN_LABEL
from meshctl.platforms import registry
from meshctl.shift.gateway import Budget, Node, Pod
from meshctl.shift.planning import pods
from meshctl.shift.planning.choice import NodeLoad, PodLoad
from meshctl.shift.planning.gangs import Gangs, is_gang


@dataclass(frozen=True, slots=True)
class Shortage:
    """A workload of which more replicas lose their place than its disruption budget lets be missing. `replicas`: how
    many it has; `fitting`: how many of them have room without the nodes; `allowed`: how many may be missing."""

    workload: Workload
    replicas: int
    fitting: int
    allowed: int


def shortages(
    deployment: Deployment, missing: Mapping[str, int], moving: Iterable[Pod], budgets: Sequence[Budget]
) -> Iterator[Shortage]:
    """`missing`: by workload, the pods without room, of those that move and of those that wait for a node already. All
    pods of a group go with the first one, so that a budget is asked once for each group; it is not asked for a pod that
    is not ready."""
    labels = {pods.workload(pod): pods.labels(pod) for pod in moving if pods.is_ready(pod)}
    for workload in (each for each in deployment.workloads if each.name in labels and missing.get(each.name)):
        own = [each for each in budgets if each.selector.items() <= labels[workload.name].items()]
        if not own:
            continue
        size = workload.nodes_per_replica
        least = min(own, key=lambda each: each.pods - each.needed)
        spare = least.pods - least.needed
        allowed = 1 + (spare - 1) // size if spare > 0 else 0
        lost = math.ceil(missing[workload.name] / size)
        if lost > allowed:
            replicas = least.pods // size
            yield Shortage(workload, replicas, max(replicas - lost, 0), allowed)


def load(deployment: Deployment, node: Node, all_pods: Iterable[Pod]) -> NodeLoad:
    """The node with the pods that count for the choice: those of others too, which make a node the last choice."""
    own = [pod for pod in all_pods if pods.node_of(pod) == pods.name(node)]
    counted = [pod for pod in own if not pods.has_ended(pod) and not pods.stays_with_its_node(pod)]
    labels = pods.labels(node)
    domains = tuple(labels.get(key, "") for key in domain_labels(deployment.provider))
    return NodeLoad(pods.name(node), domains, tuple(_pod_load(deployment, pod) for pod in counted))


def domain_labels(provider: str) -> tuple[str, ...]:
    """The labels of nodes that share a rack or a switch, the innermost first. Given nodes may be of any platform."""
    own = registry.platform(provider).nodes
    every = registry.installed().platforms.values()
    further = [own] if own.made_of is not None else [platform.nodes for platform in every]
    return (DOMAIN_LABEL, *(key for nodes in further for key in nodes.domain_labels or ()))


def _pod_load(deployment: Deployment, pod: Pod) -> PodLoad:
    is_own = pods.is_of_mesh(pod, deployment.namespace)
    workload = next((w for w in deployment.workloads if is_own and w.name == pods.workload(pod)), None)
    name = workload.name if workload is not None else pods.name(pod) if is_own else ""
    stops_whole = workload is not None and (is_gang(workload) or workload.is_grouped)
    return PodLoad(pods.namespace(pod), pods.name(pod), name, stops_whole, pods.grace_s(pod))


def without_room(
    deployment: Deployment, pool: Pool, moving: Iterable[Pod], rest: Sequence[NodeLoad], stopped: Gangs
) -> Counter[str]:
    """By workload, the pods that move and find no accelerators on the other nodes. Gangs that start again there take
    theirs first; those that wait need none."""
    by_name = {workload.name: workload for workload in deployment.workloads}
    starting = {**{name: by_name[name].replicas for name in stopped.restarting}, **stopped.starting}
    staying = by_name.keys() - {*starting, *stopped.waiting}
    taken = [sum(by_name[p.workload].accelerators for p in load.pods if p.workload in staying) for load in rest]
    free = [pool.gpus_per_node - accelerators for accelerators in taken]
    movers = [by_name[name] for name in sorted(map(pods.workload, moving)) if name in by_name]
    wanted = [by_name[name] for name, ranks in starting.items() for _ in range(ranks)]
    missing: Counter[str] = Counter()
    for workload in (*wanted, *(each for each in movers if not is_gang(each))):
        place = next((i for i, count in enumerate(free) if count >= workload.accelerators), None)
        if place is not None:
            free[place] -= workload.accelerators
        elif workload.accelerators and not is_gang(workload):
            missing[workload.name] += 1
    return missing

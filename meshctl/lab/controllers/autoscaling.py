"""What Kubernetes' Cluster Autoscaler decides about pools of equal nodes. PURE. Called by `cluster_autoscaler`.

Source: github.com/kubernetes/autoscaler, cluster-autoscaler/FAQ.md (0024f254: "How does scale-up work?", "How does
scale-down work?", "What types of pods can prevent CA from removing a node?"), simulator/utilization/info.go (1acc8c20),
cloudprovider/coreweave/coreweave_nodegroup.go (0d70bdbc: what is known of a node of a pool that has none). Objects are
the API's own JSON. Affinity between pods, spreading and volumes are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshctl.clients.kubernetes.quantities import quantity

Object = dict[str, Any]

LEAVING: Final = "ToBeDeletedByClusterAutoscaler"  # the taint of a node that is being emptied
SAFE: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
SAFE_VOLUMES: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
STAYS: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"  # an annotation of a node
LOW: Final = 0.5  # --scale-down-utilization-threshold
MOST_EMPTY: Final = 10  # --max-empty-bulk-delete
_EXPENDABLE_BELOW: Final = -10  # the priority: --expendable-pods-priority-cutoff
_GPU: Final = "nvidia.com/gpu"
_MIRROR: Final = "kubernetes.io/config.mirror"
_OVER: Final = ("Succeeded", "Failed")
_KEEPING_OUT: Final = ("NoSchedule", "NoExecute")
# What CoreWeave's table of instance types has, and so all that is known of a node of a pool that has none.
_IN_TABLE: Final = ("cpu", "memory", "ephemeral-storage", _GPU, "pods")


@dataclass(frozen=True)
class Pool:
    """A pool whose number of nodes follows pods. `target`: the number that was ordered; `template`: what one more node
    would be."""

    name: str
    target: int
    least: int
    most: int
    nodes: tuple[Object, ...]
    template: Object


@dataclass(frozen=True)
class Growth:
    """An order: the pool is to have so many nodes."""

    pool: str
    target: int


@dataclass(frozen=True)
class Unneeded:
    """A node that could go. `pods`: those that would be evicted."""

    name: str
    pool: str
    pods: tuple[Object, ...]


class Room:
    """What is free on nodes, while pods are put on them in thought."""

    def __init__(self, nodes: Iterable[Object] = (), pods: Iterable[Object] = ()) -> None:
        self._nodes: dict[str, Object] = {}
        self._free: dict[str, dict[str, float]] = {}
        for node in nodes:
            self.add(node["metadata"]["name"], node)
        for pod in pods:
            if not is_over(pod):
                self._take(pod["spec"].get("nodeName", ""), requests_of(pod))

    def add(self, name: str, node: Object) -> None:
        """A node without pods."""
        self._nodes[name] = node
        self._free[name] = amounts(node["status"].get("allocatable") or {})

    def place(self, pod: Object, *, without: str = "") -> bool:
        """Put the pod on the first node that takes it, but not on `without`. Returns: whether there is one."""
        wanted = requests_of(pod)
        for name, node in self._nodes.items():
            if name != without and takes(node, pod) and _fits(wanted, self._free[name]):
                self._take(name, wanted)
                return True
        return False

    def _take(self, name: str, wanted: Mapping[str, float]) -> None:
        free = self._free.get(name, {})
        for resource, amount in wanted.items():
            free[resource] = free.get(resource, 0.0) - amount


def _fits(wanted: Mapping[str, float], free: Mapping[str, float]) -> bool:
    return all(free.get(resource, 0.0) >= amount for resource, amount in wanted.items() if amount)


# ---- more nodes


def is_waiting(pod: Object) -> bool:
    """Whether the scheduler has found no node for the pod. A pod that it does not look at, because of a gate, has
    another reason (SchedulingGated)."""
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or is_over(pod):
        return False
    if int(pod["spec"].get("priority") or 0) < _EXPENDABLE_BELOW:
        return False
    return any(
        each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason") == "Unschedulable"
        for each in pod.get("status", {}).get("conditions", [])
    )


def growth(pools: Sequence[Pool], nodes: Sequence[Object], pods: Sequence[Object]) -> Growth | None:
    """The one order that helps most of the waiting pods; by the pools' names where several do. None where the nodes
    that are there or ordered take them all, and where no pool may have more nodes that would."""
    room = Room(nodes, pods)
    for pool in pools:
        for number in range(pool.target - len(pool.nodes)):
            room.add(f"{pool.name}, ordered {number}", pool.template)
    homeless = [pod for pod in pods if is_waiting(pod) and not room.place(pod)]
    best = Growth("", 0)
    most_helped = 0
    for pool in sorted(pools, key=lambda each: each.name):
        helped, count = _help_of(pool, homeless)
        if helped > most_helped:
            best, most_helped = Growth(pool.name, pool.target + count), helped
    return best if most_helped else None


def _help_of(pool: Pool, homeless: Iterable[Object]) -> tuple[int, int]:
    """How many of the pods more nodes of the pool would take, and how many nodes these are."""
    room, helped, count = Room(), 0, 0
    for pod in homeless:
        if not room.place(pod) and pool.target + count < pool.most and _would_take(pool.template, pod):
            count += 1
            room.add(f"new {count}", pool.template)
            room.place(pod)
            helped += 1
        elif room.place(pod):
            helped += 1
    return helped, count


def _would_take(node: Object, pod: Object) -> bool:
    return takes(node, pod) and _fits(requests_of(pod), amounts(node["status"].get("allocatable") or {}))


def template(nodes: Iterable[Object], empty: Object) -> Object:
    """What one more node of a pool would be: its newest node, without what others have done to that. Of a pool that
    has none, what CoreWeave's table of instance types knows of `empty`, which is what a node of it will have: no
    resource of a fabric, such as `rdma/ib`."""
    newest = max(nodes, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)
    if newest is None:
        offered = empty["status"].get("allocatable") or {}
        in_table = {resource: offered[resource] for resource in _IN_TABLE if resource in offered}
        return {**empty, "status": {"allocatable": in_table}}
    taints = [each for each in newest["spec"].get("taints", ()) if not _passes(each["key"])]
    spec = {**newest["spec"], "taints": taints, "unschedulable": False}
    return {**newest, "spec": spec}


def _passes(taint: str) -> bool:
    return taint == LEAVING or taint.startswith("node.kubernetes.io/")


# ---- fewer nodes


def unneeded(
    pools: Iterable[Pool], nodes: Sequence[Object], pods: Sequence[Object], budgets: Sequence[Object]
) -> list[Unneeded]:
    """The nodes that their pools could do without now, empty ones first. `budgets`: PodDisruptionBudgets."""
    candidates = []
    for pool in pools:
        if pool.target != len(pool.nodes) or pool.target <= pool.least:
            continue  # nodes are to come, or others have had some removed
        for node in pool.nodes:
            moving = _moving(node, nodes, pods, budgets)
            if moving is not None:
                candidates.append(Unneeded(node["metadata"]["name"], pool.name, tuple(moving)))
    return sorted(candidates, key=lambda each: (bool(each.pods), each.name))


def _moving(
    node: Object, nodes: Sequence[Object], pods: Sequence[Object], budgets: Sequence[Object]
) -> list[Object] | None:
    """The pods that would have to go elsewhere; None where the node stays."""
    name = node["metadata"]["name"]
    on_it = [pod for pod in pods if pod["spec"].get("nodeName") == name and not is_over(pod)]
    annotations = node["metadata"].get("annotations") or {}
    if annotations.get(STAYS) == "true" or utilization(node, on_it) >= LOW:
        return None
    moving = [pod for pod in on_it if not is_daemon(pod) and not _is_mirror(pod)]
    if any(why_it_stays(pod, budgets) for pod in moving):
        return None
    room = Room(nodes, pods)
    return moving if all(room.place(pod, without=name) for pod in moving) else None


def utilization(node: Object, pods: Iterable[Object]) -> float:
    """The share of the node that its pods ask for: of its GPUs where it has any, else of CPU or memory, whichever is
    more."""
    offered = amounts(node["status"].get("allocatable") or {})
    resources = (_GPU,) if offered.get(_GPU) else ("cpu", "memory")
    wanted = [requests_of(pod) for pod in pods]
    return max(
        sum(each.get(resource, 0.0) for each in wanted) / offered[resource]
        for resource in resources
        if offered.get(resource)
    )


def why_it_stays(pod: Object, budgets: Iterable[Object]) -> str:
    """Why the node of the pod can't be removed; "" where nothing keeps the pod from moving."""
    is_safe = (pod["metadata"].get("annotations") or {}).get(SAFE)
    if is_safe == "false":
        return "it says that it is not safe to evict"
    own = [budget for budget in budgets if _covers(budget, pod)]
    if any(int(budget.get("status", {}).get("disruptionsAllowed", 0)) < 1 for budget in own):
        return "its disruption budget allows no eviction"
    if is_safe == "true":
        return ""
    if not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences", ())):
        return "no controller would make it anew"
    if pod["metadata"].get("namespace") == "kube-system" and not own:
        return "it is a pod of kube-system without a disruption budget"
    return "it has data on the node" if _local_volumes(pod) else ""


def _local_volumes(pod: Object) -> list[str]:
    """The pod's volumes on the node's own disk of which it does not say that they may go."""
    safe = str((pod["metadata"].get("annotations") or {}).get(SAFE_VOLUMES, "")).split(",")
    return [
        volume["name"]
        for volume in pod["spec"].get("volumes", ())
        if ("hostPath" in volume or _is_on_disk(volume)) and volume["name"] not in safe
    ]


def _is_on_disk(volume: Object) -> bool:
    return "emptyDir" in volume and bool((volume["emptyDir"] or {}).get("medium") != "Memory")


def _covers(budget: Object, pod: Object) -> bool:
    if budget["metadata"].get("namespace") != pod["metadata"].get("namespace"):
        return False
    wanted = (budget["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


# ---- pods and nodes


def is_over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in _OVER


def is_leaving(node: Object) -> bool:
    return any(taint["key"] == LEAVING for taint in node["spec"].get("taints") or ())


def is_daemon(pod: Object) -> bool:
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def _is_mirror(pod: Object) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def amounts(quantities: Mapping[str, str]) -> dict[str, float]:
    return {resource: quantity(str(amount)) for resource, amount in quantities.items()}


def requests_of(pod: Object) -> dict[str, float]:
    """What the pod asks for: all of its containers and sidecars together, or its largest init container."""
    total: dict[str, float] = {"pods": 1.0}
    sidecars = [each for each in pod["spec"].get("initContainers", ()) if each.get("restartPolicy") == "Always"]
    for container in (*pod["spec"]["containers"], *sidecars):
        for resource, amount in _requests(container).items():
            total[resource] = total.get(resource, 0.0) + amount
    for container in pod["spec"].get("initContainers", ()):
        for resource, amount in _requests(container).items():
            total[resource] = max(total.get(resource, 0.0), amount)
    return total


def _requests(container: Object) -> dict[str, float]:
    return amounts((container.get("resources") or {}).get("requests") or {})


def takes(node: Object, pod: Object) -> bool:
    """Whether the node has the labels that the pod asks for, and no taint or cordon that keeps it out."""
    if node["spec"].get("unschedulable"):
        return False
    labels = {**(node["metadata"].get("labels") or {}), "metadata.name": node["metadata"]["name"]}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    tolerations = pod["spec"].get("tolerations") or ()
    taints = [taint for taint in node["spec"].get("taints") or () if taint["effect"] in _KEEPING_OUT]
    return all(any(_tolerates(each, taint) for each in tolerations) for taint in taints) and _is_near(pod, labels)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _is_near(pod: Object, labels: Mapping[str, str]) -> bool:
    """Whether one of the terms of the pod's required node affinity holds."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    terms: Collection[Object] = required.get("nodeSelectorTerms", ())
    return any(all(_holds(each, labels) for each in _expressions(term)) for term in terms)


def _expressions(term: Object) -> Iterator[Object]:
    yield from term.get("matchExpressions", ())
    yield from term.get("matchFields", ())


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:  # Gt and Lt
            return value is not None and (int(value) > int(values[0])) == (expression["operator"] == "Gt")

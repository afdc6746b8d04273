"""Who holds what a pod waits for: on the nodes of its pool, by workload of the mesh and by namespace of others. EDGE.

Called by `operate.status` for pods that find no node; for no others is anything asked. The scheduler counts nodes and
says what they are short of, and nobody says who has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from meshctl.clients.kubernetes import other_pods
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.quantities import quantity
from meshctl.model.deployment import Deployment
from meshctl.model.files.units import format_in_gib
from meshctl.model.observed import PodState
from meshctl.words import pluralize
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Node, Pod
from meshwire.kubernetes.resources import NODES, PODS

_FORBIDDEN: Final = 403
_MOST: Final = 3  # holders that are named
_GIB: Final = 1024**3
_IN_BYTES: Final = ("memory", "ephemeral-storage", "hugepages-2Mi")


def with_holders(cluster: ClusterAccess, deployment: Deployment, states: Sequence[PodState]) -> list[PodState]:
    """The pods, those without a node with what their pool has and who holds it; as they are where these rights show no
    pods of others. Raises: as `cluster_access.translate_errors`."""
    if not any(state.short_of for state in states):
        return list(states)
    with cluster.connected() as client:
        try:
            nodes, pods = client.list_objects(NODES), client.list_objects(PODS)
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            return list(states)
    pools = {workload.name: workload.pool for workload in deployment.workloads}
    return [
        replace(state, reason=f"{state.reason}; {_text(deployment, pools[state.workload], state, nodes, pods)}")
        if state.short_of and state.workload in pools
        else state
        for state in states
    ]


def _text(deployment: Deployment, pool: str, state: PodState, nodes: Iterable[Node], pods: Iterable[Pod]) -> str:
    """`pool train has 16 nvidia.com/gpu on 2 nodes: pretrain has 8, the namespace vision 8`."""
    own = [node for node in nodes if _labels(node).items() >= deployment.node_labels(pool).items()]
    if not own:
        return f"pool {pool} has no nodes yet"
    names = {node.get("metadata", {}).get("name", "") for node in own}
    placed = [pod for pod in pods if other_pods.takes_a_place(pod) and pod.get("spec", {}).get("nodeName") in names]
    parts = [_of_resource(resource, own, placed, deployment.namespace) for resource in state.short_of]
    return f"pool {pool} has {'; '.join(parts)}"


def _of_resource(resource: str, nodes: Sequence[Node], pods: Iterable[Pod], namespace: str) -> str:
    total = sum(quantity(str(node.get("status", {}).get("allocatable", {}).get(resource, "0"))) for node in nodes)
    milli_by_holder: Counter[str] = Counter()
    for pod in pods:
        milli_by_holder[_holder(pod, namespace)] += other_pods.requests(pod.get("spec", {}))[resource]
    listed = [
        f"{name} {_amount(resource, milli / 1000)}" for name, milli in milli_by_holder.most_common(_MOST) if milli
    ]
    others = sum(1 for milli in milli_by_holder.values() if milli) - len(listed)
    listed += [f"{pluralize(others, 'other')} the rest"] if others > 0 else []
    holders = f", of which {', '.join(listed)}" if listed else ", of which nobody holds any"
    return f"{_amount(resource, total)} {resource} on {pluralize(len(nodes), 'node')}{holders}"


def _holder(pod: Pod, namespace: str) -> str:
    metadata = pod.get("metadata", {})
    if metadata.get("namespace") == namespace:
        return f"{(metadata.get('labels') or {}).get('app.kubernetes.io/name', metadata.get('name', ''))} holds"
    return f"the namespace {metadata.get('namespace', '')} holds"


def _amount(resource: str, amount: float) -> str:
    return format_in_gib(amount / _GIB) if resource in _IN_BYTES else f"{amount:g}"


def _labels(node: Node) -> Mapping[str, str]:
    return node.get("metadata", {}).get("labels") or {}

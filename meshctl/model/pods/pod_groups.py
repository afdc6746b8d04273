"""Replicas of several pods: what their objects, pods and labels are called. PURE.

A workload that serves and has `nodes: 2` or more runs as groups: each replica is a group of so many pods with ranks,
and rank 0, the leader, has the ports and the health. `meshctl.render` makes the objects,
`meshctl.model.pods.object_names` checks their names, `meshctl.clients` reads the labels.

Groups are numbered from 0. A workload `llama` with two groups of three has the pods

    llama-0-0  llama-0-workers-1  llama-0-workers-2        llama-1-0  llama-1-workers-1  llama-1-workers-2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

GROUP_LABEL: Final = "meshctl.dev/group"  # on each pod: the number of its group
ROLE_LABEL: Final = "meshctl.dev/role"
SET_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"  # on pods of StatefulSets, by Kubernetes: their number
# by the controller of LeaderWorkerSets (sigs.k8s.io/lws, api/leaderworkerset/v1)
LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
LWS_RANK: Final = "leaderworkerset.sigs.k8s.io/worker-index"
LWS_GROUP_KEY: Final = "leaderworkerset.sigs.k8s.io/group-key"  # a label whose value is different for each group
LEADER: Final = "leader"
WORKER: Final = "worker"
KINDS: Final = ("inference", "service")  # the kinds of workloads that can have groups


def is_grouped(workload: Mapping[str, Any]) -> bool:
    """Whether an entry under `workloads` of a parsed file, of whatever shape, asks for groups."""
    nodes = workload.get("nodes")
    return workload.get("kind") in KINDS and isinstance(nodes, int) and nodes > 1


def place_of(labels: Mapping[str, str]) -> tuple[int | None, int | None]:
    """(group, rank) of a pod with these labels; None for a pod that is in no group."""
    group = labels.get(GROUP_LABEL, labels.get(LWS_GROUP, ""))
    rank = "0" if labels.get(ROLE_LABEL) == LEADER else labels.get(LWS_RANK, labels.get(SET_INDEX_LABEL, ""))
    if not group.isdecimal():
        return None, None
    return int(group), int(rank) if rank.isdecimal() else None


def leader_set(workload: str, group: int) -> str:
    """The StatefulSet of a group's leader."""
    return f"{workload}-{group}"


def worker_set(workload: str, group: int) -> str:
    """The StatefulSet of a group's other pods, whose numbers are their ranks."""
    return f"{workload}-{group}-workers"


def pod(workload: str, group: int, rank: int) -> str:
    """The pod of a rank, as Kubernetes calls the pods of StatefulSets."""
    return f"{worker_set(workload, group)}-{rank}" if rank else f"{leader_set(workload, group)}-0"

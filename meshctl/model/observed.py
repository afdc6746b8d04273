"""What was seen of the world: nodes and storage classes that `resolve` may use, pods, jobs, how much is deployed. PURE.

Filled by `meshctl.clients` and `meshctl.deploy` with read-only calls; read by `meshctl.resolve`, `meshctl.operate` and
`meshctl.migrate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from pydantic import Field

from meshctl.model.deployment import Taint
from meshctl.model.value import Value


class Requests(Value):
    """What the pods of others request on a node, as the scheduler counts it."""

    cpu: float = 0
    memory_gib: float = 0
    gpus: int = 0
    # how many parts of accelerators, by their extended resource
    gpu_parts: dict[str, int] = Field(default_factory=dict)
    rdma: dict[str, int] = Field(default_factory=dict)  # how many RDMA devices, by their extended resource
    pods: int = 0


class ObservedNode(Value):
    """One node as its cluster describes it. CPU and memory are what the node has; `allocatable_…` what is left of them
    for pods, 0 where that is not told."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    ready: bool = True
    gpu_model: str = ""
    gpu_count: int = 0
    gpu_capacity: int = 0  # unhealthy ones as well; 0 where the node does not say it
    gpu_memory_gib: float = 0
    gpu_resource: str = "nvidia.com/gpu"  # the extended resource of its accelerators
    # the resources by which it offers parts of accelerators, and how many
    gpu_parts: dict[str, int] = Field(default_factory=dict)
    cpu_cores: int
    memory_gib: float
    allocatable_cpu: float = 0
    allocatable_memory_gib: float = 0
    allocatable_pods: int = 0
    scratch_gb: float = 0
    rdma_resource: str = ""
    rdma_count: int = 0
    rdma: dict[str, int] = Field(default_factory=dict)  # all resources of its RDMA devices, with their counts
    huge_pages_mib: int = 0  # allocatable pages of 2 MiB
    arch: Literal["amd64", "arm64"] = "amd64"
    taints: tuple[Taint, ...] = ()
    taken: Requests = Requests()

    def rdma_devices(self, resource: str) -> int:
        """How many RDMA devices the node offers under the name of this resource."""
        return self.rdma.get(resource, self.rdma_count if resource == self.rdma_resource else 0)


@dataclass(frozen=True)
class ShiftedNode:
    """A node that a shift has given to another pool. `home`: the pool that it belongs to; `pool`: the one whose labels
    it carries now."""

    name: str
    home: str
    pool: str


@dataclass(frozen=True)
class OpenShift:
    """A shift that is not undone. `state`: under-way | in-force | undoing. `until`: when the nodes go back (RFC 3339,
    UTC), "" when somebody asks for it. `waiting`: the jobs that stand still until then; `resized`: the gangs that run
    on fewer nodes until then, each with its number before and now."""

    shift: str
    giving: str
    taking: str
    nodes: tuple[str, ...]
    state: str
    until: str = ""
    waiting: tuple[str, ...] = ()
    resized: tuple[tuple[str, int, int], ...] = ()

    def document(self) -> dict[str, object]:
        return {
            "shift": self.shift,
            "from": self.giving,
            "to": self.taking,
            "nodes": list(self.nodes),
            "state": self.state,
            "until": self.until or None,
            "waiting": list(self.waiting),
            "resized": [{"workload": name, "nodes_before": before, "nodes": now} for name, before, now in self.resized],
        }


@dataclass(frozen=True)
class ShiftsInForce:
    """What shifts have changed in an environment. `nodes`: by name; `waiting`: the jobs that stand still until their
    nodes are back; `sizes`: the gangs that run on fewer nodes until then, with their number; `notes`: a line for each
    shift, and `open` its parts, oldest first."""

    nodes: Mapping[str, ShiftedNode] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    open: tuple[OpenShift, ...] = ()

    def gained_nodes(self, pool: str) -> list[str]:
        """The names of the nodes of other pools that it has."""
        return sorted(node.name for node in self.nodes.values() if node.pool == pool != node.home)

    def gained(self, pool: str) -> int:
        """How many nodes the pool has more than it was made with; negative where it has fewer."""
        nodes = self.nodes.values()
        return sum(node.pool == pool for node in nodes) - sum(node.home == pool for node in nodes)


NO_SHIFTS: Final = ShiftsInForce()


class StorageClass(Value):
    name: str
    provisioner: str = ""
    default: bool = False


class ObservedClaim(Value):
    """A PersistentVolumeClaim. `size_gib`: of its volume, or what it asks for while it has none. `binds_late`: its
    class gives it a volume when the first pod comes. `waits_for`: what an unbound one has not got yet, in words; "" for
    one that is bound or binds late."""

    name: str
    namespace: str
    phase: str
    access_modes: tuple[str, ...] = ()
    size_gib: float = 0
    volume_mode: str = "Filesystem"
    binds_late: bool = False
    waits_for: str = ""
    is_leaving: bool = False
    is_made_by_meshctl: bool = False  # and so deleted with its environment


class ObservedFileSystem(Value):
    """A file system of a cloud. `service`: of `FileSystem`, or the service's own word where pods can't mount it.
    `state`: the service's word; `size_gib`: 0 where it grows by itself. `mount_targets`: id -> the VPC of each way to
    it. `zone`: of an EFS file system of one zone, where it can have a mount target; "" for the others."""

    id: str
    service: str
    state: str
    size_gib: int = 0
    dns_name: str = ""
    mount_name: str = ""
    mount_targets: dict[str, str] = Field(default_factory=dict)
    zone: str = ""


class Facts(Value):
    """What a given cluster has. `pods_are_seen`: whether `taken` of the nodes was asked for. `served_apis`: which of
    `meshctl.model.served_apis` it knows, None where nobody asked. `has_kueue`: None where nobody asked. `notes`: what
    could not be looked at or is missing, for the plan. `claims`: those with the names that environments.yaml adopts, in
    whatever namespace; `claims_are_seen`: whether they were asked for. `file_systems`: those of the ids that
    environments.yaml adopts, None where nobody looked. `lacks_for_hold`: what the Kubernetes user may not do of what
    the program for gangs takes, each a verb and a resource."""

    file_systems: tuple[ObservedFileSystem, ...] | None = None
    claims: tuple[ObservedClaim, ...] = ()
    claims_are_seen: bool = False
    nodes: tuple[ObservedNode, ...] = ()
    storage_classes: tuple[StorageClass, ...] = ()
    pods_are_seen: bool = False
    has_kueue: bool | None = None
    served_apis: tuple[str, ...] | None = None
    lacks_for_hold: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def serves(self, api: str) -> bool | None:
        """Whether the cluster knows this one of `meshctl.model.served_apis`; None where nobody asked."""
        return None if self.served_apis is None else api in self.served_apis


@dataclass(frozen=True)
class PodState:
    """One pod as a person would ask about it. `reason` says why it is not ready, where the cluster does.

    `stopping`: it is on a node and was told to end. Its phase stays Running until the node answers.
    """

    name: str
    workload: str
    phase: str
    ready: bool
    node: str
    restarts: int
    reason: str = ""
    stopping: bool = False
    grace_s: int = 0  # how many seconds it may take to end; 0: not known
    short_of: tuple[str, ...] = ()  # of a pod that fits no node: the resources that nodes have too little of
    killed_at: float = 0  # of a pod that is ending: when its grace is over, in seconds since 1970; 0 of any other
    uid: str = ""
    group: int | None = None  # of a replica of several pods: the number of the replica, and the pod's rank in it
    rank: int | None = None
    is_held: bool = False  # whether a program of meshctl keeps the scheduler from it, until all of its gang can start
    waits_for: str = ""  # of a held pod: what its gang waits for, once that program has looked
    in_leader_worker_set: bool = False  # whether a controller makes its group anew as soon as one pod of it ends
    is_lent: bool = False  # whether it serves on a node that another pool lends, or waits for one


@dataclass(frozen=True)
class JobState:
    """One workload's job. `reason`: of a failed one, what Kubernetes says of it; `last_words`: of its last failed
    pod. `suspended`: it has not ended and has no pods, as nothing has started it yet, or a migration has paused it.
    `never_started`: it is suspended and has no start time."""

    workload: str
    ended: Literal["", "complete", "failed"] = ""
    reason: str = ""
    last_words: str = ""
    suspended: bool = False
    never_started: bool = False

    @property
    def why(self) -> str:
        return "; ".join(part for part in (self.reason, self.last_words) if part)


class DeployState(Enum):
    NOTHING = "nothing"
    STORAGE = "storage"  # only the buckets: before a migration brings up the rest, and where a retired one kept data
    PART = "part"  # an `up` or a `destroy` did not finish
    WHOLE = "whole"  # has the namespace that all workloads live in

"""Pools as `resolve` placed them on an environment's machines, with their fabric. PURE.

Read through `meshctl.model.deployment`, of which they are a part.
"""

from __future__ import annotations

from typing import Final, Literal

from meshctl.model.neural_mesh import NodeShare
from meshctl.model.value import Price, Value, added_later

# Labels of nodes. Pools of two meshes may have one name on one cluster, so a node is told by both.
MESH_LABEL: Final = "meshctl.dev/mesh"
POOL_LABEL: Final = "meshctl.dev/pool"

# Of a node on AWS. GPU images are large: CUDA and framework layers alone pass 30 GB.
AWS_ROOT_VOLUME_GIB: Final = 200

# What an EFA pod that takes a whole node asks for, where the node sets aside at least as many.
HUGE_PAGES_MIB: Final = 5120


Market = Literal["on-demand", "spot", "reserved", "capacity-block"]
FabricKind = Literal["efa", "infiniband", "roce", "ethernet"]


class Rejected(Value):
    machine: str
    reason: str


class NetworkInterface(Value):
    """One network interface of a launch template: EC2's own terms."""

    network_card_index: int
    device_index: int
    interface_type: Literal["interface", "efa", "efa-only"]


class Fabric(Value):
    """How a pool's fabric looks in this environment."""

    name: str  # the mesh's fabric
    kind: FabricKind
    bandwidth_gbps: float
    placement: Literal["cluster", "spread", "any"]
    resource: str = ""  # extended resource a pod asks for: vpc.amazonaws.com/efa, rdma/ib
    resource_count: int = 0  # per pod that takes the whole node
    env: dict[str, str] = {}  # NCCL, UCX, libfabric settings for its containers
    interfaces: tuple[NetworkInterface, ...] = ()  # AWS only
    nvlink: Literal["", "rack"] = added_later("")  # "rack": gangs share NVLink between nodes
    networks: tuple[str, ...] = added_later(())  # NetworkAttachmentDefinitions that its pods are attached to
    huge_pages_mib: int | None = added_later(None)  # of a whole node; None = as many as the kind is given
    # the share of the known bus bandwidth without which workloads do not start; 0 = nothing is measured
    expect: float = added_later(0.0)
    is_one_rack: bool = added_later(False)  # given nodes that share NVLink are all of one domain, by their labels
    # environments.yaml says how many devices or that they are EFA: then pods that are up follow it
    is_declared: bool = added_later(False)


_NVIDIA: Final = "nvidia.com/"


class Taint(Value):
    key: str
    value: str
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"]

    def __str__(self) -> str:
        return f"{self.key}{'=' * bool(self.value)}{self.value}:{self.effect}"


class Toleration(Value):
    """A taint that pods may ignore. Without `value`, whatever it says; without `effect`, whatever it does."""

    key: str
    value: str | None = None
    effect: Literal["", "NoSchedule", "NoExecute", "PreferNoSchedule"] = ""


NodeSetup = Literal["huge-pages", "lustre-client", "storage-ports"]  # what a node is set up with at its start


class ReservedCapacity(Value):
    """What the platform says of a pool's reservation. `starts`: when its machines are there, where that is yet to come;
    `ends`: when it ends; `saves_at`: when training on them has to begin to save, as they are taken back before the end.
    All in RFC 3339, in UTC. `has_ended`: the platform takes its machines back, or has, and no other ones can come.
    `placement_group`: the one that its machines are in, which belongs to whoever made the reservation."""

    starts: str = ""
    ends: str = ""
    saves_at: str = added_later("")
    has_ended: bool = added_later(False)
    placement_group: str = ""


def utc_text(moment: str) -> str:
    """`2026-12-02 11:30 UTC` of a moment in RFC 3339, in UTC."""
    return f"{moment[:10]} {moment[11:16]} UTC"


class Pool(Value):
    """A node group. Its nodes carry `labels` (among them MESH_LABEL and POOL_LABEL) and `taints`."""

    name: str
    role: str
    machine: str  # EC2 instance type, CoreWeave instanceType, or a description of the hardware found
    market: Market
    nodes_min: int
    nodes_max: int
    nodes: int  # asked for now: the minimum where the mesh gives a range
    gpu_model: str = ""
    gpus_per_node: int = 0
    gpu_memory_gib: float = 0
    gpu_resource: str = added_later("nvidia.com/gpu")  # the extended resource of its accelerators
    # the slice of an accelerator that counts as one here, "" for whole ones; and its own resource, "" where nodes show
    # slices by `gpu_resource`
    share: str = added_later("")
    share_resource: str = added_later("")
    cpu_cores: int
    memory_gib: float
    scratch_gb: float = 0
    disk_gib: float = 0  # per node, for images and what pods write; 0 = not known
    arch: Literal["amd64", "arm64"] = "amd64"
    zones: tuple[str, ...] = ()  # exactly one where placement is "cluster"
    reservation: str = ""  # capacity reservation or capacity block to target
    reserved: ReservedCapacity | None = added_later(None)  # None = the platform was not asked about it
    ami_type: str = ""  # EKS only
    # the release of the nodes' image that was asked for; "" = the newest for a new pool, and what is up stays
    image_release: str = added_later("")
    setup: tuple[NodeSetup, ...] = added_later(())  # of new nodes on EKS; see `deploy.guards.running.pools.node_setup`
    fabric: Fabric | None = None
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = added_later(())  # of its pods, beside those that meshctl gives them
    # at most so many of its nodes run burst jobs of other pools while they are idle; see `model.keys.lending`
    lends_nodes: int = added_later(0)
    # whether its queue stays although it neither lends nor borrows any more: jobs in it have not ended
    has_jobs_in_queue: bool = added_later(False)
    # what a NeuralMesh takes of each of its nodes, for which new nodes are set up; None = nothing
    storage: NodeShare | None = added_later(None)
    node_names: tuple[str, ...] = ()  # provider kubernetes/onprem: the existing nodes chosen
    rejected: tuple[Rejected, ...] = ()
    alternatives: tuple[str, ...] = ()  # machines that fit too, next best first
    equal_machines: tuple[str, ...] = added_later(
        ()
    )  # those of them that nodes may be where `machine` is not to be had
    price: Price

    @property
    def starts(self) -> str:
        """When its reservation begins, in RFC 3339; "" where it has begun, and without one."""
        return self.reserved.starts if self.reserved else ""

    @property
    def ends(self) -> str:
        """When its reservation ends, in RFC 3339; "" where no end is known, and without one."""
        return self.reserved.ends if self.reserved else ""

    @property
    def has_ended(self) -> bool:
        """Whether its reservation is over, so that nothing can run in it."""
        return self.reserved is not None and self.reserved.has_ended

    @property
    def nodes_now(self) -> int:
        """Those that there can be by now: none before its reservation begins, and none after its end."""
        return 0 if self.starts or self.has_ended else self.nodes

    @property
    def node_usd_per_hour(self) -> float | None:
        """Of one of its nodes; None where the price is unknown, or nothing is asked for."""
        usd = self.price.usd_per_hour
        return usd / self.nodes if usd is not None and self.nodes else None

    @property
    def accelerator_usd_per_hour(self) -> float | None:
        """Of one of its accelerators; None also where it has none."""
        usd, accelerators = self.price.usd_per_hour, self.nodes * self.gpus_per_node
        return usd / accelerators if usd is not None and accelerators else None

    def placed_as(self, other: Pool) -> Pool:
        """The same pool with what an `up` decides for `other`: see `Deployment.placed_as`. How new nodes are set up is
        missing in what an older release planned."""
        decided = ("zones", "reserved", "equal_machines", "setup")
        return self.model_copy(update={name: getattr(other, name) for name in decided})

    @property
    def device_resource(self) -> str:
        """What pods ask for."""
        return self.share_resource or self.gpu_resource

    @property
    def has_whole_nvidia_gpus(self) -> bool:
        """Whether NVIDIA's own programs measure its accelerators: those of other makers have others, and slices are
        neither diagnosed nor used between nodes."""
        return self.gpus_per_node > 0 and self.gpu_resource.startswith(_NVIDIA) and not self.share

    def fabric_devices(self, accelerators: int) -> int:
        """How many of the fabric's devices a pod asks for: all on a whole node, else in proportion to its GPUs."""
        if self.fabric is None or not self.fabric.resource or not accelerators or not self.gpus_per_node:
            return 0
        return max(1, self.fabric.resource_count * min(accelerators, self.gpus_per_node) // self.gpus_per_node)

    def is_filled_by(self, accelerators: int) -> bool:
        """Whether a pod with so many accelerators takes all of a node."""
        return self.gpus_per_node > 0 and accelerators >= self.gpus_per_node

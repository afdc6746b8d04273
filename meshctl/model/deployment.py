"""What `resolve` decided: one mesh in one environment, every choice made. PURE.

Made by `meshctl.resolve`; read by `meshctl.render`, `stacks.*` (which declare and decide nothing), `meshctl.migrate`
and the views. A plain value: equal inputs give equal bytes (`Deployment.digest`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from meshctl.model.health import STARTUP_S, Protocol

# Labels of nodes. Pools of two meshes may have one name on one cluster, so a node is told by both.
MESH_LABEL: Final = "meshctl.dev/mesh"
POOL_LABEL: Final = "meshctl.dev/pool"

# Of a node on AWS. GPU images are large: CUDA and framework layers alone pass 30 GB.
AWS_ROOT_VOLUME_GIB: Final = 200

Provider = str  # the name of a platform: see meshctl.platforms
Market = Literal["on-demand", "spot", "reserved", "capacity-block"]
FabricKind = Literal["efa", "infiniband", "roce", "ethernet"]
WorkloadKind = Literal["inference", "training", "service", "batch"]
User = int | Literal["image", "root"]


class Value(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def added_later(default: Any) -> Any:
    """The default of a field that deployments of older releases don't have, so that those can still be read.

    While it has its default, the field is not written either: a deployment that does not use it keeps its bytes and
    its digest, and older releases can read it.
    """
    return Field(default, exclude_if=lambda value: value == default)


class Price(Value):
    """List or contract price of one thing for one hour. `usd` None means unknown, which is never 0."""

    subject: str  # "pool/train"
    usd_per_hour: float | None
    source: str  # where the number was read, with its date; or why there is none
    date: str = ""


class Gap(Value):
    """Something the mesh wants that the environment can't give."""

    subject: str  # "pool/train"
    wanted: str
    best: str  # the nearest that was found, or "nothing"
    hint: str


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
    networks: tuple[str, ...] = added_later(())  # NetworkAttachmentDefinitions that its pods are attached to
    huge_pages_mib: int | None = added_later(None)  # of a whole node; None = as many as the kind is given
    # environments.yaml says how many devices or that they are EFA: then pods that are up follow it
    is_declared: bool = added_later(False)


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
    cpu_cores: int
    memory_gib: float
    scratch_gb: float = 0
    disk_gib: float = 0  # per node, for images and what pods write; 0 = not known
    arch: Literal["amd64", "arm64"] = "amd64"
    zones: tuple[str, ...] = ()  # exactly one where placement is "cluster"
    reservation: str = ""  # capacity reservation or capacity block to target
    ami_type: str = ""  # EKS only
    fabric: Fabric | None = None
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = added_later(())  # of its pods, beside those that meshctl gives them
    node_names: tuple[str, ...] = ()  # provider kubernetes/onprem: the existing nodes chosen
    rejected: tuple[Rejected, ...] = ()
    alternatives: tuple[str, ...] = ()  # machines that fit too, next best first
    price: Price

    def fabric_devices(self, accelerators: int) -> int:
        """How many of the fabric's devices a pod asks for: all on a whole node, else in proportion to its GPUs."""
        if self.fabric is None or not self.fabric.resource or not accelerators or not self.gpus_per_node:
            return 0
        return max(1, self.fabric.resource_count * min(accelerators, self.gpus_per_node) // self.gpus_per_node)

    def is_filled_by(self, accelerators: int) -> bool:
        """Whether a pod with so many accelerators takes all of a node."""
        return self.gpus_per_node > 0 and accelerators >= self.gpus_per_node


class ObjectStore(Value):
    """A bucket. Pods that mount it get `url` as MESH_<NAME>_URL."""

    name: str
    bucket: str
    prefix: str = ""
    size_gib: float
    endpoint: str = ""  # "" = the AWS endpoint of the region
    region: str
    profile: str = ""  # AWS profile of the operator's machine that may use it; "" = the default credentials
    addressing: Literal["auto", "path", "virtual"] = "auto"
    pod_endpoint: str = ""  # what pods use when that differs (CoreWeave's LOTA cache)
    ephemeral: bool = False
    is_adopted: bool = added_later(False)  # a bucket of somebody else: never created, changed or deleted by meshctl
    price: Price

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


class FileSystem(Value):
    """A shared file system: `service` says what carries it here."""

    name: str
    service: Literal["fsx-lustre", "efs", "storage-class"]
    size_gib: int  # rounded up to what the service sells
    throughput_mbps: float = 0  # MB/s wanted
    per_unit_throughput: int = 0  # FSx: MB/s per TiB
    deployment_type: str = ""  # FSx: PERSISTENT_2, ...
    zone: str = ""
    storage_class: str = ""
    ephemeral: bool = False
    price: Price


class Block(Value):
    """Block storage: one claim for each pod that mounts it."""

    name: str
    size_gib: int
    storage_class: str
    ephemeral: bool = False
    price: Price


class Mount(Value):
    """`object` + read_only: staged into the path before the container starts. `object` writable: by its URL only.
    `local`: a folder of the node's own disk, which is empty when the pod starts and holds at most `local_gib`."""

    storage: str
    kind: Literal["object", "filesystem", "block", "local"]
    path: str
    read_only: bool = False
    ephemeral: bool = False  # scratch: neither moved nor shared between environments
    local_gib: float = added_later(0)


class Health(Value):
    """How a workload is asked. `path` and `live` only by HTTP; `live` "" = liveness is asked as readiness is."""

    path: str = ""
    port: str
    protocol: Protocol = added_later("http")
    live: str = added_later("")
    startup_s: int = added_later(STARTUP_S)


class Metrics(Value):
    port: str
    path: str


class Before(Value):
    """A step that must end well before a pod's container starts. `env` comes on top of the workload's."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class Checkpoint(Value):
    storage: str
    signal: str = "SIGTERM"
    grace_s: int = 120


class Workload(Value):
    """What runs. `replicas` counts pods: nodes of a gang for training."""

    name: str
    kind: WorkloadKind
    pool: str
    replicas: int
    image: str
    image_pull_secrets: tuple[str, ...] = ()  # secrets whose values are Docker configuration files
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = added_later("")  # "" = the image's
    user: User | None = added_later(None)  # None = the mesh names none: see `pod_users`
    root_for_files: bool = added_later(False)  # it shares a file system with pods that must be root
    env: dict[str, str] = {}  # the user's, of mesh.yaml and of environments.yaml
    override_env: tuple[str, ...] = added_later(())  # the names of those that environments.yaml sets
    # of this environment alone: on the workload and its pods; on its pods; merged into the spec of its pods
    labels: dict[str, str] = added_later({})
    annotations: dict[str, str] = added_later({})
    pod: dict[str, Any] = added_later({})
    before: tuple[Before, ...] = added_later(())
    secrets: dict[str, str] = {}  # env name -> secret name
    files: dict[str, str] = added_later({})  # path in the pod -> text
    secret_files: dict[str, str] = added_later({})  # path in the pod -> secret name
    accelerators: int = 0
    cpu: float = 0
    memory_gib: float = 0
    ports: dict[str, int] = {}
    health: Health | None = None
    metrics: Metrics | None = added_later(None)
    mounts: tuple[Mount, ...] = ()
    staged_gib: float = 0  # local disk that one pod's staged and local mounts take
    checkpoint: Checkpoint | None = None
    paused: bool = False  # declared, but at zero pods (a migration's target before start, its source after quiesce)
    # a job that ran to its end in that environment: declared here, and not run again until asked
    finished_in: str = added_later("")
    # what a roll-out does first, where that differs from what `model.roll_outs` takes without it: start one more pod,
    # or end one
    roll_out: Literal["", "new-first", "old-first"] = added_later("")

    @property
    def is_job(self) -> bool:
        """Whether it runs to an end of its own, as a Kubernetes Job."""
        return self.kind in ("training", "batch")

    @property
    def runs(self) -> bool:
        """Whether it is to have pods."""
        return not self.paused and not self.finished_in

    @property
    def writes(self) -> bool:
        """Whether it may change moved data: then it can't run in two environments at once."""
        shared = (mount for mount in self.mounts if not mount.ephemeral)
        return any(not mount.read_only for mount in shared) or self.checkpoint is not None


Access = Literal["", "public", "internal"]


class Endpoint(Value):
    """A name in DNS for a port of a workload. `access`: who reaches its load balancer; "" where the mesh does not say,
    which is public. `cidrs`: the only networks that reach it; none = all of them."""

    name: str
    host: str
    workload: str
    port: str
    access: Access = added_later("")
    cidrs: tuple[str, ...] = added_later(())

    @property
    def is_internal(self) -> bool:
        """Whether only what is inside the network reaches it."""
        return self.access == "internal"


class Subnet(Value):
    name: str  # "public-a", "private-a"
    zone: str
    cidr: str
    public: bool


class AwsNetwork(Value):
    cidr: str
    subnets: tuple[Subnet, ...]


class Cluster(Value):
    """The Kubernetes cluster: made by meshctl on AWS, given by kubeconfig elsewhere."""

    name: str
    version: str = ""  # EKS
    version_asked: bool = False  # by environments.yaml; if not, a cluster that is up keeps its own
    public_access_cidrs: tuple[str, ...] = ("0.0.0.0/0",)  # EKS: who reaches the API server from outside the VPC
    kubeconfig: str = ""  # path; "" = the standard places ($KUBECONFIG, ~/.kube/config)
    context: str = ""


class Deployment(Value):
    mesh: str
    environment: str
    provider: Provider
    region: str
    profile: str = ""  # AWS profile; "" = default credentials
    labels: dict[str, str] = {}
    cluster: Cluster
    network: AwsNetwork | None = None
    pools: tuple[Pool, ...]
    object_stores: tuple[ObjectStore, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()
    blocks: tuple[Block, ...] = ()
    workloads: tuple[Workload, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    # the beginning of images' names -> the mirror that has them here
    images: dict[str, str] = added_later({})

    @property
    def namespace(self) -> str:
        return self.mesh

    def node_labels(self, pool: str) -> dict[str, str]:
        """What tells the nodes of a pool from all others in a cluster."""
        return {MESH_LABEL: self.mesh, POOL_LABEL: pool}

    @property
    def ephemeral(self) -> dict[str, bool]:
        """Every storage by name, and whether it is ephemeral."""
        stores: tuple[ObjectStore | FileSystem | Block, ...]
        stores = (*self.object_stores, *self.file_systems, *self.blocks)
        return {store.name: store.ephemeral for store in stores}

    @property
    def prices(self) -> tuple[Price, ...]:
        things: tuple[Pool | ObjectStore | FileSystem | Block, ...]
        things = (*self.pools, *self.object_stores, *self.file_systems, *self.blocks)
        return tuple(thing.price for thing in things)

    @property
    def hourly_usd(self) -> float | None:
        """Sum of the known prices; None when a pool's price is unknown, or all of them are."""
        prices = [price.usd_per_hour for price in self.prices if price.usd_per_hour is not None]
        nothing_known = bool(self.prices) and not prices
        if nothing_known or any(pool.price.usd_per_hour is None for pool in self.pools):
            return None
        return round(sum(prices), 4)

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON: what a saved plan is checked against."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def pool(self, name: str) -> Pool:
        return next(pool for pool in self.pools if pool.name == name)

    def workload(self, name: str) -> Workload:
        return next(workload for workload in self.workloads if workload.name == name)

    def object_store(self, name: str) -> ObjectStore:
        return next(store for store in self.object_stores if store.name == name)

    def paused(self, names: frozenset[str]) -> Deployment:
        """The same deployment with exactly these workloads paused."""
        workloads = tuple(w.model_copy(update={"paused": w.name in names}) for w in self.workloads)
        return self.model_copy(update={"workloads": workloads})

    def finished(self, marks: Mapping[str, str]) -> Deployment:
        """The same deployment with exactly these marks of finished jobs: workload -> the environment it ended in."""
        workloads = tuple(w.model_copy(update={"finished_in": marks.get(w.name, "")}) for w in self.workloads)
        return self.model_copy(update={"workloads": workloads})

    @property
    def marks(self) -> dict[str, str]:
        """The jobs that are not run again: workload -> the environment it ended in."""
        return {w.name: w.finished_in for w in self.workloads if w.finished_in}

    @property
    def bare(self) -> Deployment:
        """What is declared, whatever of it runs at the moment."""
        return self.paused(frozenset()).finished({})


class Resolution(Value):
    """What `resolve` returns: a deployment, or the gaps that forbid one; the pools' reasons in either case."""

    mesh: str
    environment: str
    deployment: Deployment | None
    gaps: tuple[Gap, ...] = ()
    pools: tuple[Pool, ...] = ()  # those that could be placed, also where something else forbids a deployment
    rejected: dict[str, tuple[Rejected, ...]] = {}  # pool -> every candidate that did not fit
    storage_as: dict[str, str] = {}  # storage name -> what carries it here, in words
    stays_behind: dict[str, str] = {}  # storage that `migrate` can't move, by name: its kind
    notes: tuple[str, ...] = ()  # things a user should know that are no gaps

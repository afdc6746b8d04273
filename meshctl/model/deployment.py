"""What `resolve` decided: one mesh in one environment, every choice made. PURE.

Made by `meshctl.resolve`; read by `meshctl.render`, `stacks.*` (which declare and decide nothing), `meshctl.migrate`
and the views. A plain value: equal inputs give equal bytes (`Deployment.digest`). Its parts stand in modules of their
own beside this one and are read through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from meshctl.model.deployed_pools import (
    AWS_ROOT_VOLUME_GIB,
    HUGE_PAGES_MIB,
    MESH_LABEL,
    POOL_LABEL,
    Fabric,
    FabricKind,
    Market,
    NetworkInterface,
    NodeSetup,
    Pool,
    Rejected,
    ReservedCapacity,
    Taint,
    Toleration,
    utc_text,
)
from meshctl.model.deployed_storage import Block, ExistingFileSystem, FileSystem, NfsExport, ObjectStore
from meshctl.model.deployed_workloads import (
    Before,
    Certificate,
    Checkpoint,
    Elsewhere,
    Health,
    Metrics,
    Mount,
    Scale,
    Workload,
    WorkloadKind,
)
from meshctl.model.neural_mesh import JoinedWeka, NeuralMesh, NodeShare, WekaContainers, WekaEncryption
from meshctl.model.value import Price, Value, added_later

__all__ = [
    "AWS_ROOT_VOLUME_GIB",
    "HUGE_PAGES_MIB",
    "MESH_LABEL",
    "POOL_LABEL",
    "Access",
    "AwsNetwork",
    "Before",
    "Block",
    "Certificate",
    "Checkpoint",
    "Cluster",
    "Deployment",
    "Elsewhere",
    "Endpoint",
    "EndpointCertificate",
    "ExistingFileSystem",
    "Fabric",
    "FabricKind",
    "FileSystem",
    "Gap",
    "Health",
    "JoinedWeka",
    "KaiScheduler",
    "Market",
    "Metrics",
    "Mount",
    "NetworkInterface",
    "NeuralMesh",
    "NfsExport",
    "NodeSetup",
    "NodeShare",
    "ObjectStore",
    "Pool",
    "Price",
    "Provider",
    "Rejected",
    "ReservedCapacity",
    "Resolution",
    "Scale",
    "Subnet",
    "Taint",
    "Toleration",
    "WekaContainers",
    "WekaEncryption",
    "Workload",
    "WorkloadKind",
    "utc_text",
]

Provider = str  # the name of a platform: see meshctl.platforms
Access = Literal["", "public", "internal"]


class EndpointCertificate(Value):
    """A certificate that the platform makes for an endpoint's host, for its load balancer. A record in a DNS zone
    proves the host; `zone` and `profile`: as environments.yaml has them under `dns`."""

    zone: str
    profile: str = ""


class Endpoint(Value):
    """A name in DNS for a port of a workload. `access`: who reaches its load balancer; "" where the mesh does not say
    it, which is public where it is up: see `deploy.guards.running.endpoints.access_default`. `cidrs`: the only networks
    that reach it; none = all of them. Where `routes` or `tls` ask for a gateway, it is the workload: `listens` is then
    the port of its load balancer, and `paths` are those of its routes."""

    name: str
    host: str
    workload: str
    port: str
    access: Access = added_later("")
    cidrs: tuple[str, ...] = added_later(())
    listens: int = added_later(0)  # 0 = on the number of the workload's port
    paths: tuple[str, ...] = added_later(())
    # the port of its gateway that sends clients from HTTP to HTTPS; "" = port 80 of the load balancer is closed
    redirect: str = added_later("")
    # of the load balancer, which then ends TLS; None = it passes on what it gets
    certificate: EndpointCertificate | None = added_later(None)
    # whether its load balancer asks only nodes that run its pods; decided by `guards.running.endpoints.endpoint_nodes`
    own_nodes_only: bool = added_later(False)

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
    one_nat: bool = added_later(False)  # a NAT gateway in one zone for all of them, instead of one in each

    @property
    def nat_zones(self) -> tuple[str, ...]:
        """The zones that have a NAT gateway, in the order of the subnets."""
        zones = tuple(dict.fromkeys(subnet.zone for subnet in self.subnets))
        return zones[:1] if self.one_nat else zones


class Cluster(Value):
    """The Kubernetes cluster: made by meshctl on AWS, given by kubeconfig elsewhere."""

    name: str
    version: str = ""  # EKS
    version_asked: bool = False  # by environments.yaml; if not, a cluster that is up keeps its own
    public_access_cidrs: tuple[str, ...] = ("0.0.0.0/0",)  # EKS: who reaches the API server from outside the VPC
    admins: tuple[str, ...] = added_later(())  # EKS: ARNs of IAM principals that administer it, beside its maker
    maker: str = added_later("")  # EKS: ARN of its maker, who has an access entry; "" = EKS itself lets the maker in
    tags: dict[str, str] = added_later({})  # AWS: on everything that is made for the environment
    permissions_boundary: str = added_later("")  # AWS: ARN of the policy that bounds each role
    role_path: str = added_later("")  # AWS: path of each role
    # versions of add-ons that were asked for, by name; the others have those that the platform gave them
    addon_versions: dict[str, str] = added_later({})
    kubeconfig: str = ""  # path; "" = the standard places ($KUBECONFIG, ~/.kube/config)
    context: str = ""


class KaiScheduler(Value):
    """That KAI Scheduler counts what pools lend. `node_pool`: the name of the part of the cluster, as KAI divides it,
    that has the nodes; "" for all nodes without such a name."""

    node_pool: str = ""


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
    # whether the cluster has a controller for groups of pods (LeaderWorkerSet), which then keeps them
    has_group_controller: bool = added_later(False)
    # whether the queues and flavors of pools that lend or borrow are called MESH.POOL. They were MESH-POOL once, which
    # pools of two meshes could be called
    has_dotted_queues: bool = added_later(False)
    kai: KaiScheduler | None = added_later(None)  # None = Kueue counts what pools lend
    # Kueue counts again, and the queues of KAI Scheduler stay for jobs in them: see `deploy.guards.running`
    kai_queues_stay: bool = added_later(False)
    # the beginning of images' names -> the mirror that has them here
    images: dict[str, str] = added_later({})
    # whether somebody else made the namespace, which `destroy` then leaves: see `deploy.guards.namespaces`
    namespace_is_given: bool = added_later(False)
    # existing nodes that a shift has given to another pool, whose label it leaves alone; the jobs that stand still
    # until such nodes are back; and the elastic gangs that run on fewer nodes until then, with their number
    shifted_nodes: tuple[str, ...] = added_later(())
    jobs_without_nodes: tuple[str, ...] = added_later(())
    jobs_with_fewer_nodes: dict[str, int] = added_later({})
    neural_mesh: NeuralMesh | None = added_later(None)  # None where no file system is carried by one

    @property
    def adopted_claims(self) -> tuple[str, ...]:
        """The claims of somebody else in the mesh's namespace, which go when that is deleted."""
        stores: tuple[FileSystem | Block, ...] = (*self.file_systems, *self.blocks)
        return tuple(sorted(store.existing_claim for store in stores if store.existing_claim))

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
        return None if nothing_known or self.unpriced_pools else round(sum(prices), 4)

    @property
    def unpriced_pools(self) -> tuple[str, ...]:
        """The names of those whose price is unknown, sorted."""
        return tuple(sorted(pool.name for pool in self.pools if pool.price.usd_per_hour is None))

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON: what a saved plan is checked against. The cluster's maker is left out, since
        one engineer may plan what another brings up."""
        document = self.model_dump_json(exclude={"cluster": {"maker"}})
        return hashlib.sha256(document.encode()).hexdigest()

    @property
    def waiting_for_nodes(self) -> tuple[Workload, ...]:
        """The workloads of pools whose reservations are yet to begin, or have ended."""
        waiting = {pool.name for pool in self.pools if pool.starts or pool.has_ended}
        return tuple(workload for workload in self.workloads if workload.pool in waiting)

    def pool(self, name: str) -> Pool:
        return next(pool for pool in self.pools if pool.name == name)

    def workload(self, name: str) -> Workload:
        return next(workload for workload in self.workloads if workload.name == name)

    def object_store(self, name: str) -> ObjectStore:
        return next(store for store in self.object_stores if store.name == name)

    def listening_port(self, endpoint: Endpoint) -> int:
        """The port of the endpoint's load balancer."""
        return endpoint.listens or self.workload(endpoint.workload).ports[endpoint.port]

    def placed_as(self, other: Deployment) -> Deployment:
        """The same deployment with `other`'s answers of the platform, which a run asks for: the zones of pools and file
        systems, the reservations, equal machines and set-up of pools, and the cluster's maker. See
        `model.questions.Findings.placed`. Drains, and the nodes of load balancers, are missing in what an older release
        planned."""
        pools = {pool.name: pool for pool in other.pools}
        systems = {system.name: system.zone for system in other.file_systems}
        without_drain = {each.name for each in other.workloads if each.drain_s is None}
        own_nodes = {each.name: each.own_nodes_only for each in other.endpoints}
        update = {
            "cluster": self.cluster.model_copy(update={"maker": other.cluster.maker}),
            "pools": tuple(each.placed_as(pools.get(each.name, each)) for each in self.pools),
            "file_systems": tuple(
                each.model_copy(update={"zone": systems.get(each.name, each.zone)}) for each in self.file_systems
            ),
            "workloads": tuple(
                each.model_copy(update={"drain_s": None}) if each.name in without_drain else each
                for each in self.workloads
            ),
            "endpoints": tuple(
                each.model_copy(update={"own_nodes_only": own_nodes.get(each.name, each.own_nodes_only)})
                for each in self.endpoints
            ),
        }
        return self.model_copy(update=update)

    def paused(self, names: frozenset[str]) -> Deployment:
        """The same deployment with exactly these workloads paused."""
        workloads = tuple(w.model_copy(update={"paused": w.name in names}) for w in self.workloads)
        return self.model_copy(update={"workloads": workloads})

    def finished(self, marks: Mapping[str, str]) -> Deployment:
        """The same deployment with exactly these marks of finished jobs: workload -> the environment it ended in."""
        workloads = tuple(w.model_copy(update={"finished_in": marks.get(w.name, "")}) for w in self.workloads)
        return self.model_copy(update={"workloads": workloads})

    def with_least(self, replicas: Mapping[str, int]) -> Deployment:
        """The same deployment with exactly these numbers as the least of workloads whose replicas follow load, while a
        migration moves them."""
        workloads = tuple(
            w.model_copy(update={"least_while_moving": replicas.get(w.name, 0) if w.has_range else 0})
            for w in self.workloads
        )
        return self.model_copy(update={"workloads": workloads})

    def shifted(self, nodes: Iterable[str], jobs: Iterable[str], sizes: Mapping[str, int]) -> Deployment:
        """The same deployment while shifts have changed exactly these nodes, have stopped these jobs, and have made
        these gangs as small."""
        update = {
            "shifted_nodes": tuple(sorted(nodes)),
            "jobs_without_nodes": tuple(sorted(jobs)),
            "jobs_with_fewer_nodes": dict(sorted(sizes.items())),
        }
        return self.model_copy(update=update)

    def with_ranks(self, sizes: Mapping[str, int]) -> Deployment:
        """The same deployment with so many ranks in these gangs."""
        workloads = tuple(
            w.model_copy(update={"replicas": sizes.get(w.name, w.replicas) if w.kind == "training" else w.replicas})
            for w in self.workloads
        )
        return self.model_copy(update={"workloads": workloads})

    def nodes_of_gang(self, workload: Workload) -> int:
        """How many ranks a gang has now: fewer than the mesh says while a shift has some of its nodes."""
        return self.jobs_with_fewer_nodes.get(workload.name, workload.replicas)

    @property
    def marks(self) -> dict[str, str]:
        """The jobs that are not run again: workload -> the environment it ended in."""
        return {w.name: w.finished_in for w in self.workloads if w.finished_in}

    @property
    def bare(self) -> Deployment:
        """What is declared, whatever of it runs at the moment, and on which nodes."""
        return self.paused(frozenset()).finished({}).with_least({}).unshifted

    @property
    def unshifted(self) -> Deployment:
        """As it is without any shift."""
        return self.shifted((), (), {})


class Gap(Value):
    """Something the mesh wants that the environment can't give."""

    subject: str  # "pool/train"
    wanted: str
    best: str  # the nearest that was found, or "nothing"
    hint: str


class Resolution(Value):
    """What `resolve` returns: a deployment, or the gaps that forbid one; the pools' reasons in either case."""

    mesh: str
    environment: str
    deployment: Deployment | None
    most_hourly_usd: float | None = None  # where load has brought all replicas; None where it is not known
    gaps: tuple[Gap, ...] = ()
    pools: tuple[Pool, ...] = ()  # those that could be placed, also where something else forbids a deployment
    rejected: dict[str, tuple[Rejected, ...]] = {}  # pool -> every candidate that did not fit
    storage_as: dict[str, str] = {}  # storage name -> what carries it here, in words
    stays_behind: dict[str, str] = {}  # storage that `migrate` can't move, by name: its kind
    notes: tuple[str, ...] = ()  # things a user should know that are no gaps

"""Workloads as they run in one environment. PURE.

Read through `meshctl.model.deployment`, of which they are a part.
"""

from __future__ import annotations

from typing import Any, Literal

from meshctl.model.keys.health import STARTUP_S, Protocol
from meshctl.model.value import Value, added_later

WorkloadKind = Literal["inference", "training", "service", "batch"]
User = int | Literal["image", "root"]


class Mount(Value):
    """`object` + read_only: staged into the path before the container starts. `object` writable: by its URL only.
    `local`: a folder of the node's own disk, which is empty when the pod starts and holds at most `local_gib`."""

    storage: str
    kind: Literal["object", "filesystem", "block", "local"]
    path: str
    read_only: bool = False
    ephemeral: bool = False  # scratch: neither moved nor shared between environments
    local_gib: float = added_later(0)
    is_adopted: bool = added_later(False)  # a claim of somebody else, which all pods that mount it share
    of_one_node: bool = added_later(False)  # only pods of one node can mount it at a time


class Health(Value):
    """How a workload is asked. `path` and `live` only by HTTP; `live` "" = liveness is asked as readiness is."""

    path: str = ""
    port: str
    protocol: Protocol = added_later("http")
    live: str = added_later("")
    startup_s: int = added_later(STARTUP_S)


class Metrics(Value):
    """`pod_monitor`: whether the cluster's Prometheus operator is told of the pods."""

    port: str
    path: str
    pod_monitor: bool = added_later(False)


class Before(Value):
    """A step that must end well before a pod's container starts. `env` comes on top of the workload's."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class Certificate(Value):
    """A certificate that cert-manager makes for a host and renews. `issuer`: a ClusterIssuer."""

    host: str
    issuer: str


class Elsewhere(Value):
    """Where the gateway of an expanded workload leads a share of its requests: the load balancer of another
    environment. `weight`: of 255. `addresses`: IP addresses, so that a gateway starts whatever DNS answers then.
    `certified_host`: the host that its certificate is verified for; "" where it speaks plain HTTP. `is_counted`: the
    gateway writes for each request where it went; not those whose share is of an older release."""

    environment: str
    weight: int
    addresses: tuple[str, ...]
    port: int
    certified_host: str = ""
    is_counted: bool = added_later(False)


class Checkpoint(Value):
    storage: str
    signal: str = "SIGTERM"
    grace_s: int = 120


class Scale(Value):
    """Which load moves the number of replicas: see `meshctl.model.keys.scaling`."""

    metric: str
    target: float
    cooldown_s: int


class Workload(Value):
    """What runs. `replicas` counts what can stand in for each other: pods of a service, groups of pods where
    `nodes_per_replica` is more than 1. For training it counts the nodes of the gang. Where load moves the number, it is
    the least, and `most_replicas` the most."""

    name: str
    kind: WorkloadKind
    pool: str
    replicas: int
    most_replicas: int = added_later(0)  # 0 = `replicas` is a number, not a range
    sleeps: bool = added_later(False)  # load may also bring it to none; `replicas` is then what it starts with
    least_nodes: int = added_later(0)  # with how few nodes a gang goes on; 0 = with none fewer than `replicas`
    scale: Scale | None = added_later(None)  # None with a range = a program that meshctl does not make moves the number
    nodes_per_replica: int = added_later(1)  # more than 1: each replica is a group of so many pods, whose rank 0 serves
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
    after: tuple[str, ...] = added_later(())  # the jobs that must have ended well before this one starts
    # of Kueue: it decides when the job starts, or counts the pods of what serves. Environments.yaml names it for jobs;
    # where pools lend nodes, it is the one of the pool
    queue: str = added_later("")
    # of KAI Scheduler, which then places its pods: see `meshctl.model.keys.kai`
    kai_queue: str = added_later("")
    burst: bool = added_later(False)  # it may also run on nodes that other pools lend
    lenders: tuple[str, ...] = added_later(())  # the pools whose nodes it may borrow here
    # of what serves: how many of the most replicas have no room on its own pool, and so are on nodes that others lend;
    # and how many have room there, if nobody else has borrowed one
    lent_replicas: int = added_later(0)
    lent_places: int = added_later(0)
    # whether a program of meshctl lets the pods of its gang start, all at once: see `meshctl.model.keys.gangs`
    held_together: bool = added_later(False)
    # of a job: whether its pods say that no autoscaler of nodes may move them; see `meshctl.model.keys.evictions`
    stays_on_node: bool = added_later(False)
    secrets: dict[str, str] = {}  # env name -> secret name
    files: dict[str, str] = added_later({})  # path in the pod -> text
    secret_files: dict[str, str] = added_later({})  # path in the pod -> secret name
    accelerators: int = 0
    cpu: float = 0
    memory_gib: float = 0
    ports: dict[str, int] = {}
    health: Health | None = None
    metrics: Metrics | None = added_later(None)
    # how long its pods may take to end open requests; None = as before there was a `drain`, see `drains.UNSAID_S`
    drain_s: int | None = added_later(None)
    mounts: tuple[Mount, ...] = ()
    staged_gib: float = 0  # local disk that one pod's staged and local mounts take
    staging_s: int = added_later(0)  # how long the copy of its staged objects may take, where that is long
    checkpoint: Checkpoint | None = None
    certificate: Certificate | None = added_later(None)  # of an endpoint's gateway, where the platform makes it
    forwards_to: tuple[str, ...] = added_later(())  # of an endpoint's gateway: the workloads that its routes lead to
    # of a gateway whose workload is expanded: where it leads a share; and at the other side, whether it says of a
    # request that no pod has got it
    elsewhere: Elsewhere | None = added_later(None)
    says_unsent: bool = added_later(False)
    # where load moves the replicas: as many as the other side of a migration had, the least until names lead here
    least_while_moving: int = added_later(0)
    paused: bool = False  # declared, but at zero pods (a migration's target before start, its source after quiesce)
    # a job that ran to its end in that environment: declared here, and not run again until asked
    finished_in: str = added_later("")
    # what a roll-out does first, where that differs from what `model.keys.roll_outs` takes without it: start one more
    # pod, or end one; "new-first-unless-full": start one more, unless load has brought as many as there may be
    roll_out: Literal["", "new-first", "old-first", "new-first-unless-full"] = added_later("")

    @property
    def is_job(self) -> bool:
        """Whether it runs to an end of its own, as a Kubernetes Job."""
        return self.kind in ("training", "batch")

    @property
    def is_grouped(self) -> bool:
        """Whether each replica is a group of several pods."""
        return self.nodes_per_replica > 1

    @property
    def is_elastic(self) -> bool:
        """Whether it is a gang that goes on with fewer nodes."""
        return 0 < self.least_nodes < self.replicas

    @property
    def has_range(self) -> bool:
        """Whether the number of its replicas is moved by others, between `replicas` and `most_replicas`."""
        return self.most_replicas > self.replicas or self.sleeps

    @property
    def at_most(self) -> int:
        """The most replicas that it can have."""
        return max(self.replicas, self.most_replicas)

    @property
    def own_at_most(self) -> int:
        """The most replicas that it can have on its own pool, apart from those on nodes that others lend."""
        return self.at_most - self.lent_replicas

    @property
    def at_least(self) -> int:
        """The least replicas that it has now: nodes that others lend promise none."""
        return min(max(self.replicas, self.least_while_moving), self.own_at_most)

    @property
    def lower_bound(self) -> int:
        """The least that load may leave it, on nodes of any pool: none where it sleeps, unless a migration counts on
        its pods."""
        if self.sleeps and not self.least_while_moving:
            return 0
        return min(max(self.replicas, self.least_while_moving), self.at_most)

    @property
    def pods(self) -> int:
        """All of its pods; the least of them, where load moves their number."""
        return self.at_least * self.nodes_per_replica

    @property
    def most_pods(self) -> int:
        """All of its pods, where load has brought as many as it can."""
        return self.at_most * self.nodes_per_replica

    @property
    def own_most_pods(self) -> int:
        """Those of them that its own pool needs room for."""
        return self.own_at_most * self.nodes_per_replica

    @property
    def has_adopted_claim(self) -> bool:
        """Whether its pods mount a claim of somebody else."""
        return any(mount.is_adopted for mount in self.mounts)

    @property
    def runs(self) -> bool:
        """Whether it is to have pods."""
        return not self.paused and not self.finished_in

    @property
    def writes(self) -> bool:
        """Whether it may change moved data: then it can't run in two environments at once."""
        shared = (mount for mount in self.mounts if not mount.ephemeral)
        return any(not mount.read_only for mount in shared) or self.checkpoint is not None

"""What a platform has to bring: a frozen value, made once by the platform's module. PURE.

Made by `meshctl.platforms.aws`, `.coreweave`, `.cluster` and by packages of others; found by `registry`; asked by
`resolve`, `render`, `stacks`, `changes`, `engine`, `migrate` and the CLI, which never ask for a platform's name.

Every part must be given, even where the answer is "nothing": a part that is left out is an error when the platform is
loaded, since a default would be another platform's answer. Only a part that came later than the version `INTERFACE` may
be left out, and is None then; docs/contributing/platform.md lists them.

Functions of a part that get an `environment` get an object of the platform's own `environment` class.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:  # types of the layers above, which the values below are made of
    from meshctl.catalog import Machine, Rdma, StoragePrice
    from meshctl.model import deployment as model
    from meshctl.model import mesh as mesh_model
    from meshctl.model.environment import FabricOptions, Kubeconfig, PlatformEnvironment
    from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings, InPlace, PolicyScope
    from meshctl.model.releases import LivePlatform
    from meshctl.model.stack_state import Resource
    from meshctl.render.objects import PlatformObject
    from meshctl.resolve.data.storage import Place, Stored
    from meshctl.resolve.placement.capacity import Assigned

# Counts the changes of this interface that a platform's module must follow. A platform names the one it was made for.
INTERFACE = 2


class EnvironmentSection:
    """The base of `meshctl.model.environment.PlatformEnvironment`. It stands here so that a platform's section can be
    told from any other class without importing the model, which is a layer above."""


class PartsError(Exception):
    """A platform that isn't complete, or was made for another version of the interface. `registry` says whose."""


class Part:
    """Refuses to be made with parts missing, unknown or of another kind, and names them."""

    def __new__(cls, **parts: Any) -> Any:
        given = parts.get("interface", INTERFACE)
        if given != INTERFACE:
            made_for = f"it was made for version {given} of the platform interface"
            raise PartsError(f"{made_for}, and this is version {INTERFACE}")
        types = {field.name: str(field.type) for field in fields(cls)}  # type: ignore[arg-type]
        required = {field.name for field in fields(cls) if field.default is MISSING}  # type: ignore[arg-type]
        missing, unknown = required - parts.keys(), parts.keys() - types.keys()
        whose = "" if cls.__name__ == "Platform" else f" of its {cls.__name__}"
        if missing:
            names = ", ".join(name for name in types if name in missing)
            raise PartsError(f"it lacks the part{'s' * (len(missing) > 1)} {names}{whose}")
        if unknown:
            raise PartsError(f"the interface has no part {', '.join(sorted(unknown))}{whose}")
        for name, value in parts.items():
            if not _fits(value, types[name]):
                wanted = types[name]
                kind = "Callable" if wanted.startswith("Callable[") else wanted
                raise PartsError(f"its part {name}{whose} is {value!r}, which is no {kind}")
        return super().__new__(cls)


_CONTAINERS: dict[str, type] = {"Mapping": Mapping, "tuple": tuple, "frozenset": frozenset}
_PLAIN: dict[str, type | tuple[type, ...]] = {"str": str, "bool": bool, "int": int, "float": (int, float)}


def _fits(value: object, wanted: str) -> bool:
    """Whether a value is of the type that the interface asks for. `wanted`: a type as it is written there. What stands
    inside a container is looked at where it is a text or a part; any other type of the model passes."""
    if wanted.startswith("Callable[") or wanted == "Declare":
        return callable(value) or (wanted.endswith("] | None") and value is None)
    if wanted.endswith(" | None"):
        return value is None or _fits(value, wanted.removesuffix(" | None"))
    outer, _, inner = wanted.removesuffix("]").partition("[")
    if outer == "Literal":
        return value in ast.literal_eval(f"({inner},)")
    if outer == "type":
        return isinstance(value, type) and issubclass(value, EnvironmentSection)
    if outer in _CONTAINERS:
        return isinstance(value, _CONTAINERS[outer]) and all(
            _fits(each, inside) for each, inside in _inside(value, inner)
        )
    if outer in _PLAIN:
        return isinstance(value, _PLAIN[outer]) and (outer == "bool" or not isinstance(value, bool))
    kind = globals().get(wanted)
    return isinstance(value, kind) if isinstance(kind, type) and issubclass(kind, Part) else True


def _inside(container: Any, inner: str) -> list[tuple[object, str]]:
    """What stands in a container, each with its type. `inner`: what the interface writes between the brackets."""
    if isinstance(container, Mapping):
        key, _, value = inner.rpartition(", ")
        return [*((each, key) for each in container), *((each, value) for each in container.values())]
    element = inner.removesuffix(", ...")
    return [(each, element) for each in container]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterEntries(Part):
    """How an AWS API lets principals into a cluster: the `service` as botocore names it, and the Pulumi types of an
    entry and of a policy that is associated with it. Their inputs are the arguments of the calls that make them."""

    service: str
    entry: str
    policy: str


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeCluster(Part):
    """A Kubernetes cluster that meshctl makes, with all that it stands on.

    `product`: what the platform calls it. `resource_type`: its Pulumi type; the resource has the outputs `name` and
    `version`. `account`: the AWS account that environments.yaml names, "" for none. `profile`: the AWS profile of the
    operator's machine that makes it, "" for none. `network`: the address plan, None where the platform has none to
    make. `kubeconfig`: content made from the cluster's outputs, "" while they don't say enough. `maker`: of the
    resources of a state, the principal that was let into the cluster as its maker; "" where the platform did that by
    itself, and None while there is no cluster, or nobody was. `entries`: what whoever runs `up` gets back if somebody
    has deleted it; None where the platform has no such thing.
    """

    product: str
    resource_type: str
    account: Callable[[Any], str]
    profile: Callable[[Any], str]
    network: Callable[[Any], model.AwsNetwork | None]
    kubeconfig: Callable[[model.Deployment, Mapping[str, Any]], str]
    maker: Callable[[Iterable[Resource]], str | None]
    entries: ClusterEntries | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster(Part):
    """The Kubernetes cluster. `made`: by meshctl; None where it is given, by a kubeconfig. `describe`: the cluster of
    (mesh, name of the environment, environment). `kubeconfig`: how a given cluster is reached; None where meshctl makes
    it, or the environment names none."""

    made: MadeCluster | None
    describe: Callable[[mesh_model.Mesh, str, Any], model.Cluster]
    kubeconfig: Callable[[Any], Kubeconfig | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Machines(Part):
    """The machine types that nodes are made of, and the platform's rules for choosing among them.

    `catalog`: all types, with their prices. `refused_rdma`: the reason, by kind of RDMA, where meshctl can't use it.
    `placement_groups`: whether nodes are placed by groups, whose strategies a type must support. `reservations`: gives
    reserved pools what environments.yaml names; None where any type can be reserved without. `zones`: of
    (environment, whether one zone is needed). `root_disk_gib`: of a node without local NVMe, 0 for not known.
    `image`: the platform's name for the image of a type's nodes, "" for none. `gpu_taints`: what GPU nodes carry where
    the mesh has nodes without GPUs as well. `pool_gaps`: what of a resolved pool the platform can't give.
    `reported_memory`: which share of a type's memory its nodes report. `most_pods`: on a node with at least 30 cores.
    """

    catalog: Callable[[], tuple[Machine, ...]]
    refused_rdma: Mapping[str, str]
    placement_groups: bool
    reservations: Callable[[mesh_model.Mesh, Any], Assigned] | None
    zones: Callable[[Any, bool], tuple[str, ...]]
    root_disk_gib: int
    image: Callable[[Machine], str]
    gpu_taints: tuple[model.Taint, ...]
    pool_gaps: Callable[[model.Pool], tuple[model.Gap, ...]]
    reported_memory: float
    most_pods: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Nodes(Part):
    """Nodes as Kubernetes sees them. `made_of`: the machine types that they are made of; None where the nodes are
    given, and are found by their hardware. `labels`: what the platform puts on a node of a machine type.
    `gpu_tolerations`: for taints that the platform puts on GPU nodes. `has_device_plugins`: whether nodes offer GPUs
    and RDMA devices by themselves; if not, meshctl installs the plugins. `objects`: what makes or marks the nodes
    inside the cluster. `moved_by_others`: (Pulumi type, property) of numbers that others move within bounds of ours,
    which is no drift. `domain_labels`: those that nodes of one rack or switch share, the innermost first. `left_alone`:
    (ending of a logical name, property) of what is declared for new resources alone, so that no `up` sets it back."""

    made_of: Machines | None
    labels: Callable[[Machine], dict[str, str]]
    gpu_tolerations: tuple[dict[str, str], ...]
    has_device_plugins: bool
    objects: Callable[[model.Deployment], tuple[PlatformObject, ...]]
    moved_by_others: frozenset[tuple[str, str]]
    domain_labels: tuple[str, ...] | None = None
    left_alone: frozenset[tuple[str, str]] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Fabric(Part):
    """RDMA. `settings`: NCCL, UCX and libfabric variables for a type's adapters. `interfaces`: the network interfaces
    that its nodes need. `declared`: how RDMA looks on given nodes, by the environment; None where the machine types say
    it. `resources`: beginnings of the extended resources by which nodes offer RDMA devices; a whole name for devices of
    this platform alone, whose `settings` then hold on given nodes as well."""

    settings: Callable[[Rdma], dict[str, str]]
    interfaces: Callable[[Rdma], tuple[model.NetworkInterface, ...]]
    declared: Callable[[Any], FabricOptions | None]
    resources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class GrowOnly(Part):
    """A file system that can't shrink: its `service`, Pulumi type, the detail in its resource's name
    (`storage/shared:lustre`), the input that holds its size in GiB, and what it is called."""

    service: str
    resource_type: str
    detail: str
    size_input: str
    product: str


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeClasses(Part):
    """Storage classes that meshctl makes: the CSI driver, and its parameters."""

    provisioner: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuralMeshNodes(Part):
    """How nodes carry a NeuralMesh, the storage of WEKA.

    `sign_drives`: which of their local drives are taken where environments.yaml does not name them, as the operator of
    WEKA calls it. `interfaces`: how many network interfaces WEKA may have on a node of a machine type in a pool, which
    its operator makes; None where it makes none, so that environments.yaml names devices, which any number of cores
    share. `emptied_by`: (Pulumi type, property) of what makes nodes, whose change replaces them, with empty drives.
    """

    sign_drives: Literal["aws-all", "all-not-root"]
    interfaces: Callable[[Machine, model.Pool], int] | None
    emptied_by: frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage(Part):
    """File systems and block storage: each is resolved to what carries it, or to a gap.

    `prices`: list prices of storage. `made_classes`: how meshctl makes the storage classes of blocks; None where the
    cluster has them.
    `holding_types`: Pulumi types of file systems, which hold data. `grow_only`: those that can't shrink. `neural_mesh`:
    how nodes carry file systems whose engine is `neuralmesh`; None where they are given as they are, with all local
    drives but the root's, and with network devices that environments.yaml names.
    """

    file_system: Callable[[Place, str, mesh_model.Storage], Stored | model.Gap]
    block: Callable[[Place, str, mesh_model.Storage], Stored | model.Gap]
    prices: Callable[[], tuple[StoragePrice, ...]]
    made_classes: MadeClasses | None
    holding_types: tuple[str, ...]
    grow_only: tuple[GrowOnly, ...]
    neural_mesh: NeuralMeshNodes | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreHost(Part):
    """A host that serves object stores in a way of its own: how buckets are addressed, and what pods use instead."""

    addressing: Literal["path", "virtual"]
    pod_endpoint: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectStores(Part):
    """Object stores. `store`: resolves one. `has_keys`: whether pods get keys, those of an AWS profile of the
    operator's machine; if not, each workload has an identity of its own. `takes_tags`: whether buckets get the mesh's
    tags. `bucket_settings`: inputs of every bucket, beside its name. `hosts`: what is special about the platform's own
    endpoints, by host name. `endpoint_hint`: where the platform's endpoint is found, for an error."""

    store: Callable[[Place, str, mesh_model.Storage], Stored | model.Gap]
    has_keys: bool
    takes_tags: bool
    bucket_settings: Mapping[str, Any]
    hosts: Mapping[str, StoreHost]
    endpoint_hint: str


@dataclass(frozen=True, kw_only=True, eq=False)
class BalancerTls(Part):
    """Annotations by which a load balancer ends TLS with a certificate that the platform makes. `certificate`: the
    name of the one whose value is the certificate, which `declare` gives as a deferred value
    (`render.certificate_name`). `ports`: the name of the one whose value is the ports of the Service that speak TLS.
    `settings`: further ones. `longest_host`: for how long a host a certificate can be made."""

    certificate: str
    ports: str
    settings: Mapping[str, str]
    longest_host: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadBalancers(Part):
    """Annotations of the Services of endpoints. `public`: of one that is reached from outside; `internal`: of one that
    only what is inside the network reaches. Both empty: the cluster's load balancer controller decides who does.
    `through_nodes`: whether every node of the cluster would be a target of every load balancer. Those of new endpoints
    then ask only nodes with ready pods of the workload (`externalTrafficPolicy: Local`). `answers_within_s`: how long a
    new one may take until it takes connections, after its Service has got the address. `tls`: None where they end no
    TLS with certificates of the platform."""

    public: Mapping[str, str]
    internal: Mapping[str, str]
    through_nodes: bool
    answers_within_s: int
    tls: BalancerTls | None

    @property
    def tell_access(self) -> bool:
        """Whether internal endpoints have another kind of address than public ones."""
        return self.public != self.internal


@dataclass(frozen=True, kw_only=True, eq=False)
class Egress(Part):
    """What leaving the platform costs, in USD for one decimal GB; None = unknown, never 0."""

    usd_per_gb: float | None
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Words(Part):
    """What is said of the platform.

    `gaps`: what of an environment can't be had. `notes`: what a user should know of it. `not_in_cost`: what a
    deployment costs beside the prices that are known. `credentials_hint`: how somebody gets credentials for
    its API who has none on this machine; "" where meshctl calls none. `failure_hints`: by the error code of an API,
    what a person can do. `terms`: by (Pulumi type, property), what it is called in a plan; `long_terms`: the same for
    values that no person reads. `label_types`: Pulumi types whose labels are shown one by one.
    """

    gaps: Callable[[Any], list[model.Gap]]
    notes: Callable[[Any], tuple[str, ...]]
    not_in_cost: Callable[[model.Deployment], tuple[str, ...]]
    credentials_hint: str
    failure_hints: Mapping[str, str]
    terms: Mapping[tuple[str, str], str]
    long_terms: Mapping[tuple[str, str], str]
    label_types: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Elsewhere(Part):
    """Where else there may be machines for pools that got none.

    `codes`: of failures of node groups which mean that the platform has no such machines at the moment. `questions`:
    as of `Preflight`, about these pools. `places`: zones and machines that are worth a try for one pool, in words.
    """

    codes: frozenset[str]
    questions: Callable[[tuple[model.Pool, ...]], tuple[ApiQuestion, ...]]
    places: Callable[[model.Deployment, model.Pool, Mapping[str, ApiAnswer]], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class NameRights(Part):
    """Whether whoever shares a name between environments may do so, where the platform has the DNS service.

    `dns`: what `dns.provider` of environments.yaml says of that service. `questions`: as of `Preflight`, by the zone.
    `findings`: of the answers, by an environment whose rights the platform can print.
    """

    dns: str
    questions: Callable[[str], tuple[ApiQuestion, ...]]
    findings: Callable[[str, Mapping[str, ApiAnswer]], Findings]


@dataclass(frozen=True, kw_only=True, eq=False)
class Preflight(Part):
    """What the platform is asked before anything is made, and what its answers mean.

    Both get the deployment that is wanted and what of it is there already. `questions`: calls of its API that change
    nothing; none where the run adds nothing. `findings`: of the answers by the questions' names, from which those may
    be missing that nobody got. `elsewhere`: None where the platform can't tell. `policy`: the least rights with which
    an environment is planned, brought up, migrated and destroyed, in the platform's own form; None where it has no such
    form. `name_rights`: None where the platform has no DNS service that meshctl knows.
    """

    questions: Callable[[model.Deployment, InPlace], tuple[ApiQuestion, ...]]
    findings: Callable[[model.Deployment, InPlace, Mapping[str, ApiAnswer]], Findings]
    elsewhere: Elsewhere | None
    policy: Callable[[model.Deployment, PolicyScope], Mapping[str, Any]] | None
    name_rights: NameRights | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Releases(Part):
    """Releases of nodes' images and of add-ons, on which what is up stays until somebody asks for newer ones.

    Asked in two rounds of an environment that is up: `running` is what runs, `newest` what there is for it, by the
    answers of the first round. `live`: what the answers of both mean; those may be missing that nobody got.
    """

    running: Callable[[model.Deployment], tuple[ApiQuestion, ...]]
    newest: Callable[[model.Deployment, Mapping[str, ApiAnswer]], tuple[ApiQuestion, ...]]
    live: Callable[[model.Deployment, Mapping[str, ApiAnswer]], LivePlatform]


class Declare(Protocol):
    """Declares the whole environment inside a Pulumi program, and exports its outputs."""

    def __call__(
        self,
        deployment: model.Deployment,
        late: Mapping[str, Any],
        ready_timeout_s: int = 0,
        *,
        staying: Any = None,
        cluster_uid: str = "",
    ) -> None: ...


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Platform(Part):
    """One platform. `name` is what `provider:` says in environments.yaml, and the name of its entry point.

    `interface`: the version of the interface that it was made for. `environment`: the section of environments.yaml.
    `preflight`: None where the platform has nothing to ask. `releases`: None where meshctl makes nothing that has
    releases.
    """

    interface: int
    name: str
    environment: type[PlatformEnvironment]
    cluster: Cluster
    nodes: Nodes
    fabric: Fabric
    storage: Storage
    objects: ObjectStores
    load_balancers: LoadBalancers
    egress: Egress
    words: Words
    preflight: Preflight | None
    releases: Releases | None
    declare: Declare

    def __repr__(self) -> str:
        return f"<Platform {self.name}>"

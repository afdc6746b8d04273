"""mesh.yaml as a value: what runs, with nothing that names a provider. PURE.

Made by `meshctl.load` (which turns each validation error into a diagnostic with line and column); read by
`meshctl.resolve`. Keys are camelCase in files and snake_case here; quantities are plain numbers with their unit in the
name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from meshctl.errors import Diagnostic
from meshctl.model.files import mig_profiles
from meshctl.model.files.key_values import (
    AbsolutePath,
    Argument,
    Count,
    DnsLabel,
    EnvName,
    FilePath,
    HealthPath,
    Host,
    Image,
    Labels,
    MeshName,
    Models,
    NumberOrAll,
    Port,
    PortName,
    PortReference,
    SecretKey,
    Text,
    User,
    WorkingDir,
    WorkloadName,
    node_range,
    printable,
)
from meshctl.model.files.sections import NUMBER_OR_RANGE, Replicas, Section
from meshctl.model.files.units import Cores, Gbps, Gib, Gigabytes, Mbps, Seconds, Usd
from meshctl.model.keys import scaling
from meshctl.model.keys.blueprints import Blueprint
from meshctl.model.keys.drains import Drain
from meshctl.model.keys.gateways import RoutePath, RouteTarget, TlsForm
from meshctl.model.keys.health import HealthForm, Protocol, Startup
from meshctl.model.keys.source_networks import SourceNetworks


class NodeRange(Section):
    min: Annotated[int, Field(strict=True, ge=0)]
    max: Count


Nodes = Annotated[NodeRange, BeforeValidator(node_range), NUMBER_OR_RANGE]


class Accelerator(Section):
    """Per node. `model` is in order of preference; without it, `memory` or `share` says which accelerators will do.
    `share`: a MIG slice; then `count` counts slices."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [key]} for key in ("model", "memory", "share")]}
    )

    count: Count
    memory_gib: Gib | None = Field(None, alias="memory")
    share: mig_profiles.Share | None = None
    model: Models | None = Field(None, validate_default=True)  # after the keys that its validator asks for

    @field_validator("share")
    @classmethod
    def _has_its_memory(cls, share: str | None, info: ValidationInfo) -> str | None:
        if share is not None and info.data.get("memory_gib") is not None:
            raise ValueError(f"{share} says how much memory the slice has: leave `memory` out")
        return share

    @field_validator("model")
    @classmethod
    def _says_which(cls, model: Models | None, info: ValidationInfo) -> Models | None:
        # a value that can't be read is missing in `data`, and has its own message
        memory_gib, share = info.data.get("memory_gib", 0), info.data.get("share", "")
        if model is None and memory_gib is None and share is None:
            raise ValueError(
                "which accelerator? write {model: H100, count: 8}, or {memory: 80GB, count: 8} for any with that memory"
            )
        for name in model or () if share else ():
            mig_profiles.checked(share, name)
        return model


def _alternatives(value: object) -> object:
    if isinstance(value, list) and not value:
        raise ValueError("an empty list names no accelerator; for nodes without accelerators leave this key out")
    return value if isinstance(value, list | tuple) else [value]


Accelerators = Annotated[
    tuple[Accelerator, ...],
    BeforeValidator(
        _alternatives, json_schema_input_type=Accelerator | Annotated[tuple[Accelerator, ...], Field(min_length=1)]
    ),
]


class Cpu(Section):
    """Minimum per node."""

    cores: Count | None = None
    memory_gib: Gib | None = Field(None, alias="memory")


class Lend(Section):
    """`up_to`: so many nodes of the pool, at most, run workloads of other pools with `burst` while they are idle."""

    up_to: Count


class Pool(Section):
    role: Literal["training", "inference", "analytics", "general"] = "general"
    nodes: Nodes
    accelerators: Accelerators | None = Field(None, alias="accelerator")  # alternatives, in order of preference
    cpu: Cpu = Cpu()
    scratch_gb: Gigabytes | None = Field(None, alias="scratch")
    arch: Literal["amd64", "arm64"] = "amd64"
    fabric: Text | None = None
    capacity: Literal["on-demand", "spot", "reserved"] = "on-demand"
    lend: Lend | None = None


class Fabric(Section):
    """`bandwidth_gbps` is the minimum per node. `nvlink: rack`: pods of a gang share NVLink between nodes, too.
    `expect`: the share of the known bus bandwidth that `up` measures before workloads start."""

    kind: Literal["rdma", "ethernet"]
    bandwidth_gbps: Gbps | None = Field(None, alias="bandwidth")
    placement: Literal["cluster", "spread", "any"] = "any"
    nvlink: Literal["rack"] | None = None
    expect: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None


class Storage(Section):
    """`ephemeral` data is neither moved by migrate nor protected from destroy; `local` data never is.

    `pool`, `tier`, `protection`: of a NeuralMesh file system: whose nodes' drives carry it, to which object store cold
    data goes, and how many nodes may fail at once (None = 2)."""

    kind: Literal["object", "filesystem", "block", "local"]
    size_gib: Gib = Field(alias="size")
    throughput_mbps: Mbps | None = Field(None, alias="throughput")
    engine: Literal["native", "neuralmesh"] = "native"
    pool: Text | None = None
    tier: Text | None = None
    protection: Literal[2, 4] | None = None
    ephemeral: Annotated[bool, Field(strict=True)] = False


class Resources(Section):
    """Per pod. All accelerators: those of a node, whichever the pool has got."""

    accelerators: NumberOrAll = 0
    cpu: Cores | None = None
    memory_gib: Gib | None = Field(None, alias="memory")


class Health(Section):
    """Without `path` a connection counts. `protocol` None: http with a path, else tcp. `live`: a path of its own for
    the question whether to start the container again; `startup_s`: how long a start may take."""

    port: PortReference
    path: HealthPath | None = None
    protocol: Protocol | None = None
    live: HealthPath | None = None
    startup_s: Startup | None = Field(None, alias="startup")


class Metrics(Section):
    """Where a pod answers Prometheus."""

    port: PortReference
    path: Annotated[str, Field(pattern="^/"), AfterValidator(printable)] = "/metrics"


class Mount(Section):
    path: AbsolutePath
    read_only: Annotated[bool, Field(strict=True)] = False


class Before(Section):
    """One step that must end well before a pod's container starts."""

    image: Image
    command: tuple[Argument, ...] = ()
    args: tuple[Argument, ...] = ()
    env: dict[EnvName, Argument] = {}


class Checkpoint(Section):
    storage: Text
    signal: Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] = "SIGTERM"
    grace_s: Seconds = Field(120, alias="grace")


class Elastic(Section):
    """With how few nodes a gang goes on where it has not got all."""

    min: Count


class Scale(Section):
    """Which load moves `replicas`: `target` is that of one replica, for cpu in percent of what a pod asks for.
    `cooldown_s`: how long fewer replicas must have been enough before some go."""

    metric: scaling.Metric
    target: scaling.Target
    cooldown_s: scaling.Cooldown = Field(scaling.COOLDOWN_S, alias="cooldown")


class Workload(Section):
    """`secrets`: by variable, or by path of a file in the pod. `files`: path in the pod -> file beside mesh.yaml, whose
    text `Mesh.text` has. `after`: jobs that must have ended well before this one starts. `burst`: whether it may
    also run on nodes that other pools lend, where it is stopped when they are needed.

    `replicas` counts pods of inference, service and batch, or groups of `nodes` pods of the former two; for training
    `nodes` counts the gang (all or none, but for `elastic`)."""

    kind: Literal["inference", "training", "service", "batch"]
    pool: Text
    replicas: Replicas | None = None
    scale: Scale | None = None
    nodes: Count | None = None
    elastic: Elastic | None = None
    image: Image
    image_pull_secrets: tuple[DnsLabel, ...] = ()
    command: tuple[Argument, ...] = ()
    args: tuple[Argument, ...] = ()
    working_dir: WorkingDir | None = None
    user: User | None = None
    env: dict[EnvName, Argument] = {}
    before: tuple[Before, ...] = ()
    after: tuple[Text, ...] = ()
    burst: Annotated[bool, Field(strict=True)] = False
    secrets: dict[SecretKey, DnsLabel] = {}
    files: dict[FilePath, Text] = {}
    resources: Resources = Resources()
    ports: dict[PortName, Port] = {}
    health: Annotated[Health, HealthForm] | None = None
    metrics: Metrics | None = None
    drain_s: Drain | None = Field(None, alias="drain")
    mounts: dict[str, Mount] = {}
    checkpoint: Checkpoint | None = None


class Tls(Section):
    """`secret` None: the platform makes the certificate."""

    secret: DnsLabel | None = None


class Endpoint(Section):
    """A port of a workload, or `routes`: the beginning of a path -> WORKLOAD/PORT. `tls` None: what the workload speaks
    is passed on. `access` None: the mesh does not say; a new one is internal then. `cidrs`: the only networks that
    reach it."""

    host: Host
    workload: Text | None = None
    port: PortReference | None = None
    routes: dict[RoutePath, RouteTarget] | None = None
    tls: Annotated[Tls | None, TlsForm] = None
    access: Literal["internal", "public"] | None = None
    cidrs: SourceNetworks | None = None


class Limits(Section):
    hourly_usd: Usd | None = Field(None, alias="hourly")


Made = dict[str, list[tuple[str, str]]]  # blueprint -> (section, name) of what it makes


class Mesh(Section):
    """The whole of mesh.yaml, its blueprints expanded. References between its parts hold (checked by
    `meshctl.model.files.references`)."""

    api_version: Literal["meshctl/v1"]
    kind: Literal["Mesh"]
    name: MeshName
    labels: Labels = {}
    pools: Annotated[dict[DnsLabel, Pool], Field(min_length=1)]
    fabrics: dict[DnsLabel, Fabric] = {}
    storage: dict[DnsLabel, Storage] = {}
    workloads: dict[WorkloadName, Workload] = {}
    endpoints: dict[DnsLabel, Endpoint] = {}
    blueprints: dict[WorkloadName, Blueprint] = {}
    limits: Limits = Limits()
    _mistakes: tuple[Diagnostic, ...] = PrivateAttr(())
    _texts: dict[str, str] = PrivateAttr(default_factory=dict)
    _made: Made = PrivateAttr(default_factory=dict)

    @property
    def mistakes(self) -> tuple[Diagnostic, ...]:
        """What forbids to bring the mesh up, and not to look at what is up or to delete it: an older version may have
        allowed it. Found by `load`, raised by `resolve`."""
        return self._mistakes

    def text(self, file: str) -> str:
        """The text of a file that `files` of a workload names; `load` has read it."""
        return self._texts[file]

    @property
    def made(self) -> Made:
        """What each blueprint has made of itself; it is among `workloads`, `storage` and `endpoints`."""
        return self._made

    def with_findings(self, mistakes: tuple[Diagnostic, ...], texts: dict[str, str], made: Made | None = None) -> Mesh:
        """The mesh with what `load` found beside the sections of the file: mistakes, the texts of files by their names,
        and what the blueprints have made."""
        copy = self.model_copy()
        copy._mistakes, copy._texts, copy._made = mistakes, texts, made or {}
        return copy

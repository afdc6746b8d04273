"""environments.yaml as a value: where a mesh can run. PURE.

Made by `meshctl.load`, which also expands the paths in it; read by `meshctl.resolve` and, for `dns`, `state` and
`secrets`, by `meshctl.engine` and `meshctl.migrate`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, Self, Union

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from meshctl.errors import Diagnostic
from meshctl.model.deployment import KaiScheduler, Toleration
from meshctl.model.files.addresses import Backend, HostedZone, Region, SecretsProvider, Url
from meshctl.model.files.key_values import Argument, DnsLabel, EnvName, LabelKey, LabelValue, Text
from meshctl.model.files.nested import merged
from meshctl.model.files.sections import Section
from meshctl.model.files.units import Seconds, UsdPerHour
from meshctl.model.keys.neural_mesh import NeuralMeshOptions, WekaCluster
from meshctl.model.pods import image_names, pod_networks, pod_overrides
from meshctl.platforms import registry
from meshctl.platforms.interface import EnvironmentSection


def _variable(text: str) -> str:
    # As Kubernetes checks the names of a container's variables (validation.IsRelaxedEnvVarName)
    if not re.fullmatch(r"[ -<>-~]+", text):
        raise ValueError(f'"{text}" is not a name for an environment variable: ASCII letters, digits and signs but "="')
    if text.startswith("MESH_"):
        raise ValueError(f'"{text}": names that start with MESH_ are set by meshctl')
    return text


def _extended_resource(text: str) -> str:
    # As Kubernetes checks the names of extended resources (validation.IsExtendedResourceName, IsQualifiedName)
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text):
        raise ValueError(f'"{text}" is not an extended resource like rdma/hca')
    return text


ALL = "*"  # under `workloads`: every workload
Prices = dict[Text, UsdPerHour]
_Mirrors = dict[
    Annotated[str, AfterValidator(image_names.checked_beginning)],
    Annotated[str, AfterValidator(image_names.checked_place)],
]


class Kubeconfig(Section):
    """An existing cluster. Without `kubeconfig`: $KUBECONFIG, then ~/.kube/config. `load` makes the path absolute."""

    kubeconfig: Text | None = None
    context: Text | None = None


class ObjectStorage(Section):
    """An S3-compatible store. Without `endpoint`, the `endpoint_url` of the AWS profile holds."""

    endpoint: Url | None = None
    profile: Text | None = None
    region: Region | None = None
    addressing: Literal["auto", "path", "virtual"] | None = None


class StorageClasses(Section):
    filesystem: Text | None = None
    block: Text | None = None


class FabricSettings(Section):
    """Settings for the containers that use RDMA. They win over those that the platform gives."""

    env: dict[Annotated[str, AfterValidator(_variable)], Argument] = Field(default_factory=dict)


class TolerationOption(Section):
    """A taint of the cluster's nodes that all pods of the mesh may ignore, as a toleration of Kubernetes: without
    `value` whatever the taint says, without `effect` whatever it does."""

    key: LabelKey
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] | None = None


def _label_key(text: str) -> str:
    prefix, slash, name = text.rpartition("/")
    valid_prefix = not slash or re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", prefix)
    if not valid_prefix or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", name):
        raise ValueError(f'"{text}" is not a key like kueue.x-k8s.io/queue-name')
    if prefix in _OWN_PREFIXES:
        raise ValueError(f'"{text}": keys that begin with {prefix}/ are set by meshctl')
    return text


def _label_value(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", text):
        raise ValueError(f'"{text}" is not a label value: at most 63 letters, digits, "-", "_", "."')
    return text


def _matching(pattern: str, complaint: str) -> AfterValidator:
    """A validator that accepts a text which the pattern matches as a whole. `complaint`: what is said of any other
    text."""

    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f'"{text}" is not {complaint}')
        return text

    return AfterValidator(checked)


# The rule of Kubernetes for the name of a LocalQueue, and that of Kueue for the label with this name
_Queue = Annotated[
    str,
    _matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", 'the name of a LocalQueue of Kueue: lower-case letters, digits and "-"'
    ),
]
_OWN_PREFIXES = ("meshctl.dev", "app.kubernetes.io", "batch.kubernetes.io", "pulumi.com")
_LabelKey = Annotated[str, AfterValidator(_label_key)]
_Annotations = Annotated[dict[_LabelKey, Argument], AfterValidator(pod_networks.checked)]


class WorkloadOverrides(Section):
    """What holds for one workload in one environment only. `pod` is merged into the spec of its pods. `queue`: of
    Kueue, for jobs."""

    labels: dict[_LabelKey, Annotated[str, AfterValidator(_label_value)]] = Field(default_factory=dict)
    annotations: _Annotations = Field(default_factory=dict)
    env: dict[EnvName, Argument] = Field(default_factory=dict)
    pod: Annotated[dict[str, Any], AfterValidator(pod_overrides.checked)] = Field(default_factory=dict)
    queue: _Queue | None = None


class FabricOptions(FabricSettings):
    """How RDMA looks on an existing cluster, where its nodes don't say it.

    `resource`: the extended resource that a pod asks for. `count`: how many of them a pod that takes a whole node asks
    for. `networks`: NetworkAttachmentDefinitions that a pod is attached to; () where pods need none, None where the
    file doesn't say.
    """

    kind: Literal["infiniband", "roce", "efa"] | None = None
    resource: Annotated[str, AfterValidator(_extended_resource)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    networks: tuple[Annotated[str, AfterValidator(pod_networks.checked_name)], ...] | None = None


_IssuerName = Annotated[
    str, _matching(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", "the name of a ClusterIssuer like letsencrypt")
]
_BucketName = Annotated[
    str,
    _matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket; write it without s3:// and without a path"),
]
_ClaimName = Annotated[
    str,
    _matching(
        r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        "the name of a PersistentVolumeClaim; write it without a namespace: it must be in the mesh's own, since pods"
        " can't mount claims of another",
    ),
]
_NfsExport = Annotated[
    str,
    _matching(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):/[^\s,]*", "an NFS export like nfs.example.com:/export"),
]
_MountOption = Annotated[str, _matching(r"[A-Za-z0-9_.=:/-]+", "a mount option like nfsvers=4.1")]
_FileSystemId = Annotated[str, _matching(r"fs-[0-9a-f]{8,40}", "the id of a file system like fs-0123456789abcdef0")]


class ExistingStorage(Section):
    """Storage that exists already: used, and never created, changed or deleted by meshctl. It is one of a bucket, a
    claim in the mesh's namespace, an NFS export, a file system of a cloud, and a place in a WEKA cluster, which
    `references` checks."""

    bucket: _BucketName | None = None
    claim: _ClaimName | None = None
    nfs: _NfsExport | None = None
    mount_options: tuple[_MountOption, ...] = ()
    file_system: _FileSystemId | None = None
    weka: WekaCluster | None = None


class Certificates(Section):
    """Who makes certificates: a ClusterIssuer of cert-manager, which is there already."""

    cluster_issuer: _IssuerName


def _counter(value: object) -> object:
    if value == "runai":
        raise ValueError(
            "Run:ai makes the queues of its projects itself, and takes back what is above a project's quota; meshctl"
            " writes none beside them. Leave `lending` out, take `lend` from the mesh, and send single workloads to a"
            " project by `workloads.NAME.labels` and `workloads.NAME.pod.schedulerName`"
        )
    return value


class Lending(Section):
    """Who counts what pools lend here. `node_pool`: where KAI Scheduler has divided the cluster, the name of the part
    that the nodes are in."""

    by: Annotated[Literal["kueue", "kai"], BeforeValidator(_counter)]
    node_pool: Annotated[LabelValue, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _node_pool_is_of_kai(self) -> Self:
        if self.node_pool is not None and self.by != "kai":
            raise ValueError(
                "`nodePool` can only be used with `by: kai`, because Kueue does not divide a cluster; leave it out"
            )
        return self


class PlatformEnvironment(Section, EnvironmentSection):
    """One entry under `environments:`. Each platform has its own, whose `provider` is a Literal with its name."""

    provider: str
    region: Text | None = None
    prices: Prices = Field(default_factory=dict)
    storage: dict[Text, ExistingStorage] = Field(default_factory=dict)
    workloads: dict[Text, WorkloadOverrides] = Field(default_factory=dict)  # "*" holds for all
    # the beginning of images' names -> where they are here
    images: Annotated[_Mirrors, AfterValidator(image_names.checked)] = Field(default_factory=dict)
    fabric: FabricSettings = FabricSettings()
    neural_mesh: NeuralMeshOptions = NeuralMeshOptions()

    @property
    def has_file_system_ids(self) -> bool:
        """Whether file systems of the platform have ids, by which it can be asked about them."""
        return False

    @property
    def offered_types(self) -> tuple[str, ...]:
        """Machine types that the region has by now, although the catalog's dated table does not list it for them."""
        return ()

    @classmethod
    def problems(
        cls, section: Mapping[str, Any], pools: Collection[str] | None
    ) -> list[tuple[tuple[str | int, ...], str]]:
        """Problems between the keys of a section, as (path, message) pairs, that validation of the single keys can't
        find. `section`: as it is written. `pools`: the names of the mesh's pools, None where they can't be read."""
        del section, pools  # for the platforms that look at them
        return []

    @property
    def pod_tolerations(self) -> tuple[Toleration, ...]:
        """What all pods tolerate, in addition to what meshctl has them tolerate."""
        return ()

    @property
    def kai(self) -> KaiScheduler | None:
        """KAI Scheduler, where it counts what pools lend; None where Kueue does."""
        return None

    @property
    def certificate_issuer(self) -> str | None:
        """The ClusterIssuer of certificates; "" where the file may name one and does not, None where none can be."""
        return None

    def overrides_of(self, workload: str) -> list[WorkloadOverrides]:
        """The overrides for a workload: those for all workloads, and then its own, which win."""
        return [self.workloads[name] for name in (ALL, workload) if name in self.workloads]

    def pod_fields(self, workload: str) -> dict[str, Any]:
        """The fields that are merged into the spec of the workload's pods."""
        return functools.reduce(merged, (each.pod for each in self.overrides_of(workload)), {})

    @classmethod
    def own_registry(cls, image: str) -> str:
        """What to know when nodes of another platform pull this image, if it is in a private registry of this platform,
        which its own nodes use without `imagePullSecrets`. A sentence without its first capital and its full stop; ""
        for every other image."""
        del image  # for the platforms that have a registry
        return ""


class GivenClusterEnvironment(PlatformEnvironment):
    """An environment on a cluster that exists, with the object store and the storage classes that go with it."""

    kubernetes: Kubeconfig | None = Kubeconfig()
    object_storage: ObjectStorage | None = None
    storage_classes: StorageClasses = StorageClasses()
    tolerations: tuple[TolerationOption, ...] = ()
    certificates: Certificates | None = None
    lending: Lending | None = None

    @property
    def kai(self) -> KaiScheduler | None:
        if self.lending is None or self.lending.by != "kai":
            return None
        return KaiScheduler(node_pool=self.lending.node_pool or "")

    @property
    def pod_tolerations(self) -> tuple[Toleration, ...]:
        return tuple(Toleration(**each.model_dump(exclude_none=True)) for each in self.tolerations)

    @property
    def certificate_issuer(self) -> str | None:
        return self.certificates.cluster_issuer if self.certificates is not None else ""


class UnusableEnvironment(PlatformEnvironment):
    """An entry whose `provider` names no platform that can be used here. Nothing else of it is read, and environments
    on other platforms go on. `mistake`: what is wrong, at its place in the file; set by `load`."""

    mistake: Diagnostic | None = None


def has_unusable_platform(section: object) -> bool:
    """Whether an entry under `environments:`, as it is written, names a platform that can't be used here."""
    provider = section.get("provider") if isinstance(section, Mapping) else None
    return isinstance(provider, str) and provider != "" and provider not in registry.installed().platforms


def _read_entry(section: Any, by_provider: Callable[[Any], PlatformEnvironment]) -> PlatformEnvironment:
    return UnusableEnvironment(provider=section["provider"]) if has_unusable_platform(section) else by_provider(section)


class _ByProvider:
    """Has an entry read as the class of the platform that its `provider` names, one of those that are installed; where
    that can't be used, as an `UnusableEnvironment`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        classes = tuple(platform.environment for platform in registry.platforms())
        by_provider = handler.generate_schema(Annotated[Union[classes], Field(discriminator="provider")])  # noqa: UP007
        return core_schema.no_info_wrap_validator_function(_read_entry, by_provider)


Environment = Annotated[PlatformEnvironment, _ByProvider()]


class Dns(Section):
    """Where the endpoints' names live. `zone` is a hosted zone's id or its name."""

    provider: Literal["route53"]
    zone: HostedZone
    ttl_s: Seconds = Field(30, alias="ttl")
    profile: Text | None = None


class State(Section):
    """Pulumi backend and secrets provider."""

    backend: Backend = "file://./.meshctl/state"
    secrets: SecretsProvider = "passphrase"


class SecretSource(Section):
    """Where a workload's secret is read from: an environment variable or a file of the operator's machine."""

    env: Text | None = None
    file: Text | None = None


class Environments(Section):
    """The whole of environments.yaml."""

    # built at its first use: the platforms, whose sections are a part of it, import this module
    model_config = ConfigDict(defer_build=True)

    api_version: Literal["meshctl/v1"]
    kind: Literal["Environments"]
    environments: Annotated[dict[DnsLabel, Environment], Field(min_length=1)]
    dns: Dns | None = None
    state: State = State()
    secrets: dict[DnsLabel, SecretSource] = Field(default_factory=dict)

    @property
    def mistakes(self) -> list[Diagnostic]:
        """What is wrong with the entries whose platforms can't be used here."""
        unusable = [entry for entry in self.environments.values() if isinstance(entry, UnusableEnvironment)]
        return [entry.mistake for entry in unusable if entry.mistake is not None]

    def mistake(self, name: str) -> Diagnostic | None:
        """What is wrong with this entry; None for one whose platform can be used."""
        entry = self.environments.get(name)
        return entry.mistake if isinstance(entry, UnusableEnvironment) else None

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The variables of the operator's environment that `secrets` names."""
        return tuple(source.env for source in self.secrets.values() if source.env)

    def secret_source(self, name: str) -> SecretSource:
        """The source of a workload secret; by default the variable MESHCTL_SECRET_<NAME>."""
        default = SecretSource(env="MESHCTL_SECRET_" + name.upper().replace("-", "_"))
        return self.secrets.get(name, default)

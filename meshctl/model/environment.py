"""environments.yaml as a value: where a mesh can run. PURE.

Made by `meshctl.load`, which also expands the paths in it; read by `meshctl.resolve` and, for `dns`, `state` and
`secrets`, by `meshctl.engine` and `meshctl.migrate`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from meshctl.model.addresses import AwsRegion, AwsZone, Backend, HostedZone, Region, SecretsProvider, Url
from meshctl.model.mesh import Argument, DnsLabel, Section, Text
from meshctl.model.units import Seconds, UsdPerHour


def _cidr(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not an IPv4 network like 10.64.0.0/16 ({error})') from None
    if not 16 <= network.prefixlen <= 24:
        raise ValueError(f'"{text}": a VPC for a mesh is between /16 and /24')
    return text


_PRIVATE = tuple(ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def _public_cidr(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not an IPv4 network like 203.0.113.0/24 ({error})') from None
    if any(network.subnet_of(private) for private in _PRIVATE):  # which EKS refuses
        raise ValueError(f'"{text}" is a private network: from there the API server is reached inside the VPC')
    return str(network)


def _variable(text: str) -> str:
    # As Kubernetes checks the names of a container's variables (validation.IsRelaxedEnvVarName)
    if not re.fullmatch(r"[ -<>-~]+", text):
        raise ValueError(f'"{text}" is not a name for an environment variable: ASCII letters, digits and signs but "="')
    return text


def _reservation(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


def _account(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12:
        raise ValueError(f'write it in quotes: "{value:012d}" (as a number it could lose its zeros)')
    raise ValueError("expected an AWS account's twelve digits, in quotes")


_TwelveDigits = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
AccountId = Annotated[_TwelveDigits, BeforeValidator(_account, json_schema_input_type=_TwelveDigits)]
Cidr = Annotated[str, AfterValidator(_cidr)]
PublicCidr = Annotated[str, AfterValidator(_public_cidr)]
Prices = dict[Text, UsdPerHour]
EVERYWHERE = "0.0.0.0/0"


class Reservation(Section):
    """A capacity reservation or capacity block. `pool` and `zone` may be left out: pools then take them in order."""

    id: Text
    pool: Text | None = None
    zone: AwsZone | None = None


Reservations = tuple[
    Annotated[
        Reservation,
        BeforeValidator(_reservation),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {name: {"type": "string"} for name in ("id", "pool", "zone")},
                        "required": ["id"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ],
    ...,
]


class Capacity(Section):
    reservations: Reservations = ()
    blocks: Reservations = ()


class Adopt(Section):
    """Existing AWS objects to build on."""

    vpc: Text | None = None
    subnets: tuple[Text, ...] = ()
    cluster: Text | None = None


class Network(Section):
    cidr: Cidr = "10.64.0.0/16"
    adopt: Adopt | None = None


class EksOptions(Section):
    """`public_access_cidrs`: who may reach the API server from outside the VPC; with none, nobody."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]+$")] | None = None
    public_access_cidrs: tuple[PublicCidr, ...] = (EVERYWHERE,)


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


class FabricOptions(Section):
    """How RDMA looks on an existing cluster: the extended resource a pod asks for, and settings for its containers."""

    kind: Literal["infiniband", "roce"] = "infiniband"
    resource: Text = "rdma/ib"
    env: dict[Annotated[str, AfterValidator(_variable)], Argument] = Field(default_factory=dict)


class AwsEnvironment(Section):
    provider: Literal["aws"]
    region: AwsRegion
    zones: Annotated[tuple[AwsZone, ...], Field(min_length=1)]
    profile: Text | None = None
    account: AccountId | None = None
    network: Network = Network()
    capacity: Capacity = Capacity()
    kubernetes: EksOptions = EksOptions()
    prices: Prices = Field(default_factory=dict)


class CoreweaveEnvironment(Section):
    provider: Literal["coreweave"]
    region: Region
    kubernetes: Kubeconfig = Kubeconfig()
    object_storage: ObjectStorage | None = None
    storage_classes: StorageClasses = StorageClasses()
    prices: Prices = Field(default_factory=dict)


class KubernetesEnvironment(Section):
    provider: Literal["kubernetes"]
    region: Text | None = None
    kubernetes: Kubeconfig = Kubeconfig()
    object_storage: ObjectStorage | None = None
    storage_classes: StorageClasses = StorageClasses()
    fabric: FabricOptions = FabricOptions()
    prices: Prices = Field(default_factory=dict)


class OnpremEnvironment(Section):
    provider: Literal["onprem"]
    region: Text | None = None
    inventory: Text | None = None
    kubernetes: Kubeconfig | None = None
    object_storage: ObjectStorage | None = None
    storage_classes: StorageClasses = StorageClasses()
    fabric: FabricOptions = FabricOptions()
    prices: Prices = Field(default_factory=dict)


Environment = Annotated[
    AwsEnvironment | CoreweaveEnvironment | KubernetesEnvironment | OnpremEnvironment, Field(discriminator="provider")
]


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

    api_version: Literal["meshctl/v1"]
    kind: Literal["Environments"]
    environments: Annotated[dict[DnsLabel, Environment], Field(min_length=1)]
    dns: Dns | None = None
    state: State = State()
    secrets: dict[DnsLabel, SecretSource] = Field(default_factory=dict)

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The variables of the operator's environment that `secrets` names."""
        return tuple(source.env for source in self.secrets.values() if source.env)

    def secret_source(self, name: str) -> SecretSource:
        """The source of a workload secret; by default the variable MESHCTL_SECRET_<NAME>."""
        default = SecretSource(env="MESHCTL_SECRET_" + name.upper().replace("-", "_"))
        return self.secrets.get(name, default)

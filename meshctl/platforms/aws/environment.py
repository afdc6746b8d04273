"""The section of environments.yaml for AWS. PURE.

Part of the platform (`meshctl.platforms.aws`); read by `meshctl.load` through `model.environment`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from meshctl.model.environment import PlatformEnvironment, Prices
from meshctl.model.files.addresses import AwsRegion, AwsZone
from meshctl.model.files.file_problems import Problem, missing
from meshctl.model.files.key_values import Text
from meshctl.model.files.sections import Section
from meshctl.platforms.aws.guard_rails import PermissionsBoundary, RequiredTags, RolePath


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
    if any(network.subnet_of(private) for private in _PRIVATE):  # EKS refuses private networks here
        raise ValueError(f'"{text}" is a private network: from there the API server is reached inside the VPC')
    return str(network)


def _principal(text: str) -> str:
    if re.fullmatch(r"arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/.+", text):
        raise ValueError(f'"{text}" is a session of a role; write the role: arn:aws:iam::ACCOUNT:role/NAME')
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+", text):
        raise ValueError(f'"{text}" is not an IAM role or user like arn:aws:iam::123456789012:role/platform')
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
Principal = Annotated[str, AfterValidator(_principal)]
EVERYWHERE = "0.0.0.0/0"

# Private repositories of ECR, by IPv4, dual-stack and FIPS endpoints (Amazon ECR user guide, "Private registries" and
# "Private registry authentication")
_ECR = re.compile(r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)/")
_ECR_ELSEWHERE = (
    "a token of ECR lasts 12 hours, after which no new pod can pull the image: keep a copy in a registry whose"
    " credentials last, or renew the secret's value and run `up` before"
)


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
    nat: Literal["perZone", "one"] = "perZone"
    adopt: Adopt | None = None


class EksOptions(Section):
    """`public_access_cidrs`: who may reach the API server from outside the VPC; with none, nobody. `admins`: ARNs of
    IAM roles and users that administer the cluster, beside whoever made it."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]+$")] | None = None
    public_access_cidrs: tuple[PublicCidr, ...] = (EVERYWHERE,)
    admins: tuple[Principal, ...] = ()


class AwsEnvironment(PlatformEnvironment):
    """`tags`: on everything that is made. `permissions_boundary` and `role_path`: of every IAM role that is made.
    `offered`: instance types that the region has by now, whatever the catalog's dated table says."""

    provider: Literal["aws"]
    region: AwsRegion
    zones: Annotated[tuple[AwsZone, ...], Field(min_length=1)]
    profile: Text | None = None
    account: AccountId | None = None
    network: Network = Network()
    capacity: Capacity = Capacity()
    kubernetes: EksOptions = EksOptions()
    tags: RequiredTags = Field(default_factory=dict)
    permissions_boundary: PermissionsBoundary | None = None
    role_path: RolePath | None = None
    offered: tuple[Text, ...] = ()
    prices: Prices = Field(default_factory=dict)

    @property
    def has_file_system_ids(self) -> bool:
        return True

    @property
    def offered_types(self) -> tuple[str, ...]:
        return self.offered

    @classmethod
    def problems(
        cls, section: Mapping[str, Any], pools: Collection[str] | None
    ) -> list[tuple[tuple[str | int, ...], str]]:
        """Problems of a section: zones outside of the region, zones that appear twice, and reservations for pools that
        the mesh does not have."""
        return [*_zones(section), *_reservations(section, pools)]

    @classmethod
    def own_registry(cls, image: str) -> str:
        return _ECR_ELSEWHERE if _ECR.match(image) else ""


def _zones(section: Mapping[str, Any]) -> Iterator[Problem]:
    region, zones = section.get("region"), _sequence(section.get("zones"))
    for index, zone in enumerate(zones):
        if isinstance(zone, str) and isinstance(region, str) and not zone.startswith(region):
            yield ("zones", index), f'zone "{zone}" is not in region "{region}"'
        if zone in zones[:index]:
            yield ("zones", index), f'zone "{zone}" appears twice'


def _reservations(section: Mapping[str, Any], pools: Collection[str] | None) -> Iterator[Problem]:
    capacity = section.get("capacity")
    if pools is None or not isinstance(capacity, Mapping):
        return
    for kind in ("reservations", "blocks"):
        for index, item in enumerate(_sequence(capacity.get(kind))):
            pool = item.get("pool") if isinstance(item, Mapping) else None
            yield from missing(("capacity", kind, index, "pool"), "pool", pool, pools)


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

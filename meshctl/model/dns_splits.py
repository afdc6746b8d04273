"""One host name answered from two environments, each with a share: the values that decide it. PURE.

Made by the steps of an expansion (`meshctl.migrate`), kept with the DNS records, declared by `stacks.split_records`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ConfigDict

SHARED_BY: Final = "+"  # between the environments that share a record; no environment has it in its name
WHOLE: Final = 255  # the largest weight of Route 53; the weights of a split add up to it
CHECK_INTERVAL_S: Final = 10
CHECK_FAILURES: Final = 3
LONGEST_NAME: Final = 253  # characters of a name in DNS (RFC 1035, 2.3.4: 255 octets with those of the lengths)
LONGEST_PATH: Final = 255  # of a health check (Route 53 API, HealthCheckConfig, ResourcePath)


@dataclass(frozen=True)
class HealthCheck:
    """What the checkers of Route 53 ask, from the internet: a connection (TCP), or a status below 400 of `path`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    type: Literal["HTTP", "HTTPS", "TCP"]
    port: int
    path: str = ""


@dataclass(frozen=True)
class Side:
    """One environment's part of a name. `weight` of 255. Without a `check` its answer is given whatever its health."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    environment: str
    address: str  # an IP address, or a load balancer's own name
    weight: int
    check: HealthCheck | None = None


@dataclass(frozen=True)
class Split:
    """The weighted records of one host. `id` is of its own for each expansion: Route 53 never takes the reference of a
    health check again that was deleted."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    sides: tuple[Side, ...]


def split_name(host: str) -> str:
    """Where the weighted records of a host stand."""
    return f"_split.{host}"


def side_name(host: str, side: Side) -> str:
    """What the weighted record of a side leads to: a load balancer's name, or the name that is made for an address. All
    weighted records are CNAMEs, since one name has records of one type."""
    return f"_{side.environment}.{host}" if is_ip(side.address) else side.address


def names_beside(host: str, environments: tuple[str, ...]) -> tuple[str, ...]:
    """All names beside the host's own that a split of it may take, whatever addresses its sides have."""
    return (split_name(host), *(f"_{environment}.{host}" for environment in environments))


def is_ip(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False

"""Rates that a plan's estimates rest on, each with its source. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.model.deployment import Provider


@dataclass(frozen=True)
class EgressRate:
    """What leaving a provider costs, in USD for one decimal GB; None = unknown, never 0."""

    usd_per_gb: float | None
    source: str


@dataclass(frozen=True)
class CopyRate:
    bytes_per_s: float
    source: str


@dataclass(frozen=True)
class ListingRate:
    objects_per_s: float
    source: str


LISTING_RATE = ListingRate(5000, "assumed: 5,000 objects a second")

# From the operator's machine; what is really reached is shown while copying.
COPY_RATE = CopyRate(125e6, "assumed: 1 Gbit/s through this machine")

_EGRESS: dict[Provider, EgressRate] = {
    "aws": EgressRate(
        0.09, "list price to the internet, first 10 TB a month, us-east-1 (stormit.cloud, AWS data transfer pricing)"
    ),
    "coreweave": EgressRate(None, "unknown: depends on the contract"),
    "kubernetes": EgressRate(None, "unknown: depends on the site's connection"),
    "onprem": EgressRate(None, "unknown: depends on the site's connection"),
}


def egress_rate(provider: Provider) -> EgressRate:
    return _EGRESS[provider]

"""List prices of control planes, NAT gateways, load balancers and addresses. PURE, but for reading the tables.

Called by `words`. They are shown beside the cost and are not in its sum: what goes through them costs more than they
do, and nobody knows it before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from meshctl.catalog import data_files
from meshctl.catalog.region_prices import RegionPriceTable
from meshctl.platforms.aws import partitions


@dataclass(frozen=True)
class ServicePrice:
    """Of one for one hour. `source`: in words."""

    usd_per_hour: float
    source: str
    date: str


@dataclass(frozen=True)
class TrafficPrice:
    """For one decimal GB that goes through."""

    usd_per_gb: float
    date: str


@dataclass(frozen=True)
class KubernetesVersions:
    """Those that EKS had on a date, with the dates on which standard and extended support of each ends."""

    date: str
    standard_support_ends: Mapping[str, str]
    extended_support_ends: Mapping[str, str]


@cache
def by_region() -> RegionPriceTable:
    return RegionPriceTable(data_files.read_own("aws-prices.json"))


@cache
def _table() -> dict[str, Any]:
    return data_files.read_own("aws_services.yaml")


def row(service: str, region: str) -> ServicePrice | None:
    """The price of a load balancer, gateway and so on; None if the tables do not have the region."""
    written = _row("services", service, region)
    if written is not None:
        return ServicePrice(float(written["usd_per_hour"]), data_files.source_of(written, _table()), written["date"])
    listed = by_region().service(service, region)
    return ServicePrice(listed.usd_per_hour, listed.source, listed.date) if listed else None


def traffic(service: str, region: str) -> TrafficPrice | None:
    """The price of what goes through it; None if the table does not have the region."""
    written = _row("traffic", service, region)
    return TrafficPrice(float(written["usd_per_gb"]), written["date"]) if written is not None else None


def _row(section: str, service: str, region: str) -> Mapping[str, Any] | None:
    """The row of the region before that of all regions, which is of one partition alone."""
    regions = (region, "") if partitions.is_commercial(region) else (region,)
    rows = {each["region"]: each for each in _table()[section] if each["service"] == service}
    return next((rows[each] for each in regions if each in rows), None)


def end_of_standard_support(kubernetes: str) -> str:
    """The date; "" if the table does not have the version of Kubernetes."""
    return str(_table()["standard_support_ends"].get(kubernetes, ""))


def kubernetes_versions() -> KubernetesVersions:
    table = _table()
    ends = (table["standard_support_ends"], table["extended_support_ends"])
    return KubernetesVersions(str(table["kubernetes_versions_date"]), *ends)


def priced(what: str, region: str, counts: dict[str, int]) -> str:
    """`what` with the price of all of it: `2 NAT gateways (0.10 USD/h)`. `counts`: how many of each service it is."""
    prices = [(row(service, region), count) for service, count in counts.items() if count]
    if any(price is None for price, _ in prices):
        return what
    total = sum(price.usd_per_hour * count for price, count in prices if price is not None)
    date = min(price.date for price, _ in prices if price is not None)
    return f"{what} ({total:.2f} USD/h, list price of {date})"

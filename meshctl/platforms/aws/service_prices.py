"""List prices of control planes, NAT gateways, load balancers and addresses. PURE, but for reading the table.

Called by `words`. They are shown beside the cost and are not in its sum: what goes through them costs more than they
do, and nobody knows it before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

_TABLE: Final = "aws_services.yaml"


@dataclass(frozen=True)
class ServicePrice:
    """Of one for one hour. `source`: in words."""

    usd_per_hour: float
    source: str
    date: str


@cache
def _table() -> dict[str, Any]:
    text = resources.files("meshctl.catalog").joinpath(_TABLE).read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def row(service: str, region: str) -> ServicePrice | None:
    """The price of a load balancer, gateway and so on; None if the table does not have the region."""
    rows = (each for each in _table()["services"] if each["service"] == service and each["region"] in ("", region))
    first = next(rows, None)
    if first is None:
        return None
    return ServicePrice(float(first["usd_per_hour"]), _table()["sources"][first["source"]], str(first["date"]))


def end_of_standard_support(kubernetes: str) -> str:
    """The date; "" if the table does not have the version of Kubernetes."""
    return str(_table()["standard_support_ends"].get(kubernetes, ""))


def priced(what: str, region: str, counts: dict[str, int]) -> str:
    """`what` with the price of all of it: `2 NAT gateways (0.10 USD/h)`. `counts`: how many of each service it is."""
    prices = [(row(service, region), count) for service, count in counts.items()]
    if any(price is None for price, _ in prices):
        return what
    total = sum(price.usd_per_hour * count for price, count in prices if price is not None)
    date = min(price.date for price, _ in prices if price is not None)
    return f"{what} ({total:.2f} USD/h, list price of {date})"

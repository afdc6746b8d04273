"""List prices of control planes, NAT gateways, load balancers and addresses. PURE, but for reading the table.

Called by `words`. They are shown beside the cost and are not in its sum: what goes through them costs more than they
do, and nobody knows it before.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

_TABLE: Final = "aws_services.yaml"


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    text = resources.files("meshctl.catalog").joinpath(_TABLE).read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["services"])


def usd_per_hour(service: str, region: str) -> float | None:
    """USD per hour of one load balancer, gateway and so on; None if the table does not have the region."""
    rows = (row for row in _rows() if row["service"] == service and row["region"] in ("", region))
    return next((float(row["usd_per_hour"]) for row in rows), None)


def priced(what: str, region: str, counts: dict[str, int]) -> str:
    """`what` with the price of all of it: `2 NAT gateways (0.10 USD/h)`. `counts`: how many of each service it is."""
    prices = [(usd_per_hour(service, region), count) for service, count in counts.items()]
    if any(price is None for price, _ in prices):
        return what
    total = sum(price * count for price, count in prices if price is not None)
    return f"{what} ({total:.2f} USD/h)"

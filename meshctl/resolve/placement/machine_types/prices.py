"""Prices of what was chosen, each with its source. A contract rate beats the list price; unknown is never 0. PURE.

Called by `meshctl.resolve`: `pools`, `storage` and `report`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.catalog import Catalog, Machine
from meshctl.model.deployment import Deployment, Market, Price
from meshctl.platforms import registry
from meshctl.resolve.placement.machine_types import machines

HOURS_PER_MONTH: Final = 730
CONTRACT: Final = "contract rate in environments.yaml"


def of_machine(
    subject: str, pool: str, nodes: int, machine: Machine, market: Market, region: str, contract: dict[str, float]
) -> Price:
    """Price of `nodes` nodes for one hour."""
    rate = contract_rate(pool, machine.name, contract)
    if rate is not None:
        return Price(subject=subject, usd_per_hour=round(rate * nodes, 4), source=CONTRACT)
    listed = machines.list_price(machine, market, region)
    if listed is None:
        return Price(subject=subject, usd_per_hour=None, source=f"no {market} list price of {machine.name} in {region}")
    source = f"{listed.market} list price: {listed.source}"
    return Price(subject=subject, usd_per_hour=round(listed.usd_per_hour * nodes, 4), source=source, date=listed.date)


def of_hardware(subject: str, pool: str, nodes: int, hardware: str, contract: dict[str, float]) -> Price:
    """Price of nodes that are in no catalog: the contract rate or unknown."""
    rate = contract_rate(pool, hardware, contract)
    if rate is not None:
        return Price(subject=subject, usd_per_hour=round(rate * nodes, 4), source=CONTRACT)
    source = f'no rate for "{hardware}" in the environment\'s prices'
    return Price(subject=subject, usd_per_hour=None, source=source)


def contract_rate(pool: str, machine: str, contract: dict[str, float]) -> float | None:
    """USD per node and hour: by the pool's name, else by the machine's."""
    return contract.get(pool, contract.get(machine))


def of_storage(subject: str, size_gib: float, catalog: Catalog, provider: str, service: str, region: str) -> Price:
    """Price of stored data for one hour, from the list price for a GB and month."""
    row = catalog.storage_price(provider, service, region)
    if row is None:
        return Price(subject=subject, usd_per_hour=None, source=f"no list price of {service} on {provider}")
    usd = row.usd_per_gb_month * size_gib * 2**30 / 1e9 / HOURS_PER_MONTH
    return Price(subject=subject, usd_per_hour=round(usd, 4), source=f"list price: {row.source}", date=row.date)


def source(price: Price) -> str:
    """Where it was read, with its date; or why there is none."""
    return f"{price.source}, {price.date}" if price.date else price.source


def sources(prices: Iterable[Price]) -> tuple[str, ...]:
    """Of all prices, each once."""
    return tuple(sorted({source(price) for price in prices}))


def not_in_cost(deployment: Deployment) -> tuple[str, ...]:
    """What costs money and is not in the sum, in words: what meshctl has no price for."""
    weka = deployment.neural_mesh
    is_made = weka is not None and weka.joined is None
    on_own_drives = {
        f"storage/{system.name}" for system in deployment.file_systems if is_made and system.service == "neuralmesh"
    }
    unknown = [
        f"{price.subject} (price unknown)"
        for price in deployment.prices
        if price.usd_per_hour is None and price.subject not in on_own_drives
    ]
    licence = ["WEKA's licence"] if is_made else []
    return (*unknown, *licence, *registry.platform(deployment.provider).words.not_in_cost(deployment))

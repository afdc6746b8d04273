"""Finding C4: prices of regions other than us-east-1, from a dated table; what it does not have stays unknown."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from meshctl.catalog import ListPrice, load_catalog
from meshctl.platforms import registry
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


# each found in another source, too: the bills and price records of others, and a SkyPilot catalog of 2025-12
@pytest.mark.parametrize(
    ("name", "region", "usd"),
    [
        ("p5.48xlarge", "us-east-2", 55.04),
        ("p5en.48xlarge", "us-east-2", 63.296),
        ("p6-b200.48xlarge", "us-east-2", 113.9328),
        ("p5.48xlarge", "ap-northeast-2", 75.9552),
        ("p4d.24xlarge", "eu-west-1", 23.71569),
        ("m7i.4xlarge", "eu-west-1", 0.8988),
        ("g5.xlarge", "eu-west-1", 1.123),
    ],
)
def test_known_prices(name: str, region: str, usd: float) -> None:
    found = price(name, region)
    assert found is not None
    assert found.usd_per_hour == pytest.approx(usd)
    assert (found.region, found.date) == (region, TABLE["date"])
    assert "AWS Price List" in found.source


def test_what_the_table_does_not_have_is_unknown() -> None:
    assert price("p5.48xlarge", "eu-central-1") is None, "EC2 has none there"
    assert price("g5.xlarge", "cn-north-1") is None, "the list is of another partition"
    assert price("p5.48xlarge", "us-east-2", "spot") is None, "the table has on-demand prices only"


REGIONS = (
    *("us-east-2", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2", "eu-central-1", "eu-north-1"),
    *("ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "ap-south-1"),
)


@pytest.mark.parametrize("region", REGIONS)
def test_c4_machines_that_a_region_offers_have_a_price_there(region: str) -> None:
    offered = [
        machine
        for machine in load_catalog().machines["aws"]
        if machine.gpu_count
        and "on-demand" in machine.markets
        and machine.offers is not None
        and machine.offers.zone_ids(region)
    ]
    assert len(offered) > 10
    unknown = {machine.name for machine in offered if machine.price("on-demand", region) is None}
    assert unknown <= {"p5e.48xlarge"}, "the price list has that one in capacity blocks alone"


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


def test_the_generator_leaves_out_what_the_catalog_has_not() -> None:
    price_list = {
        "publication_date": "2026-10-15T19:13:16Z",
        "regions": {
            "us-east-1": listed({"p5.48xlarge": 55.04, "t2.micro": 0.0116}, gateway=0.045),
            "eu-north-1": listed({"p5.48xlarge": 58.8928}, gateway=0.046),
            "eu-west-1": listed({"t2.micro": 0.0126}, gateway=None),
        },
    }
    machines: dict[str, Any] = {name: {"prices": []} for name in ("p5.48xlarge", "p5e.48xlarge")}
    assert tool().table(price_list, machines, "a package") == {
        "source": "AWS Price List, as packed in a package",
        "date": "2026-10-15",
        "usd_per_hour": {"p5.48xlarge": {"eu-north-1": 58.8928}},
        "services_usd_per_hour": {
            "nat-gateway": {"eu-north-1": 0.046, "us-east-1": 0.045},
            "network-load-balancer": {"eu-north-1": 0.02, "eu-west-1": 0.02, "us-east-1": 0.02},
        },
        "storage_usd_per_gb_month": {"gp3": {"eu-north-1": 0.08, "eu-west-1": 0.08, "us-east-1": 0.08}},
    }


def listed(machines: dict[str, float], gateway: float | None) -> dict[str, Any]:
    """A region of the price list."""
    prices = {"ec2_hour": machines, "lb_hour": {"network": 0.02, "classic": 0.03}, "ebs_gb_month": {"gp3": 0.08}}
    return prices if gateway is None else {**prices, "nat_gateway_hour": gateway}


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
    virginia = [lustre(throughput).price.usd_per_hour for throughput in ("1GB/s", "2GB/s", "4GB/s")]
    assert virginia == pytest.approx([4800 * tier / 730 for tier in (0.21, 0.34, 0.6)], abs=1e-4)
    unknown = lustre("2GB/s", region="us-west-2", zones=["us-west-2a", "us-west-2b"])
    assert unknown.price.usd_per_hour is None
    assert unknown.price.source == "no list price of fsx-lustre on aws"


def in_region(region: str) -> Any:
    """Storage of each kind, and an endpoint."""
    sections = {
        "storage": {
            "weights": {"kind": "object", "size": "1TB"},
            "home": {"kind": "filesystem", "size": "1TB"},
            "cache": {"kind": "block", "size": "1TB", "ephemeral": True},
        },
        "workloads": {
            "chat": {
                "kind": "inference",
                "pool": "web",
                "image": "example/chat:1",
                "ports": {"http": 8000},
                "mounts": {name: {"path": f"/{name}"} for name in ("weights", "home", "cache")},
            }
        },
        "dns": {"provider": "route53", "zone": "example.com"},
        "endpoints": {
            "chat": {"host": "chat.example.com", "workload": "chat", "port": "http", "access": "public", "cidrs": CIDRS}
        },
    }
    return deployment(
        {"web": {"nodes": 2, "cpu": {"cores": 4}}}, sections, region=region, zones=[f"{region}a", f"{region}b"]
    )


CIDRS = ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("region", "gateways", "balancer", "object_usd", "block_usd"),
    [
        # two gateways with an address each; a public balancer with an address in each zone
        ("us-east-1", 0.10, 0.0325, 0.023, 0.08),
        ("us-east-2", 0.10, 0.0325, 0.023, 0.08),
        ("us-west-2", 0.10, 0.0325, 0.023, 0.08),
        ("ca-central-1", 0.11, 0.03475, 0.025, 0.088),
        ("sa-east-1", 0.196, 0.044, 0.0405, 0.152),
        ("eu-west-1", 0.106, 0.0352, 0.023, 0.088),
        ("eu-west-2", 0.11, 0.03646, 0.024, 0.0928),
        ("eu-central-1", 0.114, 0.037, 0.0245, 0.0952),
        ("eu-north-1", 0.102, 0.03394, 0.023, 0.0836),
        ("ap-northeast-1", 0.134, 0.0343, 0.025, 0.096),
        ("ap-southeast-1", 0.128, 0.0352, 0.025, 0.096),
        ("ap-southeast-2", 0.128, 0.0352, 0.025, 0.096),
        ("ap-south-1", 0.122, 0.0339, 0.025, 0.0912),
    ],
)
def test_c4_each_region_has_prices_of_its_own(
    region: str, gateways: float, balancer: float, object_usd: float, block_usd: float
) -> None:
    made = in_region(region)
    texts = registry.platform("aws").words.not_in_cost(made)
    assert texts[0].startswith("EKS control plane (0.10 USD/h, list price of 20")
    assert texts[1].startswith(f"2 NAT gateways ({gateways:.2f} USD/h, list price of 20")
    assert texts[2].startswith(f"1 network load balancer ({balancer:.2f} USD/h, list price of 20")
    assert made.object_stores[0].price.usd_per_hour == pytest.approx(1000 * object_usd / 730, rel=1e-2)
    assert made.blocks[0].price.usd_per_hour == pytest.approx(1000 * block_usd / 730, rel=1e-2)


def test_c4_prices_that_no_source_has_stay_unknown() -> None:
    mumbai = in_region("ap-south-1")
    assert mumbai.file_systems[0].price.usd_per_hour is None, "EFS"
    assert "capacity unit" not in registry.platform("aws").words.not_in_cost(mumbai)[2]
    stockholm = registry.platform("aws").words.not_in_cost(in_region("eu-north-1"))
    assert stockholm[1].endswith(" and the data through them"), "without a price for a GB"
    gov = registry.platform("aws").words.not_in_cost(mumbai.model_copy(update={"region": "us-gov-west-1"}))
    assert gov[0] == "EKS control plane", "the price of all regions is that of one partition"
    china = registry.platform("aws").words.not_in_cost(mumbai.model_copy(update={"region": "cn-north-1"}))
    assert china[:3] == (
        "EKS control plane",
        "2 NAT gateways and the data through them",
        "1 network load balancer",
    )


def test_c4_efs_has_a_price_where_a_source_quotes_the_price_list() -> None:
    price = in_region("eu-west-1").file_systems[0].price
    assert price.usd_per_hour == pytest.approx(1000 * 0.33 / 730, rel=1e-2)
    assert price.date == "2026-05-01"


def test_c4_what_goes_through_a_gateway_has_its_own_price() -> None:
    dublin = registry.platform("aws").words.not_in_cost(in_region("eu-west-1"))
    assert dublin[1].endswith(" and the data through them (0.048 USD/GB, list price of 2026-05-01)")
    own = registry.platform("aws").words.not_in_cost(in_region("us-east-1"))
    assert own[2].endswith(" and 0.006 USD/h for each capacity unit in use")

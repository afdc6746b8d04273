"""One workload in two environments: shares as DNS gives them, a side that fails, and back, without a failed request."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from meshctl.lab.load import Load
from meshctl.model.dns_splits import CHECK_INTERVAL_S
from tests.faults.expanded_mesh import EXPAND, HOST, MESH, bucket, put
from tests.faults.moved_mesh import ENVIRONMENTS, MIGRATE
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = pytest.mark.lab

# (resolutions, how far the measured share of 40% may be off): in all but one of 10,000 runs it is within that
FEW, MANY = (400, 0.1), (4000, 0.03)
CLIENTS, LONG_TTL_S = 12, 20
MARGIN_S = CHECK_INTERVAL_S  # until the pods have ended, and for looks of the lab's checker that come late


@pytest.fixture
def spread(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    here.meshctl("up", "dc1", "--yes", "--object-storage-only")
    put(here, "dc1", "llama/0.bin")
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("contract", "--yes", check=False)  # while it is in force, `destroy` is refused
    here.meshctl("migrations", "rollback", check=False)  # so it is while a migration is open
    for environment in ("dc1", "cw"):
        here.meshctl("destroy", environment, "--allow-data-loss", "--confirm", environment, check=False)


def keys(here: RunningLab, environment: str) -> set[str]:
    profile, name = bucket(here, environment)
    return {each["Key"] for each in here.boto3("s3", profile).list_objects_v2(Bucket=name).get("Contents", ())}


def balancers(here: RunningLab) -> dict[str, str]:
    """The address of the host's load balancer in each environment."""
    return {
        environment: here.json("status", environment)["environments"][environment]["endpoints"][0]["address"]
        for environment in ("dc1", "cw")
    }


def shares(here: RunningLab, addresses: dict[str, str], resolutions: int) -> dict[str, float]:
    """What part of independent resolutions of the host leads to the load balancer of each environment."""
    address, _, port = here.env["MESHCTL_DNS_SERVER"].rpartition(":")
    targets: Counter[str] = Counter()
    for _ in range(resolutions):
        answer = dns.query.udp(dns.message.make_query(HOST, "A"), address, timeout=20, port=int(port))
        targets[answer.answer[-1][0].to_text()] += 1
    return {environment: targets[own] / resolutions for environment, own in addresses.items()}


def workloads(here: RunningLab, environment: str) -> dict[str, int]:
    status = here.json("status", environment)["environments"][environment]
    return {each["name"]: each["ready"] for each in status.get("workloads", ())}


def test_a_share_is_led_elsewhere_and_all_come_back_without_a_failed_request(spread: RunningLab) -> None:
    server = spread.env["MESHCTL_DNS_SERVER"]
    load = Load(f"http://{HOST}:8000/v1/completions", rate=20, dns_server=server).start()
    wait_until(lambda: load.environments["dc1"] > 20)
    spread.meshctl(*EXPAND, "--share", "40%")
    assert workloads(spread, "cw") == {"chat": 1}
    assert workloads(spread, "dc1") == {"chat": 1, "notes": 1}
    own = balancers(spread)
    assert shares(spread, own, FEW[0])["cw"] == pytest.approx(0.4, abs=FEW[1])
    wait_until(lambda: load.environments["cw"] > 20)
    assert spread.json("plan", "dc1")["changes"] == []
    refused = spread.meshctl("up", "cw", "--yes", check=False)
    assert (refused.returncode, "has chat alone" in refused.stderr) == (75, True)
    spread.meshctl("contract", "--yes")
    assert shares(spread, own, 100) == {"dc1": 1.0, "cw": 0.0}
    result = load.stop()
    assert result.failed == 0, result.errors
    assert spread.boto3("route53").list_health_checks()["HealthChecks"] == []
    assert workloads(spread, "cw") == {}


@pytest.mark.exhaustive
def test_a_side_that_fails_is_left_and_is_asked_again_once_it_is_well(spread: RunningLab) -> None:
    spread.meshctl(*EXPAND, "--share", "40%")
    own = balancers(spread)
    assert shares(spread, own, MANY[0])["cw"] == pytest.approx(0.4, abs=MANY[1])
    spread.kubectl("cw", "--namespace", "spread", "scale", "deployment/chat", "--replicas", "0")
    wait_until(lambda: shares(spread, own, 100)["cw"] == 0.0)
    spread.kubectl("cw", "--namespace", "spread", "scale", "deployment/chat", "--replicas", "1")
    wait_until(lambda: shares(spread, own, 100)["cw"] > 0.1)
    spread.meshctl(*EXPAND, "--share", "80%")
    assert shares(spread, own, FEW[0])["cw"] == pytest.approx(0.8, abs=FEW[1])
    spread.meshctl("contract", "--yes")
    assert shares(spread, own, 100) == {"dc1": 1.0, "cw": 0.0}


@pytest.mark.exhaustive
def test_a_side_that_fails_is_left_within_the_time_that_was_said(spread: RunningLab) -> None:
    """By clients that keep an answer for its TTL, and have asked at different times before. The TTL is longer than the
    margin, so that a time without it would be too short."""
    names = ENVIRONMENTS.replace("ttl: 2s", f"ttl: {LONG_TTL_S}s")
    (spread.folder / "environments.yaml").write_text(names)
    notes = spread.json(*EXPAND, "--share", "40%", "--dry-run")["notes"]
    (said,) = [match for note in notes if (match := re.search(r"DNS answers leave it out after about (\d+) s", note))]
    spread.meshctl(*EXPAND, "--share", "40%")
    clients = []
    for _ in range(CLIENTS):
        url, server = f"http://{HOST}:8000/v1/completions", spread.env["MESHCTL_DNS_SERVER"]
        clients.append(Load(url, rate=2, dns_server=server).start())
        time.sleep(LONG_TTL_S / CLIENTS)
    wait_until(lambda: sum(client.environments["cw"] for client in clients) > 20)
    began = time.time()
    spread.kubectl("cw", "--namespace", "spread", "scale", "deployment/chat", "--replicas", "0")
    promised = began + int(said[1]) + MARGIN_S
    time.sleep(promised - time.time())
    asked = [client.requests for client in clients]
    wait_until(lambda: all(client.requests >= count + 20 for client, count in zip(clients, asked, strict=True)))
    failures = [failure for client in clients for failure in client.stop().failures]
    assert failures, "no client was led to the side that failed"
    assert [failure for failure in failures if failure.sent_at > promised] == []


@pytest.mark.exhaustive
def test_what_is_expanded_is_migrated_without_a_failed_request(spread: RunningLab) -> None:
    load = Load(f"http://{HOST}:8000/v1/completions", rate=50, dns_server=spread.env["MESHCTL_DNS_SERVER"]).start()
    spread.meshctl(*EXPAND, "--share", "40%")
    pods = serving(spread)
    put(spread, "dc1", "llama/1.bin")
    spread.meshctl(*EXPAND)
    assert keys(spread, "cw") == {"llama/0.bin", "llama/1.bin"}
    spread.meshctl(*MIGRATE)
    assert shares(spread, balancers(spread), 100) == {"dc1": 0.0, "cw": 1.0}
    assert workloads(spread, "cw") == {"chat": 1, "notes": 1}
    assert serving(spread) == pods
    assert spread.boto3("route53").list_health_checks()["HealthChecks"] == []
    spread.meshctl("migrations", "finish", "--yes")
    result = load.stop()
    assert result.failed == 0, result.errors
    assert spread.json("plan", "cw")["changes"] == []


def serving(here: RunningLab) -> set[str]:
    """The names of the pods of chat in the target."""
    pods = json.loads(here.kubectl("cw", "--namespace", "spread", "get", "pods", "--output", "json"))["items"]
    return {name for pod in pods if (name := pod["metadata"]["name"]).startswith("chat-")}

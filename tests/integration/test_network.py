"""Load balancers and DNS of the lab, with real requests."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.request
from typing import Any

import boto3
import dns.message
import dns.query
import dns.rcode
import pytest

from meshctl.lab.load import Load
from meshctl.lab.network.dns_server import DnsServer, Route53
from meshctl.lab.stores import free_ports
from tests.pods_fixture import Twin, chat
from tests.waiting import wait_until

pytestmark = pytest.mark.lab


def balancer_address(twin: Twin, name: str) -> str:
    def look() -> str:
        ingress = twin.get("service", name)["status"]["loadBalancer"].get("ingress", [{}])
        return str(ingress[0].get("ip", ""))

    return wait_until(look)


def set_record(twin: Twin, name: str, kind: str, value: str) -> None:
    session = boto3.Session("id", "secret", region_name="us-east-1")
    client = session.client("route53", endpoint_url=f"http://127.0.0.1:{twin.ports['aws']}")
    zones = client.list_hosted_zones()["HostedZones"]
    zone = (
        zones[0]["Id"]
        if zones
        else client.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    )
    record: Any = {"Name": name, "Type": kind, "TTL": 1, "ResourceRecords": [{"Value": value}]}
    change: Any = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)


def ask(twin: Twin, name: str) -> tuple[str, list[str]]:
    """What UDP and TCP answer alike; nothing while they differ, as they may in the moment after a change."""
    query = dns.message.make_query(name, "A")
    by_udp = dns.query.udp(query, "127.0.0.1", port=twin.ports["dns"], timeout=10)
    by_tcp = dns.query.tcp(query, "127.0.0.1", port=twin.ports["dns"], timeout=10)
    if by_udp.answer != by_tcp.answer:
        return "", []
    return dns.rcode.to_text(by_udp.rcode()), [item.to_text() for each in by_udp.answer for item in each]


def answered_by(address: str) -> str:
    """The pod that a request to the load balancer reaches; "" while there is none behind it."""
    try:
        with urllib.request.urlopen(f"http://{address}/v1/models", timeout=5) as response:
            return str(json.load(response)["data"][0]["pod"])
    except (OSError, http.client.HTTPException):
        return ""


def test_requests_go_round_all_ready_pods_and_a_roll_out_loses_none(twin: Twin) -> None:
    twin.apply(*chat("round", 2))
    pods = twin.ready("app=round", 2)
    address = balancer_address(twin, "round")
    assert address.startswith("127.")
    names = {pod["metadata"]["name"] for pod in pods}
    wait_until(lambda: {answered_by(address) for _ in range(4)} == names)
    set_record(twin, "round.example.com", "A", address)
    wait_until(lambda: ask(twin, "round.example.com") == ("NOERROR", [address]))  # a busy API is read late
    dns_server = f"127.0.0.1:{twin.ports['dns']}"
    url = "http://round.example.com/v1/completions"
    fresh = Load(url, rate=50, dns_server=dns_server).start()
    reused = Load(url, rate=20, dns_server=dns_server, keep_alive=True).start()
    twin.kubectl("rollout", "restart", "deployment/round")
    twin.kubectl("rollout", "status", "deployment/round", "--timeout=180s")
    wait_until(lambda: not names & {pod["metadata"]["name"] for pod in twin.pods("app=round")})
    for result in (fresh.stop(), reused.stop()):
        assert result.errors == {}
        assert result.by_environment == {"cw": result.requests}
        assert result.requests > 20
    twin.kubectl("delete", "deployment,service", "round")
    table = twin.root / "network" / "services.json"
    wait_until(lambda: "cw/default/round" not in json.loads(table.read_text()))


def test_names_come_from_route_53(twin: Twin) -> None:
    set_record(twin, "chat.example.com", "A", "127.1.1.1")
    wait_until(lambda: ask(twin, "chat.example.com") == ("NOERROR", ["127.1.1.1"]))
    set_record(twin, "chat.example.com", "A", "127.1.1.2")
    wait_until(lambda: ask(twin, "chat.example.com") == ("NOERROR", ["127.1.1.2"]))
    assert ask(twin, "other.example.com") == ("NXDOMAIN", [])


def test_an_api_that_does_not_answer_is_no_missing_name() -> None:
    server = DnsServer(Route53(f"http://127.0.0.1:{free_ports(1)[0]}"), {})
    answer = asyncio.run(server.respond(dns.message.make_query("chat.example.com", "A").to_wire()))
    assert answer is not None
    assert dns.message.from_wire(answer).rcode() == dns.rcode.SERVFAIL


def test_load_counts_what_fails(twin: Twin) -> None:
    load = Load("http://nowhere.example.com/", rate=50, dns_server=f"127.0.0.1:{twin.ports['dns']}").start()
    wait_until(lambda: load.requests >= 3)
    result = load.stop()
    assert result.failed == result.requests
    assert set(result.errors) == {"DNS: no such name"}


def test_a_load_balancer_of_eks_has_a_name_that_the_dns_knows(twin: Twin) -> None:
    document = twin.lab.read()
    document["clusters"]["cw"]["provider"] = "eks"
    twin.lab.write(document)
    twin.apply(*chat("named", 1))
    twin.ready("app=named", 1)

    def look() -> str:
        ingress = twin.get("service", "named")["status"]["loadBalancer"].get("ingress", [{}])
        return str(ingress[0].get("hostname", ""))

    hostname = wait_until(look)
    assert hostname.endswith(".elb.amazonaws.com")
    set_record(twin, "named.example.com", "CNAME", hostname)
    wait_until(lambda: ask(twin, "named.example.com")[1][:1] == [f"{hostname}."])
    address = ask(twin, "named.example.com")[1][-1]
    wait_until(lambda: answered_by(address))
    load = Load("http://named.example.com/v1/completions", rate=20, dns_server=f"127.0.0.1:{twin.ports['dns']}").start()
    wait_until(lambda: load.requests >= 10)
    result = load.stop()
    assert result.errors == {}
    assert result.by_environment == {"cw": result.requests}

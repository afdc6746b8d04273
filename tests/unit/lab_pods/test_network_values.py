from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
import pytest

from meshctl.lab.network import allocation, balancers, zones

BALANCER = "llm-chat-0123456789.lab.elb.amazonaws.com"
RECORDS: list[dict[str, Any]] = [
    {"Name": "chat.example.com.", "Type": "CNAME", "TTL": 5, "ResourceRecords": [{"Value": BALANCER + "."}]},
    {"Name": "plain.example.com.", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "127.9.9.9"}]},
    {"Name": "alias.example.com.", "Type": "A", "AliasTarget": {"DNSName": BALANCER + "."}},
    {"Name": "far.example.com.", "Type": "CNAME", "TTL": 9, "ResourceRecords": [{"Value": "else.where.org."}]},
    {"Name": "\\052.apps.example.com.", "Type": "A", "TTL": 7, "ResourceRecords": [{"Value": "127.9.9.8"}]},
]


def ask(name: str, kind: str = "A") -> tuple[str, list[str]]:
    query = dns.message.make_query(name, kind)
    response = zones.answer(query, zones.from_api(RECORDS), {BALANCER: "127.1.2.3"})
    assert response.id == query.id
    return dns.rcode.to_text(response.rcode()), [
        line for each in response.answer for line in each.to_text().splitlines()
    ]


def test_a_cname_is_followed_to_the_load_balancer() -> None:
    code, lines = ask("chat.example.com")
    assert code == "NOERROR"
    assert lines == [f"chat.example.com. 5 IN CNAME {BALANCER}.", f"{BALANCER}. 60 IN A 127.1.2.3"]


@pytest.mark.parametrize(
    ("name", "kind", "code", "lines"),
    [
        ("plain.example.com", "A", "NOERROR", ["plain.example.com. 30 IN A 127.9.9.9"]),
        ("PLAIN.example.com", "A", "NOERROR", ["plain.example.com. 30 IN A 127.9.9.9"]),
        ("plain.example.com", "AAAA", "NOERROR", []),
        ("alias.example.com", "A", "NOERROR", ["alias.example.com. 60 IN A 127.1.2.3"]),
        ("far.example.com", "A", "NOERROR", ["far.example.com. 9 IN CNAME else.where.org."]),
        ("x.apps.example.com", "A", "NOERROR", ["x.apps.example.com. 7 IN A 127.9.9.8"]),
        (BALANCER, "A", "NOERROR", [f"{BALANCER}. 60 IN A 127.1.2.3"]),
        ("no.example.com", "A", "NXDOMAIN", []),
        ("example.org", "A", "NXDOMAIN", []),
    ],
)
def test_answers(name: str, kind: str, code: str, lines: list[str]) -> None:
    assert ask(name, kind) == (code, lines)


def test_weights_share_the_load_and_zero_gets_none() -> None:
    sets = [
        {"SetIdentifier": "a", "Weight": 60},
        {"SetIdentifier": "b", "Weight": 40},
        {"SetIdentifier": "c", "Weight": 0},
    ]
    chosen = [zones.choose(sets, step / 100) for step in range(100)]
    counts = {name: sum(1 for each in chosen if each and each["SetIdentifier"] == name) for name in "abc"}
    assert counts == {"a": 60, "b": 40, "c": 0}


def test_only_ready_endpoints_of_the_named_port_are_used() -> None:
    ports = [{"name": "http", "port": 8000}, {"name": "grpc", "port": 9000}]
    endpoints = [
        {"addresses": ["10.240.0.2"], "conditions": {"ready": True}},
        {"addresses": ["10.240.0.3"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.240.0.4"]},
    ]
    found = balancers.ready_endpoints(
        [{"ports": ports, "endpoints": endpoints}, {"ports": None, "endpoints": None}], "http"
    )
    assert found == [("10.240.0.2", 8000), ("10.240.0.4", 8000)]


def test_a_service_without_ready_pods_refuses_connections_and_a_load_balancer_takes_them() -> None:
    slices = [{"ports": [{"name": "http", "port": 8000}], "endpoints": [{"addresses": ["10.0.0.1"]}]}]
    unready = [{**slices[0], "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}]
    service = {"spec": {"type": "ClusterIP", "ports": [{"name": "http", "port": 80}]}}
    assert not balancers.refuses(service, slices)
    assert balancers.refuses(service, unready)
    assert balancers.refuses(service, [])
    assert not balancers.refuses({"spec": {**service["spec"], "type": "LoadBalancer"}}, [])


def test_a_load_balancer_has_one_name_for_ever() -> None:
    name = allocation.hostname("aws-east/llm/chat")
    assert name == allocation.hostname("aws-east/llm/chat")
    assert name != allocation.hostname("aws-east/llm/other")
    assert name.endswith(".lab.elb.amazonaws.com")
    assert len(name.split(".")[0]) <= 63

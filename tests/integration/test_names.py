"""Endpoint names with the real engine, against the lab's Route 53: what a resolver sees while they change."""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from meshctl.deploy.session import Session
from meshctl.dns import records
from meshctl.errors import ResourcesFailedError
from meshctl.lab.aws import zones
from meshctl.lab.network import dns_server
from meshctl.lab.network.dns_server import DnsServer, Route53
from meshctl.model.dns_splits import HealthCheck, Side, Split
from meshctl.model.environment import Environments
from stacks.edge import DnsRecord
from tests.integration.lab_aws_server import KEY, Aws
from tests.unit.render.sample import sample

HOST = "names.example.com"
PAUSE_S = 0.01
EAST = DnsRecord(HOST, "aws-east", "lb-1.elb.amazonaws.com", 5, "example.com")
CW = DnsRecord(HOST, "cw", "127.0.0.9", 5, "example.com")
ENVIRONMENTS = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {"cw": {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}},
    "dns": {"provider": "route53", "zone": "example.com", "ttl": "5s"},
}


@pytest.fixture
def session(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PULUMI_CONFIG_PASSPHRASE": "names",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(dns_server, "ACCESS_KEY", KEY)
    monkeypatch.setattr(dns_server, "FRESH_S", 0.0)
    yield Session(tmp_path, "names", Environments.model_validate(ENVIRONMENTS))
    change(aws, *(("DELETE", record) for record in records_in_zone(aws)))


def change(aws: Aws, *changes: tuple[str, dict[str, Any]]) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    if changes:
        aws.client("route53").change_resource_record_sets(HostedZoneId=zones.ID, ChangeBatch=batch)


def records_in_zone(aws: Aws) -> list[dict[str, Any]]:
    found = aws.client("route53").list_resource_record_sets(HostedZoneId=zones.ID)["ResourceRecordSets"]
    return [record for record in found if record["Type"] in ("A", "CNAME")]


def values(aws: Aws) -> list[tuple[str, str, int, str]]:
    return [(r["Name"], r["Type"], r["TTL"], r["ResourceRecords"][0]["Value"]) for r in records_in_zone(aws)]


@contextmanager
def steady_resolver(aws: Aws) -> Iterator[Callable[[], list[str]]]:
    """Asks for HOST all the time; gives the different answers seen, in their order.

    A hundred times a second: without a pause, it and the API that it asks would take the processor from the run that
    they watch.
    """
    seen: list[str] = []
    stop = threading.Event()

    async def ask() -> None:
        question = dns.message.make_query(HOST, "A").to_wire()
        zone_server = DnsServer(Route53(f"http://127.0.0.1:{aws.port}"), {})
        while not stop.is_set():
            answer = await zone_server.respond(question)
            assert answer is not None
            message = dns.message.from_wire(answer)
            found = message.answer[0][0].to_text() if message.answer else dns.rcode.to_text(message.rcode())
            seen.append(found.rstrip("."))
            await asyncio.sleep(PAUSE_S)

    thread = threading.Thread(target=lambda: asyncio.run(ask()))
    thread.start()
    try:
        yield lambda: [answer for answer, _ in itertools.groupby(seen)]
    finally:
        stop.set()
        thread.join(60)


def test_a_cutover_between_a_name_and_an_address_leaves_no_gap(aws: Aws, session: Session) -> None:
    session.dns_records.write({"chat": EAST})
    with steady_resolver(aws) as seen:
        session.dns_records.write({"chat": CW})
        session.dns_records.write({"chat": EAST})
    assert seen() == [EAST.address, CW.address, EAST.address]
    session.dns_records.write({})
    assert values(aws) == []


@pytest.mark.exhaustive
def test_a_renamed_endpoint_keeps_its_record_all_the_time(aws: Aws, session: Session) -> None:
    session.dns_records.write({"chat": CW})
    with steady_resolver(aws) as seen:
        session.dns_records.write({"talk": replace(CW, zone_id=zones.ID)})
    assert seen() == [CW.address]
    assert session.dns_records.current() == {"talk": replace(CW, zone_id=zones.ID)}
    session.dns_records.write({})
    assert values(aws) == []


@pytest.mark.exhaustive
def test_a_failed_change_is_made_by_the_next_run(aws: Aws, session: Session) -> None:
    aws.faults({"operation": "ChangeResourceRecordSets", "service": "route53", "error": "AccessDenied", "times": 9})
    with pytest.raises(ResourcesFailedError):
        session.dns_records.write({"chat": EAST})
    assert session.dns_records.current() == {}
    aws.faults()
    session.dns_records.write({"chat": EAST})
    aws.faults({"operation": "ChangeResourceRecordSets", "service": "route53", "error": "AccessDenied", "times": 9})
    with pytest.raises(ResourcesFailedError):
        session.dns_records.write({"chat": CW})
    assert session.dns_records.current()["chat"].environment == "aws-east"
    with pytest.raises(ResourcesFailedError):
        session.dns_records.write({})
    assert session.dns_records.current()["chat"].environment == "aws-east"
    aws.faults()
    session.dns_records.write({"chat": CW})
    assert values(aws) == [(f"{HOST}.", "A", 5, CW.address)]
    assert session.dns_records.current() == {"chat": replace(CW, zone_id=zones.ID)}


@pytest.mark.exhaustive
def test_a_change_whose_answer_was_lost_is_not_made_twice(aws: Aws, session: Session) -> None:
    session.dns_records.write({"chat": EAST})
    aws.faults({"operation": "GetChange", "service": "route53", "error": "AccessDenied", "times": 9})
    with pytest.raises(ResourcesFailedError):
        session.dns_records.write({"chat": CW})
    aws.faults()
    session.dns_records.write({"chat": CW})
    assert values(aws) == [(f"{HOST}.", "A", 5, CW.address)]


@pytest.mark.exhaustive
def test_a_retired_environment_takes_its_left_over_names_along(aws: Aws, session: Session) -> None:
    old = replace(EAST, host="old.example.com")
    session.dns_records.write({"chat": CW, "old": old})
    session.destroy_keeping_data(
        sample("aws").model_copy(update={"environment": "aws-east"}),
        allow_data_loss=False,
        command="meshctl migrations finish",
    )
    assert session.dns_records.current() == {"chat": replace(CW, zone_id=zones.ID)}
    assert [record["Name"] for record in records_in_zone(aws)] == [f"{HOST}."]


@pytest.mark.exhaustive
def test_a_changed_ttl_is_written(aws: Aws, session: Session) -> None:
    session.dns_records.write({"chat": CW})
    session.dns_records.write({"chat": replace(CW, ttl_s=7)})
    assert values(aws) == [(f"{HOST}.", "A", 7, CW.address)]


@pytest.mark.exhaustive
def test_a_changed_zone_gets_the_record_and_the_old_one_loses_it(aws: Aws, session: Session) -> None:
    below = replace(CW, host=f"a.{HOST}")
    session.dns_records.write({"chat": below})
    route53 = aws.client("route53")
    other = route53.create_hosted_zone(Name=HOST, CallerReference=HOST)["HostedZone"]["Id"]
    document = {**ENVIRONMENTS, "dns": {"provider": "route53", "zone": HOST}}
    moved = Session(session.folder, "names", Environments.model_validate(document))
    moved.dns_records.write({"chat": replace(below, zone=HOST)})
    found = route53.list_resource_record_sets(HostedZoneId=other)["ResourceRecordSets"]
    assert [record["Name"] for record in found if record["Type"] == "A"] == [f"a.{HOST}."]
    assert values(aws) == []
    moved.dns_records.write({})
    route53.delete_hosted_zone(Id=other)


@pytest.mark.parametrize("kind", ["A", "CNAME"])
def test_a_record_of_someone_else_is_neither_taken_nor_deleted(aws: Aws, session: Session, kind: str) -> None:
    value = {"A": "127.0.0.77", "CNAME": "else.example.net"}[kind]
    change(aws, ("CREATE", {"Name": HOST, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}))
    with pytest.raises(ResourcesFailedError) as caught:
        session.dns_records.write({"chat": CW})
    assert "did not make" in caught.value.hint
    session.dns_records.write({})
    assert values(aws) == [(f"{HOST}.", kind, 60, value)]


@pytest.mark.exhaustive
def test_records_of_an_older_state_are_found(aws: Aws, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.dns_records.write({"chat": CW})

    def older(saved: Mapping[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = copy.deepcopy(dict(saved))
        for resource in state["resources"]:
            resource["urn"] = resource["urn"].replace(f"::endpoint/{HOST}:record", "::endpoint/chat:record")
            if resource["type"] == "pulumi:pulumi:Stack":
                name = {"host": HOST, "environment": "cw", "address": CW.address}
                resource["outputs"] = {"endpoints": {"chat": name}}
        return state

    session.stack_run(records.EDGE, lambda: None).stack.rewrite(older)
    assert session.dns_records.current() == {"chat": replace(CW, zone="", zone_id=zones.ID)}
    with steady_resolver(aws) as seen:
        session.dns_records.write({"talk": EAST})
    assert seen() == [CW.address, EAST.address]


SIDES = (
    Side("aws-east", "lb-1.elb.amazonaws.com", 153, HealthCheck("HTTP", 8000, "/health")),
    Side("cw", CW.address, 102),
)
SPLIT = Split("names 1", SIDES)


def weighted(aws: Aws) -> list[tuple[str, int, str, bool]]:
    return sorted(
        (each["SetIdentifier"], each["Weight"], each["ResourceRecords"][0]["Value"], "HealthCheckId" in each)
        for each in records_in_zone(aws)
        if "SetIdentifier" in each
    )


def test_a_name_is_shared_by_weights_and_given_back_without_a_gap(aws: Aws, session: Session) -> None:
    endpoints = session.dns_records
    endpoints.write({"chat": EAST})
    with steady_resolver(aws) as seen:
        endpoints.split({"chat": HOST}, {"chat": SPLIT})
        assert weighted(aws) == [
            ("aws-east", 153, "lb-1.elb.amazonaws.com", True),
            ("cw", 102, f"_cw.{HOST}", False),
        ]
        endpoints.lead_to_splits(["chat"])
        assert endpoints.current()["chat"].environments == ("aws-east", "cw")
        half = replace(SPLIT, sides=tuple(replace(side, weight=128) for side in SIDES))
        endpoints.split({"chat": HOST}, {"chat": half})
        assert [weight for _, weight, _, _ in weighted(aws)] == [128, 128]
        assert endpoints.current()["chat"].split == half
        endpoints.write({"chat": replace(endpoints.current()["chat"], environment="aws-east", address=EAST.address)})
        assert len(weighted(aws)) == 2  # resolvers may have cached that the name leads to them
        endpoints.split({"chat": HOST}, {})
    assert dns.rcode.to_text(dns.rcode.NXDOMAIN) not in seen()
    assert values(aws) == [(f"{HOST}.", "CNAME", 5, EAST.address)]
    assert aws.client("route53").list_health_checks()["HealthChecks"] == []


@pytest.mark.exhaustive
def test_a_name_can_be_shared_again_after_it_was_given_back(aws: Aws, session: Session) -> None:
    """Route 53 takes no reference of a health check that was deleted."""
    endpoints = session.dns_records
    endpoints.write({"chat": EAST})
    for number in (1, 2):
        endpoints.split({"chat": HOST}, {"chat": replace(SPLIT, id=f"again {number}")})
        assert len(aws.client("route53").list_health_checks()["HealthChecks"]) == 1
        endpoints.split({"chat": HOST}, {})

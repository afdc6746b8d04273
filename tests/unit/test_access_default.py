"""Who reaches an endpoint of which the mesh does not say it: what is up stays as it is, what is new is internal."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import ShiftsInForce
from meshctl.model.stack_state import StackState
from meshctl.project import Project
from stacks.edge import DnsRecord
from tests.unit import states
from tests.unit.deployments import deployment

STACK = "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e"
SERVICE = "urn:pulumi:e::m::kubernetes:core/v1:Service::workload/chat:load-balancer"
MESH = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "pools": {"web": {"nodes": 1, "cpu": {"cores": 4}}},
    "workloads": {"chat": {"kind": "service", "pool": "web", "image": "a/b:1", "ports": {"http": 80}}},
    "endpoints": {"chat": {"host": "chat.example.com", "workload": "chat", "port": "http"}},
}
AWS = {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
FILE = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "dns": {"provider": "route53", "zone": "example.com"},
    "environments": {"aws-east": AWS, "aws-west": {**AWS, "region": "us-west-2", "zones": ["us-west-2a"]}},
}


class FakeSession:
    """A session of which only states and DNS records are asked."""

    def __init__(self, records: dict[str, DnsRecord] | None = None, **deployed: Deployment | StackState) -> None:
        self.remarks: dict[str, tuple[str, ...]] = {}
        self.records = records or {}
        self.deployed = {name.replace("_", "-"): value for name, value in deployed.items()}
        self.reads: list[str] = []
        self.dns_records = self

    def current(self) -> dict[str, DnsRecord]:
        self.reads.append("records")
        return self.records

    def shifts_in_force(self, _environment: str) -> ShiftsInForce:
        return ShiftsInForce()

    def state(self, environment: str) -> StackState:
        self.reads.append(environment)
        value = self.deployed.get(environment, states.NOTHING)
        if isinstance(value, StackState):
            return value
        outputs = {"deployment": value.model_dump(mode="json")}
        return states.state({"urn": STACK, "type": "pulumi:pulumi:Stack", "outputs": outputs})


def up(environment: str = "aws-east", **changes: object) -> Deployment:
    """What is up, with its one endpoint as given."""
    made = deployment(environment)
    return made.model_copy(update={"endpoints": (made.endpoints[0].model_copy(update=changes),)})


def decided(session: FakeSession, moved_from: Deployment | None = None, **endpoint: object) -> tuple[str, str]:
    """The endpoint's access at aws-east, and what the plan says of it."""
    mesh = {**MESH, "endpoints": {"chat": {**cast("Any", MESH["endpoints"])["chat"], **endpoint}}}
    made = Project(Mesh.model_validate(mesh), Environments.model_validate(FILE), cast("Any", session))
    access = made.deployment("aws-east", moved_from=moved_from).endpoints[0].access
    return access, " ".join(text for text in session.remarks["aws-east"] if text.startswith("endpoint/"))


def record(environment: str, host: str = "chat.example.com") -> DnsRecord:
    return DnsRecord(host, environment, "192.0.2.1", 60, "example.com")


def test_a_new_endpoint_is_internal() -> None:
    access, note = decided(FakeSession())
    assert access == "internal"
    assert (
        "chat.example.com; the endpoint becomes internal, as it is new: add `access: internal` or `access: public`"
        in note
    )


@pytest.mark.parametrize("kept", ["", "public", "internal"])
def test_an_endpoint_that_is_up_stays_as_it_is(kept: str) -> None:
    """Without a word is how versions up to 0.2 brought up public ones."""
    access, note = decided(FakeSession(aws_east=up(access=kept)))
    assert access == kept
    assert f"the endpoint stays {kept or 'public'}, as it is {kept or 'public'} in aws-east: add `access: " in note
    access, _ = decided(FakeSession(aws_east=up(access=kept, name="talk")))  # the same host
    assert access == kept


@pytest.mark.parametrize("word", ["public", "internal"])
def test_what_the_mesh_says_holds_and_nothing_is_read(word: str) -> None:
    session = FakeSession(aws_east=up(access=""))
    assert decided(session, access=word) == (word, "")
    assert session.reads == []


def test_a_first_up_that_was_cut_off_has_left_a_public_load_balancer() -> None:
    left = states.state({"urn": SERVICE, "type": "kubernetes:core/v1:Service"})
    assert decided(FakeSession(aws_east=left))[0] == ""


def test_a_second_environment_of_a_public_endpoint_has_it_public() -> None:
    by_name, by_host = {"chat": record("aws-west")}, {"talk": record("aws-west")}
    for records in (by_name, by_host):
        access, note = decided(FakeSession(records, aws_west=up("aws-west")))
        assert access == ""
        assert "the endpoint stays public, as it is public in aws-west" in note
    assert decided(FakeSession(by_name, aws_west=up("aws-west", access="internal")))[0] == "internal"


def test_the_record_of_an_environment_without_a_state_is_taken_for_one_in_use() -> None:
    assert decided(FakeSession({"chat": record("aws-west")}))[0] == ""
    assert decided(FakeSession({"other": record("aws-west", "other.example.com")}))[0] == "internal"


def test_a_migration_takes_the_access_of_its_source() -> None:
    source = up("aws-west")
    for session in (FakeSession(), FakeSession(aws_east=up(access="internal"))):
        assert decided(session, source)[0] == ""
    assert decided(FakeSession(), up("aws-west", access="internal"))[0] == "internal"
    assert decided(FakeSession(), source, access="internal")[0] == "internal"


def test_networks_that_the_mesh_no_longer_names_are_asked_for() -> None:
    session = FakeSession(aws_east=up(access="public", cidrs=("203.0.113.0/24",)))
    with pytest.raises(UsageError) as error:
        decided(session)
    assert "in aws-east only 203.0.113.0/24 may" in str(error.value.why)

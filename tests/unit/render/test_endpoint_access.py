"""Who reaches an endpoint: what is rendered, said, refused, and done to what is up already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.changes.notes import endpoint_access
from meshctl.deploy.runs import plans
from meshctl.dns import records
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Dns
from meshctl.resolve.work.notes import endpoint_notes
from stacks.edge import DnsRecord
from tests.unit.deployments import deployment

ENVIRONMENTS = ["aws-east", "cw", "dc1"]
INTERNAL = {"access": "internal"}
PUBLIC = {"access": "public"}
NETWORKS = ("198.51.100.0/24", "203.0.113.7/32")


def with_endpoints(environment: str = "aws-east", **changes: Mapping[str, object]) -> Deployment:
    """The deployment with these endpoints, which differ from its own by these changes."""
    plain = deployment(environment)
    own = plain.endpoints[0]
    made = [
        own.model_copy(update={"name": name, "host": f"{name}.example.com"} | dict(c)) for name, c in changes.items()
    ]
    return plain.model_copy(update={"endpoints": tuple(made)})


def balancers(made: Deployment) -> dict[str, Any]:
    services = {item.name: item.manifest for item in render.platform_objects(made) if item.kind == "Service"}
    return {name: service for name, service in services.items() if service["spec"]["type"] == "LoadBalancer"}


def notes(made: Deployment) -> list[str]:
    return list(endpoint_notes.notes(made.provider, made.endpoints))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_endpoint_that_says_nothing_stays_as_it_is_up(environment: str) -> None:
    silent, public = with_endpoints(environment, chat={}), with_endpoints(environment, chat=PUBLIC)
    assert silent == deployment(environment)
    assert render.platform_objects(public) == render.platform_objects(silent)
    written = {"name": "chat", "host": "chat.example.com", "workload": "chat", "port": "http"}
    assert silent.model_dump(mode="json")["endpoints"] == [written]


def test_the_annotations_of_an_internal_load_balancer() -> None:
    """CoreWeave's is private unless it says that it is public; EKS's own cloud controller reads `…-internal`."""
    annotations = {
        environment: balancers(with_endpoints(environment, chat=INTERNAL))["workload/chat:internal-load-balancer"][
            "metadata"
        ].get("annotations", {})
        for environment in ENVIRONMENTS
    }
    assert annotations["aws-east"]["service.beta.kubernetes.io/aws-load-balancer-internal"] == "true"
    assert annotations["aws-east"]["service.beta.kubernetes.io/aws-load-balancer-type"] == "nlb"
    assert annotations["cw"] == annotations["dc1"] == {}


def test_internal_and_public_endpoints_of_a_workload_have_a_load_balancer_each() -> None:
    services = balancers(with_endpoints(inside=INTERNAL, outside=PUBLIC))
    names = {name: service["metadata"]["name"] for name, service in services.items()}
    assert names == {
        "workload/chat:load-balancer": "chat-public",
        "workload/chat:internal-load-balancer": "chat-internal",
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_the_networks_of_cidrs_are_let_in(environment: str) -> None:
    services = balancers(with_endpoints(environment, inside=INTERNAL, outside={**PUBLIC, "cidrs": NETWORKS}))
    assert services["workload/chat:load-balancer"]["spec"]["loadBalancerSourceRanges"] == list(NETWORKS)
    assert "loadBalancerSourceRanges" not in services["workload/chat:internal-load-balancer"]["spec"]


def test_a_plan_calls_the_networks_cidrs() -> None:
    old = balancers(with_endpoints(chat={**PUBLIC, "cidrs": NETWORKS[:1]}))["workload/chat:load-balancer"]
    new = balancers(with_endpoints(chat={**PUBLIC, "cidrs": NETWORKS}))["workload/chat:load-balancer"]
    kind = "kubernetes:core/v1:Service"
    changed = (PropertyChange("spec.loadBalancerSourceRanges[1]"),)
    step = Step(f"urn:pulumi:e::m::{kind}::workload/chat:load-balancer", kind, "update", old, new, changed)
    assert [change.path for change in fields(step)] == ["cidrs"]


def test_every_public_endpoint_is_noted_in_check_and_plan() -> None:
    made = with_endpoints(
        silent={},
        inside=INTERNAL,
        outside=PUBLIC,
        some={**PUBLIC, "cidrs": NETWORKS},
        all={**PUBLIC, "cidrs": ("0.0.0.0/0",)},
    )
    texts = notes(made)
    assert [text.partition(": ")[0] for text in texts] == [
        f"endpoint/{n}" for n in ("silent", "outside", "some", "all")
    ]
    assert "silent.example.com is public, and nothing in front of it asks for credentials" in texts[0]
    assert "`cidrs: [203.0.113.0/24]`" in texts[1]
    assert "public for 198.51.100.0/24, 203.0.113.7/32, and nothing in front of it asks for credentials" in texts[2]
    assert "`cidrs: " in texts[3]
    assert set(texts) <= set(plans.plan_of_preview(made, [], made, ()).notes)


def test_check_says_that_an_endpoint_without_access_depends_on_what_is_up() -> None:
    made = with_endpoints(silent={}, outside=PUBLIC)
    silent, outside = endpoint_notes.notes_of_mesh(made.provider, made.endpoints)
    assert "it becomes internal in an environment where it is new, and keeps its access where it is up" in silent
    assert outside == notes(made)[1]


def test_where_the_cluster_decides_who_reaches_an_address_internal_says_so() -> None:
    assert notes(with_endpoints("cw", chat=INTERNAL)) == []
    (text,) = notes(with_endpoints("dc1", chat=INTERNAL))
    assert "the cluster's own settings decide who reaches its address" in text


def test_a_plan_says_what_a_change_of_access_does() -> None:
    before, after = with_endpoints(chat={}, other=PUBLIC), with_endpoints(chat=INTERNAL, other=PUBLIC)
    (text,) = endpoint_access.notes(before, after)
    assert text.startswith("endpoint/chat: becomes internal: it gets another load balancer with another address")
    assert "the public one stays, as other uses it" in text
    assert text in plans.plan_of_preview(after, [], before, ()).notes
    (text,) = endpoint_access.notes(with_endpoints(chat=INTERNAL), with_endpoints(chat=PUBLIC))
    assert "becomes public" in text
    assert "and the internal one is removed" in text


def test_a_plan_says_that_an_endpoint_leads_to_another_workload_with_another_address() -> None:
    before, after = with_endpoints(chat={}), with_endpoints(chat={"workload": "chat-gateway"})
    (text,) = endpoint_access.notes(before, after)
    assert text.startswith("endpoint/chat: leads to chat-gateway and no longer to chat: it gets another load balancer")
    assert endpoint_access.addresses_after(before, after, {"chat": "192.0.2.1"}) == {"chat": "known after up"}


def test_the_address_of_an_endpoint_whose_access_changes_is_not_known_before_the_end() -> None:
    before, after = with_endpoints(chat={}, other={}), with_endpoints(chat=INTERNAL, other={})
    addresses = {"chat": "192.0.2.1", "other": "192.0.2.1"}
    assert endpoint_access.addresses_after(before, after, addresses) == {"chat": "known after up", "other": "192.0.2.1"}


def test_a_plan_shows_that_the_dns_record_follows() -> None:
    dns = Dns.model_validate({"provider": "route53", "zone": "example.com"})
    before, after = with_endpoints(chat={}), with_endpoints(chat=INTERNAL)
    current = {"chat": DnsRecord("chat.example.com", "aws-east", "192.0.2.1", int(dns.ttl_s), "example.com")}
    addresses = endpoint_access.addresses_after(before, after, {"chat": "192.0.2.1"})
    (change,) = records.dns_changes(after, current, addresses, dns)
    assert (change.subject, change.action) == ("endpoint/chat", "update")
    assert [field.text() for field in change.fields] == ["address 192.0.2.1 -> known after up"]


@pytest.mark.parametrize("access", [{}, PUBLIC])
def test_writing_the_word_that_is_true_already_changes_nothing(access: dict[str, str]) -> None:
    before, after = with_endpoints(chat={}), with_endpoints(chat=access)
    assert endpoint_access.notes(before, after) == endpoint_access.notes(None, after) == ()


MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {web: {nodes: 1, cpu: {cores: 4}}}
workloads:
  front: {kind: service, pool: web, image: "a/b:1", ports: {http: 8080, grpc: 9090}}
  %s: {kind: service, pool: web, image: "a/b:1", ports: {http: 8080}}
endpoints:
  chat: {host: chat.example.com, workload: front, port: http, %s}
  more: {host: more.example.com, workload: front, port: grpc, %s}
"""
FILE = """\
apiVersion: meshctl/v1
kind: Environments
dns: {provider: route53, zone: example.com}
environments: {cw: {provider: coreweave, region: US-EAST-04A, objectStorage: {profile: cw}}}
"""


def refused(folder: Path, chat: str, more: str, workload: str = "other") -> list[str]:
    (folder / "mesh.yaml").write_text(MESH % (workload, chat, more))
    (folder / "environments.yaml").write_text(FILE)
    try:
        load(folder / "mesh.yaml", folder / "environments.yaml")
    except DiagnosticsError as error:
        return [problem.message for problem in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("chat", "text"),
    [
        ("access: private", 'expected one of internal, public; got "private"'),
        ("access: public, cidrs: []", "the list is empty"),
        ("access: public, cidrs: [chat]", '"chat" is not an IPv4 network like 203.0.113.0/24'),
        ("access: public, cidrs: ['2001:db8::/32']", "is not an IPv4 network"),
        ("access: public, cidrs: [203.0.113.0/33]", "is not an IPv4 network"),
        ("access: public, cidrs: [203.0.113.7]", 'write "203.0.113.7/32"'),
        ("access: public, cidrs: [203.0.113.7/24]", 'write "203.0.113.0/24"'),
        ("access: internal, cidrs: [203.0.113.0/24]", "only public endpoints have `cidrs`"),
        ("cidrs: [203.0.113.0/24]", "write `access: public` beside it"),
        ("internal: true", "write `access: internal` or `access: public`"),
    ],
)
def test_what_is_no_access_is_refused(tmp_path: Path, chat: str, text: str) -> None:
    assert any(text in message for message in refused(tmp_path, chat, "access: internal"))


def test_two_public_endpoints_of_a_workload_have_the_same_networks(tmp_path: Path) -> None:
    public = "access: public, cidrs: [203.0.113.0/24, 198.51.100.0/24]"
    (message,) = refused(tmp_path, public, "access: public")
    assert 'endpoint "chat" of this workload has other `cidrs`' in message
    assert refused(tmp_path, public, "access: public, cidrs: [198.51.100.0/24, 203.0.113.0/24]") == []
    assert refused(tmp_path, public, "access: internal") == []
    (message,) = refused(tmp_path, public, "")
    assert message.endswith("write the same `cidrs` into both, or `access: internal`")


def test_a_workload_may_not_be_called_as_an_internal_load_balancer(tmp_path: Path) -> None:
    assert refused(tmp_path, "access: public", "access: public", workload="front-internal") == []
    (message,) = refused(tmp_path, "access: internal", "access: public", workload="front-internal")
    assert '"front-internal"' in message

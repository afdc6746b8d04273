"""Which name server is asked, and what happens if one of them, or all, do not answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from meshctl.dns import lookup
from meshctl.errors import UnreachableError

SYSTEM, FIRST, SECOND = "192.0.2.1", "192.0.2.11", "192.0.2.12"
HOST = "chat.example.com."
ZONE = {
    ("example.com.", "SOA"): ["ns1.example.net. root.example.net. 1 2 3 4 5"],
    ("example.com.", "NS"): ["ns1.example.net.", "ns2.example.net."],
    ("ns1.example.net.", "A"): [FIRST],
    ("ns2.example.net.", "A"): [SECOND],
}
Server = Callable[[dns.message.QueryMessage], dns.message.Message]


def answering(records: dict[tuple[str, str], list[str]]) -> Server:
    def answer(query: dns.message.QueryMessage) -> dns.message.Message:
        asked = query.question[0]
        name, kind = asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
        response: dns.message.Message = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if (name, kind) in records:
            response.answer.append(dns.rrset.from_text(name, 5, "IN", kind, *records[name, kind]))
        elif name not in {known for known, _ in records}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return dns.message.from_wire(response.to_wire())

    return answer


def silent(_query: dns.message.QueryMessage) -> dns.message.Message:
    raise dns.exception.Timeout(timeout=2)


def failing(query: dns.message.QueryMessage) -> dns.message.Message:
    response: dns.message.Message = dns.message.make_response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Server]:
    """By address. The machine's own resolver knows the zone; the zone's servers know the host."""
    at = {SYSTEM: answering(ZONE), FIRST: answering({(HOST, "A"): ["198.51.100.1"]})}
    at[SECOND] = at[FIRST]

    def query(self: dns.nameserver.Do53Nameserver, request: Any, *_options: Any, **_more: Any) -> dns.message.Message:
        return at[self.address](request)

    def configured(self: dns.resolver.Resolver, *_: object) -> None:
        self.nameservers = [SYSTEM]

    monkeypatch.delenv(lookup.DNS_SERVER, raising=False)
    monkeypatch.setattr(dns.nameserver.Do53Nameserver, "query", query)
    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configured)
    monkeypatch.setattr(lookup, "_DNS_TIMEOUT_S", 0.3)
    monkeypatch.setattr(dns.resolver, "default_resolver", None)
    return at


def test_the_zone_s_own_server_is_asked(servers: dict[str, Server]) -> None:
    assert lookup.resolve("chat.example.com") == ["198.51.100.1"]
    assert servers


@pytest.mark.parametrize("down", [FIRST, SECOND])
@pytest.mark.parametrize("how", [silent, failing])
def test_one_server_of_several_that_is_down_hides_nothing(servers: dict[str, Server], down: str, how: Server) -> None:
    servers[down] = how
    assert lookup.resolve("chat.example.com") == ["198.51.100.1"]


def test_a_server_without_an_address_is_passed_over(servers: dict[str, Server]) -> None:
    servers[SYSTEM] = answering({at: records for at, records in ZONE.items() if at[0] != "ns1.example.net."})
    assert lookup.resolve("chat.example.com") == ["198.51.100.1"]


@pytest.mark.parametrize("how", [silent, failing])
@pytest.mark.parametrize("down", [(FIRST, SECOND), (SYSTEM,)])
def test_no_server_that_answers_is_no_answer(servers: dict[str, Server], down: tuple[str, ...], how: Server) -> None:
    servers |= dict.fromkeys(down, how)
    with pytest.raises(UnreachableError, match=r"chat\.example\.com"):
        lookup.resolve("chat.example.com")


def test_a_machine_without_a_resolver_is_told(servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", missing)
    with pytest.raises(UnreachableError, match="no name server"):
        lookup.resolve("chat.example.com")
    assert servers


def test_a_name_without_a_record_is_unknown(servers: dict[str, Server]) -> None:
    servers[FIRST] = servers[SECOND] = answering({("other.example.com.", "A"): ["198.51.100.2"]})
    assert lookup.resolve("chat.example.com") == []


def test_a_name_is_asked_as_often_as_wanted_several_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question waits until another one is under way: one after the other they would never end."""
    both = threading.Barrier(2, timeout=60)
    asked = itertools.count()

    def cname(*_: object, **__: object) -> list[SimpleNamespace]:
        if next(asked):
            both.wait()
        return [SimpleNamespace(target="a.example.com.")]

    monkeypatch.setattr(lookup, "_resolver", lambda _: SimpleNamespace(resolve=cname))
    assert lookup.cnames("_split.chat.example.com", 41) == {"a.example.com": 41}


def test_a_name_without_a_record_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def none(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise dns.resolver.NXDOMAIN

    monkeypatch.setattr(lookup, "_resolver", lambda _: SimpleNamespace(resolve=none))
    assert lookup.cnames("gone.example.com", 40) == {}
    assert asked == ["gone.example.com"]


def test_a_load_balancer_has_all_the_addresses_that_its_name_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"chat.example.com": ["lb.example.net"], "lb.example.net": ["192.0.2.1", "192.0.2.2"]}
    monkeypatch.setattr(lookup, "_lookup", lambda name: records.get(name, []))
    assert lookup.addresses_of("chat.example.com") == ["192.0.2.1", "192.0.2.2"]
    assert lookup.address_of("chat.example.com") == "192.0.2.1"
    assert lookup.addresses_of("2001:db8:0::1") == ["2001:db8::1"]
    assert lookup.address_of("2001:db8:0::1") == "[2001:db8::1]"
    with pytest.raises(UnreachableError, match=r"gone\.example\.net has no address"):
        lookup.addresses_of("gone.example.net")
    records["lb.example.net"] = ["chat.example.com"]
    with pytest.raises(UnreachableError, match="back to itself"):
        lookup.addresses_of("chat.example.com")

"""The gateway on the engine: when it refreshes the state, and what an `up` would change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.bench import fabric
from meshctl.clients.kubernetes import clusters
from meshctl.dns.lookup import DNS_SERVER, dns_server, resolve
from meshctl.errors import InterruptedByUserError, UnreachableError, UsageError
from meshctl.migrate.engine_gateway import EngineGateway, build_gateway
from meshctl.migrate.gateway import PendingChanges
from meshctl.model.mesh import Fabric
from meshctl.objects.progress import Stop
from meshctl.project import Project
from tests.unit.migrate.fake_gateway import deployment

WEST = deployment("west")


class Session:
    """Records for each `up` whether it refreshes the state. `silent`: how many of them get no answer."""

    def __init__(self, silent: int = 0) -> None:
        self.silent = silent
        self.refresh = True
        self.on_progress = None
        self.looked: list[bool] = []

    def up(self, _deployment: Any, **_options: Any) -> Any:
        self.looked.append(self.refresh)
        if len(self.looked) <= self.silent:
            raise UnreachableError("nobody answers")
        return SimpleNamespace(addresses={}, starts={}, ended_blocks=None)


def project(session: Any) -> Project:
    return cast("Project", SimpleNamespace(session=session))


def engine_gateway(session: Session) -> EngineGateway:
    return EngineGateway(project(session))


def test_only_the_first_up_of_an_environment_looks_at_the_world() -> None:
    session = Session()
    gateway = engine_gateway(session)
    for _ in range(3):
        gateway.up(WEST, print)
    assert session.looked == [True, False, False]


def test_an_up_without_an_answer_has_not_looked() -> None:
    session = Session(silent=2)
    gateway = engine_gateway(session)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            gateway.up(WEST, print)
    gateway.up(WEST, print)
    gateway.up(WEST, print)
    assert session.looked == [True, True, True, False]


def test_a_fabric_is_measured_for_the_migration_alone_and_stopped_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    gateway = EngineGateway(cast("Project", SimpleNamespace(session=Session(), state_store="the store")))
    monkeypatch.setattr(gateway, "_access", lambda each: f"access to {each.environment}")
    monkeypatch.setattr(fabric, "measure_and_keep", lambda *places, holder: given.extend((*places, holder)))
    stop = Stop()
    gateway.measure_fabric(WEST, "train", stop, print)
    *places, holder = given
    assert places == [WEST, "train", "access to west", "the store", print]
    assert holder.is_alone
    stop.request()
    with pytest.raises(InterruptedByUserError):
        holder.check()


@pytest.mark.parametrize(
    ("fabrics", "wanted"),
    [({"backend": {"kind": "rdma", "expect": 0.5}}, 0.5), ({"backend": {"kind": "rdma"}}, 0.0), ({}, None)],
)
def test_what_is_wanted_of_a_fabric_is_what_the_mesh_says_now(fabrics: Any, wanted: float | None) -> None:
    declared = {name: Fabric.model_validate(each) for name, each in fabrics.items()}
    here = SimpleNamespace(session=Session(), mesh=SimpleNamespace(fabrics=declared))
    assert EngineGateway(cast("Project", here)).wanted_of_fabric("backend") == wanted


@pytest.mark.parametrize("given", ["127.0.0.1", "10.0.0.2:", "10.0.0.2:53o", "10.0.0.2:0", "ns1.example.com:53", ":53"])
def test_a_malformed_dns_server_is_told_before_anything_begins(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DNS_SERVER, given)
    with pytest.raises(UsageError, match=f"{DNS_SERVER}={given} is not the address of a DNS server"):
        build_gateway(project(Session()))
    with pytest.raises(UsageError):
        resolve("chat.example.com")


@pytest.mark.parametrize(
    ("given", "server"),
    [("10.0.0.2:5353", ("10.0.0.2", 5353)), ("[fd00::2]:53", ("fd00::2", 53)), ("", None)],
)
def test_a_dns_server_is_an_address_and_a_port(
    given: str, server: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DNS_SERVER, given)
    assert dns_server() == server


def test_what_somebody_deleted_is_told_from_what_the_mesh_or_meshctl_changes() -> None:
    def change(subject: str, action: str) -> Any:
        return SimpleNamespace(subject=subject, action=action)

    plan = SimpleNamespace(
        changes=[change("pool/train", "update"), change("workload/chat", "update")],
        outside=[change("workload/redis", "create"), change("storage/home", "create"), change("network", "update")],
    )
    session = SimpleNamespace(plan=lambda _: plan)
    pending = EngineGateway(project(session)).pending_changes(WEST)
    assert pending == PendingChanges(
        frozenset({"pool/train", "network"}), frozenset({"workload/redis", "storage/home"})
    )


def test_the_address_of_an_endpoint_is_that_of_its_own_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal endpoint has another Service than a public one of the same workload."""
    public, *_ = WEST.endpoints
    internal = public.model_copy(update={"name": "chat-internal", "access": "internal"})
    both = WEST.model_copy(update={"endpoints": (public, internal)})
    monkeypatch.setattr(clusters, "load_balancer", lambda _access, _namespace, service: f"address of {service}")
    gateway = engine_gateway(Session())
    monkeypatch.setattr(gateway, "_access", lambda _deployment: None)
    assert gateway.addresses(both) == {
        public.name: f"address of {public.workload}-public",
        "chat-internal": f"address of {public.workload}-internal",
    }

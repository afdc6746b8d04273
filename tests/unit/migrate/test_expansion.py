"""A workload expanded into a second environment, given again, and contracted, in memory, killed at every moment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.cli import expand as commands
from meshctl.errors import InfeasibleError, LockedError, MigrationError, UsageError
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.journal import guard
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.expansion import check_of
from meshctl.migrate.planning.inputs import Share, share_text, weight_of
from meshctl.migrate.views import detail_document, detail_text, run_text
from meshctl.migrate.views.expansion import expansion_document, expansion_text
from meshctl.model.deployment import EndpointCertificate, Gap, Health, Mount
from meshctl.model.dns_splits import HealthCheck, Side
from meshctl.model.questions import Findings
from tests.golden_files import Golden
from tests.unit.migrate.expansions import (
    CHAT,
    OPTIONS,
    assert_contracted,
    assert_expanded,
    expanded,
    migrations_of,
    run,
    weights,
)
from tests.unit.migrate.fake_gateway import FakeGateway, Killed


def test_both_serve_and_the_rest_of_the_mesh_stays_where_it_is() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    assert_expanded(gateway, 102)
    _, history, activity = migrations.status()
    assert "expanded, 40.0% (102 of 255) of chat" in run_text("one", history, activity)
    assert "meshctl contract" in detail_text("one", history, activity)


def test_each_side_is_checked_as_its_workload_is() -> None:
    gateway = FakeGateway().begin()
    expanded(gateway)
    check = HealthCheck("HTTP", 8000, "/health")
    assert gateway.weighted["chat"].sides == (Side("east", "east-lb", 153, check), Side("west", "west-lb", 102, check))


def test_given_again_it_changes_the_share_and_copies_what_is_new() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.buckets["east-weights"]["w/new"] = b"x"
    for weight in (204, 102):
        status = migrations.expansion_of("east", "west", "chat")
        assert status is not None
        migrations.share_again(status.migration, weight)
        assert_expanded(gateway, weight)
    with pytest.raises(UsageError, match="chat is expanded already, from east to west"):
        migrations.expansion_of("west", "east", "chat")


def test_contract_leads_all_back_before_the_target_goes() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    assert migrations.rollback(destroy_target=True).state == "rolled-back"
    assert_contracted(gateway)
    assert gateway.destroyed_with_data == {"west": False}
    assert migrations.expansion() is None


def test_contract_works_while_the_target_is_gone() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.lose("west")
    migrations.rollback(target_lost=True)
    assert_contracted(gateway)


def test_an_expansion_has_no_finish() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    with pytest.raises(MigrationError, match="is an expansion, which has no `finish`") as caught:
        migrations.finish()
    assert "meshctl contract" in caught.value.hint


def test_the_source_goes_on_and_the_target_is_left_alone() -> None:
    gateway = FakeGateway().begin()
    status = expanded(gateway).status()
    guard.refuse(*status, "east", "up")
    guard.refuse(*status, "east", "restart")
    for environment, command in (("east", "destroy"), ("west", "up"), ("west", "destroy")):
        with pytest.raises(LockedError, match="is part of expansion"):
            guard.refuse(*status, environment, command)


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        (Mount(storage="weights", kind="object", path="/models", read_only=False), "a workload that only reads"),
    ],
)
def test_a_workload_that_writes_is_refused(mount: Mount, reason: str) -> None:
    gateway = FakeGateway()
    east = gateway.declared["east"]
    chat = east.workload("chat").model_copy(update={"mounts": (mount,)})
    workloads = (chat, east.workload("pretrain"))
    gateway.declared["east"] = east.model_copy(update={"workloads": workloads})
    gateway.begin()
    with pytest.raises(InfeasibleError, match=reason):
        migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)


def test_a_job_is_refused() -> None:
    gateway = FakeGateway().begin()
    with pytest.raises(InfeasibleError, match="a workload that only reads"):
        migrations_of(gateway).plan_expansion("east", "west", Share(workload="pretrain", weight=102), OPTIONS)


def test_a_name_that_leads_elsewhere_is_refused() -> None:
    gateway = FakeGateway().begin()
    gateway.names = {"chat": EndpointTarget("dc1", "dc1-lb")}
    with pytest.raises(UsageError, match="leads to dc1, not to east"):
        migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)


def test_a_name_that_only_some_networks_reach_has_no_health_check_and_the_plan_says_so() -> None:
    gateway = FakeGateway()
    for name, whole in gateway.declared.items():
        internal = whole.endpoints[0].model_copy(update={"access": "internal"})
        gateway.declared[name] = whole.model_copy(update={"endpoints": (internal,)})
    gateway.begin()
    plan = migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)
    assert "chat.example.com has no health check, because it is internal" in expansion_text(plan)
    assert "`meshctl expand east west --workload chat --share 100%` to west" in expansion_text(plan)
    assert check_of(plan.target, plan.target.endpoints[0]) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listens": 443, "redirect": "redirect"}, "listens on port 443 in west, and on port 8000 in east"),
        ({"access": "internal"}, "is internal in west, and public in east"),
        ({"cidrs": ("10.0.0.0/8",)}, "lets in only 10.0.0.0/8 in west, and all networks in east"),
    ],
)
def test_one_name_must_be_reached_in_one_way(changes: dict[str, Any], reason: str) -> None:
    """Clients ask the one that DNS gives them by the port and the protocol that they know."""
    gateway = FakeGateway()
    west = gateway.declared["west"]
    gateway.declared["west"] = west.model_copy(update={"endpoints": (west.endpoints[0].model_copy(update=changes),)})
    gateway.begin()
    with pytest.raises(InfeasibleError, match="be expanded") as caught:
        migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)
    assert f"chat.example.com {reason}" in caught.value.why
    assert "`meshctl up east`" in caught.value.hint


LONG_HOST = ".".join(["c" * 50, *(["h" * 60] * 3), "example"])  # 241 characters


@pytest.mark.parametrize(
    ("host", "path", "reason"),
    [
        # 247 characters, and with `_split.` before it 254
        (f"{LONG_HOST}.c.com", "/health", "a host of at most 246 characters"),
        (f"{LONG_HOST}.com", "/" + "x" * 255, "a health path of at most 255 characters"),
    ],
)
def test_what_route_53_does_not_take_is_refused_before_anything_is_made(host: str, path: str, reason: str) -> None:
    gateway = FakeGateway()
    for name, whole in gateway.declared.items():
        endpoint = whole.endpoints[0].model_copy(update={"host": host})
        chat = whole.workload("chat").model_copy(update={"health": Health(port="http", path=path)})
        workloads = tuple(chat if each.name == "chat" else each for each in whole.workloads)
        gateway.declared[name] = whole.model_copy(update={"endpoints": (endpoint,), "workloads": workloads})
    gateway.begin()
    with pytest.raises(InfeasibleError, match=reason):
        migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)


def test_rights_to_share_names_are_missed_before_the_target_is_up() -> None:
    gateway = FakeGateway().begin()
    gap = Gap(subject="account", wanted="the right to route53:CreateHealthCheck", best="no policy", hint="attach it")
    gateway.rights = Findings(caller_gaps=(gap,))
    with pytest.raises(InfeasibleError, match="the right to route53:CreateHealthCheck") as caught:
        migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)
    assert caught.value.hint == "attach it"
    gateway.rights = Findings(notes=("AWS did not say",))
    plan = migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)
    assert "AWS did not say" in expansion_text(plan)


def test_a_protocol_that_checkers_do_not_know_is_asked_for_a_connection() -> None:
    gateway = FakeGateway()
    whole = gateway.declared["west"]
    grpc = whole.workload("chat").model_copy(update={"health": Health(port="http", protocol="grpc")})
    whole = whole.model_copy(update={"workloads": (grpc,)})
    assert check_of(whole, whole.endpoints[0]) == HealthCheck("TCP", 8000)


def test_a_load_balancer_that_ends_tls_is_asked_by_https() -> None:
    whole = FakeGateway().declared["west"]
    certified = whole.endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone="example.com")})
    assert check_of(whole, certified) == HealthCheck("HTTPS", 8000, "/health")


def test_the_plan_says_what_is_shared_and_how_long_a_sick_side_is_asked(golden: Golden) -> None:
    gateway = FakeGateway().begin()
    plan = migrations_of(gateway).plan_expansion("east", "west", CHAT, OPTIONS)
    text = expansion_text(plan)
    assert "west: 40.0% (102 of 255)" in text
    assert "leave it out after about 60 s (3 checks, one every 10 s, and the records' TTL of 30 s)" in text
    document = expansion_document(plan)
    golden("migrate/expansion.txt", text)
    golden.json("migrate/expansion.json", document)
    assert document["weights"] == {"east": 153, "west": 102}
    assert gateway.deployments["west"] is None


@pytest.mark.parametrize(("percent", "weight"), [(40, 102), (0.01, 1), (99.99, 254), (50, 128)])
def test_a_share_is_the_nearest_of_255ths(percent: float, weight: int) -> None:
    assert weight_of(percent) == weight
    assert share_text(102) == "40.0% (102 of 255)"


def _moments(direction: str) -> int:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    if direction == "forward":
        return gateway.moments
    gateway.moments = 0
    migrations.rollback(destroy_target=True)
    return gateway.moments


def _broken_off() -> Iterator[tuple[FakeGateway, Migrations]]:
    """An expansion that was killed, at each of its moments, and what the next command has of it."""
    for kill_at in range(1, _moments("forward") + 1):
        gateway = FakeGateway().begin()
        gateway.kill_at = kill_at
        store = MemoryStore()
        with contextlib.suppress(Killed):
            migrations = migrations_of(gateway, store)
            migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
        gateway.revive()
        yield gateway, migrations_of(gateway, store)


def test_killed_at_every_moment_it_ends_the_same() -> None:
    for gateway, again in _broken_off():
        if again.expansion() is None:
            again.start(again.plan_expansion("east", "west", CHAT, OPTIONS))
        else:
            again.resume()
        assert_expanded(gateway, 102)


def test_contract_killed_at_every_moment_ends_the_same() -> None:
    for kill_at in range(1, _moments("rollback") + 1):
        gateway = FakeGateway().begin()
        store = MemoryStore()
        migrations = migrations_of(gateway, store)
        migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
        gateway.moments, gateway.kill_at = 0, kill_at
        with contextlib.suppress(Killed):
            migrations.rollback(destroy_target=True)
        gateway.revive()
        again = migrations_of(gateway, store)
        if again.expansion() is not None:
            again.rollback(destroy_target=True)
        assert_contracted(gateway)


def test_a_broken_off_expansion_can_be_contracted_at_every_moment() -> None:
    for gateway, again in _broken_off():
        if again.expansion() is not None:
            again.rollback(destroy_target=True)
        assert_contracted(gateway)


def test_the_records_of_another_share_are_not_taken_for_the_wanted_ones() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    split = gateway.weighted["chat"]
    gateway.weighted["chat"] = replace(split, sides=tuple(replace(side, weight=1) for side in split.sides))
    migrations.share_again(migrations.ids()[0], 102)
    assert_expanded(gateway, 102)


def test_what_ran_at_the_target_before_is_not_destroyed() -> None:
    """Refused by its preflight, an expansion has made nothing at the target: there is nothing to take away."""
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan_expansion("east", "west", CHAT, OPTIONS)
    own = gateway.declared["west"].paused(frozenset({"pretrain"}))  # the trainer runs in one place alone
    gateway.deployments["west"] = own
    with pytest.raises(MigrationError, match="west already runs chat"):
        migrations.start(plan)
    assert migrations.rollback(destroy_target=True).state == "rolled-back"
    assert gateway.deployments["west"] == own
    assert gateway.destroyed_by == []


@pytest.mark.parametrize("what", ["paused", "silent"])
def test_nobody_is_led_to_a_source_that_does_not_serve(what: str) -> None:
    """Nothing is changed then, so that the source can still be brought up again."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.check = lambda: None  # type: ignore[method-assign]
    if what == "silent":
        gateway.silent.add("east")
    else:
        gateway.deployments["east"] = gateway.declared["east"].paused(frozenset({"chat"}))
    with pytest.raises(MigrationError, match="east") as caught:
        migrations.rollback(destroy_target=True)
    assert "nothing was changed" in caught.value.why
    assert weights(gateway) == {"east": 153, "west": 102}
    guard.refuse(*migrations.status(), "east", "up")
    gateway.silent.clear()
    gateway.deployments["east"] = gateway.declared["east"]
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


def test_a_target_that_is_gone_leaves_no_choice_but_the_source() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.lose("west")
    gateway.silent.add("east")
    with pytest.raises(MigrationError):
        migrations.rollback(target_lost=True)
    assert weights(gateway) == {"east": 255, "west": 0}


def test_a_dry_run_of_another_share_shows_what_it_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    asked = ("east", "west", "chat", "60%")
    run(commands.expand, migrations, monkeypatch, *asked, dry_run=True)
    text = capsys.readouterr().out
    assert "west: 60.0% (153 of 255), now 40.0% (102 of 255)" in text
    assert "copy what is new in weights" in text
    assert "bring up the target" not in text
    run(commands.expand, migrations, monkeypatch, *asked, dry_run=True, output="json")
    document = json.loads(capsys.readouterr().out)
    assert document["weights"] == {"east": 102, "west": 153}
    assert [step["step"] for step in document["steps"]] == ["round1/seed.weights", "round1/records"]
    assert_expanded(gateway, 102)
    run(commands.expand, migrations, monkeypatch, *asked)
    assert_expanded(gateway, 153)


def test_what_is_not_in_force_takes_no_other_share(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = FakeGateway().begin()
    gateway.healthy = False
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError):
        expanded_by(migrations)
    for dry_run in (True, False):
        with pytest.raises(MigrationError, match="is not in force: stopped") as caught:
            run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "60%", dry_run=dry_run)
        assert "migrations resume" in caught.value.hint


def expanded_by(migrations: Migrations) -> None:
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))


def test_a_source_can_not_be_given_up() -> None:
    """There would be no way out: an expansion ends at its source alone."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.check = lambda: None  # type: ignore[method-assign]
    gateway.silent |= {"east", "east-weights"}
    with pytest.raises(MigrationError, match="an expansion can't go on without its source") as caught:
        migrations.resume(source_lost=True)
    assert "meshctl up east" in caught.value.hint
    gateway.silent.clear()
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


def test_a_round_that_stopped_is_not_said_to_be_in_force_and_goes_on() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent.add("west")
    with pytest.raises(MigrationError) as caught:
        migrations.share_again(migrations.ids()[0], 204)
    assert "migrations resume" in caught.value.hint
    assert weights(gateway) == {"east": 153, "west": 102}
    text = run_text(*migrations.status())
    assert "the change to 80.0% (204 of 255) of chat has stopped" in text
    expansion = {"workload": "chat", "weights": {"east": 51, "west": 204}, "written": False}
    shown = detail_document(*migrations.status())["expansion"]
    assert {key: shown[key] for key in expansion} == expansion
    gateway.silent.clear()
    migrations.resume()
    assert_expanded(gateway, 204)
    assert "expanded, 80.0% (204 of 255) of chat" in run_text(*migrations.status())


def test_a_smaller_share_does_not_wait_for_the_target_s_store() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent.add("west-weights")
    with pytest.raises(MigrationError):
        migrations.share_again(migrations.ids()[0], 10)
    assert weights(gateway) == {"east": 245, "west": 10}
    assert migrations.history()[1].round_is_open
    gateway.silent.clear()
    migrations.resume()
    assert not migrations.history()[1].round_is_open

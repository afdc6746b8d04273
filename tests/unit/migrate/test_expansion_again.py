"""`expand` given again: newer data, all of the users, a side that does not answer, shifted nodes. In memory."""

from __future__ import annotations

import pytest

from meshctl.cli import expand as commands
from meshctl.errors import LockedError, MigrationError, UsageError
from meshctl.migrate.planning.check_costs import check_cost
from meshctl.migrate.planning.inputs import weight_of
from meshctl.migrate.views import detail_document, list_text, run_text
from meshctl.migrate.views.expansion import expansion_text
from meshctl.model.deployment import Mount
from meshctl.model.dns_splits import HealthCheck
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
from tests.unit.migrate.fake_gateway import FakeGateway


def test_without_a_share_it_copies_what_is_new_and_leaves_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.buckets["east-weights"]["w/new"] = b"x"
    before = detail_document(*migrations.status())["expansion"]["copied"]["weights"]
    run(commands.expand, migrations, monkeypatch, "east", "west", "chat")
    assert_expanded(gateway, 102)
    assert detail_document(*migrations.status())["expansion"]["copied"]["weights"] > before


def test_the_age_of_the_copy_is_shown_and_whether_the_source_may_have_more() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    assert "weights as of 2027-01-15T08:00:" in list_text(migrations.statuses())
    assert "may be newer in east" not in run_text(*migrations.status())
    gateway = FakeGateway()
    east = gateway.declared["east"]
    writes = (*east.workload("pretrain").mounts, Mount(storage="weights", kind="object", path="/out"))
    trainer = east.workload("pretrain").model_copy(update={"mounts": writes})
    gateway.declared["east"] = east.model_copy(update={"workloads": (east.workload("chat"), trainer)})
    gateway.begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan_expansion("east", "west", CHAT, OPTIONS)
    assert "run `meshctl expand east west --workload chat` to copy them" in expansion_text(plan)
    migrations.start(plan)
    assert "may be newer in east" in run_text(*migrations.status())


@pytest.mark.parametrize(("share", "problem"), [("", "--share is missing"), ("100%", "chat is not expanded yet")])
def test_the_first_share_is_a_part(monkeypatch: pytest.MonkeyPatch, share: str, problem: str) -> None:
    migrations = migrations_of(FakeGateway().begin())
    with pytest.raises(UsageError, match=problem) as caught:
        run(commands.expand, migrations, monkeypatch, "east", "west", "chat", share)
    assert "--share 40%" in caught.value.hint


def test_all_are_led_to_the_target_although_the_source_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records come first: what is new in the source can't be copied then."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent |= {"east", "east-weights"}
    gateway.check = lambda: None  # type: ignore[method-assign]  # a share leads to the source as long as it is lost
    with pytest.raises(MigrationError, match="east-weights"):
        run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "100%")
    assert weights(gateway) == {"east": 0, "west": 255}
    gateway.silent.clear()
    migrations.resume()
    run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "40%")
    assert_expanded(gateway, 102)
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


def test_a_target_that_does_not_answer_gets_less_and_never_more() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent |= {"west", "west-weights"}
    gateway.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(MigrationError):
        migrations.share_again(migrations.ids()[0], 10)
    assert weights(gateway) == {"east": 245, "west": 10}
    gateway.silent.discard("west-weights")
    migrations.resume()
    with pytest.raises(MigrationError, match="west does not answer"):
        migrations.share_again(migrations.ids()[0], 204)
    assert weights(gateway) == {"east": 245, "west": 10}


def test_with_both_sides_silent_nobody_gets_more_users() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent |= {"east", "west", "west-weights"}
    gateway.check = lambda: None  # type: ignore[method-assign]
    for weight in (10, 204):
        with pytest.raises(MigrationError, match="does not answer"):
            migrations.share_again(migrations.ids()[0], weight)
        assert weights(gateway) == {"east": 153, "west": 102}
        gateway.silent.clear()
        migrations.resume()
        assert_expanded(gateway, weight)
        migrations.share_again(migrations.ids()[0], 102)
        gateway.silent |= {"east", "west", "west-weights"}


def test_a_round_that_stopped_does_not_hold_up_the_next_one() -> None:
    """Its copies can't be made while the store is down, and its larger share is not set on the way to a smaller one.
    What is smaller than a share that was never set may still be larger than that of now: its data comes first."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    gateway.silent.add("west-weights")
    for weight, present in ((10, 10), (204, 10), (153, 10), (5, 5)):
        with pytest.raises(MigrationError):
            migrations.share_again(migrations.ids()[0], weight)
        assert weights(gateway) == {"east": 255 - present, "west": present}
    gateway.silent.clear()
    migrations.resume()
    assert_expanded(gateway, 5)
    assert not migrations.history()[1].round_is_open


def test_another_share_asks_what_forbids_it_and_not_what_forbids_a_migration() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)

    def refuse() -> None:
        raise LockedError("nodes of east are shifted")

    migrations.check = refuse
    with pytest.raises(LockedError):
        migrations.plan_expansion("east", "west", CHAT, OPTIONS)
    migrations.share_again(migrations.ids()[0], 204)
    assert_expanded(gateway, 204)
    migrations.check_again = refuse
    with pytest.raises(LockedError):
        migrations.share_again(migrations.ids()[0], 102)


@pytest.mark.parametrize(
    ("checks", "usd"),
    [
        ((HealthCheck("TCP", 8000),), 2.75),
        ((HealthCheck("HTTP", 8000, "/"), HealthCheck("HTTPS", 443, "/")), 2.75 + 4.75),
    ],
)
def test_health_checks_have_their_price(checks: tuple[HealthCheck, ...], usd: float) -> None:
    cost = check_cost(checks)
    assert cost is not None
    assert (cost.usd, "2026-09-20" in cost.source) == (usd, True)
    assert check_cost(()) is None


def test_all_of_it_is_no_rounded_share() -> None:
    assert (weight_of(100), weight_of(99.99)) == (255, 254)

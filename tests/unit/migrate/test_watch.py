"""The watcher of an expansion: who is sick, what it does about it, and that it changes nothing without need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.cli import expand as commands
from meshctl.clients.endpoints.health_checks import Answer, Question
from meshctl.errors import (
    InterruptedByUserError,
    LockedError,
    MeshError,
    MigrationError,
    UnreachableError,
    UsageError,
)
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.migrate.watch import SideHealth, watch, weight_for
from meshctl.model.deployment import Deployment, Endpoint
from tests.unit.migrate.expansions import CHAT, OPTIONS, migrations_of, run, weights
from tests.unit.migrate.fake_gateway import FakeGateway

BY_GATEWAY = Share(workload="chat", weight=102, by="gateway")


@pytest.mark.parametrize(
    ("share", "source", "target", "weight"),
    [
        (CHAT, True, True, 102),
        (CHAT, False, True, 255),
        (CHAT, True, False, 0),
        (CHAT, False, False, 7),
        (CHAT, None, True, 7),
        (CHAT, False, None, 7),
        (BY_GATEWAY, False, True, 255),
        (BY_GATEWAY, True, False, 102),  # it asks its own pods then
    ],
)
def test_users_are_led_to_a_side_that_is_known_to_be_well(
    share: Share, source: bool | None, target: bool | None, weight: int
) -> None:
    assert weight_for(share, source=source, target=target, present=7) == weight


def test_one_bad_answer_says_nothing_and_three_in_a_row_do() -> None:
    side = SideHealth()
    changes = [side.take(answered=answered) for answered in (True, True, True, False, False, True, False, False, False)]
    assert changes == [False, False, True, False, False, False, False, False, True]
    assert side.is_well is False
    assert [side.take(answered=True) for _ in range(3)] == [False, False, True]


@dataclass
class World(FakeGateway):
    """`sick`: the environments that answer their users with 503. `script`: what happens at which second of the watch;
    it ends with the last."""

    sick: set[str] = field(default_factory=set)
    script: dict[int, Callable[[], object]] = field(default_factory=dict)
    watched_s: int = -1
    store: MemoryStore = field(default_factory=MemoryStore)

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        if self.watched_s >= 0 and deployment.environment in self.sick:
            return Answer(ok=False, text=f"GET http://{address}{question.path}: status 503")
        return super().probe(deployment, endpoint, address, question)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.watched_s >= 0:
            self.watched_s += 1
            self.script.get(self.watched_s, lambda: None)()


def expanded(gateway: World, store: MemoryStore) -> Migrations:
    migrations = migrations_of(gateway, store)
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    return migrations


def watched(gateway: World, script: dict[int, Callable[[], object]]) -> list[str]:
    """What a watch of an expansion says, stopped at the end of the script."""
    migrations = migrations_of(gateway, gateway.store)
    if not gateway.weighted:
        migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    texts: list[str] = []
    gateway.script, gateway.watched_s = {**script, max(script) + 1: migrations.stop.request}, 0
    with pytest.raises(InterruptedByUserError):
        watch(migrations, "east", "west", CHAT, texts.append)
    gateway.watched_s = -1
    return texts


def shares_over_time(gateway: World, script: Mapping[int, Callable[[], object]]) -> dict[int, int]:
    """West's weight at the seconds of the script at which nothing else happens."""
    seen: dict[int, int] = {}
    looks = {at: lambda at=at: seen.__setitem__(at, weights(gateway)["west"]) for at in range(5, max(script) + 60, 10)}
    watched(gateway, {**looks, **script})
    return seen


def test_a_source_that_fails_is_left_and_gets_its_share_again_once_it_is_well() -> None:
    gateway = World().begin()
    seen = shares_over_time(gateway, {40: lambda: gateway.sick.add("east"), 100: gateway.sick.clear})
    assert (seen[35], seen[55]) == (102, 102), "two bad answers"
    assert seen[75] == 255
    assert seen[115] == 255
    assert seen[145] == 102


def test_a_target_that_fails_gets_nobody() -> None:
    gateway = World().begin()
    seen = shares_over_time(gateway, {40: lambda: gateway.sick.add("west"), 100: gateway.sick.clear})
    assert (seen[35], seen[75], seen[145]) == (102, 0, 102)


def test_with_both_sick_at_once_nothing_is_changed() -> None:
    gateway = World().begin()
    seen = shares_over_time(gateway, {40: lambda: gateway.sick.update(("east", "west")), 100: gateway.sick.clear})
    assert set(seen.values()) == {102}


def test_the_second_of_two_that_fail_leads_nobody_back_to_the_first() -> None:
    gateway = World().begin()
    script = {40: lambda: gateway.sick.add("east"), 80: lambda: gateway.sick.add("west"), 140: gateway.sick.clear}
    seen = shares_over_time(gateway, script)
    assert (seen[75], seen[115], seen[135]) == (255, 255, 255)
    assert seen[175] == 102


def test_started_anew_it_does_not_lead_users_to_a_side_that_is_still_sick() -> None:
    gateway = World().begin()
    watched(gateway, {20: lambda: gateway.sick.add("east"), 70: lambda: None})
    assert weights(gateway) == {"east": 0, "west": 255}
    rounds = len(migrations_of(gateway, gateway.store).history()[1].weights)
    texts = watched(gateway, {60: lambda: None})
    assert weights(gateway) == {"east": 0, "west": 255}
    assert len(migrations_of(gateway, gateway.store).history()[1].weights) == rounds, "nothing to do, nothing written"
    assert any(text.startswith("east is sick: GET http://east-lb/health: status 503") for text in texts)


def test_a_command_that_works_on_the_expansion_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    failures = [UnreachableError("the store of states does not answer")] * 2
    splits = World.splits

    def sometimes(self: World) -> object:
        if self.watched_s >= 0 and failures:
            raise failures.pop()
        return splits(self)

    monkeypatch.setattr(World, "splits", sometimes)
    texts = watched(gateway, {40: lambda: None})
    assert texts.count("nothing is changed: the store of states does not answer; asked again in 10 s") == 2


def test_it_ends_with_the_expansion() -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway, gateway.store)
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    texts: list[str] = []
    gateway.script, gateway.watched_s = {15: lambda: migrations.rollback(destroy_target=True)}, 0
    watch(migrations, "east", "west", CHAT, texts.append)
    assert texts == ["chat is expanded no more"]


def test_the_command_that_watches_gives_no_share_before_it_knows_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway, gateway.store)
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    migrations.share_again(migrations.ids()[0], 255)
    gateway.sick.add("east")
    gateway.script, gateway.watched_s = {60: migrations.stop.request}, 0
    with pytest.raises(InterruptedByUserError):
        run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "40%", watch=True)
    assert weights(gateway) == {"east": 0, "west": 255}


@pytest.mark.parametrize("options", [{"share": ""}, {"share": "100%"}, {"share": "40%", "dry_run": True}])
def test_a_watch_needs_the_share_of_good_times(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--watch") as caught:
        run(commands.expand, migrations_of(World().begin()), monkeypatch, "east", "west", "chat", watch=True, **options)
    assert "--share 40% --watch" in caught.value.hint


def test_a_watch_breaks_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would break the lock of every other run, for as long as it watches."""
    both: dict[str, Any] = {"watch": True, "break_lock": True}
    with pytest.raises(UsageError, match="--watch can't be used with --break-lock") as caught:
        run(commands.expand, migrations_of(World().begin()), monkeypatch, "east", "west", "chat", "40%", **both)
    assert "--break-lock` first, then --watch alone" in caught.value.hint


def tries_at(monkeypatch: pytest.MonkeyPatch, gateway: World, error: MeshError) -> list[int]:
    """At which seconds of the watch a round is tried, all of which fail."""
    seconds: list[int] = []

    def fails(_: object, _migration: str, _weight: int, **_known: object) -> None:
        seconds.append(gateway.watched_s)
        raise error

    monkeypatch.setattr(Migrations, "share_again", fails)
    return seconds


def pauses(seconds: list[int]) -> list[int]:
    return [second - before for before, second in pairwise(seconds)]


def test_a_round_that_fails_is_tried_again_after_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    expanded(gateway, gateway.store)
    seconds = tries_at(monkeypatch, gateway, MigrationError("the round failed"))
    texts = watched(gateway, {1: lambda: gateway.sick.add("west"), 2200: lambda: None})
    assert pauses(seconds) == [20, 40, 80, 160, 320, 600, 600]
    assert texts.count("the round failed; tried again in 600 s") == 3


def test_a_change_of_health_is_acted_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    expanded(gateway, gateway.store)
    seconds = tries_at(monkeypatch, gateway, MigrationError("the round failed"))
    script: dict[int, Callable[[], object]] = {
        1: lambda: gateway.sick.add("west"),
        400: gateway.sick.clear,
        450: lambda: gateway.sick.add("east"),
        540: lambda: None,
    }
    watched(gateway, script)
    assert seconds[-3:] == [470, 490, 530]


def test_a_run_that_is_waited_for_makes_no_pause_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    expanded(gateway, gateway.store)
    seconds = tries_at(monkeypatch, gateway, LockedError("another run works on it"))
    watched(gateway, {1: lambda: gateway.sick.add("west"), 100: lambda: None})
    assert set(pauses(seconds)) == {10}


def test_a_round_that_meets_the_lock_of_an_environment_adds_to_the_journal_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = World().begin()
    migrations = expanded(gateway, gateway.store)

    def is_locked(*_: object) -> None:
        raise LockedError("east is locked by a run that is gone")

    monkeypatch.setattr(World, "write_splits", is_locked)
    watched(gateway, {1: lambda: gateway.sick.add("west"), 1000: lambda: None})
    assert migrations.status().history.rounds == 6


def test_it_ends_once_a_migration_goes_on_from_the_expansion() -> None:
    gateway = World().begin()
    migrations = expanded(gateway, gateway.store)

    def go_on() -> None:
        migrations.start(migrations.plan("east", "west", Options(observe_s=6)))

    gateway.script, gateway.watched_s = {15: go_on, 200: migrations.stop.request}, 0
    with pytest.raises(UsageError, match="expan"):
        watch(migrations, "east", "west", CHAT, lambda _: None)


def test_newer_data_is_copied_as_often_as_asked_while_both_are_well() -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway, gateway.store)
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    copied: list[int] = []

    def look() -> None:
        copied.append(len(gateway.buckets["west-weights"]))

    def write() -> None:
        gateway.buckets["east-weights"][f"w/new-{gateway.watched_s}"] = b"x"

    before = len(gateway.buckets["west-weights"])
    script: dict[int, Callable[[], object]] = {50: write, 595: look, 650: look, 660: write, 1150: look, 1300: look}
    gateway.script, gateway.watched_s = {**script, 1310: migrations.stop.request}, 0
    with pytest.raises(InterruptedByUserError):
        watch(migrations, "east", "west", CHAT, lambda _: None, copy_every_s=600)
    assert copied == [before, before + 1, before + 1, before + 2]
    assert weights(gateway)["west"] == 102


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"copy_every": "4h"}, "--copy-every can only be used with --watch"),
        ({"copy_every": "5m", "watch": True}, "--copy-every 5m is too often"),
        ({"copy_every": "often", "watch": True}, "--copy-every often: "),
    ],
)
def test_how_often_is_a_time_that_the_journal_bears(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        run(commands.expand, migrations_of(World().begin()), monkeypatch, "east", "west", "chat", "40%", **options)


def test_a_source_that_is_gone_is_left_although_nothing_can_be_copied_from_it() -> None:
    gateway = World().begin()
    gateway.check = lambda: None  # type: ignore[method-assign]  # a share leads to the source until it is known to be sick

    def falls() -> None:
        gateway.sick.add("east")
        gateway.silent.update(("east", "east-weights"))

    def stands() -> None:
        gateway.sick.clear()
        gateway.silent.clear()

    seen = shares_over_time(gateway, {40: falls, 140: stands})
    assert (seen[75], seen[135], seen[185]) == (255, 255, 102)

"""`meshctl shift` as a user gives it: options, the same command again, the time of `--until`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from meshctl.cli import shift as command
from meshctl.cli.context import Context
from meshctl.errors import LockedError, UsageError
from meshctl.shift.planning.plan import Request
from tests.unit.shift.world import Killed, World, declared, world_of

ONE = {"giving": "train", "taking": "serve", "nodes": 1}


def run(world: World, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    @contextmanager
    def opened_shifts(*_: Any, **__: Any) -> Iterator[Any]:
        yield world.shifts()

    monkeypatch.setattr(command, "opened_shifts", opened_shifts)
    context = cast("typer.Context", SimpleNamespace(obj=Context(output="json", yes=True)))
    given = {"giving": "", "taking": "", "nodes": 0, "timeout": "", "until": "", **options}
    command.shift(context, "dc1", **given)


def test_a_dry_run_a_shift_and_its_undo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    for options, state in (({**ONE, "dry_run": True}, None), (ONE, "in-force"), ({"undo": True}, "undone")):
        run(world, monkeypatch, **options)
        document = json.loads(capsys.readouterr().out)
        assert (document["nodes"], document.get("state")) == (["train-3"], state)


def test_the_same_command_goes_on_and_another_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch)
    world.kill_at = 12
    with pytest.raises(Killed):
        run(world, monkeypatch, **ONE)
    world.survive()
    with pytest.raises(LockedError, match="is part of a shift"):
        run(world, monkeypatch, **{**ONE, "nodes": 2})
    run(world, monkeypatch, **ONE)
    assert json.loads(capsys.readouterr().out)["state"] == "in-force"
    assert len(world.shifts().open()) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"giving": "train", "taking": "serve"},
        {**ONE, "undo": True},
        {"undo": True, "resume": True},
        {"resume": True, "dry_run": True},
        {**ONE, "until": "soon"},
        {**ONE, "until": "2020-01-01T10:00"},
    ],
)
def test_options_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    world = world_of(monkeypatch)
    with pytest.raises(UsageError):
        run(world, monkeypatch, **options)
    assert world.events == []


def test_when_its_time_is_over_the_next_shift_gives_the_nodes_back_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=2))
    world.now = time.time()
    until = (datetime.now().astimezone() + timedelta(hours=2)).isoformat()
    run(world, monkeypatch, **ONE, until=until)
    world.sleep(3 * 3600)
    run(world, monkeypatch, **ONE)
    assert "the time of the shift from train to serve is over" in capsys.readouterr().err
    assert [status.history.plan.until_s for status in world.shifts().open()] == [0]


def test_an_up_gives_them_back_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=2))
    shifts = world.shifts()
    shifts.start(shifts.plan(Request("train", "serve", 1, until_s=world.now + 60)))
    mesh = cast("Any", SimpleNamespace(mesh=SimpleNamespace(name="demo"), state_store=shifts.store))
    monkeypatch.setattr(command, "shifts_of", lambda *_, **__: replace(world.shifts()))
    clock = [world.now + 59]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    command.return_due_of(Context(), mesh, "dc1", break_lock=False)
    assert len(world.shifts().open()) == 1
    world.sleep(61)
    clock[0] = world.now
    command.return_due_of(Context(), mesh, "dc1", break_lock=False)
    assert world.shifts().open() == []


def test_a_time_that_is_over_today_is_named_for_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 06:00, given in the evening."""
    world = world_of(monkeypatch)
    minute_ago = datetime.now().astimezone() - timedelta(minutes=1)
    with pytest.raises(UsageError, match="a time alone is one of today") as caught:
        run(world, monkeypatch, **ONE, until=f"{minute_ago:%H:%M}")
    word = caught.value.hint.partition("--until ")[2].partition(";")[0]
    assert timedelta(hours=23) < datetime.fromisoformat(word).astimezone() - minute_ago < timedelta(hours=25)
    with pytest.raises(UsageError, match="--until is in the past") as caught:
        run(world, monkeypatch, **ONE, until="2020-01-01T10:00")
    assert "it is 2025-11-24 16:00 UTC" in caught.value.hint


def test_the_time_of_the_end_is_in_json_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    run(world, monkeypatch, **ONE, dry_run=True, until="2025-12-01T18:00:00+00:00")
    document = json.loads(capsys.readouterr().out)
    assert (document["until"], document["until_time"]) == ("2025-12-01 18:00 UTC", "2025-12-01T18:00:00Z")


def meshes(*up: str) -> Any:
    state = lambda name: SimpleNamespace(deployment=declared() if name in up else None)  # noqa: E731
    environments = SimpleNamespace(environments={"dc1": {}, "cw": {}})
    return SimpleNamespace(environments=environments, session=SimpleNamespace(state=state))


def test_without_a_name_it_is_the_only_environment_that_is_up_or_defined() -> None:
    assert command.the_only_one(meshes("cw")) == "cw"
    one = meshes()
    del one.environments.environments["cw"]
    assert command.the_only_one(one) == "dc1"
    for up, why in ((("dc1", "cw"), "dc1, cw are up"), ((), "none of dc1, cw is up")):
        with pytest.raises(UsageError, match="needs the environment") as caught:
            command.the_only_one(meshes(*up))
        assert caught.value.why == why

"""The state folder, with the real engine: what a `kill -9` can leave in it doesn't stop the next run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation

from meshctl.engine import workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.run import StackRun


def program() -> None:
    pulumi.export("answer", 42)


def opened(folder: Path, pulumi_program: PulumiProgram | None = None) -> StackRun:
    """The stack `one` of the project `small`, opened as every command opens it."""
    backend = workspace.Backend("file://./state", "passphrase", folder)
    pulumi_program = pulumi_program or workspace.pulumi_program()
    return StackRun(workspace.open_stack(backend, "small", "one", program, pulumi_program), pulumi_program)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state file of a stack that is up."""
    opened(tmp_path).up()
    return tmp_path / "state/.pulumi/stacks/small/one.json"


def test_the_state_is_one_file_that_is_replaced_whole(tmp_path: Path, state: Path) -> None:
    assert opened(tmp_path).outputs() == {"answer": 42}
    assert list((tmp_path / "state").rglob("*.attrs")) == []


def test_the_state_is_where_the_environments_say_whatever_the_shell_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{elsewhere}")
    opened(tmp_path).up()
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "state/.pulumi/stacks/small/one.json").exists()


class Watched(PulumiProgram):
    """The program, and what it was asked to do."""

    asked: list[str]

    def run(self, args: list[str], *rest: Any, **options: Any) -> automation.CommandResult:
        self.asked.append(" ".join(word for word in args[:2] if not word.startswith("-")))
        return super().run(args, *rest, **options)


@pytest.mark.usefixtures("state")
def test_a_run_starts_the_engine_once_and_looks_at_the_state_once(tmp_path: Path) -> None:
    found = workspace.pulumi_program()
    watched = Watched(Path(found.command), workspace.PULUMI_VERSION)
    watched.asked = []
    run = opened(tmp_path, watched)
    run.up()
    run.destroy()
    assert watched.asked == ["stack export", "up", "stack export", "destroy"]


@pytest.mark.parametrize("torn", ["", '{"user.cache_control":"","user.con'])
def test_a_torn_sidecar_of_an_older_run_is_passed_over(tmp_path: Path, state: Path, torn: str) -> None:
    state.with_name("one.json.attrs").write_text(torn)
    state.with_name("one.json.bak.attrs").write_text(torn)
    assert opened(tmp_path).outputs() == {"answer": 42}
    opened(tmp_path).up()


def test_a_lock_that_was_being_written_by_a_killed_run_is_passed_over(tmp_path: Path, state: Path) -> None:
    locks = tmp_path / "state/.pulumi/locks/organization/small/one"
    assert locks.is_dir()  # where the engine puts them
    torn = locks / "0000.json.18a4.tmp"
    torn.touch()
    os.utime(torn, (0, 0))
    opened(tmp_path).up()
    assert not torn.exists()

"""The state folder, with the real engine: what a `kill -9` can leave in it doesn't stop the next run."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import pytest

from meshctl.engine import workspace
from meshctl.engine.run import StackRun


def program() -> None:
    pulumi.export("answer", 42)


def opened(folder: Path) -> StackRun:
    """The stack `one` of the project `small`, opened as every command opens it."""
    backend = workspace.Backend("file://./state", "passphrase", folder)
    pulumi_program = workspace.pulumi_program()
    return StackRun(workspace.open_stack(backend, "small", "one", program, pulumi_program), pulumi_program)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state file of a stack that is up."""
    opened(tmp_path).up()
    return tmp_path / "state/.pulumi/stacks/small/one.json"


def test_the_state_is_one_file_that_is_replaced_whole(tmp_path: Path, state: Path) -> None:
    assert opened(tmp_path).outputs() == {"answer": 42}
    assert list((tmp_path / "state").rglob("*.attrs")) == []


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

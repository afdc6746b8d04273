"""The state folder, with the real engine: what a `kill -9` can leave in it doesn't stop the next run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation

from meshctl import tools
from meshctl.engine import pulumi_private, workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.events import Progress
from meshctl.engine.run import StackRun
from meshctl.errors import LockedError, MeshError
from meshctl.model.stack_state import STACK_TYPE
from meshwire import versions
from tests.unit.stacks.declared_on_aws import example
from tests.waiting import WAIT_S, wait_until

SECRET = "planted-5d1f"


def program() -> None:
    pulumi.export("answer", 42)
    pulumi.export("password", pulumi.Output.secret(SECRET))


def opened(
    folder: Path, pulumi_program: PulumiProgram | None = None, declare: Callable[[], None] = program
) -> StackRun:
    """The stack `one` of the project `small`, opened as every command opens it."""
    backend = workspace.Backend("file://./state", "passphrase", folder)
    pulumi_program = pulumi_program or workspace.pulumi_program()
    return StackRun(workspace.open_stack(backend, "small", "one", declare, pulumi_program), pulumi_program)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state file of a stack that is up."""
    opened(tmp_path).up()
    return tmp_path / "state/.pulumi/stacks/small/one.json"


def test_the_state_is_one_file_that_is_replaced_whole(tmp_path: Path, state: Path) -> None:
    assert opened(tmp_path).outputs().values["answer"] == 42
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
def test_a_run_starts_the_engine_once_and_reads_the_state_without_it(tmp_path: Path) -> None:
    watched = Watched(partial(tools.find, "pulumi"), versions.PULUMI)
    watched.asked = []
    run = opened(tmp_path, watched)
    run.up()
    run.destroy()
    assert run.outputs().values == {}
    assert watched.asked == ["up", "destroy"]


@pytest.mark.usefixtures("state")
def test_a_state_in_a_folder_is_read_as_the_engine_exports_it(tmp_path: Path) -> None:
    stack = opened(tmp_path).stack
    printed = pulumi_private.run_command(stack, ["stack", "export"]).stdout
    assert stack.exported(plain_secrets=False) == json.loads(printed)
    assert SECRET not in printed
    assert SECRET in json.dumps(stack.exported(plain_secrets=True))


def test_a_compressed_state_is_read_by_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_DIY_BACKEND_GZIP", "true")
    opened(tmp_path).up()
    stacks = tmp_path / "state/.pulumi/stacks/small"
    assert (stacks / "one.json.gz").exists()
    assert not (stacks / "one.json").exists()
    assert opened(tmp_path).outputs().values["answer"] == 42


def stopped() -> None:
    raise RuntimeError("no outputs are declared")


def test_what_the_first_run_decided_is_in_the_state_until_a_run_declares_its_outputs(tmp_path: Path) -> None:
    run, stack = opened(tmp_path), f"urn:pulumi:one::small::{STACK_TYPE}::small-one"
    run.rewrite(lambda current: current.with_begun(example(), stack))
    with pytest.raises(MeshError):
        opened(tmp_path, declare=stopped).up()
    state = run.state()
    assert state.begun is not None
    assert (state.begun.pools, state.deployment) == (example().pools, None)
    run.up()
    state = run.state()
    assert (state.begun, state.outputs.values["answer"]) == (None, 42)
    assert [each.urn for each in state.of_type(STACK_TYPE)] == [stack]


@pytest.mark.parametrize("torn", ["", '{"user.cache_control":"","user.con'])
def test_a_torn_sidecar_of_an_older_run_is_passed_over(tmp_path: Path, state: Path, torn: str) -> None:
    state.with_name("one.json.attrs").write_text(torn)
    state.with_name("one.json.bak.attrs").write_text(torn)
    assert opened(tmp_path).outputs().values["answer"] == 42
    opened(tmp_path).up()


def test_a_lock_that_was_being_written_by_a_killed_run_is_passed_over(tmp_path: Path, state: Path) -> None:
    locks = tmp_path / "state/.pulumi/locks/organization/small/one"
    assert locks.is_dir()  # where the engine puts them
    torn = locks / "0000.json.18a4.tmp"
    torn.touch()
    os.utime(torn, (0, 0))
    opened(tmp_path).up()
    assert not torn.exists()


LIVE = """\
#!{python}
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.integration import test_engine_state as case

def waits():
    while not Path("go").exists():
        time.sleep(0.05)

case.opened(Path.cwd(), declare=waits).up()
"""


def test_a_run_that_lives_is_neither_interrupted_nor_waited_for(tmp_path: Path) -> None:
    """Started by an installed `meshctl`, whose process is called so, and not python."""
    script = tmp_path / "meshctl"
    script.write_text(LIVE.format(python=sys.executable, root=str(Path(__file__).parents[2])))
    script.chmod(0o755)
    first = subprocess.Popen([str(script)], cwd=tmp_path)
    try:
        locks = tmp_path / "state/.pulumi/locks/organization/small/one"
        wait_until(lambda: list(locks.glob("*.json")))
        said: list[Progress] = []
        second = opened(tmp_path)
        with pytest.raises(LockedError):
            StackRun(second.stack, second.pulumi, said.append).up()
        assert said == []
    finally:
        (tmp_path / "go").touch()
        assert first.wait(WAIT_S) == 0
    opened(tmp_path).up()


def leave_pending(state: Path) -> None:
    """What a killed run leaves: an operation that was begun."""
    saved = json.loads(state.read_text())
    latest = saved["checkpoint"]["latest"]
    begun = {"urn": "urn:pulumi:one::small::x:y:Z::begun", "type": "x:y:Z", "custom": False}  # no plugin to ask
    latest["pending_operations"] = [{"resource": begun, "type": "creating"}]
    state.write_text(json.dumps(saved))


def test_a_state_is_mended_without_its_secrets_in_plain_text(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_pending(state)
    lock = tmp_path / "state/.pulumi/locks/organization/small/one/another.json"
    owner = {"pid": 1, "username": "somebody", "hostname": f"not-{socket.gethostname()}"}
    lock.write_text(json.dumps({**owner, "timestamp": "2026-01-01T00:00:00Z"}))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(LockedError):
        opened(tmp_path).up()
    assert list(temporary.iterdir()) == []
    lock.unlink()
    opened(tmp_path).up()
    assert "pending_operations" not in json.loads(state.read_text())["checkpoint"]["latest"]
    assert list(temporary.iterdir()) == []
    assert SECRET not in state.read_text()

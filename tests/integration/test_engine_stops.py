"""Runs of the real engine end: when a delete fails in the middle of a replacement, when they are interrupted, and where
their program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from meshctl.cli.context import Context
from meshctl.cli.opened import opened
from meshctl.engine import workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.run import StackRun
from meshctl.errors import InterruptedByUserError, LockedError, ResourcesFailedError
from meshctl.model.stack_state import StackState
from providers.plugin.provider import CheckFailure, Created, Diff, Provider, ProviderError
from providers.plugin.serve import start
from tests.hangups import hangups_not_ignored
from tests.waiting import WAIT_S

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: small
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  dc1: {provider: onprem, kubernetes: {context: dc1}}
"""
ASKS = """\
from meshctl.cli.context import Context
from meshctl.cli.opened import opened

try:
    with opened(Context(), "up"):
        Context().confirm("sure?")
except KeyboardInterrupt:
    raise SystemExit(130)
"""


class Shelf(Provider):
    """Things with a text. A new text replaces a `shelf:Named`, old one first; of a `shelf:Plain` it is an update."""

    name = "shelf"

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[str] = set()  # the things whose delete fails
        self.slow_s = 0.0  # how long an update takes
        self.updating = threading.Event()

    def check(
        self, _token: str, *, urn: str, news: dict[str, Any], olds: dict[str, Any]
    ) -> tuple[dict[str, Any], list[CheckFailure]]:
        del urn, olds
        return news, []

    def diff(self, token: str, *, old_inputs: Mapping[str, Any], news: Mapping[str, Any], **_: Any) -> Diff:
        changed = tuple(key for key in news if key != "__defaults" and news[key] != old_inputs.get(key))
        replaces = changed if token == "shelf:index:Named" else ()
        return Diff(changes=bool(changed), replaces=replaces, delete_before_replace=bool(replaces))

    def create(self, token: str, *, urn: str, inputs: dict[str, Any], **_: Any) -> Created:
        return Created(urn.rpartition("::")[2], inputs)

    def update(self, token: str, *, news: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.updating.set()
        self.cancelled.wait(self.slow_s)
        return news

    def delete(self, token: str, *, id: str, **_: Any) -> None:  # noqa: A002 (the protocol's word)
        if id in self.stuck:
            raise ProviderError("InUse", f"{id} is in use")


class Thing(pulumi.CustomResource):
    """Any resource by its token."""


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    provider = Shelf()
    server, port = start(provider)
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"shelf:{port}")
    yield provider
    server.stop(grace=0).wait(WAIT_S)


def run_of(folder: Path, text: str, pulumi_program: PulumiProgram | None = None) -> StackRun:
    """The stack `one`: `base`, `upper` that is made of it, and `aside`, all with this text."""

    def program() -> None:
        base = Thing("shelf:index:Named", "base", {"text": text})
        Thing("shelf:index:Named", "upper", {"of": base.id, "text": text})
        Thing("shelf:index:Plain", "aside", {"text": text})

    backend = workspace.Backend("file://./state", "passphrase", folder)
    pulumi_program = pulumi_program or workspace.pulumi_program()
    return StackRun(workspace.open_stack(backend, "small", "one", program, pulumi_program), pulumi_program)


def part_of(folder: Path) -> StackRun:
    """The same stack with a program that declares `base` alone."""

    def program() -> None:
        run.run_check(run.refuse_newly_made)
        Thing("shelf:index:Named", "base", {"text": "old"})

    backend = workspace.Backend("file://./state", "passphrase", folder)
    pulumi_program = workspace.pulumi_program()
    stack = workspace.open_stack(backend, "small", "one", program, pulumi_program)
    run = StackRun(stack, pulumi_program, only=frozenset({"base"}))
    return run


def in_folder(folder: Path) -> Context:
    return Context(folder / "mesh.yaml", folder / "environments.yaml")


def texts(run: StackRun) -> dict[str, str]:
    things = [resource for resource in run.state().resources if resource.type.startswith("shelf:")]
    return {thing.name: thing.inputs["text"] for thing in things}


def in_the_middle(shelf: Shelf, *acts: Callable[[], None]) -> None:
    """Has these done, one after the other, while something is being updated."""

    def wait_and_act() -> None:
        assert shelf.updating.wait(WAIT_S)
        for act in acts:
            act()

    threading.Thread(target=wait_and_act).start()


@pytest.mark.parametrize("stuck", ["base", "upper"])
def test_a_delete_that_fails_in_a_replacement_ends_the_run(tmp_path: Path, shelf: Shelf, stuck: str) -> None:
    run_of(tmp_path, "old").up()
    shelf.stuck, shelf.slow_s = {stuck}, 3
    with pytest.raises(ResourcesFailedError) as failed:
        run_of(tmp_path, "new").up()
    assert [failure.urn.rpartition("::")[2] for failure in failed.value.failures] == [stuck]
    assert failed.value.failures[0].code == "InUse"
    run = run_of(tmp_path, "new")
    left = texts(run)
    assert left["aside"] == "new"  # what has nothing to do with it went on
    assert left[stuck] == "old"
    shelf.stuck = set()
    run.up()
    assert texts(run) == {"base": "new", "upper": "new", "aside": "new"}


@pytest.mark.usefixtures("shelf")
def test_a_program_of_a_part_leaves_the_rest_even_what_depends_on_it(tmp_path: Path) -> None:
    part_of(tmp_path).up()
    run_of(tmp_path, "old").up()
    for run in (part_of(tmp_path).preview, part_of(tmp_path).up):
        assert {step.op for step in run().steps} == {"same"}
    assert texts(run_of(tmp_path, "old")) == {"base": "old", "upper": "old", "aside": "old"}


@pytest.mark.usefixtures("shelf")
def test_what_another_run_makes_meanwhile_is_no_part_to_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(tmp_path)
    part.up()
    up = part.stack.up

    def overtaken(**options: Any) -> Any:
        run_of(tmp_path, "old").up()
        return up(**options)

    monkeypatch.setattr(part.stack, "up", overtaken)
    with pytest.raises(LockedError, match="another run has changed one meanwhile: upper"):
        part.up()
    assert texts(run_of(tmp_path, "old")) == {"base": "old", "upper": "old", "aside": "old"}


def test_an_interrupt_that_comes_while_the_engine_starts_is_heard(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.slow_s = 60
    run_of(tmp_path, "old").up()
    run = run_of(tmp_path, "new")
    started = subprocess.Popen

    def interrupting(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        process = started(*arguments, **options)
        run.pulumi.interrupt()  # it is not among the running ones yet
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupting)
    with pytest.raises(InterruptedByUserError):
        run.up(state=StackState())
    assert not shelf.updating.is_set()


def test_ctrl_c_after_the_run_was_told_to_finish_does_not_end_it_at_once(tmp_path: Path, shelf: Shelf) -> None:
    run_of(tmp_path, "old").up()
    shelf.slow_s = 3
    run = run_of(tmp_path, "new")

    def up() -> None:
        run.up(state=StackState())
        run.state()  # where the update was the last thing to do, the engine calls that done

    in_the_middle(shelf, run.pulumi.finish, run.pulumi.interrupt)
    with pytest.raises(InterruptedByUserError):
        up()
    assert texts(run_of(tmp_path, "new"))["aside"] == "new"  # finished, and saved


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_has_the_engine_finish(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    stopped: list[int] = []
    with hangups_not_ignored(), opened(in_folder(tmp_path), "up") as mesh:
        mesh.on_stop.append(lambda: stopped.append(number))
        os.kill(os.getpid(), number)
        assert mesh.session.program.interrupted
        assert stopped == [number]
        with pytest.raises(InterruptedByUserError):
            mesh.session.outputs("dc1")
        for other in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), other)  # no second Ctrl-C
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_nohup_keeps_its_promise(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with opened(in_folder(tmp_path), "up") as mesh:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not mesh.session.program.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_question_is_no_place_to_hang(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    command = [sys.executable, "-c", ASKS]
    master, terminal = os.openpty()
    try:
        with subprocess.Popen(command, cwd=tmp_path, stdin=terminal, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                assert process.stderr.read(len("sure? [y/N]")) == "sure? [y/N]"
                process.send_signal(number)
                assert process.wait(timeout=20) == 130
            finally:
                process.kill()
    finally:
        os.close(master)
        os.close(terminal)


def test_a_second_ctrl_c_ends_the_engine_at_once(tmp_path: Path, shelf: Shelf) -> None:
    run_of(tmp_path, "old").up()
    shelf.slow_s = 60
    run = run_of(tmp_path, "new")
    in_the_middle(shelf, run.pulumi.interrupt, run.pulumi.interrupt)
    with pytest.raises(InterruptedByUserError) as ended:
        run.up(state=StackState())
    assert "the engine was killed" in ended.value.why


def test_a_folder_that_cannot_be_written_is_one_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / ".meshctl").touch()  # not a folder: a user who may write everywhere is refused, too
    command = [sys.executable, "-m", "meshctl.cli.main", "status"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: can't use {tmp_path}/.meshctl/work/dc1: Not a directory",
        "  hint: check that it exists, and its permissions; then run the command again",
    ]

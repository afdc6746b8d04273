"""What a run does between two starts of the engine: it hears interrupts, and names what the user asked for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from pulumi import automation
from pulumi.automation import CommandResult

from meshctl.engine import pulumi_private, run, running_engines
from meshctl.engine.command import PulumiProgram
from meshctl.engine.workspace import EngineStack
from meshctl.errors import EngineError, InterruptedByUserError, LockedError
from tests.unit.states import NOTHING

LOCKED = f"""error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end
  x: created by me@{socket.gethostname()} (pid 77) at 2026-01-01T00:00:00Z"""


def error(stderr: str) -> automation.CommandError:
    failed = pulumi_private.command_error(CommandResult(stdout="", stderr=stderr, code=255))
    assert isinstance(failed, automation.CommandError)
    return failed


class FailingStack:
    """Every run fails with these words; counted. `then` is called in the middle of it."""

    name = "cw"

    def __init__(self, stderr: str, then: Callable[[], None] = lambda: None) -> None:
        self.stderr = stderr
        self.then = then
        self.runs = 0

    def preview(self, **_: Any) -> None:
        self.runs += 1
        self.then()
        raise error(self.stderr)

    up = destroy = exported = rewrite = preview


def run_of(stack: FailingStack, **options: Any) -> run.StackRun:
    return run.StackRun(cast("EngineStack", stack), PulumiProgram(lambda: Path("pulumi"), "3.259.0"), **options)


def test_an_interrupt_between_two_engines_is_heard() -> None:
    stack = FailingStack("error: no")
    interrupted = run_of(stack)
    interrupted.pulumi.interrupt()
    for start in (interrupted.preview, interrupted.up, interrupted.destroy, interrupted.state):
        with pytest.raises(InterruptedByUserError):
            start()
    assert stack.runs == 0


def test_an_interrupt_is_heard_while_a_lock_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FailingStack(LOCKED)
    waiting = run_of(stack)
    monkeypatch.setattr(running_engines, "running_engine", lambda _pid: psutil.Process())
    monkeypatch.setattr(running_engines, "is_orphan", lambda _engine: True)
    monkeypatch.setattr(time, "sleep", lambda _s: waiting.pulumi.interrupt())
    with pytest.raises(InterruptedByUserError):
        waiting.preview()
    assert stack.runs == 1


def test_a_lock_of_another_is_no_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_engines, "running_engine", lambda _pid: psutil.Process())
    monkeypatch.setattr(running_engines, "is_orphan", lambda _engine: False)
    with pytest.raises(LockedError):
        run_of(FailingStack(LOCKED)).preview()


def test_a_state_that_cannot_be_read_fails_what_the_user_asked_for() -> None:
    with pytest.raises(EngineError, match=r"^destroy cw failed$"):
        run_of(FailingStack("error: no such bucket"), command="destroy").state()
    with pytest.raises(EngineError, match=r"^status cw failed$"):
        run_of(FailingStack("error: no such bucket")).state()


def test_a_program_that_is_refused_ends_the_run_with_the_refusal() -> None:
    """The program runs while the state is locked; the engine itself hands on no more than words."""
    refusal = LockedError("aws-east is part of a migration")

    def refuse() -> None:
        raise refusal

    def program() -> None:
        with pytest.raises(LockedError):
            refused.run_check(refuse)

    refused = run_of(FailingStack("error: an unhandled error", then=program))
    with pytest.raises(LockedError) as told:
        refused.up(state=NOTHING)
    assert told.value is refusal

"""Every kind of run of a migration is killed with -9 once, and goes on: forward, finish, and rollback.

One after the other with one mesh, which is moved, and stays where it is when it shall go back. Each phase is in
`test_migrate_killed` (`nox -s faults`), each moment in memory (`tests/unit/migrate`).
"""

from __future__ import annotations

import contextlib
import signal

import psutil
import pytest

from tests.faults.moved_mesh import MIGRATE, Moved

pytestmark = pytest.mark.lab


def test_a_migration_and_its_end_and_a_way_back_go_on_after_a_kill(moved: Moved) -> None:
    assert moved.signal_at("cutover.names-intent", *MIGRATE)[0] == -signal.SIGKILL
    (listed,) = moved.lab.json("migrations", "list")["migrations"]
    assert (listed["state"], listed["active"]) == ("running", False)
    moved.lab.meshctl("migrations", "resume")
    moved.assert_waiting_at_the_target()

    assert moved.signal_at("finish.source-intent", "migrations", "finish", "--yes")[0] == -signal.SIGKILL
    moved.lab.meshctl("migrations", "finish", "--yes")
    assert moved.lab.json("migrations", "show")["state"] == "finished"
    assert moved.lab.json("status", "dc1")["environments"]["dc1"]["state"] == "storage"
    assert moved.serves("cw") == "cw"
    assert moved.ready("cw") == {"chat": 2, "pretrain": 2}

    killed_once_the_source_is_stopped(moved)
    assert moved.signal_at("rollback.source-intent", "migrations", "rollback")[0] == -signal.SIGKILL
    moved.lab.meshctl("migrations", "rollback")
    assert moved.lab.json("migrations", "show")["state"] == "rolled-back"
    assert moved.serves("cw") == "cw"
    assert moved.ready("cw") == {"chat": 2, "pretrain": 2}
    moved.chain("cw")


@pytest.mark.exhaustive
def test_a_way_back_and_an_engine_that_outlives_its_migration(moved: Moved) -> None:
    a_second_run_is_locked_out_and_the_first_told_to_end(moved)
    moved.lab.meshctl("migrations", "resume")
    assert moved.signal_at("rollback.sync.checkpoints-intent", "migrations", "rollback")[0] == -signal.SIGKILL
    moved.lab.meshctl("migrations", "rollback")
    moved.assert_rolled_back()

    an_engine_that_outlives_its_migration_is_waited_for(moved)
    moved.assert_waiting_at_the_target()


def killed_once_the_source_is_stopped(moved: Moved) -> None:
    """A migration back, with all that it has started."""
    before = moved.records("quiesce.stop-done")
    with moved.started("migrate", "cw", "dc1", "--yes", "--observe", "2") as back:
        back.wait_until(lambda: moved.records("quiesce.stop-done") - before, "record quiesce.stop-done")
        back.kill()


def a_second_run_is_locked_out_and_the_first_told_to_end(moved: Moved) -> None:
    with moved.started(*MIGRATE) as first:
        first.wait_until(lambda: moved.records("begin"), "the journal's first record")
        second = moved.lab.meshctl("migrations", "resume", check=False)
        assert second.returncode == 75
        assert f"pid {first.process.pid}" in second.stderr
        first.wait_until(lambda: moved.records("provision.target-intent"), "record provision.target-intent")
        first.process.send_signal(signal.SIGTERM)
        assert first.ended() == 130, first.said()
    assert "stopped at a safe point" in first.said()
    assert "`meshctl migrations resume" in first.said()


def an_engine_that_outlives_its_migration_is_waited_for(moved: Moved) -> None:
    """Only meshctl is killed: the engine that it started still writes the target's state."""
    locks = moved.folder / ".meshctl/state/.pulumi/locks/organization/faults/cw"
    with moved.started(*MIGRATE) as first:
        first.wait_until(lambda: list(locks.glob("*.json")), "the engine's lock")
        engine = next(
            child for child in psutil.Process(first.process.pid).children() if child.name().startswith("pulumi")
        )
        engine.suspend()  # it would be done before the next command looks
        first.process.kill()
        first.ended()
    waits = f"(pid {engine.pid}) is still saving its state"
    try:
        with moved.started("migrations", "resume") as resumed:
            resumed.wait_for(waits)
            engine.resume()
            assert resumed.ended() == 0, resumed.said()
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.kill()

"""`meshctl migrate` in the lab, killed with -9 in every phase, then resumed or rolled back: the same end each time.

For `nox -s faults`: `test_migrate_story` has one kill of each kind of run.
"""

from __future__ import annotations

import signal

import pytest

from tests.faults.moved_mesh import MIGRATE, POINTS, Moved

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


def test_killed_in_every_phase_then_resumed(moved: Moved) -> None:
    """One migration killed twelve times: at the first record with `migrate`, then each time with `resume`."""
    command: tuple[str, ...] = MIGRATE
    for record in POINTS:
        moved.signal_at(record, *command)
        command = ("migrations", "resume")
    moved.lab.meshctl("migrations", "resume")
    moved.assert_waiting_at_the_target()


def test_told_to_end_then_resumed(moved: Moved) -> None:
    """In the middle of an engine's run, of a wait for pods, and of a wait for DNS. This one is over after two seconds,
    which a busy machine may take to send the signal: the target is watched for longer afterwards."""
    command: tuple[str, ...] = (*MIGRATE[:-1], "20")
    for record, number in (
        ("provision.target-intent", signal.SIGTERM),
        ("quiesce.stop-intent", signal.SIGHUP),
        ("cutover.ttl-intent", signal.SIGTERM),
    ):
        code, said = moved.signal_at(record, *command, number=number)
        assert code == 130, said
        assert "stopped at a safe point" in said
        assert "`meshctl migrations resume" in said
        command = ("migrations", "resume")
    moved.lab.meshctl("migrations", "resume")
    moved.assert_waiting_at_the_target()


@pytest.mark.parametrize("record", ["quiesce.stop-intent", "start.target-intent", "cutover.names-done"])
def test_killed_then_rolled_back(moved: Moved, record: str) -> None:
    moved.signal_at(record, *MIGRATE)
    (listed,) = moved.lab.json("migrations", "list")["migrations"]
    assert (listed["state"], listed["active"]) == ("running", False)
    moved.lab.meshctl("migrations", "rollback")
    moved.assert_rolled_back()

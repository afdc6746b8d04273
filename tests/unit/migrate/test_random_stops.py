"""Migrations that are killed and left without answers again and again lose nothing; 200 random sequences.

`MESHCTL_STOPS` says how many, `MESHCTL_SEED` which ones; a failure names its sequence. The twin checks at every moment
that no trainer runs in two places and that what a name leads to serves.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.migrate.migration import Migrations
from tests.unit.migrate.test_migration import MOVE, OPTIONS, assert_at, assert_fresh, migrations
from tests.unit.migrate.test_unanswered import CALLS, Unreliable
from tests.unit.migrate.twin import Killed, Twin

SEQUENCES = int(os.environ.get("MESHCTL_STOPS", "200"))
SEED = int(os.environ.get("MESHCTL_SEED", "11"))
AT_ONCE = 25  # sequences of one test


def opened(twin: Twin, store: MemoryStore, chance: random.Random) -> Migrations:
    """A new process on the same journal, of whose calls a few get no answer."""
    found = migrations(twin, store)
    world = Unreliable(twin, at=(chance.choice(STEPS), chance.choice(sorted(CALLS))), times=chance.randint(0, 3))
    found.world = world
    found.data = world
    found.report = lambda event: setattr(world, "step", event.step)
    return found


STEPS = [
    *("preflight/source", "provision/target", "seed/weights", "quiesce/stop", "sync/checkpoints", "verify/weights"),
    *(
        "start/target",
        "probe/chat",
        "cutover/names",
        "cutover/dns",
        "observe/target",
        "rollback/stop",
        "rollback/source",
    ),
]


def go_on(found: Migrations, *, back: bool) -> None:
    if not found.ids():
        found.start(found.plan("east", "west", OPTIONS))
    elif found.history()[1].outcome:
        return
    elif back and found.history()[1].direction == "forward":
        found.rollback()
    elif found.history()[1].state != "waiting":
        found.resume()


def play(number: int) -> None:
    """Up to five kills, then a run to the end, in either direction. Raises: AssertionError."""
    chance = random.Random(SEED * 100_000 + number)  # noqa: S311 (no secret)
    twin, store = Twin().begin(), MemoryStore()
    back = False
    for _ in range(chance.randint(1, 5)):
        twin.kill_at = twin.moments + chance.randint(1, MOVE // 2)
        back = back or chance.random() < 0.3
        with contextlib.suppress(Killed):
            go_on(opened(twin, store, chance), back=back)
        twin.revive()
        twin.sleep(chance.randint(1, 60))
    found = migrations(twin, store)
    go_on(found, back=back)
    history: Any = found.history()[1]
    if history.outcome == "rolled-back":
        assert_at(twin, "east", "west")
    else:
        assert history.state == "waiting"
        assert_at(twin, "west", "east")
        assert_fresh(twin)


@pytest.mark.parametrize("first", range(0, SEQUENCES, AT_ONCE))
def test_random_kills_and_lost_answers_lose_nothing(first: int) -> None:
    print(f"sequences {first} to {min(first + AT_ONCE, SEQUENCES) - 1} of {SEQUENCES}, seed {SEED}")
    for number in range(first, min(first + AT_ONCE, SEQUENCES)):
        try:
            play(number)
        except BaseException as error:
            error.add_note(f"sequence {number} of seed {SEED}")
            raise

"""Migrations that are killed and left without answers again and again lose nothing; 200 random sequences.

`MESHCTL_STOPS` says how many, `MESHCTL_SEED` which ones; a failure names its sequence. The fake gateway checks at
every moment that no trainer runs in two environments and that the environment of each DNS record serves.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.migrate.migration import Migrations
from tests.unit.migrate.fake_gateway import FakeGateway, Killed
from tests.unit.migrate.moves import MOVE, OPTIONS, assert_at, assert_fresh, migrations_of
from tests.unit.migrate.test_unanswered import CALLS, Unreliable

SEQUENCES = int(os.environ.get("MESHCTL_STOPS", "200"))
SEED = int(os.environ.get("MESHCTL_SEED", "11"))
AT_ONCE = 25  # sequences of one test


def opened(gateway: FakeGateway, store: MemoryStore, chance: random.Random) -> Migrations:
    """A new run on the same journal, in which a few calls get no answer."""
    migrations = migrations_of(gateway, store)
    unreliable_gateway = Unreliable(
        gateway, at=(chance.choice(STEPS), chance.choice(sorted(CALLS))), times=chance.randint(0, 3)
    )
    migrations.gateway = unreliable_gateway
    migrations.data = unreliable_gateway
    migrations.report = lambda event: setattr(gateway, "step", event.step)
    return migrations


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


def go_on(migrations: Migrations, *, back: bool) -> None:
    if not migrations.ids():
        migrations.start(migrations.plan("east", "west", OPTIONS))
    elif migrations.history()[1].outcome:
        return
    elif back and migrations.history()[1].direction == "forward":
        migrations.rollback()
    elif migrations.history()[1].state != "waiting":
        migrations.resume()


def play(number: int) -> None:
    """Up to five kills, then a run to the end, in either direction. Raises: AssertionError."""
    chance = random.Random(SEED * 100_000 + number)  # noqa: S311 (no secret)
    gateway, store = FakeGateway().begin(), MemoryStore()
    back = False
    for _ in range(chance.randint(1, 5)):
        gateway.kill_at = gateway.moments + chance.randint(1, MOVE // 2)
        back = back or chance.random() < 0.3
        with contextlib.suppress(Killed):
            go_on(opened(gateway, store, chance), back=back)
        gateway.revive()
        gateway.sleep(chance.randint(1, 60))
    migrations = migrations_of(gateway, store)
    go_on(migrations, back=back)
    history: Any = migrations.history()[1]
    if history.outcome == "rolled-back":
        assert_at(gateway, "east", "west")
    else:
        assert history.state == "waiting"
        assert_at(gateway, "west", "east")
        assert_fresh(gateway)


@pytest.mark.parametrize("first", range(0, SEQUENCES, AT_ONCE))
def test_random_kills_and_lost_answers_lose_nothing(first: int) -> None:
    print(f"sequences {first} to {min(first + AT_ONCE, SEQUENCES) - 1} of {SEQUENCES}, seed {SEED}")
    for number in range(first, min(first + AT_ONCE, SEQUENCES)):
        try:
            play(number)
        except BaseException as error:
            error.add_note(f"sequence {number} of seed {SEED}")
            raise

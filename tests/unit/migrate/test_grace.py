"""Every step that stops pods waits for their whole grace period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from meshctl.errors import MigrationError
from meshctl.migrate.gateway import UpResult
from meshctl.migrate.migration import Migrations
from meshctl.migrate.progress import Event
from meshctl.model.deployment import Checkpoint, Deployment
from meshctl.model.observed import PodState
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.moves import (
    OPTIONS,
    assert_at,
    assert_fresh,
    migrations_of,
    weights_change_once_warm,
)

TICK_S = 2  # as long as a step pauses between two looks


@dataclass
class Slow(FakeGateway):
    """Pods of `slow` take `takes_s` to end; they say of themselves that they may take `grace_s`."""

    slow: str = "chat"
    takes_s: int = 0
    grace_s: int = 0

    told_at: float = 0  # when the last of them was told to end

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        before = dict(self.ending)
        made = super().up(deployment, say)
        for key in self.ending.keys() - before.keys():
            if key[1] == self.slow:
                self.ending[key] = self.takes_s // TICK_S
                self.told_at = self.clock
        return made

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        is_ending = (deployment.environment, workload) in self.ending
        killed_at = self.told_at + self.grace_s if is_ending and self.grace_s else 0
        pods = super().pods(deployment, workload)
        return [replace(pod, grace_s=self.grace_s, killed_at=killed_at) for pod in pods]


def with_grace(grace_s: int) -> dict[str, Deployment]:
    migrations = {}
    for environment in ("east", "west"):
        made = deployment(environment)
        checkpoint = Checkpoint(storage="checkpoints", grace_s=grace_s)
        workloads = [w.model_copy(update={"checkpoint": checkpoint}) if w.checkpoint else w for w in made.workloads]
        migrations[environment] = made.model_copy(update={"workloads": tuple(workloads)})
    return migrations


def move_and_back(migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))
    migrations.rollback()


@pytest.mark.parametrize("grace_s", [10, 120, 1800])
def test_a_trainer_has_its_own_grace(grace_s: int) -> None:
    gateway = Slow(with_grace(grace_s), slow="pretrain", takes_s=grace_s + 100).begin()
    move_and_back(migrations_of(gateway))
    assert_at(gateway, "east", "west")


def test_what_serves_has_time_to_finish_its_requests() -> None:
    """A minute, where it has ports: it is paused at the target in the end."""
    gateway = Slow(with_grace(10), slow="chat", takes_s=160).begin()
    move_and_back(migrations_of(gateway))
    assert_at(gateway, "east", "west")
    assert not gateway.running("west", "chat")


def test_a_warm_workload_that_is_restarted_has_as_much() -> None:
    gateway = Slow(with_grace(10), slow="chat", takes_s=170).begin()
    weights_change_once_warm(gateway)
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    assert migrations.history()[1].done["start/refresh"].data["restarted"] == ["chat"]
    assert_fresh(gateway)


def test_pods_that_were_given_more_by_others_have_it() -> None:
    gateway = Slow(with_grace(10), slow="pretrain", takes_s=1000, grace_s=900).begin()
    move_and_back(migrations_of(gateway))
    assert_at(gateway, "east", "west")


def test_the_wait_has_an_end() -> None:
    gateway = Slow(with_grace(60), slow="pretrain", takes_s=1000).begin()
    with pytest.raises(MigrationError, match="timed out after 180 s waiting for the pods to end"):
        move_and_back(migrations_of(gateway))


@pytest.mark.parametrize(("takes_s", "is_killed"), [(60, False), (120, True)])
def test_a_trainer_that_takes_all_of_its_grace_is_said_to_be_killed(takes_s: int, is_killed: bool) -> None:
    """One whose save fits into its grace is not; one that ignores its signal always is."""
    gateway = Slow(with_grace(120), slow="pretrain", takes_s=takes_s, grace_s=120).begin()
    migrations = migrations_of(gateway)
    events: list[Event] = []
    migrations.report = events.append
    migrations.start(migrations.plan("east", "west", OPTIONS))
    assert_at(gateway, "west", "east")
    texts = [event.text for event in events if "used its whole grace period of 120 s" in event.text]
    assert bool(texts) == is_killed
    assert all(text.startswith("pretrain-") for text in texts)

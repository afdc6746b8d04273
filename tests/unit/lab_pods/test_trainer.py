"""The lab's trainer when it is told to stop: with a slow save, and when it ignores its signal."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from meshctl.lab.images import s3, trainer


@dataclass(frozen=True)
class MemoryStore(s3.Store):
    """A bucket in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, data: bytes) -> None:
        self.objects[name] = data

    def get(self, name: str) -> bytes | None:
        return self.objects.get(name)

    @property
    def latest_step(self) -> int:
        return int(json.loads(self.objects["latest"])["step"]) if "latest" in self.objects else 0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    for name in ("MESH_RANK", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield MemoryStore(None, "checkpoints", "")
    signal.signal(signal.SIGTERM, before)


def signalled_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer's process gets SIGTERM when it says that it made this step."""
    say = trainer.say

    def say_and_signal(text: str) -> None:
        say(text)
        if text == f"step {step}":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer, "say", say_and_signal)


def test_a_slow_save_takes_its_time_and_then_is_complete(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled_at(7, monkeypatch)
    waited: list[tuple[float, int]] = []  # how long, and the newest checkpoint meanwhile
    monkeypatch.setattr(time, "sleep", lambda wait_s: waited.append((wait_s, store.latest_step)))
    assert trainer.train(store, every=5, steps=0, step_s=0.001, save_s=40) == 0
    assert waited == [(40, 5)]
    assert trainer.resume(store)[0] == store.latest_step == 7


@pytest.mark.parametrize(("save_s", "waits"), [(0, []), (40, [40])])
def test_every_rank_of_a_gang_takes_as_long(
    save_s: float, waits: list[float], store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_RANK", "1")
    signalled_at(3, monkeypatch)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    assert trainer.train(store, every=5, steps=0, step_s=0.001, save_s=save_s) == 0
    assert waited == waits
    assert not store.objects, "only rank 0 writes"


def test_a_trainer_that_ignores_its_signal_steps_on(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled_at(3, monkeypatch)
    assert trainer.train(store, every=5, steps=9, step_s=0.001, ignore_signal=True) == 0
    assert store.latest_step == 9


@pytest.mark.parametrize(("signalled", "code"), [(3, 143), (0, 0)])
def test_a_trainer_may_say_by_its_exit_code_that_it_was_stopped(
    signalled: int, code: int, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    signalled_at(signalled, monkeypatch)
    assert trainer.train(store, every=5, steps=9, step_s=0.001, stop_code=143) == code

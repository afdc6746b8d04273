"""Runs that are killed or refused, again and again, lose nothing and double nothing, by the API's own listing.

`MESHCTL_STOPS` says how many sequences (default: a few), `MESHCTL_SEED` which ones; both are printed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stopped_runs import Cloud, Sequence, cloud

pytestmark = pytest.mark.lab
SEQUENCES = int(os.environ.get("MESHCTL_STOPS", "6"))
SEED = int(os.environ.get("MESHCTL_SEED", "11"))


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_stopped_runs_lose_nothing_and_double_nothing(aws: Cloud, tmp_path: Path, number: int) -> None:
    print(f"sequence {number} of {SEQUENCES}, seed {SEED}")
    aws.reset()
    sequence = Sequence(aws, tmp_path, random.Random(SEED * 100_000 + number))  # noqa: S311 (no secret)
    sequence.play()

"""Runs that are killed or refused, again and again, lose nothing and double nothing, by the API's own listing.

The first sequence is part of every round of tests, the others of `nox -s faults`. `MESHCTL_STOPS` says how many
there are, `MESHCTL_SEED` which ones; both are printed.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.engine import pending
from meshctl.errors import MeshError, ResourcesFailedError
from tests.faults.stopped_runs import ENVIRONMENT, MESH, Cloud, Sequence, Wanted, cloud

pytestmark = pytest.mark.lab
SEQUENCES = int(os.environ.get("MESHCTL_STOPS", "200"))
IN_EVERY_ROUND = 1
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


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=() if number < IN_EVERY_ROUND else pytest.mark.exhaustive)
        for number in range(SEQUENCES)
    ],
)
def test_stopped_runs_lose_nothing_and_double_nothing(aws: Cloud, tmp_path: Path, number: int) -> None:
    print(f"sequence {number} of {SEQUENCES}, seed {SEED}")
    aws.reset()
    sequence = Sequence(aws, tmp_path, random.Random(SEED * 100_000 + number))  # noqa: S311 (no secret)
    sequence.play()


WANTED = Wanted(subnets=3, block=0, label="a")


def poisoned(folder: Path) -> list[str]:
    """Turn the begun creates of a killed run into what meshctl 3634e6b left of them when its second run was killed or
    refused, too: resources like all others, with an id that is none. Returns their names."""
    file = folder / f"state/.pulumi/stacks/{MESH}/{ENVIRONMENT}.json"
    saved = json.loads(file.read_text())
    latest: dict[str, Any] = saved["checkpoint"]["latest"]
    begun = [o["resource"] for o in latest.pop("pending_operations", []) if o["type"] == "creating"]
    known = {resource["urn"] for resource in latest["resources"]}
    placeholders = [
        {**resource, "id": "unanswered", "outputs": resource["inputs"]}
        for resource in begun
        if resource["urn"] not in known
    ]
    latest["resources"] += placeholders
    file.write_text(json.dumps(saved))
    return [resource["urn"].split("::")[-1] for resource in placeholders]


@pytest.mark.parametrize("command", ["up", pytest.param("destroy", marks=pytest.mark.exhaustive)])
def test_a_state_that_3634e6b_poisoned_is_mended(aws: Cloud, tmp_path: Path, command: str) -> None:
    """Its `up` failed for ever, its `destroy` said "deleted" and left what was there."""
    aws.reset()
    sequence = Sequence(aws, tmp_path, random.Random(1))  # noqa: S311 (no secret)
    for call in range(14, 60, 5):  # until a kill falls while creates are under way
        aws.gate.kill_at, aws.gate.kill_after_the_call = call, True
        with pytest.raises(MeshError):
            sequence.run(WANTED, "up")
        names = poisoned(tmp_path)
        if names:
            break
    assert names
    sequence.run(WANTED, command)
    sequence.compare(WANTED.listing() if command == "up" else Counter())
    if command == "up":
        sequence.run(WANTED, "destroy")
        sequence.compare(Counter())


def test_a_refused_look_leaves_the_marks_and_the_next_run_looks_again(aws: Cloud, tmp_path: Path) -> None:
    aws.reset()
    sequence = Sequence(aws, tmp_path, random.Random(1))  # noqa: S311 (no secret)
    aws.gate.kill_at, aws.gate.kill_after_the_call = 14, True
    with pytest.raises(MeshError):
        sequence.run(WANTED, "up")
    for command in ("up", "destroy"):
        aws.gate.refuse = 1000
        with pytest.raises(ResourcesFailedError, match="resources failed"):
            sequence.run(WANTED, command)
        aws.gate.refuse = 0
        assert pending.is_interrupted(sequence.state())
    sequence.run(WANTED, "destroy")
    sequence.compare(Counter())

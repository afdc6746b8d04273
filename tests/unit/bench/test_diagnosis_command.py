"""`meshctl bench --what gpu --diagnose` as a user runs it."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from meshctl.bench import cluster_jobs
from meshctl.cli.context import Context
from meshctl.clients.kubernetes import clusters
from meshctl.measure import dcgm
from meshctl.model.pods import own_images
from tests.command_line import meshctl
from tests.unit.advise.situations import RECORDED


def test_accelerators_are_diagnosed_after_a_question(
    folder: Path, up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def run_on_each(_access: Any, manifest: Any, _say: Any, *, start_s: float) -> tuple[cluster_jobs.Ended, ...]:
        started.append(manifest)
        text = (RECORDED / "dcgm-4-diagnostic.json").read_bytes()
        message = base64.b64encode(gzip.compress(text)).decode()
        return tuple(cluster_jobs.Ended(message, f"n{number}") for number in range(manifest["spec"]["completions"]))

    monkeypatch.setattr(clusters, "ready_nodes", lambda *_: {})
    monkeypatch.setattr(cluster_jobs, "run_on_each", run_on_each)
    arguments = ("bench", "aws-east", "--what", "gpu", "--diagnose", "2", "--of", "pool/train")
    unasked = meshctl(*arguments, folder=folder)
    assert unasked.returncode == 64
    assert started == []

    result = meshctl(*arguments, "--yes", "--output", "json", folder=folder)
    assert result.returncode == 0, result.stderr
    rows = [row for row in json.loads(result.stdout)["results"] if row["result"]["metric"] == dcgm.FAILED]
    assert {row["verdict"] for row in rows} == {"as expected"}
    assert len(rows) == 8 * started[0]["spec"]["completions"]
    assert rows[0]["result"]["versions"]["image"] == own_images.DCGM
    assert up == ["aws-east"] * 3


@pytest.mark.parametrize(("pool", "is_growing"), [("train", False), ("serve", True)])
def test_the_question_says_that_nodes_may_be_added_to_a_pool_with_a_range(
    folder: Path, up: list[str], monkeypatch: pytest.MonkeyPatch, pool: str, is_growing: bool
) -> None:
    questions: list[str] = []
    monkeypatch.setattr(Context, "must_confirm", property(lambda _: True))
    monkeypatch.setattr(Context, "confirm", lambda _, question: questions.append(question))
    monkeypatch.setattr(cluster_jobs, "run_on_each", lambda *_, **__: (cluster_jobs.Ended("", "n1", "Evicted"),))
    arguments = ("bench", "aws-east", "--what", "gpu", "--diagnose", "2", "--of", f"pool/{pool}")
    assert meshctl(*arguments, folder=folder).returncode == 0
    assert (f"an autoscaler may add nodes to {pool}" in questions[0]) is is_growing

"""The state of a stack, from its file: only where that is as the engine writes it today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshctl.engine import state_file

URL = "file://./state"
LATEST = {"manifest": {"time": "2026-01-01T00:00:00Z"}, "resources": [{"urn": "u", "type": "t"}]}
SAVED = {"version": 3, "checkpoint": {"stack": "organization/m/e", "latest": LATEST}}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The engine's folder, with one stack."""
    top = tmp_path / "state/.pulumi"
    (top / "stacks/m").mkdir(parents=True)
    (top / "meta.yaml").write_text("version: 1\n")
    (top / "stacks/m/e.json").write_text(json.dumps(SAVED))
    return top


def test_a_state_is_the_latest_of_its_checkpoint(top: Path) -> None:
    assert state_file.exported(URL, top.parents[1], "m", "e") == {"version": 3, "deployment": LATEST}


def test_a_stack_of_which_there_is_no_file_has_no_deployment(top: Path) -> None:
    assert state_file.exported(URL, top.parents[1], "m", "f") == {"version": 3, "deployment": None}


def test_a_stack_that_was_made_and_never_run_has_no_deployment(top: Path) -> None:
    new: dict[str, Any] = {"version": 3, "checkpoint": {"stack": "organization/m/e"}}
    (top / "stacks/m/e.json").write_text(json.dumps(new))
    assert state_file.exported(URL, top.parents[1], "m", "e") == {"version": 3, "deployment": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        json.dumps({**SAVED, "version": 4, "features": ["refreshBeforeUpdate"]}),
        json.dumps({"version": 3}),
    ],
    ids=["empty", "torn", "a list", "newer", "without a checkpoint"],
)
def test_the_engine_is_asked_about_a_file_that_is_not_like_that(top: Path, text: str) -> None:
    (top / "stacks/m/e.json").write_text(text)
    assert state_file.exported(URL, top.parents[1], "m", "e") is None


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_the_engine_is_asked_where_there_is_a_compressed_file(top: Path, suffix: str) -> None:
    (top / f"stacks/m/e.json.{suffix}").touch()
    assert state_file.exported(URL, top.parents[1], "m", "e") is None


@pytest.mark.parametrize("stack", ["e", "f"])
@pytest.mark.parametrize("meta", ["version: 0\n", "version: 2\n", None])
def test_the_engine_is_asked_about_another_layout(top: Path, stack: str, meta: str | None) -> None:
    if meta is None:
        (top / "meta.yaml").unlink()
    else:
        (top / "meta.yaml").write_text(meta)
    assert state_file.exported(URL, top.parents[1], "m", stack) is None


@pytest.mark.parametrize("url", ["s3://bucket", f"{URL}?prefix=below/"])
def test_the_engine_is_asked_about_a_state_elsewhere(top: Path, url: str) -> None:
    assert state_file.exported(url, top.parents[1], "m", "e") is None

"""The image of meshrag has what the extra `rag` has, and starts what the blueprint starts."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from meshctl.blueprints.expansion import expand
from meshctl.model.files.file_problems import mapping

ROOT = Path(__file__).parents[3]


def test_it_has_what_the_extra_has() -> None:
    listed = (ROOT / "images" / "rag" / "requirements.txt").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [line for line in listed if not line.startswith("#")] == project["optional-dependencies"]["rag"]


def test_the_blueprint_starts_modules_that_there_are() -> None:
    rag = {"kind": "rag", "pool": "web", "corpus": "10GiB", "model": "llama"}
    workloads = mapping(mapping(expand({"blueprints": {"docs": rag}}).data)["workloads"])
    commands = [workloads[name]["command"] for name in ("docs", "docs-ingest")]
    assert [command[:2] for command in commands] == [["python", "-m"], ["python", "-m"]]
    assert all(importlib.util.find_spec(command[2]) for command in commands)

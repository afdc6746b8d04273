"""`meshctl blueprint`: what is printed is a mesh that is read back as the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meshctl.blueprints import shown
from meshctl.cli.main import app
from meshctl.errors import DiagnosticsError, UsageError
from meshctl.load import load_mesh

MESH = """apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {gpu: {nodes: 1, accelerator: {model: H100, count: 8}}}
blueprints:
  chat: {kind: serve, pool: gpu, model: llama, endpoint: chat.example.com, llm: {env: {A: "1e3", B: "on", C: "12:30", D: é}}}
  tune: {kind: train, pool: gpu, image: 'a:1', checkpoints: 1TiB}
"""  # noqa: E501


def run(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["--mesh", str(folder / "mesh.yaml"), *words], catch_exceptions=True)


def written(folder: Path, text: str = MESH) -> Path:
    (folder / "mesh.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_whole_mesh_is_read_back_as_the_same(tmp_path: Path) -> None:
    before = load_mesh(written(tmp_path) / "mesh.yaml")
    printed = run(tmp_path, "blueprint", "show")
    assert printed.exit_code == 0
    after = load_mesh(written(tmp_path, printed.stdout) / "mesh.yaml")
    assert after.blueprints == {}
    assert after == before.model_copy(update={"blueprints": {}})


@pytest.mark.parametrize(
    "text", ["1e3", ".5", "1.", "-1", "null", "~", "true", "on", "12:30", "0x1f", "2026-11-24", "", "<<", " a "]
)
def test_text_stays_text(tmp_path: Path, text: str) -> None:  # fmt: skip
    workload = {"kind": "service", "pool": "p", "image": "a", "env": {"A": text}}
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 1}}}
    written(tmp_path, shown.text({**mesh, "workloads": {"w": workload}}))
    assert load_mesh(tmp_path / "mesh.yaml").workloads["w"].env == {"A": text}


def test_one_blueprint_of_several(tmp_path: Path) -> None:
    printed = run(written(tmp_path), "blueprint", "show", "tune")
    sections = yaml.safe_load(printed.stdout)
    assert {section: list(entries) for section, entries in sections.items()} == {
        "storage": ["tune-checkpoints"],
        "workloads": ["tune"],
    }
    document = json.loads(run(tmp_path, "--output", "json", "blueprint", "show", "tune").stdout)
    assert document == {"meshctl": 1, "mesh": sections}


def test_a_blueprint_that_is_not_there(tmp_path: Path) -> None:
    error = run(written(tmp_path), "blueprint", "show", "chap").exception
    assert isinstance(error, UsageError)
    assert error.what == 'no blueprint named "chap"; did you mean "chat"?'
    assert "has chat, tune" in error.hint


def test_a_mesh_with_mistakes_is_not_shown(tmp_path: Path) -> None:
    result = run(written(tmp_path, MESH.replace("pool: gpu", "pool: gpus")), "blueprint", "show")
    assert isinstance(result.exception, DiagnosticsError)
    assert result.stdout == ""


def test_list_needs_no_mesh(tmp_path: Path) -> None:
    text = run(tmp_path, "blueprint", "list").stdout
    document = json.loads(run(tmp_path, "--output", "json", "blueprint", "list").stdout)
    kinds = [each["kind"] for each in document["blueprints"]]
    assert kinds == ["serve", "train", "notebook", "rag"]
    assert all(kind in text for kind in kinds)
    assert document["blueprints"][0]["slots"][0]["parts"] == ["vllm", "sglang", "own"]

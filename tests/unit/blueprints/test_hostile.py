"""Whatever stands in place of any value of a blueprint, or of what it refers to, is accepted or reported, and nothing
else: no traceback, no endless run, and never a line outside of the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.errors import Diagnostic, DiagnosticsError
from meshctl.load import load_mesh

MESH = yaml.safe_load("""
apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  gpu: {nodes: 4, accelerator: {model: H100, count: 8}}
storage:
  weights: {kind: object, size: 100GiB}
blueprints:
  chat:
    kind: serve
    pool: gpu
    model: llama
    weights: weights
    replicas: {min: 1, max: 2}
    accelerators: 1
    endpoint: {host: chat.example.com, access: public}
    llm: {part: sglang, args: [--seed], env: {A: b}, ports: {http: 80}, secrets: {T: t}, mounts: {weights: {path: /w}}}
  tune: {kind: train, pool: gpu, image: a, script: a.py, nodes: 2, checkpoints: 1TiB, data: weights, trainer: torchrun}
  lab: {kind: notebook, pool: gpu, token: t, home: 1GiB, data: weights, endpoint: lab.example.com, notebook: jupyter}
  docs:
    kind: rag
    pool: gpu
    corpus: weights
    model: llama
    weights: weights
    accelerators: 1
    embedModel: bge
    index: 1TiB
    endpoint: docs.example.com
    llm: {part: vllm, env: {A: b}}
    embed: {url: "https://a.b/v1"}
    rerank: "off"
    store: {part: pgvector, ports: {postgres: 5432}}
    ingest: {env: {A: b}}
    api: {secrets: {T: t}}
    ui: {image: a}
""")
OF_RAG = {"docs", "docs-llm", "docs-store", "docs-ingest", "docs-ui"}
VALUES: list[Any] = [None, [], {}, 0, True, "x", "9" * 400 + "GiB", "$(MESH_X)"]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from paths(inner, (*path, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(document, list):
        return [with_value(each, path[1:], value) if i == path[0] else each for i, each in enumerate(document)]
    return {**document, path[0]: with_value(document[path[0]], path[1:], value)}


def diagnostics(file: Path) -> list[Diagnostic]:
    try:
        load_mesh(file)
    except DiagnosticsError as error:
        return error.diagnostics
    return []


PLACES = [path for path in paths(MESH) if path[0] in ("pools", "storage", "blueprints")]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
def test_any_value_anywhere(tmp_path: Path, value: Any) -> None:
    file = tmp_path / "mesh.yaml"
    for path in PLACES:
        file.write_text(yaml.safe_dump(with_value(MESH, path, value), sort_keys=False, allow_unicode=True))
        lines = len(file.read_text().splitlines())
        found = diagnostics(file)
        assert all(1 <= each.line <= lines for each in found)
        assert not [each for each in found if each.path.split(".")[0] in ("workloads", "endpoints")]


def test_the_mesh_of_this_test_is_valid(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump(MESH))
    assert set(load_mesh(tmp_path / "mesh.yaml").workloads) == OF_RAG | {"chat", "tune", "lab"}


def test_names_that_are_too_long_or_not_names(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    for name in ("a" * 31, "default", "A", "a.b", "", "$(MESH_POOL)", "0", "-"):
        file.write_text(yaml.safe_dump({**MESH, "blueprints": {name: MESH["blueprints"]["tune"]}}))
        with pytest.raises(DiagnosticsError) as caught:
            load_mesh(file)
        assert caught.value.diagnostics[0].path == f"blueprints.{name}"


def test_a_storage_whose_name_would_be_too_long(tmp_path: Path) -> None:
    name = "a" * 25
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump({**MESH, "blueprints": {name: MESH["blueprints"]["tune"]}}))
    with pytest.raises(DiagnosticsError) as caught:
        load_mesh(tmp_path / "mesh.yaml")
    (problem,) = caught.value.diagnostics
    assert problem.path == f"blueprints.{name}"
    assert problem.message == f'"{name}-checkpoints" has 37 characters; a name has at most 30'

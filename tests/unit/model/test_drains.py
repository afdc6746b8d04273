"""`drain` of a workload: what is read, and what is refused at which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load_mesh

HEAD = """apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {web: {nodes: 1, cpu: {cores: 16}}}
workloads:
  chat:
    kind: %s
    pool: web
    image: acme/chat:1
"""
PORTS = "    ports: {http: 8000}\n"


def write(tmp_path: Path, kind: str, text: str) -> Path:
    file = tmp_path / "mesh.yaml"
    file.write_text(HEAD % kind + text)
    return file


def test_it_is_read(tmp_path: Path) -> None:
    assert load_mesh(write(tmp_path, "service", f"{PORTS}    drain: 10m\n")).workloads["chat"].drain_s == 600
    assert load_mesh(write(tmp_path, "inference", PORTS)).workloads["chat"].drain_s is None


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("inference", f"{PORTS}    drain: 2h\n", "must be at most 1h, got 2h"),
        ("inference", f"{PORTS}    drain: 600\n", "600 has no unit"),
        ("inference", "    drain: 10m\n", "a workload without `ports` gets no requests"),
        ("batch", "    drain: 10m\n", "only inference and service workloads answer requests; this is batch"),
        ("training", "    drain: 10m\n", "write `checkpoint: {storage: NAME, grace: 10m}`"),
        ("inference", f"{PORTS}    terminationGracePeriodSeconds: 600\n", "write `drain: 10m`"),
    ],
)
def test_it_is_refused(kind: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        load_mesh(write(tmp_path, kind, text))
    assert any(message in each.message for each in caught.value.diagnostics), caught.value.diagnostics

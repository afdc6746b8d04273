"""The example in a folder of its own, and up in aws-east."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.cli import guards
from meshctl.cli import opened as opening
from meshctl.clients.kubernetes import clusters
from meshctl.load import load
from tests.unit.advise.situations import EXAMPLE, deployment
from tests.unit.bench.model_server import WEIGHTS, Writer, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("mesh.yaml", "environments.yaml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    return tmp_path


@pytest.fixture
def up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The example is up in aws-east, its chat served by a real server of this process. The questions to guards."""
    asked: list[str] = []
    with serving(Writer(WEIGHTS)) as server:
        deployed = deployment()
        host, _, port = server.url.removeprefix("http://").partition(":")
        endpoints = tuple(each.model_copy(update={"listens": int(port)}) for each in deployed.endpoints)
        state = SimpleNamespace(
            deployment=deployed.model_copy(update={"endpoints": endpoints}),
            addresses={"chat": host},
            written_kubeconfig="",
            cluster_uid="",
        )
        mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")

        @contextmanager
        def opened(*_arguments: Any, **_more: Any) -> Iterator[Any]:
            session = SimpleNamespace(outputs=lambda _: state)
            yield SimpleNamespace(checked_name=lambda name: name, session=session, mesh=mesh, environments=environments)

        monkeypatch.setattr(opening, "opened", opened)
        monkeypatch.setattr(clusters, "pods", lambda *_: [])
        monkeypatch.setattr(clusters, "ready_nodes", lambda *_: {})
        monkeypatch.setattr(guards, "refuse_if_moving", lambda _project, name: asked.append(name))
        yield asked

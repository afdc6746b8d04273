"""The part of a mesh that one workload needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import UsageError
from meshctl.load import load
from meshctl.model.keys.one_workload import mesh_of_workload
from meshctl.model.mesh import Endpoint, Mesh

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"


@pytest.fixture
def mesh() -> Mesh:
    return load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")[0]


def test_it_has_what_the_workload_needs_and_nothing_else(mesh: Mesh) -> None:
    part = mesh_of_workload(mesh, "chat")
    chat = mesh.workloads["chat"]
    assert list(part.workloads) == ["chat"]
    assert list(part.pools) == [chat.pool]
    assert set(part.storage) == set(chat.mounts)
    assert set(part.fabrics) == {mesh.pools[chat.pool].fabric} - {None}
    assert {endpoint.workload for endpoint in part.endpoints.values()} == {"chat"}


def test_it_keeps_what_was_read_beside_the_file(mesh: Mesh) -> None:
    part = mesh_of_workload(mesh.with_findings((), {"prompt.yaml": "text"}), "chat")
    assert part.text("prompt.yaml") == "text"


def test_a_workload_that_is_not_there_is_named_with_those_that_are(mesh: Mesh) -> None:
    with pytest.raises(UsageError, match='no workload named "chta"') as caught:
        mesh_of_workload(mesh, "chta")
    assert "chat" in caught.value.hint


def test_an_endpoint_that_leads_to_others_too_is_refused(mesh: Mesh) -> None:
    routes = {"/": "chat/http", "/train": "pretrain/http"}
    endpoints = {"api": Endpoint(host="api.example.com", routes=routes)}
    with pytest.raises(UsageError, match="endpoint api leads to chat and to pretrain"):
        mesh_of_workload(mesh.model_copy(update={"endpoints": endpoints}), "chat")

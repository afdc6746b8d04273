"""What the user of a given cluster is asked for before a program is to hold gangs there."""

from __future__ import annotations

import pytest

from meshctl.clients.kubernetes import hold_rights
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import MeshError
from tests.unit.fake_cluster import FakeClient, client_of

CLUSTER = ClusterAccess("dc1")


def lacking(monkeypatch: pytest.MonkeyPatch, client: FakeClient) -> tuple[str, ...]:
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    return hold_rights.lacking(CLUSTER, "llm-prod")


def test_rights_of_the_cluster_are_asked_without_a_namespace_and_others_in_that_of_the_mesh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = FakeClient({})
    assert lacking(monkeypatch, client) == ()
    namespaces = {(each["verb"], each["resource"], each.get("namespace", "")) for each in client.reviews}
    assert {("create", "clusterroles", ""), ("create", "clusterrolebindings", ""), ("list", "pods", "")} <= namespaces
    assert {("create", "roles", "llm-prod"), ("patch", "pods", "llm-prod")} <= namespaces


def test_what_is_refused_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient({}, forbidden=[("create", "clusterroles"), ("list", "pods"), ("create", "events")])
    assert lacking(monkeypatch, client) == (
        "create clusterroles.rbac.authorization.k8s.io",
        "list pods of all namespaces",
        "create events",
    )


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_that_answers_no_such_question_is_taken_to_allow_it(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    assert lacking(monkeypatch, FakeClient({}, {"selfsubjectaccessreviews": status})) == ()


def test_a_server_that_is_in_trouble_is_not_taken_to_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeshError):
        lacking(monkeypatch, FakeClient({}, {"selfsubjectaccessreviews": 500}))

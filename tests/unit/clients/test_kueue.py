"""What Kueue says: an API group that a cluster may lack, queues of a namespace, and why jobs wait."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.queues import kueue
from meshctl.model.observed import Facts
from meshwire.kubernetes.errors import ApiError
from tests.unit.fake_cluster import FakeClient, client_of

CLUSTER = ClusterAccess("dc1")


class Cluster(FakeClient):
    """With Kueue of one version, or without."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]], version: str = "v1beta1", **refused: int) -> None:
        super().__init__(objects, refused)
        self.version = version

    def send(self, request: Any) -> Any:
        if not self.version:
            raise ApiError(404, "not found")
        return {"preferredVersion": {"groupVersion": f"{request.path}/{self.version}", "version": self.version}}

    def items(self, path: str) -> list[Any]:
        beginning = f"/apis/kueue.x-k8s.io/{self.version}/namespaces/llm-prod/"
        assert path.startswith(beginning)
        plural = path.removeprefix(beginning)
        if plural in self.refused:
            raise ApiError(self.refused[plural], "forbidden")
        return self.objects.get(plural, [])


def seen(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *queues: str) -> Facts:
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    return kueue.with_queues(Facts(), CLUSTER, "llm-prod", queues)


def test_a_cluster_without_kueue_starts_no_job_of_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(Cluster({}, version=""), monkeypatch, "research").has_kueue is False


def test_a_mesh_without_queues_asks_nothing() -> None:
    assert kueue.with_queues(Facts(), CLUSTER, "llm-prod", ()) == Facts()


def test_a_queue_that_is_missing_is_named_with_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"localqueues": [{"metadata": {"name": "genai"}}]}, version="v1beta2")
    found = seen(cluster, monkeypatch, "genai", "research")
    assert found.has_kueue is True
    (note,) = found.notes
    assert note.startswith('the namespace llm-prod has no LocalQueue "research" of Kueue')
    assert (
        "{apiVersion: kueue.x-k8s.io/v1beta2, kind: LocalQueue, metadata: {name: research, namespace: llm-prod}" in note
    )


def test_who_may_not_look_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = seen(Cluster({}, localqueues=403), monkeypatch, "research").notes
    assert note.startswith("not checked: whether the Kueue queues that environments.yaml names exist")


def test_a_job_waits_for_what_kueue_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pending = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "insufficient quota"}
    admitted = {"type": "QuotaReserved", "status": "True"}
    workloads = [
        {
            "metadata": {"name": f"job-{name}", "ownerReferences": [{"kind": "Job", "name": name}]},
            "status": {"conditions": [condition]},
        }
        for name, condition in (("pretrain", pending), ("embed", admitted))
    ]
    monkeypatch.setattr(ClusterAccess, "client", client_of(Cluster({"workloads": workloads})))
    assert kueue.reasons(CLUSTER, "llm-prod") == {"pretrain": "insufficient quota"}

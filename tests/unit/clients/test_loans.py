"""What Kueue says of loans, and whose queues count the same nodes, as a real API server's answers have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.queues import loans
from meshctl.clients.queues.loans import Loan
from meshctl.operate.loan_status import loan_statuses
from meshwire.kubernetes.errors import ApiError
from tests.unit.resolve.lending_meshes import deployed, serving_on_lent_nodes
from tests.unit.resolve.meshes import gpu_node

API = "/apis/kueue.x-k8s.io/v1beta2"


class Answers:
    """A client that has these lists; a list that is an error is raised."""

    def __init__(self, lists: dict[str, Any]) -> None:
        self.lists = lists

    def items(self, path: str) -> list[Any]:
        listed = self.lists[path.removeprefix(f"{API}/")]
        if isinstance(listed, ApiError):
            raise listed
        items: list[Any] = listed
        return items


def access(monkeypatch: pytest.MonkeyPatch, **lists: Any) -> ClusterAccess:
    by_path = {name.replace("__", "/"): items for name, items in lists.items()}

    @contextmanager
    def connected(self: ClusterAccess) -> Iterator[Answers]:
        del self
        yield Answers(by_path)

    monkeypatch.setattr(ClusterAccess, "connected", connected)
    return ClusterAccess("e")


def workload(job: str, flavor: str, amount: str = "8", *conditions: dict[str, str]) -> dict[str, Any]:
    assignment = {"flavors": {"nvidia.com/gpu": flavor, "cpu": flavor}, "resourceUsage": {"nvidia.com/gpu": amount}}
    return {
        "metadata": {"ownerReferences": [{"kind": "Job", "name": job}]},
        "status": {"admission": {"podSetAssignments": [assignment]}, "conditions": list(conditions)},
    }


def test_a_loan_is_what_a_job_has_of_the_flavor_of_another_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = {"type": "Finished", "status": "True"}
    workloads = [
        workload("sweep", "m.serve", "16"),
        workload("sweep", "m.train"),  # its own pool
        workload("sweep", "m.serve", "8", finished),
        workload("of-others", "m.serve"),
        {"metadata": {}},  # of nobody
    ]
    cluster = access(monkeypatch, namespaces__m__workloads=workloads)
    found = loans.loans(cluster, deployed())
    assert found == [Loan("serve", "sweep", 16)]
    (status,) = loan_statuses(deployed(), found)
    line = "16 of up to 16 accelerators lent to sweep (16); all 24 are its own when it needs them"
    assert status.line(6) == f"  lending   serve   {line}"


def test_what_serves_on_a_lent_node_is_a_loan_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_pod(name: str, flavor: str) -> dict[str, Any]:
        of_job = workload("", flavor)
        return {**of_job, "metadata": {"ownerReferences": [{"kind": "Pod", "name": name}]}}

    workloads = [
        of_pod("chat-lent-5d9f8-abcde", "m.train"),
        of_pod("chat-lent-5d9f8-fghij", "m.train"),
        of_pod("chat-7c6b5-abcde", "m.serve"),
        of_pod("page-7c6b5-abcde", "m.train"),
    ]
    cluster = access(monkeypatch, namespaces__m__workloads=workloads)
    assert loans.loans(cluster, serving_on_lent_nodes()) == [Loan("train", "chat", 8), Loan("train", "chat", 8)]


def test_a_user_who_may_not_look_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ApiError(403, "forbidden")
    cluster = access(monkeypatch, namespaces__m__workloads=refused, resourceflavors=refused, clusterqueues=refused)
    assert loans.loans(cluster, deployed()) is None
    (status,) = loan_statuses(deployed(), None)
    assert "not known" in status.line(6)
    (note,) = loans.other_queues(cluster, deployed(), ())
    assert "may not list `resourceflavors`" in note


def test_a_kueue_that_is_gone_by_now_is_not_called_a_matter_of_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ApiError(404, "the server could not find the requested resource")
    cluster = access(monkeypatch, namespaces__m__workloads=gone, resourceflavors=gone, clusterqueues=gone)
    assert loans.loans(cluster, deployed()) is None
    (note,) = loans.other_queues(cluster, deployed(), ())
    assert "has stopped serving kueue.x-k8s.io/v1beta2" in note
    assert "grant" not in note


def queue(name: str, flavor: str, labels: dict[str, str] | None = None, resource: str = "nvidia.com/gpu") -> Any:
    groups = [{"coveredResources": [resource], "flavors": [{"name": flavor, "resources": []}]}]
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"resourceGroups": groups}}


def flavor(name: str, **labels: str) -> Any:
    return {"metadata": {"name": name}, "spec": {"nodeLabels": labels} if labels else {}}


def test_queues_of_others_over_the_same_nodes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "app.kubernetes.io/managed-by": "meshctl",
        "app.kubernetes.io/part-of": "m",
        "meshctl.dev/environment": "e",
    }
    cluster = access(
        monkeypatch,
        resourceflavors=[flavor("any"), flavor("zone", zone="b"), flavor("far", zone="z"), flavor("m.serve", a="b")],
        clusterqueues=[
            queue("team-a", "any"),
            queue("team-b", "zone"),
            queue("team-c", "far"),
            queue("team-d", "any", resource="amd.com/gpu"),
            queue("team-e", "gone"),
            queue("m.serve", "any", own),
        ],
    )
    deployment = deployed()
    (node, *_) = deployment.pool("serve").node_names
    notes = loans.other_queues(cluster, deployment, [gpu_node(node, labels={"zone": "b"})])
    named = [(note.split(":")[0], note.split("ClusterQueue ")[1].split(" ")[0]) for note in notes]
    assert named == [("pool/serve", "team-a"), ("pool/serve", "team-b"), ("pool/train", "team-a")]

"""What pods say of loans where KAI Scheduler counts, and whose queues have the names of the mesh's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.queues import kai_loans
from meshctl.clients.queues.loans import Loan
from meshctl.errors import BusyError
from meshctl.model.pods import object_names
from meshctl.operate.loan_status import loan_statuses
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import NODES
from tests.unit.render.test_kai_queues import deployed

OWN = object_names.labels("m", "e")


class Answers:
    """A client that has these nodes, pods and queues; queues that are an error are raised."""

    def __init__(self, nodes: list[Any], pods: list[Any], queues: Any) -> None:
        self.nodes, self.pods, self.queues = nodes, pods, queues

    def list_objects(self, resource: Any, **which: Any) -> list[Any]:
        assert which["labels"]
        return self.nodes if resource is NODES else self.pods

    def items(self, path: str) -> list[Any]:
        assert path == "/apis/scheduling.run.ai/v2/queues"
        if isinstance(self.queues, ApiError):
            raise self.queues
        items: list[Any] = self.queues
        return items


def access(monkeypatch: pytest.MonkeyPatch, *, nodes: Any = (), pods: Any = (), queues: Any = ()) -> ClusterAccess:
    @contextmanager
    def connected(self: ClusterAccess) -> Iterator[Answers]:
        del self
        yield Answers(list(nodes), list(pods), queues)

    monkeypatch.setattr(ClusterAccess, "connected", connected)
    return ClusterAccess("e")


def node(name: str, pool: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"meshctl.dev/mesh": "m", "meshctl.dev/pool": pool}}}


def pod(workload: str, on: str, queue: str = "m.serve.lent", phase: str = "Running") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": workload, **({"kai.scheduler/queue": queue} if queue else {})}
    return {"metadata": {"labels": labels}, "spec": {"nodeName": on} if on else {}, "status": {"phase": phase}}


def test_a_loan_is_what_pods_have_of_nodes_of_another_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [
        pod("sweep", "g1"),
        pod("sweep", "g2"),
        pod("sweep", "g4"),  # its own pool
        pod("sweep", ""),  # waits
        pod("sweep", "g3", phase="Succeeded"),
        pod("chat", "g3", "m.serve"),
        pod("other", "g1"),
    ]
    nodes = [node("g1", "serve"), node("g2", "serve"), node("g3", "serve"), node("g4", "train")]
    deployment = deployed()
    lent = kai_loans.loans(access(monkeypatch, nodes=nodes, pods=pods), deployment)
    assert lent == [Loan("serve", "sweep", 16)]
    (status,) = loan_statuses(deployment, lent)
    assert status.line(5) == (
        "  lending   serve  16 of up to 16 accelerators lent to sweep (16); all 24 are its own when it needs them"
    )


def queue(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def test_a_queue_of_somebody_else_with_a_name_of_ours_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = [queue("m", **OWN), queue("m.serve"), queue("m.train", **{**OWN, "meshctl.dev/environment": "x"})]
    queues += [queue("default-queue"), queue("m.train.lent")]  # the last one is a name that we don't use
    taken = kai_loans.taken_names(access(monkeypatch, queues=queues), deployed())
    assert taken.notes == ()
    assert [(each.subject, each.wanted) for each in taken.gaps] == [
        ("pool/serve", "a queue of KAI Scheduler called m.serve"),
        ("pool/train", "a queue of KAI Scheduler called m.train"),
    ]


def test_who_may_not_see_queues_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = kai_loans.taken_names(access(monkeypatch, queues=ApiError(403, "forbidden")), deployed()).notes
    assert "grant `list` on them in the API group scheduling.run.ai" in note
    none = kai_loans.taken_names(access(monkeypatch, queues=ApiError(404, "not found")), deployed())
    assert none == kai_loans.TakenNames()


def test_an_api_server_that_is_busy_ends_no_command_over_a_look_at_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(_self: ClusterAccess) -> NoReturn:
        raise BusyError("e: too many requests")

    monkeypatch.setattr(ClusterAccess, "connected", connected)
    (note,) = kai_loans.taken_names(ClusterAccess("e"), deployed()).notes
    assert (
        note
        == "not checked: whether somebody else has queues with the names of the mesh's queues (e: too many requests)"
    )

"""How `status` counts the requests that a gateway has led elsewhere: by what its pods have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import pytest

from meshctl.clients.kubernetes import gateway_logs
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.gateway_logs import CountedRequests, counted_requests
from meshctl.errors import CredentialsError
from meshctl.model.deployment import Deployment, Elsewhere
from meshctl.model.keys import gateway_shares
from meshctl.model.keys.gateway_shares import ELSEWHERE, HERE, RequestCount, request_line
from meshctl.model.observed import PodState
from meshwire.kubernetes.errors import ApiError, CredentialError, NoAnswerError
from tests.unit.fake_cluster import client_of
from tests.unit.migrate.test_expansion_by_gateway import with_gateway

CLUSTER = ClusterAccess("east")
TO_WEST = Elsewhere(environment="west", weight=102, addresses=("192.0.2.2",), port=443, is_counted=True)


class Logs:
    """Answers with the log of a pod, or refuses it."""

    def __init__(self, logs: Mapping[str, str | Exception]) -> None:
        self.logs = logs
        self.asked: list[tuple[str, str, str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def log(self, pod: str, *, namespace: str, container: str, lines: int) -> str:
        self.asked.append((pod, namespace, container, lines))
        answer = self.logs[pod]
        if isinstance(answer, Exception):
            raise answer
        return answer


def written(here: int, elsewhere: int, weight: int = 102) -> str:
    return f"{request_line(weight, HERE)}\n" * here + f"{request_line(weight, ELSEWHERE)}\n" * elsewhere


def pod(name: str, phase: str = "Running", *, stopping: bool = False, workload: str = "chat-gateway") -> PodState:
    return PodState(name, workload, phase, True, "node", 0, stopping=stopping)


def shared(elsewhere: Elsewhere = TO_WEST) -> Deployment:
    return gateway_shares.with_shares(with_gateway("east"), {"chat": elsewhere})


def test_the_requests_of_all_pods_of_the_gateway_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = "2026/11/30 02:28:46 [error] 9#9: *2 connect() failed\n"
    logs = Logs({"a": written(1200, 800), "b": noise + written(6, 4) + noise})
    monkeypatch.setattr(ClusterAccess, "client", client_of(logs))
    others = [pod("chat-0", workload="chat"), pod("old", stopping=True), pod("new", "Pending")]
    counted = counted_requests(CLUSTER, shared(), [pod("a"), pod("b"), *others])
    assert counted == CountedRequests({"chat": RequestCount(own=1206, passed_on=804)})
    assert sorted(logs.asked) == [(name, shared().namespace, "main", gateway_logs.LINES) for name in ("a", "b")]


def test_requests_that_were_shared_by_another_weight_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs({"a": written(60, 40, weight=10) + written(3, 2)})
    monkeypatch.setattr(ClusterAccess, "client", client_of(logs))
    assert counted_requests(CLUSTER, shared(), [pod("a")]).by_endpoint == {"chat": RequestCount(3, 2)}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (ApiError(403, 'pods "b" is forbidden: cannot get resource "pods/log"'), 'cannot get resource "pods/log"'),
        (NoAnswerError("https://10.0.0.1:6443", "timed out"), "timed out"),
    ],
)
def test_a_pod_that_does_not_answer_is_said_and_the_others_count(
    refusal: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(Logs({"a": written(3, 2), "b": refusal})))
    counted = counted_requests(CLUSTER, shared(), [pod("a"), pod("b")])
    assert counted.by_endpoint == {"chat": RequestCount(3, 2)}
    (unread,) = counted.unread
    assert unread.startswith("the requests of b are not in the measured split: its log can't be read (")
    assert words in unread


def test_credentials_that_end_meanwhile_are_an_error_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(Logs({"a": CredentialError("the token has expired")})))
    with pytest.raises(CredentialsError, match="the kubeconfig can't be used"):
        counted_requests(CLUSTER, shared(), [pod("a")])


def test_a_gateway_that_counts_nothing_or_has_no_pod_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs({})
    monkeypatch.setattr(ClusterAccess, "client", client_of(logs))
    of_an_older_release = TO_WEST.model_copy(update={"is_counted": False})
    for deployment in (with_gateway("east"), shared(of_an_older_release)):
        assert counted_requests(CLUSTER, deployment, [pod("a")]) == CountedRequests()
    assert counted_requests(CLUSTER, shared(), []) == CountedRequests()
    assert not logs.asked


def test_a_pod_whose_node_does_not_answer_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server would wait for its node, and `status` for the API server."""
    logs = Logs({"a": written(3, 2)})
    monkeypatch.setattr(ClusterAccess, "client", client_of(logs))
    counted = counted_requests(CLUSTER, shared(), [pod("a"), replace(pod("b"), ready=False)])
    assert counted.unread == ("the requests of b are not in the measured split: it is not ready",)
    assert [name for name, *_ in logs.asked] == ["a"]

"""A job that a migration pauses leaves its queue: Kueue would start it again."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.jobs import paused_jobs
from meshctl.errors import NotReadyError
from meshctl.model.deployment import Cluster, Deployment
from meshctl.model.keys.job_order import QUEUE_LABEL
from tests.unit import states
from tests.unit.engine.test_held_jobs import dc1, state
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.render.test_job_release import in_order


class ClusterWithJob(FakeClient):
    """It has one Job, to which the release has given its queue. `sets_again`: what a program does about the label."""

    def __init__(self, labels: dict[str, str], *, sets_again: bool = False) -> None:
        self.job: dict[str, Any] = {"metadata": {"name": "pretrain", "labels": labels}, "spec": {"suspend": False}}
        super().__init__({"jobs": [self.job]})
        self.sets_again = sets_again
        self.patches: list[dict[str, Any]] = []

    def patch(self, _resource: Any, name: str, body: dict[str, Any], **_: Any) -> None:
        assert name == "pretrain"
        self.patches.append(body)
        self.job["spec"] |= body["spec"]
        for label, value in body["metadata"]["labels"].items():
            assert value is None
            if not self.sets_again:
                del self.job["metadata"]["labels"][label]


def waiting_for_others() -> Deployment:
    made = in_order(queue="genai").model_copy(update={"environment": "dc1", "provider": "onprem"})
    return made.model_copy(update={"cluster": Cluster(name="dc1", kubeconfig="kubeconfig")})


PAUSED = waiting_for_others().paused(frozenset({"pretrain"}))


def test_a_paused_job_loses_the_queue_that_its_release_has_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = ClusterWithJob({QUEUE_LABEL: "genai", "team": "a"})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    for _ in range(2):  # before a run and after it
        paused_jobs.leave_queues(PAUSED, state(dc1()))
    assert (cluster.job["metadata"]["labels"], cluster.job["spec"]) == ({"team": "a"}, {"suspend": True})
    # at once: Kueue refuses another queue for a job that is not suspended by the same change
    assert cluster.patches == [{"metadata": {"labels": {QUEUE_LABEL: None}}, "spec": {"suspend": True}}]


@pytest.mark.parametrize("is_in_state", [True, False])
def test_a_job_that_runs_or_is_not_ours_stays_in_its_queue(
    monkeypatch: pytest.MonkeyPatch, *, is_in_state: bool
) -> None:
    cluster = ClusterWithJob({QUEUE_LABEL: "genai"})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    if is_in_state:
        paused_jobs.leave_queues(waiting_for_others(), state(dc1()))
    else:
        paused_jobs.leave_queues(PAUSED, states.NOTHING)
    assert cluster.patches == []


def test_a_paused_job_that_is_gone_has_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({})))
    paused_jobs.leave_queues(PAUSED, state(dc1()))


def test_a_label_that_comes_back_ends_the_migration_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(ClusterWithJob({QUEUE_LABEL: "genai"}, sets_again=True)))
    with pytest.raises(NotReadyError, match="still in the queue genai of Kueue"):
        paused_jobs.leave_queues(PAUSED, state(dc1()))

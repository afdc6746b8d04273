"""The states of jobs as the API has them, and the error with which an `up` ends when jobs have failed."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.jobs import job_states
from meshctl.engine.events import Progress
from meshctl.errors import UnreachableError
from meshctl.model.observed import JobState
from meshctl.model.stack_state import NO_OUTPUTS
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of

LABELS = {"app.kubernetes.io/name": "pretrain", "app.kubernetes.io/managed-by": "meshctl"}
BACKOFF = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
}


def job(*conditions: dict[str, Any]) -> Any:
    return {"metadata": {"name": "pretrain", "labels": LABELS}, "status": {"conditions": [*conditions]}}


def pod(name: str, at: str, said: str) -> Any:
    ended = {"exitCode": 1, "reason": "Error", "message": f"step 7\n{said}", "finishedAt": at}
    status = {
        "name": "main",
        "ready": False,
        "restartCount": 0,
        "image": "",
        "imageID": "",
        "state": {"terminated": ended},
    }
    return {
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"containers": []},
        "status": {"phase": "Failed", "containerStatuses": [status]},
    }


@pytest.mark.parametrize(
    ("kinds", "ended"),
    [
        ([], ""),
        (["Suspended"], ""),
        (["Complete"], "complete"),
        (["SuccessCriteriaMet"], "complete"),
        (["FailureTarget"], "failed"),
        (["Failed"], "failed"),
    ],
)
def test_conditions_say_how_a_job_ended(kinds: list[str], ended: str) -> None:
    found = job_states.job_state(job(*({"type": kind, "status": "True"} for kind in kinds)))
    assert (found.workload, found.ended) == ("pretrain", ended)
    assert job_states.job_state(job(*({"type": kind, "status": "False"} for kind in kinds))).ended == ""


def test_a_failed_job_has_the_last_words_of_its_last_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = (
        pod("pretrain-1-b", "2026-11-28T10:00:00Z", "early"),
        pod("pretrain-0-a", "2026-11-28T10:05:00Z", "no data"),
    )
    cluster = FakeClient({"jobs": [job(BACKOFF)], "pods": [late, early]})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    found = job_states.jobs_in_cluster(ClusterAccess("cw"), "llm-prod")["pretrain"]
    assert found.why == (
        "BackoffLimitExceeded: Job has reached the specified backoff limit; "
        "pretrain-0-a: main ended with exit code 1: no data"
    )


def secret(value: str) -> Any:
    data = {"TOKEN": base64.b64encode(value.encode()).decode()}
    return {"metadata": {"name": "pretrain-secrets", "labels": LABELS}, "data": data}


def test_last_words_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pod("pretrain-0-a", "2026-11-28T10:05:00Z", "401: no access for hf_abcdefgh")
    cluster = FakeClient({"jobs": [job(BACKOFF)], "pods": [found], "secrets": [secret("hf_abcdefgh")]})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    told = job_states.jobs_in_cluster(ClusterAccess("cw"), "llm-prod")["pretrain"]
    assert told.last_words == "pretrain-0-a: main ended with exit code 1: 401: no access for [secret]"


def test_who_may_not_see_the_secrets_is_not_told_what_may_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pod("pretrain-0-a", "2026-11-28T10:05:00Z", "401: no access for hf_abcdefgh")
    cluster = FakeClient({"jobs": [job(BACKOFF)], "pods": [found]}, refused={"secrets": 403})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    told = job_states.jobs_in_cluster(ClusterAccess("cw"), "llm-prod")["pretrain"]
    assert told.why == "BackoffLimitExceeded: Job has reached the specified backoff limit"


FAILED = {"pretrain": JobState("pretrain", "failed", "BackoffLimitExceeded: no more", "pretrain-0: no data")}


def test_an_up_ends_with_the_reason_of_a_failed_job_and_the_command_that_runs_it_again() -> None:
    found = job_states.failed_jobs_error(deployment("cw"), FAILED)
    assert found is not None
    assert (found.code, found.exit_code) == ("job-failed", 3)
    assert found.what == "cw: the job of pretrain has failed; everything else is up"
    assert found.why == "BackoffLimitExceeded: no more; pretrain-0: no data"
    assert found.hint.startswith(
        "fix the cause (`meshctl up cw` first if mesh.yaml or environments.yaml changed), then `meshctl restart"
        " pretrain --env cw`;"
    )


def test_what_is_not_to_run_is_not_held_against_an_up() -> None:
    assert job_states.failed_jobs_error(deployment().paused(frozenset({"pretrain"})), FAILED) is None
    assert job_states.failed_jobs_error(deployment().finished({"pretrain": "aws-east"}), FAILED) is None
    assert job_states.failed_jobs_error(deployment(), {"pretrain": JobState("pretrain", "complete")}) is None
    assert job_states.failed_jobs_error(deployment(), {}) is None


def test_a_cluster_that_does_not_answer_is_told_and_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> Any:
        raise UnreachableError("cw: the Kubernetes API server does not answer")

    monkeypatch.setattr(job_states, "jobs_in_cluster", unreachable)
    monkeypatch.setattr(clusters, "access", lambda *_: SimpleNamespace())
    said: list[Progress] = []
    assert job_states.jobs_after_up(deployment(), NO_OUTPUTS, cast("Any", said.append)) == {}
    assert "can't read whether its jobs have failed" in said[0].action

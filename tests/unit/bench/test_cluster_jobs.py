"""A Job that measures: created, waited for, and deleted whatever happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshctl.bench import cluster_jobs
from meshctl.cli.signals import once
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import CredentialsError, InterruptedByUserError, LockedError, MeasurementError
from meshctl.objects.progress import Stop
from meshctl.render.benchmarks import KIND_LABEL
from tests.hangups import hangups_not_ignored
from tests.unit.api_server import Answer, ApiServer, Asked, api_server

JOBS, JOB = "/apis/batch/v1/namespaces/acme/jobs", "/apis/batch/v1/namespaces/acme/jobs/bench-storage-shared"
PODS = "/api/v1/namespaces/acme/pods"
SECRETS, SERVICES = "/api/v1/namespaces/acme/secrets", "/api/v1/namespaces/acme/services"
DOMAINS = "/apis/resource.nvidia.com/v1beta1/namespaces/acme/computedomains"
LABELS = {KIND_LABEL: "storage"}
COMPANIONS = [
    {"apiVersion": "v1", "kind": kind, "metadata": {"name": "bench", "namespace": "acme", "labels": LABELS}}
    for kind in ("Secret", "Service", "ComputeDomain")
]
MANIFEST: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "bench-storage-shared", "namespace": "acme", "labels": LABELS},
    "spec": {"activeDeadlineSeconds": 60},
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_jobs, "_POLL_S", 0.01)
    monkeypatch.setattr(cluster_jobs, "LONGEST_START_S", 0.3)


class Cluster:
    """The Job's conditions after each of `looks`, and its pods. `existing`: a Job of that name before."""

    def __init__(self, *looks: str, pods: list[dict[str, Any]], existing: str | None = None, status: int = 200) -> None:
        self.looks, self.pods, self.existing, self.status = list(looks), pods, existing, status
        self.gone = {SECRETS, DOMAINS}  # where no earlier Job has left anything
        self.labels = LABELS  # of what is there before

    def answer(self, asked: Asked) -> Answer:
        if asked.path == PODS:
            return Answer(self.status, {"items": self.pods})
        if asked.method == "POST" and asked.path != JOBS:
            is_left = asked.path not in self.gone
            return Answer(409 if is_left else 201, asked.body)
        if asked.method == "GET" and not asked.path.startswith(JOBS):
            return Answer(200, {"metadata": {"name": "bench", "namespace": "acme", "labels": self.labels}})
        if asked.method == "DELETE" and not asked.path.startswith(JOBS):
            self.gone.add(asked.path.rpartition("/")[0])
            return Answer(200, {})
        if asked.method == "POST":
            self.existing = self.looks.pop(0)
            return Answer(201, {**asked.body, "metadata": {**asked.body["metadata"], "uid": "u-1"}})
        if asked.method == "DELETE":
            self.existing = None
            return Answer(200, {})
        if self.existing is None:
            return Answer(404, {"kind": "Status", "reason": "NotFound"})
        conditions = [{"type": self.existing, "status": "True"}] if self.existing else []
        metadata = {**MANIFEST["metadata"], "labels": self.labels, "uid": "u-0"}
        job = {**MANIFEST, "metadata": metadata, "status": {"conditions": conditions}}
        if self.looks:
            self.existing = self.looks.pop(0)
        return Answer(200, job)


def pod(message: str = "", *, phase: str = "Succeeded", code: int = 0, **more: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "message": message}} if phase != "Pending" else {}
    status = {"phase": phase, "containerStatuses": [{"name": "main", "state": state}], **more}
    return {"metadata": {"name": "bench-0-x"}, "spec": {"nodeName": "n1"}, "status": status}


def run(
    cluster: Cluster,
    folder: Path,
    said: Callable[[str], None] = lambda _: None,
    companions: Sequence[dict[str, Any]] = (),
    manifest: dict[str, Any] = MANIFEST,
    holder: cluster_jobs.Holder = cluster_jobs.ANYBODY,
    start_s: float = 0.3,
) -> tuple[Any, ApiServer]:
    with api_server(cluster.answer) as server:
        user = {"name": "u", "user": {"token": "t"}}
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [user],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        (folder / "config").write_text(json.dumps(config))
        access = ClusterAccess("cw", str(folder / "config"))
        try:
            ended = cluster_jobs.run(access, manifest, said, companions=companions, start_s=start_s, holder=holder)
            return ended, server
        except (MeasurementError, LockedError, CredentialsError, InterruptedByUserError) as error:
            return error, server


def deleted(server: ApiServer) -> list[str]:
    return [each.path for each in server.asked if each.method == "DELETE"]


def test_the_message_of_its_pod_is_returned_and_the_job_goes(tmp_path: Path) -> None:
    ended, server = run(Cluster("", "", "Complete", pods=[pod("packed")]), tmp_path)
    assert ended == cluster_jobs.Ended("packed", "n1")
    assert deleted(server) == [JOB]
    (pods_of, *_) = [each.query for each in server.asked if each.path == PODS]
    assert pods_of["labelSelector"] == "batch.kubernetes.io/controller-uid=u-1"  # none of a Job that had its name


def test_a_job_that_fails_has_its_last_words_and_goes(tmp_path: Path) -> None:
    error, server = run(Cluster("", "Failed", pods=[pod("fio: No space left", phase="Failed", code=1)]), tmp_path)
    assert isinstance(error, MeasurementError)
    assert "fio: No space left" in error.why
    assert deleted(server) == [JOB]


def test_a_pod_without_a_node_is_given_up_with_what_it_waits_for(tmp_path: Path) -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient cpu."}
    said: list[str] = []
    waiting = Cluster("", pods=[pod(phase="Pending", conditions=[condition])])
    error, server = run(waiting, tmp_path, said.append)
    assert isinstance(error, MeasurementError)
    assert "did not start" in error.what
    assert "cpu" in error.why
    assert len(said) == 1
    assert deleted(server) == [JOB]


def test_one_that_runs_already_is_not_disturbed(tmp_path: Path) -> None:
    error, server = run(Cluster(existing="", pods=[]), tmp_path)
    assert isinstance(error, LockedError)
    assert "it ends 60 s after its start" in error.why
    assert {each.method for each in server.asked} == {"GET"}


def test_what_a_killed_command_left_is_removed_first(tmp_path: Path) -> None:
    ended, server = run(Cluster("", "Complete", pods=[pod("packed")], existing="Complete"), tmp_path)
    assert ended.message == "packed"
    assert [each.method for each in server.asked if each.method in ("POST", "DELETE")] == ["DELETE", "POST", "DELETE"]


def test_whoever_is_alone_there_replaces_what_a_killed_run_has_left_running(tmp_path: Path) -> None:
    """A migration that was killed while it measured: its lock keeps others from measuring there."""
    alone = cluster_jobs.Holder(is_alone=True)
    ended, server = run(Cluster("", "Complete", pods=[pod("packed")], existing=""), tmp_path, holder=alone)
    assert ended.message == "packed"
    assert [each.method for each in server.asked if each.method in ("POST", "DELETE")] == ["DELETE", "POST", "DELETE"]

    theirs = Cluster("", "Complete", pods=[pod("packed")], existing="")
    theirs.labels = {}
    error, server = run(theirs, tmp_path, holder=alone)
    assert isinstance(error, LockedError)
    assert {each.method for each in server.asked} == {"GET"}


def test_whoever_is_asked_to_stop_ends_it(tmp_path: Path) -> None:
    stop = Stop()
    running = Cluster("", pods=[pod(phase="Running")])
    cluster_answer = running.answer

    def answer(asked: Asked) -> Answer:
        if asked.path == PODS:
            stop.request()
        return cluster_answer(asked)

    running.answer = answer  # type: ignore[method-assign]
    error, server = run(running, tmp_path, holder=cluster_jobs.Holder(check=stop.check))
    assert isinstance(error, InterruptedByUserError)
    assert deleted(server) == [JOB]


def test_a_user_who_may_not_see_pods_waits_for_nothing(tmp_path: Path) -> None:
    error, server = run(Cluster("", pods=[], status=403), tmp_path)
    assert isinstance(error, CredentialsError)
    assert deleted(server) == [JOB]


def test_a_server_that_does_not_answer_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    statuses = [503]

    class Busy(Cluster):
        def answer(self, asked: Asked) -> Answer:
            is_busy = asked.path == PODS and statuses
            return Answer(statuses.pop()) if is_busy else super().answer(asked)

    ended, _ = run(Busy("", "", "Complete", pods=[pod("packed")]), tmp_path)
    assert ended.message == "packed"


def on_node(node: str, message: str = "packed", **more: Any) -> dict[str, Any]:
    made = pod(message, **more)
    return {**made, "metadata": {"name": f"bench-{node or 'x'}"}, "spec": {"nodeName": node} if node else {}}


def run_on_each(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch, *, start_s: float = 0.3
) -> tuple[Any, ApiServer]:
    monkeypatch.setattr(cluster_jobs, "run", lambda *args, companions, **more: cluster_jobs.run_on_each(*args, **more))
    three = {**MANIFEST, "spec": {**MANIFEST["spec"], "completions": 3}}
    return run(cluster, folder, manifest=three, start_s=start_s)


def test_pods_on_nodes_of_their_own_each_leave_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("", "", "Complete", pods=[on_node("n2", "two"), on_node("n1", "one"), on_node("n3", "three")])
    ended, server = run_on_each(cluster, tmp_path, monkeypatch)
    assert ended == tuple(
        cluster_jobs.Ended(message, node) for message, node in (("one", "n1"), ("two", "n2"), ("three", "n3"))
    )
    assert deleted(server) == [JOB]


def test_a_node_without_room_is_not_waited_for_and_none_is_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod that found no node gets that of another one once it has ended, and would measure it again."""
    pods = [on_node("n1"), on_node("", phase="Pending"), {**on_node("n1", phase="Running"), "metadata": {"name": "z"}}]
    ended, server = run_on_each(Cluster("", pods=pods), tmp_path, monkeypatch)
    assert ended == (cluster_jobs.Ended("packed", "n1"),)
    assert deleted(server) == [JOB]


class Clock:
    """Stands for the module `time`: a second passes where one is waited for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("placed_after_s", "nodes", "waited_s"), [(None, ["n1"], 30), (40, ["n1"], 30), (20, ["n1", "n2"], 20)]
)
def test_a_pod_that_finds_no_node_is_waited_for_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed_after_s: int | None, nodes: list[str], waited_s: int
) -> None:
    """While the others have done their work: what ran on its node before may still be ending. A start may take longer,
    as its image may be large."""
    clock = Clock()
    begun = clock.now
    monkeypatch.setattr(cluster_jobs, "time", clock)
    monkeypatch.setattr(cluster_jobs, "_POLL_S", 1.0)

    class Filling(Cluster):
        def answer(self, asked: Asked) -> Answer:
            is_placed = placed_after_s is not None and clock.now - begun >= placed_after_s
            self.pods = [on_node("n1"), on_node("n2") if is_placed else on_node("", phase="Pending")]
            return super().answer(asked)

    ended, server = run_on_each(Filling("", pods=[]), tmp_path, monkeypatch, start_s=180.0)
    assert [each.node for each in ended] == nodes
    assert clock.now - begun == waited_s
    assert deleted(server) == [JOB]


def test_what_is_at_work_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a start may take, with a third node that has no room."""
    begun = time.monotonic()

    class Working(Cluster):
        def answer(self, asked: Asked) -> Answer:
            phase = "Succeeded" if time.monotonic() - begun > 0.6 else "Running"
            self.pods = [on_node("n1"), on_node("n2", phase=phase), on_node("", phase="Pending")]
            return super().answer(asked)

    ended, _ = run_on_each(Working("", pods=[]), tmp_path, monkeypatch)
    assert [each.node for each in ended] == ["n1", "n2"]


def test_one_bad_node_leaves_what_the_others_have_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pod fails the Job. It may have been evicted, or refused by the node's kubelet."""
    evicted = on_node("n2", phase="Failed")
    evicted["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
    cluster = Cluster("", "", "", "Failed", pods=[on_node("n1"), evicted, on_node("n3", phase="Running")])
    ended, server = run_on_each(cluster, tmp_path, monkeypatch)
    assert ended == (
        cluster_jobs.Ended("packed", "n1"),
        cluster_jobs.Ended("", "n2", "Evicted: The node was low on memory."),
        cluster_jobs.Ended("", "n3", "its pod did not finish in time"),
    )
    assert deleted(server) == [JOB]


@pytest.mark.parametrize("kind", ["an image that is not there", "a node that no longer answers"])
def test_what_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bad = on_node("n2", phase="Pending" if "image" in kind else "Running")
    if "image" in kind:
        bad["status"]["containerStatuses"] = [{"name": "main", "state": {"waiting": {"reason": "ErrImagePull"}}}]
    else:
        bad["metadata"]["deletionTimestamp"] = "2026-11-29T12:00:00Z"
    ended, _ = run_on_each(Cluster("", pods=[on_node("n1"), bad]), tmp_path, monkeypatch)
    reason = "ErrImagePull" if "image" in kind else "its pod did not finish in time"
    assert ended == (cluster_jobs.Ended("packed", "n1"), cluster_jobs.Ended("", "n2", reason))


def test_where_no_pod_ends_well_the_failure_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = on_node("n1", "no host engine", phase="Failed", code=1)
    error, _ = run_on_each(Cluster("", "Failed", pods=[bad]), tmp_path, monkeypatch)
    assert isinstance(error, MeasurementError)
    assert "no host engine" in error.why


def test_where_no_node_has_room_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error, server = run_on_each(Cluster("", pods=[on_node("", phase="Pending")]), tmp_path, monkeypatch)
    assert isinstance(error, MeasurementError)
    assert "did not start" in error.what
    assert deleted(server) == [JOB]


def test_what_goes_with_the_job_is_owned_by_it_and_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    """The Service is of a Job that is gone, and that the cluster has not collected yet."""
    ended, server = run(Cluster("", "Complete", pods=[pod("packed")]), tmp_path, companions=COMPANIONS)
    assert ended.message == "packed"
    made = [each for each in server.asked if each.method == "POST" and each.path != JOBS]
    assert [each.path for each in made] == [SECRETS, SERVICES, SERVICES, DOMAINS]
    for each in made:
        (owner,) = each.body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "bench-storage-shared", "u-1")
    assert deleted(server) == [f"{SERVICES}/bench", JOB]


def test_what_no_measurement_has_made_stays(tmp_path: Path) -> None:
    """A workload of the mesh may have any name, and a user's own object as well."""
    cluster = Cluster("", "Complete", pods=[pod("packed")], existing="Complete")
    cluster.labels = {"app.kubernetes.io/managed-by": "meshctl"}
    error, server = run(cluster, tmp_path)
    assert isinstance(error, LockedError)
    assert error.what == "cw has a Job bench-storage-shared that no measurement has made"
    assert {each.method for each in server.asked} == {"GET"}

    cluster = Cluster("", "Complete", pods=[pod("packed")])
    cluster.labels = {}
    error, server = run(cluster, tmp_path, companions=COMPANIONS)
    assert isinstance(error, LockedError)
    assert error.what == "cw has a Service bench that no measurement has made"
    assert deleted(server) == [JOB]


def test_a_gang_of_which_one_pod_finds_no_room_is_given_up(tmp_path: Path) -> None:
    """Rank 0 runs and waits for it, with all accelerators of its node."""
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient gpu."}
    waiting = {**pod(phase="Pending", conditions=[condition]), "metadata": {"name": "bench-1-y"}}
    gang = {**MANIFEST, "spec": {**MANIFEST["spec"], "completions": 2}}
    error, _ = run(Cluster("", pods=[pod(phase="Running"), waiting]), tmp_path, manifest=gang)
    assert isinstance(error, MeasurementError)
    assert "did not start" in error.what
    assert "gpu" in error.why


def test_the_end_of_the_first_pod_is_the_end(tmp_path: Path) -> None:
    """Rank 0 of a gang starts the others, which wait for nothing but the end of the Job."""
    others = {**pod(phase="Running"), "metadata": {"name": "bench-1-y"}}
    ended, server = run(Cluster("", "", pods=[others, pod("packed")]), tmp_path)
    assert ended.message == "packed"
    assert deleted(server) == [JOB]


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT,), (signal.SIGHUP, signal.SIGHUP)], ids=["Ctrl-C", "closed terminal"]
)
def test_the_job_goes_also_where_the_command_is_stopped_while_it_is_deleted(
    tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    """A closing terminal sends SIGHUP twice; a Job that stays keeps all accelerators for its whole deadline."""
    left = list(signals)

    class Stopped(Cluster):
        def answer(self, asked: Asked) -> Answer:
            if asked.method == "DELETE" and left:
                os.kill(os.getpid(), left.pop())
                time.sleep(0.3)
                is_lost = len(left) == len(signals) - 1
                return Answer(503) if is_lost else super().answer(asked)
            return super().answer(asked)

    cluster = Stopped("", "Complete", pods=[pod("packed")])
    with hangups_not_ignored(), once(), pytest.raises(KeyboardInterrupt):
        run(cluster, tmp_path)
    assert cluster.existing is None
    assert left == []

"""Once a job that comes after others exists, who started it decides about its suspension, and not the next `up`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects, ownership
from meshctl.deploy.jobs import finished_jobs, gone_jobs, held_jobs, job_states
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.runs import drift_check
from meshctl.errors import UnreachableError
from meshctl.model.deployment import Cluster, Deployment
from meshctl.model.keys import job_order
from meshctl.model.observed import JobState, PodState
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.render.test_job_release import in_order

TYPE = "kubernetes:batch/v1:Job"
JOB = "workload/pretrain:job"
RELEASED: dict[str, Any] = {"f:spec": {"f:suspend": {}}}
SUSPEND = render.live_value_name(JOB, "spec.suspend")


def state(deployed: Deployment, **outputs: Any) -> StackState:
    """After an `up`; `outputs` of all its jobs, releases among them."""
    stack_outputs = {"deployment": deployed.model_dump(mode="json")}
    stack = {
        "type": "pulumi:pulumi:Stack",
        "urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e",
        "outputs": stack_outputs,
    }
    jobs = [item for item in render.platform_objects(deployed) if item.kind == "Job"]
    made = [
        {
            "type": TYPE,
            "urn": f"urn:pulumi:e::m::{TYPE}::{job.name}",
            "inputs": _plain(job.manifest),
            "outputs": {**_plain(job.manifest), **outputs},
        }
        for job in jobs
    ]
    return states.state(stack, *made)


def _plain(value: Any) -> Any:
    if isinstance(value, render.LateValue):
        return "a-uid"
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def changed(made: Deployment, **fields: Any) -> Deployment:
    workloads = tuple(w.model_copy(update=fields) if w.name == "pretrain" else w for w in made.workloads)
    return made.model_copy(update={"workloads": workloads})


def with_queues(
    wanted: Deployment, before: StackState, jobs: Mapping[str, JobState] | None = None, *, has_kueue: bool = True
) -> UnchangedJobs:
    return held_jobs.with_queues_of_jobs(UnchangedJobs(), wanted, before, lambda: jobs or {}, lambda: has_kueue)


def owned(
    monkeypatch: pytest.MonkeyPatch,
    made: Deployment,
    before: StackState,
    *,
    suspend: bool,
    fields: Mapping[str, Any] = RELEASED,
    added: Iterable[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
    selector: Mapping[str, str] | None = None,
) -> Any:
    """What a look at the cluster says: the job is there, and its release has set `suspend`, or another program these
    fields. `added`: tolerations; `labels`: of the Job, `selector`: of its nodes, both beside the declared ones."""
    made = made.model_copy(update={"cluster": Cluster(name="dc1", kubeconfig="kubeconfig")})

    def read(_client: Any, wanted: Any, *_: Any) -> dict[Any, Any]:
        items = {
            item.manifest["metadata"]["name"]: item for item in render.platform_objects(made) if item.kind == "Job"
        }
        live = {ref: _plain(items[ref.name].manifest) for ref in wanted if ref.kind == "Job"}
        for ref, manifest in live.items():
            if ref.name == "pretrain":
                entry = {"manager": "meshctl-release", "operation": "Update", "fieldsV1": fields}
                manifest["metadata"]["managedFields"] = [entry]
                manifest["metadata"]["labels"] |= labels or {}
                manifest["spec"]["suspend"] = suspend
                manifest["spec"]["template"]["spec"]["tolerations"] += added
                manifest["spec"]["template"]["spec"]["nodeSelector"] |= selector or {}
        return live

    monkeypatch.setattr(live_objects, "read", read)
    monkeypatch.setattr(live_objects, "autoscalers", lambda *_: {})
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({})))
    return ownership.read_ownership(made, before)


def dc1() -> Deployment:
    made = in_order()
    return made.model_copy(update={"environment": "dc1", "provider": "onprem"})


def test_a_job_that_its_release_has_started_is_neither_drift_nor_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(dc1())
    found = owned(monkeypatch, dc1(), before, suspend=False)
    assert found.decisions == ()
    assert found.kept_values(preview=False) == {SUSPEND: False}
    assert [step for step in drift_check.object_drift(before, found) if "pretrain" in step.urn] == []


def test_a_migration_still_suspends_a_job_that_its_release_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    paused = dc1().paused(frozenset({"pretrain"}))
    found = owned(monkeypatch, paused, state(dc1()), suspend=False)
    (decision,) = found.decisions
    assert (decision.conflict.live, decision.conflict.wanted, decision.verdict.name) == (False, True, "TAKE_OVER")
    assert found.kept_values(preview=False) == {}


@pytest.mark.parametrize("is_paused", [False, True])
def test_tolerations_that_kueue_has_added_to_a_job_stay(monkeypatch: pytest.MonkeyPatch, *, is_paused: bool) -> None:
    """Kueue starts a job with those of the flavor that it has chosen."""
    made = changed(dc1(), after=(), queue="genai")
    before = state(made)
    wanted = made.paused(frozenset({"pretrain"})) if is_paused else made
    flavor = {"key": "spot", "operator": "Exists"}
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:tolerations": {}}}}}
    result = owned(monkeypatch, wanted, before, suspend=is_paused, fields=fields, added=[flavor])
    result.refuse("up")
    assert result.decisions == ()
    # never among the values that are declared: another pod template is another Job
    assert set(result.kept_values(preview=False)) == (set() if is_paused else {SUSPEND})
    assert [step for step in drift_check.object_drift(before, result) if "pretrain" in step.urn] == []


@pytest.mark.parametrize("queue", ["genai", ""])
def test_the_nodes_that_kueue_has_chosen_for_a_job_are_no_change_of_the_mesh(
    monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    """It starts a job with the labels of its flavor, in a field that the API server takes as one."""
    made = changed(dc1(), after=(), queue=queue)
    before = state(changed(dc1(), after=(), queue="genai"))
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {}}}}}
    flavor, labels = {"meshctl.dev/pool": "serve"}, {job_order.QUEUE_LABEL: "genai"}
    result = owned(monkeypatch, made, before, suspend=False, fields=fields, labels=labels, selector=flavor)
    result.refuse("up")
    assert result.decisions == ()
    assert set(result.kept_values(preview=False)) == {SUSPEND}
    assert [step for step in drift_check.object_drift(before, result) if "pretrain" in step.urn] == []


@pytest.mark.parametrize("is_suspended", [True, False])
def test_a_job_whose_queue_is_removed_is_still_started_by_kueue(
    monkeypatch: pytest.MonkeyPatch, *, is_suspended: bool
) -> None:
    """It stays in its queue until it is made anew, so that `up` must not start it as long as it waits there."""
    before, without = state(queued("genai")), queued("")
    flavor = {"key": "spot", "operator": "Exists"}
    labels = {job_order.QUEUE_LABEL: "genai"}
    fields: dict[str, Any] = {"f:spec": {"f:suspend": {}, "f:template": {"f:spec": {"f:tolerations": {}}}}}
    result = owned(monkeypatch, without, before, suspend=is_suspended, fields=fields, added=[flavor], labels=labels)
    assert result.decisions == ()
    live = result.kept_values(preview=False)
    unchanged = with_queues(without, before)
    assert held_jobs.values_that_stay(live, without, before, unchanged) == {SUSPEND: is_suspended}
    assert [step for step in drift_check.object_drift(before, result) if "pretrain" in step.urn] == []
    anew = changed(without, image="acme/train:2")
    unchanged = with_queues(anew, before)
    assert held_jobs.values_that_stay(live, anew, before, unchanged) == {}


def test_a_pause_ends_what_kueue_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    paused = queued("genai").paused(frozenset({"pretrain"}))
    labels = {job_order.QUEUE_LABEL: "genai"}
    result = owned(monkeypatch, paused, state(queued("genai")), suspend=False, labels=labels)
    assert [decision.verdict.name for decision in result.decisions] == ["TAKE_OVER"]
    assert result.kept_values(preview=False) == {}


def test_a_job_that_is_made_anew_is_held_again() -> None:
    kept = {SUSPEND: False, "held workload/chat:deployment spec.replicas": 3}
    before = state(dc1())
    assert held_jobs.values_that_stay(kept, dc1(), before, UnchangedJobs()) == kept
    anew = changed(dc1(), image="acme/train:2")
    without = {"held workload/chat:deployment spec.replicas": 3}
    assert held_jobs.values_that_stay(kept, anew, before, UnchangedJobs()) == without
    assert held_jobs.values_that_stay(kept, dc1(), states.NOTHING, UnchangedJobs()) == without


def test_a_finished_job_that_stays_unchanged_stays_as_it_is() -> None:
    moved = changed(dc1(), pool="serve")
    unchanged = finished_jobs.unchanged_jobs(
        moved, state(dc1()), lambda: {"pretrain": JobState("pretrain", "complete")}
    )
    assert list(unchanged.paths) == ["pretrain"]
    assert held_jobs.values_that_stay({SUSPEND: False}, moved, state(dc1()), unchanged) == {SUSPEND: False}


def test_order_that_is_written_down_later_does_not_stop_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(changed(dc1(), after=()))
    found = owned(monkeypatch, dc1(), before, suspend=False)
    kept = found.kept_values(preview=False)
    assert held_jobs.values_that_stay(kept, dc1(), before, UnchangedJobs()) == {SUSPEND: False}


def test_a_release_that_has_ended_is_not_taken_for_its_job() -> None:
    """Its Job is complete as soon as it has started the other one."""
    complete = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    deployed = dc1()
    release = f"urn:pulumi:e::m::{TYPE}::workload/pretrain:release"
    before = state(deployed)
    live = {"workload/pretrain:release": {**complete, "metadata": {}}}
    after = gone_jobs.with_finished_jobs_recorded(before, live, {release})
    assert after.deployment is not None
    assert after.deployment.marks == {}
    assert finished_jobs.replaced_jobs(deployed, before, UnchangedJobs()) == frozenset()


WAITING = JobState("pretrain", suspended=True)


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ({"prepdata": JobState("prepdata")}, "waits for prepdata, which has not ended yet"),
        (
            {"prepdata": JobState("prepdata", "failed", "no data")},
            "waits for prepdata, which has failed: `meshctl restart prepdata --env aws-east` runs it again",
        ),
        ({"prepdata": JobState("prepdata", suspended=True)}, "waits for prepdata, which waits itself"),
        ({}, "waits for prepdata, which has no Job: `meshctl up aws-east` creates it"),
    ],
)
def test_what_a_job_waits_for_is_said(jobs: dict[str, JobState], words: str) -> None:
    assert held_jobs.waiting_jobs(in_order(), {**jobs, "pretrain": WAITING}) == {"pretrain": words}


def test_a_release_that_can_not_start_the_job_says_why() -> None:
    jobs = {"prepdata": JobState("prepdata", "complete"), "pretrain": WAITING}
    pod = PodState("pretrain-release-x", "pretrain-release", "Pending", False, "", 0, "ImagePullBackOff")
    (words,) = held_jobs.waiting_jobs(in_order(), jobs, [pod]).values()
    assert words == (
        "prepdata has ended, and the job pretrain-release is to start it, pretrain-release-x: ImagePullBackOff"
    )


def test_a_started_a_paused_and_a_plain_job_wait_for_nothing() -> None:
    jobs = {"prepdata": JobState("prepdata"), "pretrain": JobState("pretrain")}
    assert held_jobs.waiting_jobs(in_order(), jobs) == {}
    paused = in_order().paused(frozenset({"pretrain"}))
    assert held_jobs.waiting_jobs(paused, {**jobs, "pretrain": WAITING}) == {}
    assert held_jobs.waiting_jobs(deployment(), {"pretrain": WAITING}) == {}


def test_a_queue_is_named() -> None:
    made = in_order(after=(), queue="genai")
    assert held_jobs.waiting_jobs(made, {"pretrain": WAITING}) == {"pretrain": "waits in the queue genai of Kueue"}
    said = {"pretrain": "couldn't assign flavors"}
    (words,) = held_jobs.waiting_jobs(made, {"pretrain": WAITING}, queued=said).values()
    assert words == "waits in the queue genai of Kueue: couldn't assign flavors"


QUEUE = 'metadata.labels["kueue.x-k8s.io/queue-name"]'


def queued(queue: str) -> Deployment:
    return changed(dc1(), after=(), queue=queue)


@pytest.mark.parametrize(("before", "after"), [("", "genai"), ("genai", "other"), ("genai", "")])
def test_a_job_that_has_started_stays_in_its_queue(before: str, after: str) -> None:
    """Kueue would refuse the change, and with it the whole `up`."""
    found = with_queues(queued(after), state(queued(before)))
    assert found.paths == {"pretrain": (QUEUE,)}
    (note,) = found.notes
    assert "`meshctl restart pretrain --env dc1`" in note


NEVER_STARTED = JobState("pretrain", suspended=True, never_started=True)


def test_a_job_that_waits_for_a_kueue_that_never_came_is_started_once_it_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was made in the queue to come, and has room of its own now: nothing but `up` can start it."""
    before, without = state(queued("genai")), queued("")
    result = owned(monkeypatch, without, before, suspend=True, fields={}, labels={job_order.QUEUE_LABEL: "genai"})
    unchanged = with_queues(without, before, {"pretrain": NEVER_STARTED}, has_kueue=False)
    assert unchanged == UnchangedJobs()
    live = {SUSPEND: True, **result.kept_values(preview=False)}
    assert held_jobs.values_that_stay(live, without, before, unchanged) == {}


@pytest.mark.parametrize(
    ("job", "has_kueue"),
    [
        (NEVER_STARTED, True),  # it waits in its queue, and Kueue starts it
        (JobState("pretrain", suspended=True), False),  # somebody has suspended it
        (JobState("pretrain"), False),
    ],
)
def test_what_kueue_or_somebody_else_decides_stays_as_it_is(job: JobState, *, has_kueue: bool) -> None:
    before = state(queued("genai"))
    assert with_queues(queued(""), before, {"pretrain": job}, has_kueue=has_kueue).paths == {"pretrain": (QUEUE,)}


def test_without_an_answer_of_the_cluster_the_queue_stays() -> None:
    def unknown() -> bool:
        raise UnreachableError("dc1 can't be reached")

    before = state(queued("genai"))
    unchanged = held_jobs.with_queues_of_jobs(UnchangedJobs(), queued(""), before, dict, unknown)
    assert unchanged.paths == {"pretrain": (QUEUE,)}


@pytest.mark.parametrize(("suspend", "start"), [(True, ""), (True, "2026-11-29T12:00:00Z"), (False, "")])
def test_a_suspended_job_without_a_start_time_has_never_started(suspend: bool, start: str) -> None:
    job: Any = {"spec": {"suspend": suspend}, "status": {"startTime": start} if start else {}}
    assert job_states.job_state(job).never_started == (suspend and not start)


def test_that_kueue_does_not_count_a_job_yet_is_said_where_its_pool_lends_or_borrows() -> None:
    pool = dc1().workload("pretrain").pool
    after, before = queued(pool), state(queued(""))
    pools = tuple(each.model_copy(update={"lends_nodes": 1 if each.name == pool else 0}) for each in after.pools)
    lent = after.model_copy(update={"pools": pools})
    (note,) = with_queues(lent, before).notes
    assert note.endswith(f"; until then Kueue counts its nodes of pool {pool} as free, and may start other jobs there")
    (note,) = with_queues(after, before).notes
    assert "to be free" not in note


def test_a_job_that_is_made_anew_or_starts_after_a_pause_gets_its_queue() -> None:
    anew = changed(queued("genai"), image="acme/train:2")
    paused = queued("genai").paused(frozenset({"pretrain"}))
    for wanted, before in (
        (anew, state(queued(""))),
        (queued("genai"), state(paused)),
        (paused, state(queued("genai"))),
        (queued("genai"), state(queued("genai"))),
    ):
        assert with_queues(wanted, before) == UnchangedJobs()

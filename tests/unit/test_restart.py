"""`meshctl restart`: where, what a person is asked, and when it is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from meshctl.clients.kubernetes.rolled_out import not_declared, not_rolled
from meshctl.deploy import jobs_in_state
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.jobs import job_states
from meshctl.errors import CredentialsError, LockedError, NotReadyError, UnreachableError, UsageError
from meshctl.migrate.journal import guard
from meshctl.migrate.journal.activity import Activity
from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.model.stack_state import NO_OUTPUTS
from meshctl.operate import restart, rollouts
from meshctl.render.pod import file_mounts
from meshwire.kubernetes.errors import NoAnswerError
from meshwire.kubernetes.objects import Server
from tests.unit.deployments import deployment
from tests.unit.engine import job_meshes
from tests.unit.engine.test_running_queues import with_jobs
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import moved
from tests.unit.resolve.lending_meshes import SERVE, serving_on_lent_nodes


class Session:
    """What is up, and which jobs were made anew with which marks."""

    def __init__(self, *up: Deployment) -> None:
        self.up = {each.environment: each for each in up}
        self.made: list[tuple[str, dict[str, str]]] = []
        self.given: list[Deployment] = []

    def deployed(self, environment: str) -> Deployment | None:
        return self.up.get(environment)

    def outputs(self, _: str) -> dict[str, Any]:
        return {}

    def rerun_job(self, given: Deployment, workload: str) -> None:
        self.made.append((workload, given.marks))
        self.given.append(given)


def chosen(session: Session, name: str, *environments: str) -> Deployment:
    return restart.environment_of_workload(cast("Any", session), environments or ("aws-east", "cw", "dc1"), name)


def test_the_only_environment_that_is_up_is_meant() -> None:
    assert chosen(Session(deployment("cw")), "pretrain").environment == "cw"


def test_one_of_several_has_to_be_named() -> None:
    both = Session(deployment("cw"), deployment("aws-east"))
    with pytest.raises(UsageError, match="pretrain is up in aws-east and cw") as caught:
        chosen(both, "pretrain")
    assert "`meshctl restart pretrain --env aws-east`" in caught.value.hint
    assert chosen(both, "pretrain", "cw").environment == "cw"


def test_what_is_not_there_is_said_with_what_is() -> None:
    with pytest.raises(UsageError, match="no workload pretrian is up") as caught:
        chosen(Session(deployment("cw")), "pretrian")
    assert caught.value.why == "these are up: chat, pretrain"
    with pytest.raises(UsageError, match="cw: nothing is up there"):
        chosen(Session(), "pretrain", "cw")


def test_a_paused_workload_is_not_started_beside_the_other_one() -> None:
    paused = deployment("cw").paused(frozenset({"pretrain"}))
    with pytest.raises(UsageError, match="pretrain is paused in cw"):
        restart.restart(cast("Any", Session(paused)), paused, "pretrain", timeout_s=0)


def test_a_job_that_ended_elsewhere_runs_here_once_it_is_asked_for() -> None:
    marked = deployment("cw").finished({"pretrain": "aws-east", "other": "aws-east"})
    session = Session(marked)
    assert restart.restart(cast("Any", session), marked, "pretrain", timeout_s=0) == "pretrain runs again in cw"
    assert session.made == [("pretrain", {})]


@pytest.mark.parametrize(
    ("state", "asks"),
    [(JobState("pretrain"), True), (JobState("pretrain", "failed"), False), (JobState("pretrain", "complete"), False)],
)
def test_only_running_work_is_asked_about(state: JobState, *, asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_states, "jobs_of_deployment", lambda *_: {"pretrain": state})
    session = cast("Any", Session(deployment("cw")))
    assert restart.has_running_work(session, deployment("cw"), "pretrain") is asks
    assert not restart.has_running_work(session, deployment("cw"), "chat")
    marked = deployment("cw").finished({"pretrain": "aws-east"})
    assert not restart.has_running_work(session, marked, "pretrain")


def restarted(up: Deployment, name: str) -> Deployment:
    session = Session(up)
    restart.restart(cast("Any", session), up, name, timeout_s=0)
    return session.given[0]


@pytest.mark.parametrize("begins", [True, False])
def test_a_job_that_begins_anew_is_in_the_queue_of_kai_that_the_last_up_wanted(begins: bool) -> None:
    """As the note of the plan says. The `up` has recorded the queue that the job was left in."""
    lending_mesh, other = with_jobs(), with_jobs(serve={**SERVE, "lend": None})
    before, wanted = (other, lending_mesh) if begins else (lending_mesh, other)
    up = running_pods.with_running_pods(wanted, job_meshes.state(before))
    assert up.workload("sweep").kai_queue != wanted.workload("sweep").kai_queue
    again = restarted(up, "sweep")
    assert again.workload("sweep") == wanted.workload("sweep")
    assert restart.unapplied_changes(up, lambda: wanted, "sweep") == "", "nobody has edited anything"
    others = [each for each in up.workloads if each.name != "sweep"]
    assert [each for each in again.workloads if each.name != "sweep"] == others
    # what the run declares is not levelled with the old Job once more
    in_state = jobs_in_state.without_job(job_meshes.state(up, ran=before), "sweep")
    declared = running_pods.with_running_pods(again, in_state)
    assert declared.workload("sweep").kai_queue == wanted.workload("sweep").kai_queue


@pytest.mark.parametrize("stays", [True, False])
def test_a_job_that_begins_anew_says_whether_its_pods_may_be_moved(stays: bool) -> None:
    given = changed("pretrain", stays_on_node=not stays)
    pools = tuple(
        each.model_copy(update={"nodes_min": 1, "nodes_max": 1 + stays * 3}) if each.name == "train" else each
        for each in given.pools
    )
    up = given.model_copy(update={"pools": pools})
    again = restarted(up, "pretrain")
    assert again.workload("pretrain").stays_on_node is stays
    assert restart.unapplied_changes(up, lambda: again, "pretrain") == "", "nobody has edited anything"


def test_a_migration_has_its_environments_to_itself() -> None:
    migration, history = moved(FakeGateway().begin()).history()
    with pytest.raises(LockedError, match="east is part of migration") as caught:
        guard.refuse(migration, history, Activity(), "east", "restart")
    assert "both would write the same data" in caught.value.why
    guard.refuse(migration, history, Activity(), "west", "restart")  # it waits for `finish`: the target is in use


def changed(name: str, **fields: Any) -> Deployment:
    given = deployment("cw")
    workloads = tuple(w.model_copy(update=fields) if w.name == name else w for w in given.workloads)
    return given.model_copy(update={"workloads": workloads})


@pytest.mark.parametrize(
    ("name", "fields", "again"),
    [
        ("pretrain", {"image": "ghcr.io/acme/train:1.5"}, " (and runs it again)"),
        ("pretrain", {"secrets": {"TOKEN": "token"}}, " (and runs it again)"),
        ("chat", {"image": "vllm/vllm-openai:v0.12.0"}, ""),
    ],
)
def test_what_mesh_yaml_says_otherwise_is_told(name: str, fields: dict[str, Any], again: str) -> None:
    said = restart.unapplied_changes(deployment("cw"), lambda: changed(name, **fields), name)
    assert said == f"mesh.yaml or environments.yaml has changes for {name}: `meshctl up cw` applies them{again}"
    other = {"chat": "pretrain", "pretrain": "chat"}[name]
    assert restart.unapplied_changes(deployment("cw"), lambda: changed(name, **fields), other) == ""


def test_another_secret_behind_a_variable_is_a_change() -> None:
    before = changed("pretrain", secrets={"TOKEN": "old"})
    said = restart.unapplied_changes(before, lambda: changed("pretrain", secrets={"TOKEN": "new"}), "pretrain")
    assert said == "mesh.yaml or environments.yaml has changes for pretrain: `meshctl up cw` applies them"


def test_marks_of_a_migration_are_no_change_of_mesh_yaml() -> None:
    marked = deployment("cw").finished({"pretrain": "aws-east"}).paused(frozenset({"chat"}))
    assert restart.unapplied_changes(marked, lambda: deployment("cw"), "pretrain") == ""
    assert restart.unapplied_changes(marked, lambda: deployment("cw"), "chat") == ""


def test_a_workload_that_left_mesh_yaml_is_told_so() -> None:
    said = restart.unapplied_changes(deployment("cw"), lambda: deployment("cw", workloads=()), "pretrain")
    assert said == "mesh.yaml no longer has pretrain: `meshctl up cw` removes it"


def test_a_mesh_that_cannot_be_resolved_does_not_stop_a_restart() -> None:
    def resolved() -> Deployment:
        raise UsageError("cw can't carry the mesh")

    assert restart.unapplied_changes(deployment("cw"), resolved, "pretrain") == ""


def servers(generation: int, **status: int) -> Server:
    named = {"metadata": {"name": "chat", "generation": generation}, "status": status}
    return cast("Server", {**named, "spec": {"replicas": 2}})


@pytest.mark.parametrize(
    ("seen", "pods", "new", "ready", "missing"),
    [
        (1, 2, 2, 2, "waiting for the controller"),
        (2, 3, 1, 2, "1 of 2 pods are new"),
        (2, 3, 2, 3, "1 old pod still there"),
        (2, 2, 2, 1, "1 of 2 pods are ready"),
        (2, 2, 2, 2, ""),
    ],
)
def test_a_roll_out_ends_when_all_pods_are_new_and_ready(
    seen: int, pods: int, new: int, ready: int, missing: str
) -> None:
    found = servers(2, observedGeneration=seen, replicas=pods, updatedReplicas=new, availableReplicas=ready)
    assert not_rolled(found) == missing


@pytest.mark.parametrize(
    ("text", "ready", "missing"),
    [
        ("new", 2, ""),
        ("new", 1, "1 of 2 pods are ready"),
        ("old", 2, "its files are not those that are declared"),
        ("", 2, "its files are not those that are declared"),
    ],
)
def test_pods_with_older_files_are_not_as_declared(text: str, ready: int, missing: str) -> None:
    """Their roll-out is whole, but it is the one of before."""
    chat = deployment("cw").workload("chat")
    declared, there = (chat.model_copy(update={"files": {"/a": each} if each else {}}) for each in ("new", text))
    server: Any = servers(2, observedGeneration=2, replicas=2, updatedReplicas=2, availableReplicas=ready)
    server["spec"]["template"] = {"metadata": {"annotations": file_mounts.pod_annotations(there)}}
    assert not_declared(cast("Any", Api(server)), "ns", declared) == missing


class Api:
    """A cluster and its client. Answers with each of `answers` in turn, the last one over and over."""

    name = "cw"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def client(self) -> Self:
        return self

    connected = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, *_: Any, **__: Any) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


ROLLED = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
LOST = NoAnswerError("https://cw", "late")


def waited(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    clock = iter(range(100))
    monkeypatch.setattr(rollouts, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    rollouts.wait(cast("Any", api), "ns", "chat", timeout_s=10, say=said.append)
    return said


@pytest.mark.parametrize(("replicas", "is_said"), [(1, True), (2, False)])
def test_a_roll_out_of_the_only_pod_says_that_there_is_none_meanwhile(
    monkeypatch: pytest.MonkeyPatch, *, replicas: int, is_said: bool
) -> None:
    monkeypatch.setattr(rollouts, "roll", lambda *_: None)
    monkeypatch.setattr(rollouts, "wait", lambda *_, **__: None)
    progress: list[Any] = []
    session = SimpleNamespace(outputs=lambda _: NO_OUTPUTS, on_progress=progress.append)
    restart.restart(cast("Any", session), changed("chat", replicas=replicas), "chat", timeout_s=1)
    assert [each.action.startswith("workload/chat: each roll-out leaves it without a pod") for each in progress] == (
        [True] if is_said else []
    )


def test_a_look_without_an_answer_does_not_end_the_wait_for_new_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(servers(1, observedGeneration=1), LOST, LOST, servers(1, observedGeneration=1, **ROLLED))
    said = waited(api, monkeypatch)
    assert [text for text in said if "does not answer" in text] == [
        "cw: the Kubernetes API server does not answer: late"
    ]


def test_a_wait_for_new_pods_without_answers_has_an_end_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotReadyError, match="chat is not rolled out after 10 s") as caught:
        waited(Api(LOST), monkeypatch)
    assert caught.value.why == "cw: the Kubernetes API server does not answer: late"
    assert isinstance(caught.value.__cause__, UnreachableError)


def test_a_right_that_lacks_ends_the_wait_for_new_pods_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError):
        waited(Api(CredentialsError("forbidden"), AssertionError("asked again")), monkeypatch)


def test_replicas_on_lent_nodes_are_rolled_as_well_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rolled, waited_for = [], []
    monkeypatch.setattr(rollouts, "roll", lambda _, __, name: rolled.append(name))
    monkeypatch.setattr(rollouts, "roll_if_there", lambda _, __, name: rolled.append(name))
    monkeypatch.setattr(rollouts, "wait", lambda _, __, name, **___: waited_for.append(name))
    session = SimpleNamespace(outputs=lambda _: NO_OUTPUTS, on_progress=None)
    restart.restart(cast("Any", session), serving_on_lent_nodes(), "chat", timeout_s=1)
    assert (rolled, waited_for) == (["chat", "chat-lent"], ["chat"]), "its own pods first"


def test_a_deployment_that_nobody_has_looked_at_yet_is_not_rolled() -> None:
    assert not_rolled({"spec": {"replicas": 1}, "status": {}}) == "waiting for the controller"

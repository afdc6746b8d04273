"""`up` and `destroy` look again once a person has answered: a migration may have begun while the question was open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl import changes
from meshctl.changes.losses import Loss
from meshctl.cli import opened as opening
from meshctl.cli import up as commands
from meshctl.cli.context import Context
from meshctl.cli.restart import restart
from meshctl.engine.state_store import open_state_store
from meshctl.errors import JobsFailedError, LockedError, MeshError, NoCapacityError, ProtectedDataError
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.model.deployment import Deployment, Elsewhere, Health
from meshctl.model.keys import gateway_shares
from meshctl.model.observed import ShiftsInForce
from meshctl.model.stack_state import StackOutputs, StackState
from meshctl.operate import restart as restarts
from meshctl.project import Project
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.test_expansion_by_gateway import with_gateway

BACKEND = "file://./.meshctl/state"
WEIGHTS = Loss("storage/weights", "bucket", "bucket b", "1 object", "it goes")


@dataclass
class Changes:
    """A session that says what it was told to change."""

    folder: Path
    lost: tuple[Loss, ...] = ()
    made: list[str] = field(default_factory=list)
    ready_timeout_s: int = 0
    shifts: ShiftsInForce = field(default_factory=ShiftsInForce)

    def shifts_in_force(self, _: str) -> ShiftsInForce:
        return self.shifts

    def plan(self, _: Deployment) -> Any:
        return SimpleNamespace(pending=True, environment="east", losses=self.lost)

    plan_object_storage = plan

    def lost_by_destroy(self, _: str) -> tuple[Loss, ...]:
        return self.lost

    def destroy_plan(self, _: str) -> list[str]:
        return ["a resource"]

    def up(self, *_: Any, **__: Any) -> Any:
        self.made.append("up")
        return SimpleNamespace(plan=None, addresses={}, failed_jobs=None, waiting_jobs={}, ended_blocks=None)

    def up_object_storage(self, *_: Any) -> None:
        self.made.append("buckets")

    def destroy(self, *_: Any, **__: Any) -> Any:
        self.made.append("destroy")
        return SimpleNamespace(steps=[])

    def state(self, _: str) -> StackState:
        return StackState()

    def forget_cluster(self, *_: Any) -> None:
        self.made.append("forget")

    def unmanaged_stacks(self) -> tuple[()]:
        return ()


@dataclass
class Mesh(Project):
    def checked_name(self, environment: str) -> str:
        return environment

    checked_or_deployed_name = checked_name

    def deployment(self, environment: str, *, moved_from: Deployment | None = None) -> Deployment:
        return deployment(environment)

    def access(self, _: str) -> None:
        """The file names no cluster."""


@dataclass(frozen=True)
class Asked(Context):
    """While a question is open, somebody else migrates the mesh away; then the answer is yes."""

    where: Path = Path()

    def confirm(self, question: str) -> None:
        gateway = FakeGateway().begin()
        found = Migrations("demo", gateway, open_state_store(BACKEND, self.where), data=gateway)
        if not found.ids():
            found.start(found.plan("east", "west", Options(observe_s=6)))

    def confirm_name(self, name: str, given: str, question: str, *, why: str = "") -> None:
        self.confirm(question)


def run(
    command: Any,
    session: Changes,
    monkeypatch: pytest.MonkeyPatch,
    context: Context | None = None,
    **options: Any,
) -> None:
    environments = SimpleNamespace(state=SimpleNamespace(backend=BACKEND))
    mesh = Mesh(cast("Any", SimpleNamespace(name="demo")), cast("Any", environments), cast("Any", session))

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Mesh]:
        yield mesh

    monkeypatch.setattr(opening, "opened", opened)
    monkeypatch.setattr(changes, "plan_text", lambda _: "")
    command(SimpleNamespace(obj=context or Asked(where=session.folder)), "east", **options)


@pytest.mark.parametrize(
    ("command", "risk", "options"),
    [
        (commands.up, False, {}),
        (commands.up, True, {"allow_data_loss": True}),
        (commands.up, False, {"object_storage_only": True}),
        (commands.up, False, {"forget_cluster": True}),
        (commands.destroy, False, {}),
        (commands.destroy, True, {"allow_data_loss": True}),
        (commands.destroy, False, {"forget_cluster": True}),
    ],
)
def test_a_migration_that_began_while_a_question_was_open_is_not_worked_against(
    command: Any, risk: bool, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Changes(tmp_path, (WEIGHTS,) if risk else ())
    options = {"plan": None, **options} if command is commands.up else options
    with pytest.raises(LockedError, match="east is part of migration"):
        run(command, session, monkeypatch, **options)
    assert session.made == []


@dataclass(frozen=True)
class Silent(Context):
    """Nobody is at the terminal."""

    def _ask(self, question: str, *, hint: str, why: str = "") -> str:
        raise AssertionError(f"asked: {question}")


@pytest.mark.parametrize(
    ("options", "risk"),
    [({"allow_data_loss": True}, False), ({"allow_data_loss": True}, True), ({"forget_cluster": True}, False)],
)
def test_a_destroy_that_is_confirmed_by_name_asks_nothing(
    options: dict[str, Any], risk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Changes(tmp_path, (WEIGHTS,) if risk else ())
    given = Silent()
    destroy(session, given, monkeypatch, **options, confirm="east")
    assert session.made == (["forget"] if "forget_cluster" in options else []) + ["destroy"]


def test_a_destroy_that_is_confirmed_by_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Changes(tmp_path)
    with pytest.raises(ProtectedDataError, match="nothing was deleted"):
        destroy(session, Silent(), monkeypatch, allow_data_loss=True, confirm="west")
    with pytest.raises(AssertionError, match="delete 1 resources of east"):
        destroy(session, Silent(), monkeypatch, allow_data_loss=True)
    assert session.made == []


def test_an_up_that_is_confirmed_by_name_asks_nothing_where_no_data_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Changes(tmp_path)
    options: dict[str, Any] = {"plan": None, "allow_data_loss": True}
    with pytest.raises(ProtectedDataError, match="nothing was deleted"):
        run(commands.up, session, monkeypatch, Silent(), confirm="west", **options)
    with pytest.raises(AssertionError, match=r"apply to east\?"):
        run(commands.up, session, monkeypatch, Silent(), **options)
    assert session.made == []
    monkeypatch.setattr(changes, "done_text", lambda _: "")
    run(commands.up, session, monkeypatch, Silent(), confirm="east", **options)
    assert session.made == ["up"]


def destroy(session: Changes, context: Context, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    run(commands.destroy, session, monkeypatch, context=context, **options)


FAILED_JOB = JobsFailedError("east: the job of pretrain has failed; everything else is up")
ENDED_BLOCK = NoCapacityError("up east: the capacity block cr-1 of pool train has ended; all else is up", failures=[])


@pytest.mark.parametrize("output", ["human", "json"])
@pytest.mark.parametrize("error", [FAILED_JOB, ENDED_BLOCK], ids=["failed job", "ended block"])
def test_an_up_with_a_failed_job_or_an_ended_block_says_what_it_did_and_ends_with_the_failure(
    output: str, error: MeshError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Done(Changes):
        def up(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(
                plan=None,
                addresses={"chat": "10.0.0.1"},
                failed_jobs=error if error is FAILED_JOB else None,
                ended_blocks=error if error is ENDED_BLOCK else None,
                waiting_jobs={"fit": "waits for prep"},
            )

    monkeypatch.setattr(changes, "done_text", lambda _: "east: up to date\n")
    with pytest.raises(type(error)) as caught:
        run(commands.up, Done(tmp_path), monkeypatch, context=Context(yes=True, output=output), plan=None)
    assert caught.value.exit_code == 3
    # in JSON the error is the one document
    said = "east: up to date\n  fit: waits for prep\n  chat.example.com -> 10.0.0.1\n" if output == "human" else ""
    assert capsys.readouterr().out == said


def test_a_job_that_waits_is_up_and_json_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Done(Changes):
        def up(self, *_: Any, **__: Any) -> Any:
            plan = SimpleNamespace(document=lambda: {"environment": "east"})
            waiting = {"fit": "waits for prep"}
            return SimpleNamespace(plan=plan, addresses={}, failed_jobs=None, ended_blocks=None, waiting_jobs=waiting)

    run(commands.up, Done(tmp_path), monkeypatch, context=Context(yes=True, output="json"), plan=None)
    assert json.loads(capsys.readouterr().out)["waiting"] == {"fit": "waits for prep"}


@pytest.mark.parametrize("what", ["as it is", "paused", "without the name", "asked at another path"])
def test_the_source_of_an_expansion_goes_on_serving_the_shared_name(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its share of the users is led there until `contract`, and then all of them."""
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, open_state_store(BACKEND, tmp_path), data=gateway)
    share = Share(workload="chat", weight=102)
    migrations.start(migrations.plan_expansion("east", "west", share, Options(observe_s=6)))
    whole = deployment("east")
    others = tuple(each for each in whole.workloads if each.name != "chat")
    chat = whole.workload("chat").model_copy(update={"health": Health(port="http", path="/ready")})
    wanted = {
        "asked at another path": whole.model_copy(update={"workloads": (chat, *others)}),
        "as it is": whole,
        "paused": whole.paused(frozenset({"chat"})),
        "without the name": whole.model_copy(update={"endpoints": ()}),
    }[what]
    monkeypatch.setattr(Mesh, "deployment", lambda *_, **__: wanted)
    monkeypatch.setattr(changes, "done_text", lambda _: "")
    session = Changes(tmp_path)
    if what == "as it is":
        run(commands.up, session, monkeypatch, Context(yes=True), plan=None)
        assert session.made == ["up"]
        return
    with pytest.raises(LockedError, match=r"this `up` would change what serves chat\.example\.com in east") as refused:
        run(commands.up, session, monkeypatch, Context(yes=True), plan=None)
    assert "meshctl contract" in refused.value.hint
    assert session.made == []


@dataclass
class OfTheGateway(Changes):
    """Where a gateway leads a share to another environment. `share`: the one of now."""

    share: int = 102
    check: Any = None

    def state(self, _: str) -> StackState:
        elsewhere = Elsewhere(environment="west", weight=self.share, addresses=("192.0.2.2",), port=443)
        led = gateway_shares.with_shares(with_gateway("east"), {"chat": elsewhere if self.share else None})
        return StackState(outputs=StackOutputs({}, led))

    def deployed(self, environment: str) -> Deployment | None:
        return self.state(environment).deployment

    def rerun_job(self, *_: Any) -> None:
        self.check()
        self.made.append("restart")


@dataclass
class MeshOfTheGateway(Mesh):
    def deployment(self, environment: str, *, moved_from: Deployment | None = None) -> Deployment:
        return gateway_shares.as_they_are_up(with_gateway(environment), self.session.state(environment).deployment)


@dataclass(frozen=True)
class Sharing(Context):
    """While a question is open, somebody else changes the share; then the answer is yes."""

    session: Any = None
    share: int = 102

    def confirm(self, question: str) -> None:
        self.session.share = self.share


@pytest.mark.parametrize("share", [0, 25, 102], ids=["contract", "a smaller share", "the same"])
@pytest.mark.parametrize("command", ["up", "restart"])
def test_a_share_that_was_changed_while_a_question_was_open_is_not_brought_back(
    command: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment was read before: the gateway would lead users to load balancers that may be gone."""
    session = OfTheGateway(tmp_path)
    context = Sharing(session=session, share=share)
    monkeypatch.setattr(f"{__name__}.Mesh", MeshOfTheGateway)
    monkeypatch.setattr(changes, "done_text", lambda _: "")
    monkeypatch.setattr(restarts, "unapplied_changes", lambda *_: "")
    monkeypatch.setattr(restarts, "has_running_work", lambda *_: True)

    def run_command() -> None:
        if command == "up":
            run(commands.up, session, monkeypatch, context, plan=None)
        else:
            run(restart_of_pretrain, session, monkeypatch, context)

    if share == 102:
        run_command()
    else:
        with pytest.raises(LockedError, match="the share of chat was changed while this command ran") as caught:
            run_command()
        assert caught.value.hint == "run the command again"
    assert session.made == ([command] if share == 102 else [])


def restart_of_pretrain(context: Any, environment: str) -> None:
    restart(context, "pretrain", environment)


@pytest.mark.parametrize("share", [0, 102], ids=["contract", "the same"])
@pytest.mark.parametrize("command", ["up", "restart"])
def test_a_share_that_was_changed_until_the_state_is_locked_is_not_brought_back(
    command: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = OfTheGateway(tmp_path)
    monkeypatch.setattr(f"{__name__}.Mesh", MeshOfTheGateway)
    monkeypatch.setattr(changes, "done_text", lambda _: "")
    monkeypatch.setattr(restarts, "unapplied_changes", lambda *_: "")
    monkeypatch.setattr(restarts, "has_running_work", lambda *_: False)
    if command == "up":
        run(commands.up, session, monkeypatch, Context(yes=True), plan=None)
    else:
        run(restart_of_pretrain, session, monkeypatch, Context(yes=True))
    session.share = share  # until another run has given the lock back
    with nullcontext() if share == 102 else pytest.raises(LockedError, match="was changed while this command ran"):
        session.check()


@dataclass(frozen=True)
class Shifting(Context):
    """While a question is open, somebody else shifts nodes, and a job waits for its own; then the answer is yes."""

    session: Any = None

    def confirm(self, question: str) -> None:
        self.session.shifts = ShiftsInForce(waiting=frozenset({"pretrain"}))


def test_a_job_that_a_shift_has_stopped_while_a_question_was_open_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Changes(tmp_path)
    monkeypatch.setattr(changes, "done_text", lambda _: "")
    with pytest.raises(LockedError, match="nodes were shifted while this command ran") as caught:
        run(commands.up, session, monkeypatch, Shifting(session=session), plan=None)
    assert caught.value.hint == "run the command again"
    assert session.made == []

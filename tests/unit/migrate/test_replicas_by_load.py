"""A workload whose replicas follow load moves with as many as it has, and follows load again once names lead there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from obstore.store import MemoryStore

from meshctl.clients.endpoints.health_checks import Answer, Question
from meshctl.errors import MeshError, ProtectedDataError
from meshctl.migrate.gateway import UpResult
from meshctl.migrate.journal.history import History
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.migrate.steps.order.share_plan import first_expansion
from meshctl.migrate.steps.order.step import COUNTED
from meshctl.migrate.steps.order.step_plan import step_plan
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.dns_splits import CHECK_FAILURES
from meshctl.model.observed import PodState
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.mortal_store import MortalStore
from tests.unit.migrate.moves import assert_at, moved


def scaled(environment: str) -> Deployment:
    plain = deployment(environment)
    workloads = tuple(
        each.model_copy(update={"most_replicas": 6}) if each.name == "chat" else each for each in plain.workloads
    )
    return plain.model_copy(update={"workloads": workloads})


@dataclass
class Scaling(FakeGateway):
    """`live`: how many pods of `chat` load has brought; `leasts`: by environment, what each `up` keeps as the least."""

    declared: dict[str, Deployment] = field(default_factory=lambda: {e: scaled(e) for e in ("east", "west")})
    live: int = 5
    leasts: list[tuple[str, int]] = field(default_factory=list)
    refused: bool = False  # an `up` would lose data
    full: bool = False  # no environment has nodes for more pods
    sick: frozenset[str] = frozenset()  # the environments that answer their users with 503
    bad_answers: int = 0  # how many more questions get no answer

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        if deployment.environment in self.sick:
            return Answer(ok=False, text="status 503")
        if self.bad_answers:
            self.bad_answers -= 1
            return Answer(ok=False, text="no answer (timed out)")
        return super().probe(deployment, endpoint, address, question)

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        if self.refused:
            raise ProtectedDataError("volumes would be deleted")
        self.leasts.append((deployment.environment, deployment.workload("chat").least_while_moving))
        return super().up(deployment, say)

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        pods = list(super().pods(deployment, workload))
        if workload != "chat" or not pods:
            return pods
        up = self.deployments[deployment.environment]
        count = self.live if self.full or up is None else max(self.live, up.workload("chat").pods)
        return [PodState(f"chat-{n}", "chat", "Running", True, "node", 0) for n in range(count)]


class Asleep(Scaling):
    """Nobody uses the source, so that it has no pod but for one that a migration counts on."""

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        up = self.deployments["east"]
        is_asleep = up is not None and not up.workload("chat").least_while_moving
        of_source = (deployment.environment, workload) == ("east", "chat")
        return [] if of_source and is_asleep else super().pods(deployment, workload)


def test_the_target_starts_with_as_many_and_keeps_them_until_names_lead_there() -> None:
    gateway = Scaling()
    gateway.begin()
    gateway.leasts.clear()
    migrations = moved(gateway)
    assert_at(gateway, "west", "east")
    leasts = gateway.leasts
    assert leasts[0] == ("west", 0), "nothing runs yet"
    assert ("west", 5) in leasts
    assert leasts[-1] == ("west", 0), "from the cutover on, load moves them"
    after_names = [step.name for step in step_plan(migrations.history()[1])]
    assert after_names.index("cutover/replicas") > after_names.index("cutover/ttl")
    assert migrations.history()[1].done[COUNTED].data == {"replicas": {"chat": 5}}
    assert gateway.deployments["west"] == migrations.history()[1].plan.target


def test_a_rollback_brings_the_source_back_with_as_many() -> None:
    gateway = Scaling()
    gateway.begin()
    migrations = moved(gateway)
    gateway.leasts.clear()
    assert migrations.rollback().state == "rolled-back"
    assert_at(gateway, "east", "west")
    of_source = [least for environment, least in gateway.leasts if environment == "east"]
    assert 5 in of_source
    assert of_source[-1] == 0
    assert gateway.deployments["east"] == migrations.history()[1].plan.source


def test_what_is_asleep_starts_with_one_at_the_target_which_stays_until_names_lead_there() -> None:
    gateway = Asleep(live=1)
    for environment, declared in gateway.declared.items():
        asleep = {"replicas": 1, "sleeps": True}
        workloads = tuple(w.model_copy(update=asleep) if w.name == "chat" else w for w in declared.workloads)
        gateway.declared[environment] = declared.model_copy(update={"workloads": workloads})
    gateway.begin()
    migrations = moved(gateway)
    assert migrations.history()[1].done[COUNTED].data == {"replicas": {"chat": 1}}
    assert ("west", 1) in gateway.leasts
    assert gateway.leasts[-1] == ("west", 0), "from the cutover on, it may sleep again"
    assert migrations.rollback().state == "rolled-back"


def test_the_target_waits_for_as_many_pods_as_it_starts() -> None:
    west = scaled("west").with_least({"chat": 5})
    assert west.workload("chat").pods == 5
    assert west.with_least({"chat": 50}).workload("chat").pods == 6, "but for no more than there may be"
    assert west.bare == scaled("west")


def test_what_has_a_number_of_replicas_moves_by_the_same_steps_as_ever() -> None:
    plan = moved(FakeGateway().begin()).history()[1].plan
    names = [step.name for step in step_plan(moved(FakeGateway().begin()).history()[1])]
    assert plan.target.with_least({"chat": 5}) == plan.target
    assert not [name for name in names if name.endswith("/replicas")]


def expanded(gateway: Scaling, weight: int) -> Migrations:
    gateway.begin()
    gateway.leasts.clear()
    migrations = Migrations("demo", gateway, MortalStore(MemoryStore(), None, gateway), data=gateway, break_lock=True)
    share = Share(workload="chat", weight=weight)
    migrations.start(migrations.plan_expansion("east", "west", share, Options(observe_s=6)))
    return migrations


def test_an_expansion_starts_with_as_many_as_its_share_needs_and_follows_load_once_names_lead_there() -> None:
    gateway = Scaling()
    migrations = expanded(gateway, 153)
    assert [least for _, least in gateway.leasts] == [0, 3, 0], "60% of 5; none are taken before users come"
    names = [step.name for step in step_plan(migrations.history()[1])]
    assert names.index("start/target") < names.index("share/names") < names.index("share/ttl")
    assert names.index("share/ttl") < names.index("share/replicas")
    assert gateway.deployments["west"] == migrations.history()[1].plan.target


def test_a_larger_share_has_its_replicas_before_its_users() -> None:
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    gateway.leasts.clear()
    gateway.live = 3  # on each side
    migrations.share_again(migrations.ids()[0], 204)
    assert gateway.leasts == [("west", 5), ("west", 0)], "80% of 6"
    done = [record.step for record in migrations.history()[1].records if record.kind == "done"]
    assert done.index("round1/start") < done.index("round1/records") < done.index("round1/replicas")


@pytest.mark.parametrize("full", [False, True])
def test_users_of_a_sick_source_do_not_wait_for_replicas(full: bool) -> None:
    """Its API answers, and counts pods that serve nobody: the target would be waited for until it has as many."""
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    gateway.leasts.clear()
    gateway.live, gateway.full, gateway.sick = 3, full, frozenset({"east"})
    messages: list[str] = []
    migrations.report = lambda event: messages.append(event.text)
    history = migrations.share_again(migrations.ids()[0], 255)
    done = [record.step for record in history.records if record.kind == "done"]
    assert done.index("round1/records") < done.index("round1/count") < done.index("round1/start")
    assert history.round_is_open is False
    assert gateway.leasts == [("west", 6), ("west", 0)]
    assert any("the replicas of west stay as they are" in text for text in messages) is full


def records_come_first(history: History) -> bool:
    done = [record.step for record in history.records if record.kind == "done"]
    return done.index("round1/records") < done.index("round1/start")


def test_one_bad_answer_does_not_make_a_source_sick() -> None:
    """A connection from the operator's machine may be lost: the replicas still come before the users."""
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    gateway.bad_answers = CHECK_FAILURES - 1
    assert not records_come_first(migrations.share_again(migrations.ids()[0], 255))


def test_where_neither_side_answers_from_here_the_source_is_not_taken_for_sick() -> None:
    """Internal endpoints, asked from outside their networks."""
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    gateway.sick = frozenset({"east", "west"})
    assert not records_come_first(migrations.share_again(migrations.ids()[0], 255))


@pytest.mark.parametrize("is_sick", [False, True])
def test_what_a_watcher_knows_of_the_source_is_not_asked_again(is_sick: bool) -> None:
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    asked = len(gateway.questions)
    history = migrations.share_again(migrations.ids()[0], 255, is_source_sick=is_sick)
    assert records_come_first(history) is is_sick
    assert len(gateway.questions) == asked


def test_all_of_a_source_that_is_well_waits_for_its_replicas() -> None:
    gateway = Scaling()
    migrations = expanded(gateway, 51)
    gateway.live = 3
    history = migrations.share_again(migrations.ids()[0], 255)
    done = [record.step for record in history.records if record.kind == "done"]
    assert done.index("round1/start") < done.index("round1/records")


def test_contract_brings_the_source_what_both_had_before_all_come_back() -> None:
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    gateway.leasts.clear()
    migrations.rollback(destroy_target=True)
    assert gateway.leasts == [("east", 4), ("east", 0)]
    done = [record.step for record in migrations.history()[1].records if record.kind == "done"]
    assert done.index("rollback/source-start") < done.index("rollback/records") < done.index("rollback/ttl")
    assert done.index("rollback/ttl") < done.index("rollback/source-replicas") < done.index("rollback/destroy")


def test_a_smaller_share_has_its_replicas_at_the_source_before_its_users() -> None:
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 204)
    gateway.leasts.clear()
    migrations.share_again(migrations.ids()[0], 51)
    assert [each for each in gateway.leasts if each[0] == "east"] == [("east", 4), ("east", 0)], "80% of 2 and 2"


def test_contract_goes_on_where_the_source_gets_no_more_replicas() -> None:
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    gateway.leasts.clear()
    gateway.full = True
    assert migrations.rollback(destroy_target=True).state == "rolled-back"
    assert ("east", 4) in gateway.leasts


def test_contract_goes_on_where_an_up_of_the_source_is_refused() -> None:
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    gateway.refused = True
    assert migrations.rollback(destroy_target=True).state == "rolled-back"


def test_contract_does_not_wait_for_a_target_that_does_not_answer() -> None:
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    gateway.lose("west")
    with pytest.raises(MeshError):
        migrations.rollback()
    assert gateway.names["chat"].environment == "east", "it stops only where it has to change the target"


def test_an_expansion_of_a_number_of_replicas_has_the_steps_that_it_had() -> None:
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, MortalStore(MemoryStore(), None, gateway), data=gateway)
    share = Share(workload="chat", weight=102)
    names = [step.name for step in first_expansion(migrations.plan_expansion("east", "west", share, Options()))]
    assert not [name for name in names if name.endswith(("/replicas", "/count", "/ttl"))]


def test_given_up_while_it_copies_the_source_has_the_replicas_of_both_before_all_come_back() -> None:
    """A migration that went on from a share, stopped before it has counted anything."""
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    plan = migrations.plan("east", "west", Options(observe_s=6))
    gateway.refused = True
    with pytest.raises(MeshError):
        migrations.start(plan)
    gateway.refused = False
    _, history = migrations.history()
    assert history.ends_expansion
    assert COUNTED not in history.done
    gateway.leasts.clear()
    migrations.rollback()
    assert gateway.names["chat"].environment == "east"
    assert [least for environment, least in gateway.leasts if environment == "east"] == [0, 4, 0]
    done = [record.step for record in migrations.history()[1].records if record.kind == "done"]
    assert done.index("rollback/source-start") < done.index("rollback/names") < done.index("rollback/replicas")


def test_a_rollback_does_not_wait_at_the_source_for_the_replicas_of_both() -> None:
    """What was expanded for want of nodes does not have room at the source as a whole."""
    gateway = Scaling(live=2)
    migrations = expanded(gateway, 153)
    migrations.start(migrations.plan("east", "west", Options(observe_s=6)))
    assert ("west", 4) in gateway.leasts
    gateway.full = True
    gateway.leasts.clear()
    assert migrations.rollback().state == "rolled-back"
    assert gateway.names["chat"].environment == "east"
    assert [least for environment, least in gateway.leasts if environment == "east"][-1] == 0

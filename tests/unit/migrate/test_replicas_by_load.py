"""A workload whose replicas follow load moves with as many as it has, and follows load again once names lead there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshctl.migrate.gateway import UpResult
from meshctl.migrate.steps.step_plan import COUNTED, step_plan
from meshctl.model.deployment import Deployment
from meshctl.model.observed import PodState
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.test_migration import assert_at, moved


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

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        self.leasts.append((deployment.environment, deployment.workload("chat").least_while_moving))
        return super().up(deployment, say)

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        pods = list(super().pods(deployment, workload))
        if workload != "chat" or not pods:
            return pods
        return [PodState(f"chat-{n}", "chat", "Running", True, "node", 0) for n in range(self.live)]


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

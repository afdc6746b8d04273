"""How a migration brings up, checks and destroys its environments, also if they are incomplete or changed by others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pytest

from meshctl.errors import AmbiguousStepError, InfeasibleError, MigrationError, ResourcesFailedError, UsageError
from meshctl.migrate.gateway import EndpointTarget, PendingChanges, UpResult
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import plan_migration
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState, PodState
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.moves import (
    MOVE,
    OPTIONS,
    assert_at,
    count_moments,
    killed,
    migrations_of,
    move,
    moved,
)

REPLACE = Options(observe_s=6, replace_target_data=True)


def _move_and_destroy(gateway: FakeGateway, migrations: Migrations) -> None:
    move(gateway, migrations)
    migrations.rollback(destroy_target=True)


DESTROY = count_moments(lambda gateway: _move_and_destroy(gateway, migrations_of(gateway)))


@pytest.mark.parametrize("at", range(MOVE + 1, DESTROY + 1))
def test_a_rollback_that_destroys_the_target_killed_at_any_moment_goes_on(at: int) -> None:
    gateway, migrations = killed(at, _move_and_destroy)
    if migrations.history()[1].direction == "forward":
        migrations.rollback(destroy_target=True)
    elif not migrations.history()[1].outcome:
        migrations.resume()
    assert migrations.history()[1].state == "rolled-back"
    assert gateway.deploy_state("west") is DeployState.STORAGE
    assert_at(gateway, "east", "west")


@pytest.mark.parametrize("delete_data", [False, True])
def test_a_source_that_is_half_destroyed_is_not_taken_for_gone(*, delete_data: bool) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    destroy = gateway.destroy

    def fails(
        deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Callable[[str], None]
    ) -> None:
        gateway.deployments[deployment.environment] = None
        gateway.partly_there.add(deployment.environment)
        raise ResourcesFailedError("destroy east: 1 resource failed: cluster", failures=[])

    gateway.destroy = fails  # type: ignore[method-assign, method-assign]
    with pytest.raises(MigrationError, match="1 resource failed"):
        migrations.finish(delete_data=delete_data)
    gateway.destroy = destroy  # type: ignore[method-assign]
    assert migrations.resume().state == "finished"
    assert gateway.deploy_state("east") is (DeployState.NOTHING if delete_data else DeployState.STORAGE)


def test_a_retire_that_leaves_something_is_no_end() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.destroy = lambda deployment, **_: gateway.partly_there.add(deployment.environment)  # type: ignore[method-assign, method-assign]
    gateway.deployments["east"] = None
    with pytest.raises(MigrationError, match="east still exists"):
        migrations.finish()


def rolled_back() -> tuple[FakeGateway, Migrations]:
    """A migration that was rolled back to east; west is up with its workloads paused."""
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    migrations.rollback()
    return gateway, migrations


def test_what_was_rolled_back_can_be_moved_again() -> None:
    gateway, migrations = rolled_back()
    # west still has checkpoints that the trainer has deleted at east
    migrations.start(migrations.plan("east", "west", REPLACE))
    assert_at(gateway, "west", "east")


def test_an_environment_where_nothing_runs_is_not_moved_from() -> None:
    gateway, migrations = rolled_back()
    before = dict(gateway.buckets["east-checkpoints"])
    with pytest.raises(InfeasibleError, match="a workload that runs") as refused:
        migrations.plan("west", "east", REPLACE)
    assert "`meshctl status`" in refused.value.hint
    assert gateway.buckets["east-checkpoints"] == before


def test_a_mesh_of_data_alone_can_be_moved() -> None:
    nothing = {"workloads": (), "endpoints": ()}
    source, target = (deployment(name).model_copy(update=nothing) for name in ("east", "west"))
    facts = tuple(StoreFacts(store=store.name, objects=1, total_bytes=1) for store in source.object_stores)
    assert len(plan_migration(source, target, facts, Options()).moves) == 2


def _runs_chat_alone(gateway: FakeGateway) -> None:
    gateway.up(gateway.declared["west"].paused(frozenset({"pretrain"})), lambda _: None)


def _has_the_name(gateway: FakeGateway) -> None:
    gateway.names["chat"] = EndpointTarget("west", "west-lb")
    gateway.check = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("busy", "said"), [(_runs_chat_alone, "west already runs chat"), (_has_the_name, "chat.* leads to west")]
)
def test_a_target_that_is_in_use_is_left_as_it_is(busy: Callable[[FakeGateway], None], said: str) -> None:
    gateway = FakeGateway().begin()
    busy(gateway)
    migrations = migrations_of(gateway)
    deployed, names = gateway.deployed("west"), dict(gateway.names)
    with pytest.raises(MigrationError, match=said):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert (gateway.deployed("west"), gateway.names) == (deployed, names)


def test_a_trainer_that_is_paused_at_the_source_is_not_stopped_at_the_target() -> None:
    gateway = FakeGateway().begin()
    gateway.up(gateway.declared["east"].paused(frozenset({"pretrain"})), lambda _: None)
    gateway.sleep(5)
    gateway.buckets["west-checkpoints"] = dict(gateway.buckets["east-checkpoints"])
    gateway.up(gateway.declared["west"].paused(frozenset({"chat"})), lambda _: None)
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", REPLACE)
    with pytest.raises(MigrationError, match="west already runs pretrain"):
        migrations.start(plan)
    assert gateway.running("west", "pretrain")


def test_an_up_that_failed_is_run_again_before_the_source_is_stopped() -> None:
    """The outputs of a stack have the declared deployment, also if resources have failed."""
    gateway = FakeGateway().begin()
    up = gateway.up

    def fails(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        made = up(deployment, say)
        if deployment.environment == "west":
            raise ResourcesFailedError("up west: 1 resource failed: pool/train", failures=[])
        return made

    gateway.up = fails  # type: ignore[method-assign]
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError, match="pool/train"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    with pytest.raises(MigrationError, match="pool/train"):
        migrations.resume()
    assert gateway.running("east", "pretrain")
    migrations.rollback()
    with pytest.raises(MigrationError, match="pool/train"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert gateway.running("east", "pretrain")
    gateway.up = up  # type: ignore[method-assign]
    migrations.resume()
    assert_at(gateway, "west", "east")


def test_a_stop_that_failed_is_done_again() -> None:
    """A Job that was not changed will start its pods again, even if it has none at the moment."""
    gateway = FakeGateway().begin()
    up, ups = gateway.up, []

    def fails(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        made = up(deployment, say)
        if deployment.environment == "east" and deployment.workload("pretrain").paused:
            ups.append(deployment)
            gateway.sleep(5)
            if len(ups) == 1:
                raise ResourcesFailedError("up east: 1 resource failed: workload/pretrain", failures=[])
        return made

    gateway.up = fails  # type: ignore[method-assign]
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError, match="workload/pretrain"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    migrations.resume()
    assert len(ups) == 2
    assert_at(gateway, "west", "east")


@dataclass
class Stuck(FakeGateway):
    """The trainer's pods at the source don't end. `lost`: their nodes are lost."""

    lost: bool = True

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        migrations = super().pods(deployment, workload)
        deployed = self.deployments["east"]
        if deployment.environment != "east" or deployed is None or not deployed.workload(workload).paused:
            return migrations
        return [PodState(f"{workload}-0", workload, "Running", False, "node", 0, stopping=True)]

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        return frozenset(nodes) if self.lost else frozenset()


def test_a_pod_whose_node_is_lost_is_asked_about() -> None:
    gateway = Stuck().begin()
    migrations = migrations_of(gateway)
    with pytest.raises(AmbiguousStepError, match="can't tell whether pretrain-0 still runs") as asked:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert "--done quiesce/stop" in asked.value.hint
    migrations.resume(done="quiesce/stop")
    assert_at(gateway, "west", "east")


def test_a_pod_that_does_not_end_on_a_node_that_is_well_is_waited_for() -> None:
    gateway = Stuck(lost=False).begin()
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError, match="timed out after 130 s waiting for the pods to end") as stopped:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert "--done" not in stopped.value.hint


def test_a_source_where_nothing_was_ever_brought_up_is_a_wrong_command() -> None:
    gateway = FakeGateway()
    with pytest.raises(UsageError, match="nothing is deployed in east") as error:
        migrations_of(gateway).plan("east", "west", OPTIONS)
    assert error.value.exit_code == 64


def test_a_source_whose_nodes_an_up_would_replace_is_brought_up_first() -> None:
    """Workloads are paused by an `up`, which after an upgrade of meshctl would also change other resources."""
    gateway = FakeGateway(outdated=PendingChanges(frozenset({"pool/train"}))).begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    with pytest.raises(MigrationError, match="an `up` of east would change pool/train") as error:
        migrations.start(plan)
    assert "`meshctl up east`" in error.value.hint
    assert migrations.rollback().state == "rolled-back"
    gateway.outdated = PendingChanges()
    assert migrations.start(migrations.plan("east", "west", OPTIONS))


def test_a_source_of_which_somebody_deleted_a_part_is_brought_up_first() -> None:
    gateway = FakeGateway(outdated=PendingChanges(gone=frozenset({"workload/redis"}))).begin()
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError, match="workload/redis of east was deleted outside meshctl") as error:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert "changed by this meshctl" not in error.value.what
    assert "`meshctl up east`" in error.value.hint

"""What becomes of the two environments: brought up, taken for free, destroyed; whole, half, or by someone else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pytest

from meshctl.errors import AmbiguousStepError, InfeasibleError, MigrationError, ResourcesFailedError, UsageError
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.plan import Options, StoreFacts, plan_migration
from meshctl.migrate.world import EndpointTarget, Pending, UpResult
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState, PodState
from tests.unit.migrate.test_migration import (
    MOVE,
    OPTIONS,
    _count_moments,
    _killed,
    _move,
    assert_at,
    migrations,
    moved,
)
from tests.unit.migrate.twin import Twin, deployment

REPLACE = Options(observe_s=6, replace_target_data=True)


def _move_and_destroy(twin: Twin, found: Migrations) -> None:
    _move(twin, found)
    found.rollback(destroy_target=True)


DESTROY = _count_moments(lambda twin: _move_and_destroy(twin, migrations(twin)))


@pytest.mark.parametrize("at", range(MOVE + 1, DESTROY + 1))
def test_a_rollback_that_destroys_the_target_killed_at_any_moment_goes_on(at: int) -> None:
    twin, found = _killed(at, _move_and_destroy)
    if found.history()[1].direction == "forward":
        found.rollback(destroy_target=True)
    elif not found.history()[1].outcome:
        found.resume()
    assert found.history()[1].state == "rolled-back"
    assert twin.presence("west") is DeployState.STORAGE
    assert_at(twin, "east", "west")


@pytest.mark.parametrize("delete_data", [False, True])
def test_a_source_that_is_half_destroyed_is_not_taken_for_gone(*, delete_data: bool) -> None:
    twin = Twin().begin()
    found = moved(twin)
    retire = twin.retire

    def fails(
        deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Callable[[str], None]
    ) -> None:
        twin.up_there[deployment.environment] = None
        twin.partly_there.add(deployment.environment)
        raise ResourcesFailedError("destroy east: 1 resource failed: cluster", failures=[])

    twin.retire = fails  # type: ignore[method-assign, method-assign]
    with pytest.raises(MigrationError, match="1 resource failed"):
        found.finish(delete_data=delete_data)
    twin.retire = retire  # type: ignore[method-assign]
    assert found.resume().state == "finished"
    assert twin.presence("east") is (DeployState.NOTHING if delete_data else DeployState.STORAGE)


def test_a_retire_that_leaves_something_is_no_end() -> None:
    twin = Twin().begin()
    found = moved(twin)
    twin.retire = lambda deployment, **_: twin.partly_there.add(deployment.environment)  # type: ignore[method-assign, method-assign]
    twin.up_there["east"] = None
    with pytest.raises(MigrationError, match="east is still there"):
        found.finish()


def rolled_back() -> tuple[Twin, Migrations]:
    """Back at east; west stays up, its workloads paused."""
    twin = Twin().begin()
    found = moved(twin)
    found.rollback()
    return twin, found


def test_what_was_rolled_back_can_be_moved_again() -> None:
    twin, found = rolled_back()
    found.start(found.plan("east", "west", REPLACE))  # west has checkpoints that the trainer at east let go of
    assert_at(twin, "west", "east")


def test_an_environment_where_nothing_runs_is_not_moved_from() -> None:
    twin, found = rolled_back()
    before = dict(twin.buckets["east-checkpoints"])
    with pytest.raises(InfeasibleError, match="a workload that runs") as refused:
        found.plan("west", "east", REPLACE)
    assert "`meshctl status`" in refused.value.hint
    assert twin.buckets["east-checkpoints"] == before


def test_a_mesh_of_data_alone_can_be_moved() -> None:
    nothing = {"workloads": (), "endpoints": ()}
    source, target = (deployment(name).model_copy(update=nothing) for name in ("east", "west"))
    facts = tuple(StoreFacts(store=store.name, objects=1, total_bytes=1) for store in source.object_stores)
    assert len(plan_migration(source, target, facts, Options()).moves) == 2


def _runs_chat_alone(twin: Twin) -> None:
    twin.up(twin.declared["west"].paused(frozenset({"pretrain"})), lambda _: None)


def _has_the_name(twin: Twin) -> None:
    twin.names["chat"] = EndpointTarget("west", "west-lb")
    twin.check = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("busy", "said"), [(_runs_chat_alone, "west already runs chat"), (_has_the_name, "chat.* leads to west")]
)
def test_a_target_that_is_in_use_is_left_as_it_is(busy: Callable[[Twin], None], said: str) -> None:
    twin = Twin().begin()
    busy(twin)
    found = migrations(twin)
    there, names = twin.deployed("west"), dict(twin.names)
    with pytest.raises(MigrationError, match=said):
        found.start(found.plan("east", "west", OPTIONS))
    assert (twin.deployed("west"), twin.names) == (there, names)


def test_a_trainer_that_is_paused_at_the_source_is_not_stopped_at_the_target() -> None:
    twin = Twin().begin()
    twin.up(twin.declared["east"].paused(frozenset({"pretrain"})), lambda _: None)
    twin.sleep(5)
    twin.buckets["west-checkpoints"] = dict(twin.buckets["east-checkpoints"])
    twin.up(twin.declared["west"].paused(frozenset({"chat"})), lambda _: None)
    found = migrations(twin)
    plan = found.plan("east", "west", REPLACE)
    with pytest.raises(MigrationError, match="west already runs pretrain"):
        found.start(plan)
    assert twin.running("west", "pretrain")


def test_an_up_that_failed_is_run_again_before_the_source_is_stopped() -> None:
    """The engine's outputs say what was declared, also where resources failed."""
    twin = Twin().begin()
    up = twin.up

    def fails(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        made = up(deployment, say)
        if deployment.environment == "west":
            raise ResourcesFailedError("up west: 1 resource failed: pool/train", failures=[])
        return made

    twin.up = fails  # type: ignore[method-assign]
    found = migrations(twin)
    with pytest.raises(MigrationError, match="pool/train"):
        found.start(found.plan("east", "west", OPTIONS))
    with pytest.raises(MigrationError, match="pool/train"):
        found.resume()
    assert twin.running("east", "pretrain")
    found.rollback()
    with pytest.raises(MigrationError, match="pool/train"):
        found.start(found.plan("east", "west", OPTIONS))
    assert twin.running("east", "pretrain")
    twin.up = up  # type: ignore[method-assign]
    found.resume()
    assert_at(twin, "west", "east")


def test_a_stop_that_failed_is_done_again() -> None:
    """A Job that could not be changed starts its pods anew, though none of them is there at the moment."""
    twin = Twin().begin()
    up, ups = twin.up, []

    def fails(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        made = up(deployment, say)
        if deployment.environment == "east" and deployment.workload("pretrain").paused:
            ups.append(deployment)
            twin.sleep(5)
            if len(ups) == 1:
                raise ResourcesFailedError("up east: 1 resource failed: workload/pretrain", failures=[])
        return made

    twin.up = fails  # type: ignore[method-assign]
    found = migrations(twin)
    with pytest.raises(MigrationError, match="workload/pretrain"):
        found.start(found.plan("east", "west", OPTIONS))
    found.resume()
    assert len(ups) == 2
    assert_at(twin, "west", "east")


@dataclass
class Stuck(Twin):
    """The trainer's pods at the source don't end; `lost`: their nodes are."""

    lost: bool = True

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        found = super().pods(deployment, workload)
        there = self.up_there["east"]
        if deployment.environment != "east" or there is None or not there.workload(workload).paused:
            return found
        return [PodState(f"{workload}-0", workload, "Running", False, "node", 0, stopping=True)]

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        return frozenset(nodes) if self.lost else frozenset()


def test_a_pod_whose_node_is_lost_is_asked_about() -> None:
    twin = Stuck().begin()
    found = migrations(twin)
    with pytest.raises(AmbiguousStepError, match="can't tell whether pretrain-0 still runs") as asked:
        found.start(found.plan("east", "west", OPTIONS))
    assert "--done quiesce/stop" in asked.value.hint
    found.resume(done="quiesce/stop")
    assert_at(twin, "west", "east")


def test_a_pod_that_does_not_end_on_a_node_that_is_well_is_waited_for() -> None:
    twin = Stuck(lost=False).begin()
    found = migrations(twin)
    with pytest.raises(MigrationError, match="pods ended: not after") as stopped:
        found.start(found.plan("east", "west", OPTIONS))
    assert "--done" not in stopped.value.hint


def test_a_source_where_nothing_was_ever_brought_up_is_a_wrong_command() -> None:
    twin = Twin()
    with pytest.raises(UsageError, match="nothing is deployed in east") as error:
        migrations(twin).plan("east", "west", OPTIONS)
    assert error.value.exit_code == 64


def test_a_source_whose_nodes_an_up_would_replace_is_brought_up_first() -> None:
    """Pausing its workloads is an `up`: after an upgrade of meshctl it would do more than that."""
    twin = Twin(outdated=Pending(frozenset({"pool/train"}))).begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    with pytest.raises(MigrationError, match="east is to be changed by this meshctl: pool/train") as error:
        found.start(plan)
    assert "`meshctl up east`" in error.value.hint
    assert found.rollback().state == "rolled-back"
    twin.outdated = Pending()
    assert found.start(found.plan("east", "west", OPTIONS))


def test_a_source_of_which_somebody_deleted_a_part_is_brought_up_first() -> None:
    twin = Twin(outdated=Pending(gone=frozenset({"workload/redis"}))).begin()
    found = migrations(twin)
    with pytest.raises(MigrationError, match="east lacks what it was brought up with: workload/redis is gone") as error:
        found.start(found.plan("east", "west", OPTIONS))
    assert "changed by this meshctl" not in error.value.what
    assert "`meshctl up east`" in error.value.hint

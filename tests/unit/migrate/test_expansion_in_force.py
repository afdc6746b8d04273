"""What the watcher and an `up` of the source do about a workload that a gateway shares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from meshctl.errors import InterruptedByUserError, LockedError, MigrationError
from meshctl.migrate.journal import guard
from meshctl.migrate.planning.inputs import Share, SharedBy
from meshctl.migrate.watch import watch
from meshctl.project import Project
from tests.unit.migrate.expansions import OPTIONS, migrations_of
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.test_expansion_by_gateway import BY_GATEWAY, World, assert_expanded, expanded


def test_a_watcher_gives_the_gateway_a_share_that_it_has_not_got() -> None:
    """The records are the same for every share of a gateway, so that they say nothing of it."""
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.failing, gateway.not_rolled = "workload/chat-gateway", "1 of 2 pods are new"
    with pytest.raises(MigrationError, match="workload/chat-gateway is not ready"):
        migrations.share_again(migrations.ids()[0], 51)
    assert migrations.status().history.round_is_open
    gateway.failing = gateway.not_rolled = ""
    tries_left = iter([True] * 90)

    def sleep(seconds: float) -> None:
        FakeGateway.sleep(gateway, seconds)
        if not next(tries_left, False):
            migrations.stop.request()

    gateway.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(InterruptedByUserError):
        watch(migrations, "east", "west", BY_GATEWAY.model_copy(update={"weight": 51}), lambda _: None)
    assert not migrations.status().history.round_is_open
    assert migrations.status().history.rounds == 2, "one round is enough"
    assert_expanded(gateway, 51)


@pytest.mark.parametrize("by", ["dns", "gateway"])
def test_an_up_that_lets_what_is_shared_sleep_is_refused_as_expand_refuses_it(by: SharedBy) -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan_expansion("east", "west", Share(workload="chat", weight=102, by=by), OPTIONS))
    east = gateway.declared["east"]
    changes = {"replicas": 1, "most_replicas": 4, "sleeps": True}
    workloads = [each.model_copy(update=changes) if each.name == "chat" else each for each in east.workloads]
    with pytest.raises(LockedError, match=r"would change what serves chat\.example\.com in east"):
        guard.refuse_unserved(*migrations.status(), east.model_copy(update={"workloads": tuple(workloads)}))


def test_check_and_plan_of_both_sides_say_what_the_second_one_costs() -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway)
    project = cast("Project", SimpleNamespace(state_store=migrations.store, mesh=SimpleNamespace(name="demo")))
    assert guard.notes_on_expansion(project, "east") == ()
    share = Share(workload="chat", weight=102)
    plan = migrations.plan_expansion("east", "west", share, OPTIONS)
    migrations.start(plan)
    usd = plan.target.hourly_usd
    cost = "what that costs is not known" if usd is None else f"which costs {usd:.2f} USD/h beside it"
    for environment in ("east", "west"):
        (note,) = guard.notes_on_expansion(project, environment)
        assert note == (
            f"expansion: 40.0% (102 of 255) of chat is led from east to west, {cost}; `meshctl contract` ends it"
        )
    assert guard.notes_on_expansion(project, "north") == ()
    migrations.rollback(destroy_target=True)
    assert guard.notes_on_expansion(project, "east") == ()

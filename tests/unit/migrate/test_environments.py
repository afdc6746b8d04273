"""What becomes of the two environments: brought up, taken for free, destroyed; whole, half, or by someone else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshctl.engine.presence import Presence
from meshctl.errors import MigrationError, ResourcesFailedError
from meshctl.migrate.migration import Migrations
from meshctl.model.deployment import Deployment
from tests.unit.migrate.test_migration import MOVE, _count_moments, _killed, _move, assert_at, migrations, moved
from tests.unit.migrate.twin import Twin


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
    assert twin.presence("west") is Presence.STORAGE
    assert_at(twin, "east", "west")


@pytest.mark.parametrize("delete_data", [False, True])
def test_a_source_that_is_half_destroyed_is_not_taken_for_gone(*, delete_data: bool) -> None:
    twin = Twin().begin()
    found = moved(twin)
    retire = twin.retire

    def fails(deployment: Deployment, *, keep_data: bool, say: Callable[[str], None]) -> None:
        twin.up_there[deployment.environment] = None
        twin.partly_there.add(deployment.environment)
        raise ResourcesFailedError("destroy east: 1 resource failed: cluster", failures=[])

    twin.retire = fails  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="1 resource failed"):
        found.finish(delete_data=delete_data)
    twin.retire = retire  # type: ignore[method-assign]
    assert found.resume().state == "finished"
    assert twin.presence("east") is (Presence.NOTHING if delete_data else Presence.STORAGE)


def test_a_retire_that_leaves_something_is_no_end() -> None:
    twin = Twin().begin()
    found = moved(twin)
    twin.retire = lambda deployment, **_: twin.partly_there.add(deployment.environment)  # type: ignore[method-assign, assignment]
    twin.up_there["east"] = None
    with pytest.raises(MigrationError, match="east is still there"):
        found.finish()

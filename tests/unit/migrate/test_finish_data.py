"""`finish --delete-source-data` deletes nothing that came to the source after the comparison and that nobody saw."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from meshctl.errors import InterruptedByUserError, MigrationError, ResourcesFailedError
from meshctl.migrate.migration import Migrations
from meshctl.migrate.steps.finish import unseen
from meshctl.migrate.world import EndpointTarget
from meshctl.objects.listing import Item
from tests.unit.migrate.test_migration import MOVE, OPTIONS, _count_moments, _killed, migrations, moved
from tests.unit.migrate.twin import Twin

MD5 = "0" * 32
OTHER_MD5 = "1" * 32


def waiting() -> tuple[Twin, Migrations]:
    """A migration that waits for `finish`, some days after the cutover."""
    twin = Twin().begin()
    found = moved(twin)
    for _ in range(5):
        twin.tick()
    return twin, found


def refused(twin: Twin, found: Migrations) -> MigrationError:
    before = dict(twin.buckets)
    with pytest.raises(MigrationError) as error:
        found.finish(delete_data=True)
    assert twin.buckets == before
    assert twin.up_there["east"] is not None
    return error.value


def test_an_object_that_only_the_source_has_stops_the_deletion() -> None:
    twin, found = waiting()
    twin.buckets["east-weights"]["w/late"] = b"late"
    error = refused(twin, found)
    assert error.what == "1 object came to east after the comparison: west does not have them"
    assert "weights/w/late" in error.why
    assert "finish without --delete-source-data" in error.hint
    assert error.exit_code == 3


def test_an_object_that_was_overwritten_at_the_source_stops_the_deletion() -> None:
    twin, found = waiting()
    twin.buckets["east-weights"]["w/1"] = b"newer".ljust(10)
    assert "weights/w/1" in refused(twin, found).why


def test_not_all_of_many_objects_are_named() -> None:
    twin, found = waiting()
    twin.buckets["east-weights"] |= {f"late/{n}": b"late" for n in range(9)}
    error = refused(twin, found)
    assert error.what.startswith("9 objects ")
    assert error.why.endswith(" and 4 more")


def test_a_copy_at_the_target_is_a_way_on() -> None:
    twin, found = waiting()
    twin.buckets["east-weights"]["w/late"] = b"late"
    refused(twin, found)
    twin.buckets["west-weights"]["w/late"] = b"late"
    assert found.resume().state == "finished"
    assert twin.retired_with_data == {"east": True}


def test_keeping_the_data_is_a_way_on() -> None:
    twin, found = waiting()
    twin.buckets["east-weights"]["w/late"] = b"late"
    refused(twin, found)
    assert found.finish().state == "finished"
    assert twin.buckets["east-weights"]["w/late"] == b"late"


def test_what_the_target_did_with_its_own_objects_is_fine() -> None:
    twin, found = waiting()
    assert set(twin.buckets["west-checkpoints"]) != set(twin.buckets["east-checkpoints"])  # the trainer went on
    del twin.buckets["west-weights"]["w/1"]
    twin.buckets["west-weights"] |= {"w/2": b"changed", "w/new": b"new"}
    assert found.finish(delete_data=True).state == "finished"


def _interrupted(*_args: object, **_kwargs: object) -> None:
    raise InterruptedByUserError("Ctrl-C")


def _failed(*_args: object, **_kwargs: object) -> None:
    raise ResourcesFailedError("1 resource failed", failures=[])


@pytest.mark.parametrize("stopped", [_interrupted, _failed])
def test_a_deletion_that_goes_on_later_looks_again(stopped: Callable[..., None]) -> None:
    twin, found = waiting()
    original = twin.retire
    twin.retire = stopped  # type: ignore[method-assign]
    with pytest.raises((InterruptedByUserError, MigrationError)):
        found.finish(delete_data=True)
    twin.retire = original  # type: ignore[method-assign]
    del twin.buckets["east-checkpoints"]  # what is gone can't hold anything
    twin.tick()
    twin.buckets["east-weights"]["w/late"] = b"late"
    with pytest.raises(MigrationError, match="after the comparison"):
        found.resume()
    del twin.buckets["east-weights"]["w/late"]
    assert found.resume().state == "finished"


def test_a_journal_without_the_newest_object_s_time_goes_by_its_own_clock() -> None:
    twin, found = waiting()
    for path in found.store.paths(f"migrations/demo/{found.ids()[0]}"):
        if "-verify." in path and path.endswith("-done.json"):
            record = json.loads(found.store.read(path) or "")
            del record["data"]["source"]["newest"]
            found.store.delete(path)
            assert found.store.create(path, json.dumps(record))
    twin.buckets["east-weights"]["w/late"] = b"late"
    assert "weights/w/late" in refused(twin, found).why
    del twin.buckets["east-weights"]["w/late"]
    assert found.resume().state == "finished"


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        (Item(1, MD5, 11), None, True),
        (Item(1, MD5, 10), None, False),  # compared, and dropped by the target since
        (Item(1, MD5, 11), Item(1, MD5, 5), False),
        (Item(1, MD5, 11), Item(1, OTHER_MD5, 5), True),
        (Item(1, MD5, 11), Item(1, OTHER_MD5, 12), False),  # replaced at the target since
        (Item(1, f"{MD5}-2", 11), Item(1, f"{OTHER_MD5}-1", 12), False),  # copied by hand, in other parts
    ],
)
def test_only_what_was_written_after_the_comparison_counts(source: Item, target: Item | None, lost: bool) -> None:
    assert unseen({"k": source}, {"k": target} if target else {}, 10) == (["k"] if lost else [])


def _delete(_twin: Twin, found: Migrations) -> None:
    found.start(found.plan("east", "west", OPTIONS))
    found.finish(delete_data=True)


DELETED = _count_moments(lambda twin: _delete(twin, migrations(twin)))


@pytest.mark.parametrize("at", range(MOVE + 1, DELETED + 1))
def test_a_deletion_killed_at_any_moment_goes_on(at: int) -> None:
    twin, found = _killed(at, _delete)
    if found.history()[1].direction == "forward":
        found.finish(delete_data=True)
    elif not found.history()[1].outcome:
        found.resume()
    assert found.history()[1].state == "finished"
    assert twin.retired_with_data == {"east": True}
    assert "east-weights" not in twin.buckets


def test_a_destruction_that_goes_on_later_looks_where_the_names_lead() -> None:
    twin, found = waiting()
    original = twin.retire
    twin.retire = _interrupted  # type: ignore[method-assign]
    with pytest.raises(InterruptedByUserError):
        found.finish()
    twin.retire = original  # type: ignore[method-assign]
    moved = twin.names["chat"]
    twin.names["chat"] = EndpointTarget("east", "east-lb")
    with pytest.raises(MigrationError, match="chat: the name does not lead to west"):
        found.resume()
    twin.names["chat"] = moved
    assert found.resume().state == "finished"

"""`finish --delete-source-data` refuses to delete objects that came to the source after the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from meshctl.errors import InterruptedByUserError, MigrationError, ResourcesFailedError
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.migration import Migrations
from meshctl.migrate.steps.finish import uncompared_keys
from meshctl.objects.listing import Item
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import MOVE, OPTIONS, count_moments, killed, migrations_of, moved

MD5 = "0" * 32
OTHER_MD5 = "1" * 32


def waiting() -> tuple[FakeGateway, Migrations]:
    """A migration that waits for `finish`, some days after the cutover."""
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    for _ in range(5):
        gateway.tick()
    return gateway, migrations


def refused(gateway: FakeGateway, migrations: Migrations) -> MigrationError:
    before = dict(gateway.buckets)
    with pytest.raises(MigrationError) as error:
        migrations.finish(delete_data=True)
    assert gateway.buckets == before
    assert gateway.deployments["east"] is not None
    return error.value


def test_an_object_that_only_the_source_has_stops_the_deletion() -> None:
    gateway, migrations = waiting()
    gateway.buckets["east-weights"]["w/late"] = b"late"
    error = refused(gateway, migrations)
    assert error.what == "1 object came to east after the comparison: west does not have them"
    assert "weights/w/late" in error.why
    assert "finish without --delete-source-data" in error.hint
    assert error.exit_code == 3


def test_an_object_that_was_overwritten_at_the_source_stops_the_deletion() -> None:
    gateway, migrations = waiting()
    gateway.buckets["east-weights"]["w/1"] = b"newer".ljust(10)
    assert "weights/w/1" in refused(gateway, migrations).why


def test_not_all_of_many_objects_are_named() -> None:
    gateway, migrations = waiting()
    gateway.buckets["east-weights"] |= {f"late/{n}": b"late" for n in range(9)}
    error = refused(gateway, migrations)
    assert error.what.startswith("9 objects ")
    assert error.why.endswith(" and 4 more")


def test_a_copy_at_the_target_is_a_way_on() -> None:
    gateway, migrations = waiting()
    gateway.buckets["east-weights"]["w/late"] = b"late"
    refused(gateway, migrations)
    gateway.buckets["west-weights"]["w/late"] = b"late"
    assert migrations.resume().state == "finished"
    assert gateway.destroyed_with_data == {"east": True}


def test_keeping_the_data_is_a_way_on() -> None:
    gateway, migrations = waiting()
    gateway.buckets["east-weights"]["w/late"] = b"late"
    refused(gateway, migrations)
    assert migrations.finish().state == "finished"
    assert gateway.buckets["east-weights"]["w/late"] == b"late"


def test_what_the_target_did_with_its_own_objects_is_fine() -> None:
    gateway, migrations = waiting()
    assert set(gateway.buckets["west-checkpoints"]) != set(gateway.buckets["east-checkpoints"])  # the trainer went on
    del gateway.buckets["west-weights"]["w/1"]
    gateway.buckets["west-weights"] |= {"w/2": b"changed", "w/new": b"new"}
    assert migrations.finish(delete_data=True).state == "finished"


def _interrupted(*_args: object, **_kwargs: object) -> None:
    raise InterruptedByUserError("Ctrl-C")


def _failed(*_args: object, **_kwargs: object) -> None:
    raise ResourcesFailedError("1 resource failed", failures=[])


@pytest.mark.parametrize("stopped", [_interrupted, _failed])
def test_a_deletion_that_goes_on_later_looks_again(stopped: Callable[..., None]) -> None:
    gateway, migrations = waiting()
    original = gateway.destroy
    gateway.destroy = stopped  # type: ignore[method-assign]
    with pytest.raises((InterruptedByUserError, MigrationError)):
        migrations.finish(delete_data=True)
    gateway.destroy = original  # type: ignore[method-assign]
    del gateway.buckets["east-checkpoints"]  # what is gone can't hold anything
    gateway.tick()
    gateway.buckets["east-weights"]["w/late"] = b"late"
    with pytest.raises(MigrationError, match="after the comparison"):
        migrations.resume()
    del gateway.buckets["east-weights"]["w/late"]
    assert migrations.resume().state == "finished"


def test_a_journal_without_the_newest_object_s_time_goes_by_its_own_clock() -> None:
    gateway, migrations = waiting()
    for path in migrations.store.paths(f"migrations/demo/{migrations.ids()[0]}"):
        if "-verify." in path and path.endswith("-done.json"):
            record = json.loads(migrations.store.read(path) or "")
            del record["data"]["source"]["newest"]
            migrations.store.delete(path)
            assert migrations.store.create(path, json.dumps(record))
    gateway.buckets["east-weights"]["w/late"] = b"late"
    assert "weights/w/late" in refused(gateway, migrations).why
    del gateway.buckets["east-weights"]["w/late"]
    assert migrations.resume().state == "finished"


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
    assert uncompared_keys({"k": source}, {"k": target} if target else {}, 10) == (["k"] if lost else [])


def _delete(_twin: FakeGateway, migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))
    migrations.finish(delete_data=True)


DELETED = count_moments(lambda gateway: _delete(gateway, migrations_of(gateway)))


@pytest.mark.parametrize("at", range(MOVE + 1, DELETED + 1))
def test_a_deletion_killed_at_any_moment_goes_on(at: int) -> None:
    gateway, migrations = killed(at, _delete)
    if migrations.history()[1].direction == "forward":
        migrations.finish(delete_data=True)
    elif not migrations.history()[1].outcome:
        migrations.resume()
    assert migrations.history()[1].state == "finished"
    assert gateway.destroyed_with_data == {"east": True}
    assert "east-weights" not in gateway.buckets


def test_a_destruction_that_goes_on_later_looks_where_the_names_lead() -> None:
    gateway, migrations = waiting()
    original = gateway.destroy
    gateway.destroy = _interrupted  # type: ignore[method-assign]
    with pytest.raises(InterruptedByUserError):
        migrations.finish()
    gateway.destroy = original  # type: ignore[method-assign]
    moved = gateway.names["chat"]
    gateway.names["chat"] = EndpointTarget("east", "east-lb")
    with pytest.raises(MigrationError, match="the DNS record of chat does not lead to west"):
        migrations.resume()
    gateway.names["chat"] = moved
    assert migrations.resume().state == "finished"

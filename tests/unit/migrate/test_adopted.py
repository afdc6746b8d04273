"""Migrations from and into buckets that environments.yaml adopts: nothing of somebody else is deleted unasked."""

from __future__ import annotations

import pytest

from meshctl.errors import InfeasibleError
from meshctl.migrate.planning import store_facts
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import plan_migration
from meshctl.model.deployment import Deployment, Gap
from meshctl.objects import listing
from meshctl.objects.listing import Item
from meshctl.objects.store import ObjectAccess
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.moves import OPTIONS, migrations_of

OTHERS = {"w/0": b"0" * 10, "report.pdf": b"of another team"}  # `w/0` is at the source, too


def adopting(made: Deployment, prefix: str) -> Deployment:
    stores = tuple(
        store.model_copy(update={"bucket": f"{prefix}-{store.name}", "is_adopted": True})
        for store in made.object_stores
    )
    return made.model_copy(update={"object_stores": stores})


class OtherBuckets(FakeGateway):
    """Its pods read and write no buckets: those are not called after their environment here."""

    def weights_seen(self, environment: str) -> int:
        return 0

    def write_step(self, environment: str) -> None:
        return


def into_adopted(**buckets: dict[str, bytes]) -> FakeGateway:
    gateway = OtherBuckets()
    gateway.declared["west"] = adopting(gateway.declared["west"], "acme")
    gateway.buckets |= {"acme-weights": {}, "acme-checkpoints": {}} | buckets
    return gateway.begin()


def test_objects_of_others_in_an_adopted_target_stay() -> None:
    gateway = into_adopted(**{"acme-weights": {"report.pdf": b"of another team"}})
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.buckets["acme-weights"]["late.pdf"] = b"uploaded after the plan"
    migrations.start(plan)
    assert {"report.pdf", "late.pdf", "w/0"} <= gateway.buckets["acme-weights"].keys()
    migrations.finish()
    assert {"report.pdf", "late.pdf", "w/0"} <= gateway.buckets["acme-weights"].keys()


def test_what_would_be_overwritten_there_is_refused_until_it_may_be() -> None:
    gateway = into_adopted(**{"acme-weights": dict(OTHERS)})
    with pytest.raises(InfeasibleError) as caught:
        migrations_of(gateway).plan("east", "west", OPTIONS)
    (gap,) = gaps_of(caught.value)
    assert gap.best == "1 object in acme-weights would be overwritten with other content"
    allowed = OPTIONS.model_copy(update={"replace_target_data": True})
    assert [move.foreign_objects for move in migrations_of(gateway).plan("east", "west", allowed).moves] == [1, 0]


def gaps_of(error: InfeasibleError) -> list[Gap]:
    return [gap for gap in error.gaps if isinstance(gap, Gap)]


@pytest.mark.parametrize("adopts", ["east", "west"])
def test_one_bucket_for_both_is_refused_where_one_of_them_made_it(adopts: str) -> None:
    sides = {"east": deployment("east"), "west": deployment("west")}
    maker = "west" if adopts == "east" else "east"
    sides[adopts] = adopting(sides[adopts], maker)
    facts = tuple(
        StoreFacts(store=store, objects=1, total_bytes=1, shared=True) for store in ("weights", "checkpoints")
    )
    with pytest.raises(InfeasibleError) as caught:
        plan_migration(sides["east"], sides["west"], facts, Options())
    assert gaps_of(caught.value)[0].best == f"both use one bucket, which meshctl made for {maker} and deletes with it"


def test_one_bucket_that_both_adopt_is_not_copied_and_outlives_them() -> None:
    gateway = OtherBuckets()
    for side in ("east", "west"):
        gateway.declared[side] = adopting(gateway.declared[side], "acme")
    gateway.begin()
    gateway.buckets |= {"acme-weights": dict(OTHERS), "acme-checkpoints": {}}
    facts = tuple(
        StoreFacts(store=store, objects=1, total_bytes=1, shared=True) for store in ("weights", "checkpoints")
    )
    plan = plan_migration(gateway.declared["east"], gateway.declared["west"], facts, Options())
    assert plan.moves == ()


def test_two_spellings_of_an_endpoint_are_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_facts, "list_objects", lambda _: {"a": Item(1, "e", 0)})
    one, other = (
        ObjectAccess("b", "", endpoint, "r", "i", "k", "", "path") for endpoint in ("https://s3.x", "https://S3.x:443/")
    )
    assert store_facts.facts("weights", one, other).shared
    assert listing.key_prefix(one) == ""


def test_a_rollback_takes_back_what_the_mesh_wrote_and_nothing_of_others() -> None:
    gateway = into_adopted(**{"acme-checkpoints": {"report.pdf": b"of another team"}})
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    gateway.tick()
    gateway.buckets["acme-checkpoints"] |= {"new": b"written by the mesh", "step-0001": b"changed by the mesh"}
    migrations.rollback()
    at_source = gateway.buckets["east-checkpoints"]
    assert at_source["new"] == b"written by the mesh"
    assert at_source["step-0001"] == b"changed by the mesh"
    assert "report.pdf" not in at_source
    assert gateway.buckets["acme-checkpoints"]["report.pdf"] == b"of another team"

"""What plans contain and refuse, and the text of plans and migrations (tests/golden/migrate)."""

from __future__ import annotations

from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.errors import InfeasibleError, UsageError
from meshctl.migrate import views
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import MigrationPlan, plan_migration, runs_alone
from meshctl.migrate.steps.order.step_plan import forward
from meshctl.model.deployment import Block, Deployment, FileSystem, Mount, Price, Workload
from tests.golden_files import Golden
from tests.unit.migrate.fake_gateway import FakeGateway, deployment
from tests.unit.migrate.moves import migrations_of

FACTS = (
    StoreFacts(store="weights", objects=120, total_bytes=140 * 2**30),
    StoreFacts(store="checkpoints", objects=3, total_bytes=3 * 2**40, target_objects=2, read_bytes=2**40),
)
PRICE = Price(subject="storage/x", usd_per_hour=None, source="unknown")


def plan(source: Deployment | None = None, target: Deployment | None = None, **options: bool) -> MigrationPlan:
    return plan_migration(source or deployment("east"), target or deployment("west"), FACTS, Options(**options))


def test_plan_as_text_and_document(golden: Golden) -> None:
    golden("migrate/plan.txt", views.plan_text(plan()))
    golden.json("migrate/plan.json", views.plan_document(plan()))


def test_migration_as_text_and_document(golden: Golden) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway, MemoryStore())
    migration = migrations.start(migrations.plan("east", "west", Options(observe_s=6)))
    _, history = migrations.history(migration)
    golden("migrate/show.txt", views.detail_text(migration, history))
    golden("migrate/end.txt", views.run_text(migration, history))
    golden.json("migrate/show.json", views.detail_document(migration, history))
    golden("migrate/list.txt", views.list_text([migrations.status(migration)]))


@pytest.mark.parametrize(
    ("to", "options", "left"),
    [
        ("finish", {}, "hint: east keeps its object storage: `meshctl destroy east --allow-data-loss` deletes it"),
        ("finish", {"delete_data": True}, ""),
        ("rollback", {}, "hint: west is still up with its workloads paused: `meshctl destroy west` removes it"),
        ("rollback", {"destroy_target": True}, "hint: west keeps its object storage: "),
    ],
)
def test_a_closed_migration_says_what_it_leaves(to: str, options: dict[str, bool], left: str) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway, MemoryStore())
    migration = migrations.start(migrations.plan("east", "west", Options(observe_s=6)))
    getattr(migrations, to)(migration, **options)
    text = views.detail_text(*migrations.history(migration))
    hints = [line for line in text.splitlines() if line.startswith("hint:")]
    assert len(hints) == bool(left)
    assert all(hint.startswith(left) for hint in hints)
    assert ("\nsource and target before the rollback\n" in text) == (to == "rollback")


def test_equal_inputs_give_equal_plans() -> None:
    assert plan().model_dump_json() == plan().model_dump_json()


def test_unknown_prices_stay_unknown() -> None:
    source = deployment("east").model_copy(update={"provider": "onprem"})
    pool = source.pools[0].model_copy(update={"price": PRICE})
    target = deployment("west").model_copy(update={"pools": (pool,)})
    migration_plan = plan(source, target)
    assert [move.egress_usd for move in migration_plan.moves] == [None, None]
    assert migration_plan.costs[0].usd is None
    assert "price of pool train is unknown" in migration_plan.costs[0].source
    assert "egress unknown" in views.plan_text(migration_plan)


def test_volumes_that_are_not_ephemeral_are_refused_together_with_all_else() -> None:
    volumes = {
        "file_systems": (FileSystem(name="shared", service="efs", size_gib=10, price=PRICE),),
        "blocks": (
            Block(name="disk", size_gib=10, storage_class="gp3", price=PRICE),
            Block(name="cache", size_gib=10, storage_class="gp3", ephemeral=True, price=PRICE),
        ),
    }
    target = deployment("west").model_copy(update={**volumes, "object_stores": (), "endpoints": ()})
    with pytest.raises(InfeasibleError) as error:
        plan(deployment("east").model_copy(update=volumes), target)
    gaps = [gap.subject for gap in error.value.gaps]  # type: ignore[attr-defined]
    assert gaps == ["storage/shared", "storage/disk", "storage/weights", "storage/checkpoints", "endpoint/chat"]
    assert (
        "storage/shared: it stays in east (file system, 10 GiB): `migrate` moves only object storage" in error.value.why
    )
    assert "storage/disk: it stays in east (block, 10 GiB for each pod)" in error.value.why


def test_a_neuralmesh_stays_behind_with_the_way_that_its_vendor_has() -> None:
    fast = FileSystem(name="fast", service="neuralmesh", size_gib=2048, price=PRICE)
    home = FileSystem(name="home", service="efs", size_gib=10, price=PRICE)
    source = deployment("east").model_copy(update={"file_systems": (fast, home)})
    with pytest.raises(InfeasibleError) as error:
        plan(source, deployment("west"))
    gaps: dict[str, Any] = {gap.subject: gap for gap in error.value.gaps}  # type: ignore[attr-defined]
    assert gaps["storage/fast"].best.startswith(
        "it stays in east (NeuralMesh file system, 2 TiB): `migrate` moves only"
    )
    assert "a snapshot that is uploaded to a bucket which both clusters reach" in gaps["storage/fast"].hint
    assert "snapshot" not in gaps["storage/home"].hint


def volumes(*, ephemeral: bool) -> dict[str, object]:
    home = FileSystem(name="home", service="efs", size_gib=10, ephemeral=ephemeral, price=PRICE)
    data = Block(name="data", size_gib=10, storage_class="gp3", ephemeral=ephemeral, price=PRICE)
    return {"file_systems": (home,), "blocks": (data,)}


def hint_for(file: dict[str, object]) -> str:
    """The hint for a source with persistent volumes, if mesh.yaml has `file`."""
    with pytest.raises(InfeasibleError) as error:
        plan(
            deployment("east").model_copy(update=volumes(ephemeral=False)),
            deployment("west").model_copy(update=file),
        )
    return error.value.hint


def test_giving_data_up_is_never_the_first_thing_said() -> None:
    hint = hint_for(volumes(ephemeral=False))
    assert hint.startswith("nothing in east was changed; copy the data that you need into object storage")
    assert hint.index("into object storage") < hint.index("`ephemeral: true` on home, data in mesh.yaml")
    assert hint.endswith(
        "`meshctl up east --allow-data-loss` lists the data that is deleted and asks, then `meshctl migrate east west`"
    )


@pytest.mark.parametrize("file", [volumes(ephemeral=True), {}], ids=["ephemeral", "removed"])
def test_what_the_file_says_counts_once_up_has_asked(file: dict[str, object]) -> None:
    hint = hint_for(file)
    assert hint.startswith("mesh.yaml gives up home, data, but east still has the data: `meshctl up east")
    assert "in mesh.yaml;" not in hint


def with_adopted_checkpoints(made: Deployment) -> Deployment:
    adopted = {"bucket": "east-checkpoints", "is_adopted": True}
    stores = tuple(
        store.model_copy(update=adopted) if store.name == "checkpoints" else store for store in made.object_stores
    )
    return made.model_copy(update={"object_stores": stores})


def test_ephemeral_and_shared_storage_is_named_as_not_moved() -> None:
    source, target = (with_adopted_checkpoints(deployment(name, ephemeral_weights=True)) for name in ("east", "west"))
    facts = (StoreFacts(store="checkpoints", objects=1, total_bytes=1, shared=True),)
    migration_plan = plan_migration(source, target, facts, Options())
    assert migration_plan.moves == ()
    assert migration_plan.stays == ("weights: ephemeral", "checkpoints: both environments use s3://east-checkpoints")
    assert not [step for step in forward(migration_plan) if step.phase in ("seed", "sync", "verify")]


def test_foreign_objects_at_the_target_are_refused_until_they_may_be_replaced() -> None:
    facts = tuple(fact.model_copy(update={"foreign_objects": 4}) for fact in FACTS)
    with pytest.raises(InfeasibleError, match="a target store without other objects"):
        plan_migration(deployment("east"), deployment("west"), facts, Options())
    migration_plan = plan_migration(deployment("east"), deployment("west"), facts, Options(replace_target_data=True))
    assert [move.store for move in migration_plan.moves] == ["weights", "checkpoints"]


def test_an_environment_is_not_moved_onto_itself() -> None:
    with pytest.raises(UsageError, match="source and target are both nowhere"):
        migrations_of(FakeGateway(), MemoryStore()).plan("nowhere", "nowhere", Options())


@pytest.mark.parametrize(
    ("kind", "mount", "alone"),
    [
        ("inference", Mount(storage="weights", kind="object", path="/m", read_only=True), False),
        ("inference", Mount(storage="weights", kind="object", path="/m"), True),
        ("inference", Mount(storage="cache", kind="block", path="/m"), False),  # ephemeral: no one misses it
        ("batch", None, True),
        ("service", None, False),
    ],
)
def test_what_must_not_run_twice(kind: str, mount: Mount | None, *, alone: bool) -> None:
    cache = Block(name="cache", size_gib=1, storage_class="gp3", ephemeral=True, price=PRICE)
    source = deployment("east").model_copy(update={"blocks": (cache,)})
    mounts = (mount,) if mount else ()
    workload = Workload(name="w", kind=kind, pool="train", replicas=1, image="i", mounts=mounts)
    assert runs_alone(source, workload) is alone


def test_readers_of_a_store_that_is_written_are_not_started_warm() -> None:
    east = deployment("east")
    mount = Mount(storage="checkpoints", kind="object", path="/models", read_only=True)
    chat = east.workload("chat").model_copy(update={"mounts": (mount,)})
    source = east.model_copy(update={"workloads": (chat, east.workload("pretrain"))})
    assert plan(source).warm == ()
    assert plan().warm == ("chat",)


def test_workloads_paused_at_the_source_stay_paused() -> None:
    migration_plan = plan(deployment("east").paused(frozenset({"pretrain"})))
    start = next(step for step in forward(migration_plan) if step.name == "start/target")
    assert start.paused == {"pretrain"}
    assert "quiesce/stop" not in [step.name for step in forward(migration_plan)]

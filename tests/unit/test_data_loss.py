"""Every way in which data can go: without the answer nothing goes, with it what goes is what was named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.changes.losses import Loss
from meshctl.cli import opened as opening
from meshctl.cli import up as commands
from meshctl.cli.context import Context
from meshctl.deploy import plan_file
from meshctl.errors import ProtectedDataError, StalePlanError
from meshctl.model.deployment import Block, Deployment, FileSystem, Mount, Price, Workload
from meshctl.project import Project
from tests.unit.data_world import BUCKET, ENVIRONMENTS, InMemory, World, patched
from tests.unit.deployments import deployment

FREE = Price(subject="storage/x", usd_per_hour=None, source="unknown")
DISK = Mount(storage="disk", kind="block", path="/d")
SHARED = Mount(storage="shared", kind="filesystem", path="/s")
PLACES = re.compile(r"bucket (\S+)|file system (\S+)|claim \S+, volume (\S+) \(vol-\S+\)")


def site(name: str = "site", **changes: object) -> Workload:
    mounts = (DISK, SHARED)
    made = Workload(name=name, kind="service", pool="serve", replicas=2, image="acme/site:1", mounts=mounts)
    return made.model_copy(update=changes)


def report(name: str = "report") -> Workload:
    mounts = (DISK.model_copy(update={"storage": "spool"}),)
    return Workload(name=name, kind="batch", pool="serve", replicas=1, image="acme/report:1", mounts=mounts)


def block(name: str, *, ephemeral: bool = False, size_gib: int = 5) -> Block:
    return Block(name=name, size_gib=size_gib, storage_class="fast", ephemeral=ephemeral, price=FREE)


def system(name: str, *, ephemeral: bool = False, **changes: Any) -> FileSystem:
    made = FileSystem(
        name=name, service="storage-class", size_gib=10, storage_class="nfs", ephemeral=ephemeral, price=FREE
    )
    lustre = {"service": "fsx-lustre", "size_gib": 1200, "zone": "a", "storage_class": ""} if name == "lustre" else {}
    return made.model_copy(update={**lustre, **changes})


def mesh(*ephemeral: str, **changes: object) -> Deployment:
    """Buckets, an FSx file system, a claim of a class, volumes of a service's pods and a claim of a job."""
    made = deployment("dc1")
    parts = {
        "object_stores": tuple(s.model_copy(update={"ephemeral": s.name in ephemeral}) for s in made.object_stores),
        "file_systems": tuple(system(name, ephemeral=name in ephemeral) for name in ("lustre", "shared")),
        "blocks": tuple(block(name, ephemeral=name in ephemeral) for name in ("disk", "spool")),
        "workloads": (*made.workloads, site(), report()),
    }
    return made.model_copy(update={**parts, **changes})


def workloads(*own: Workload) -> tuple[Workload, ...]:
    return (*deployment("dc1").workloads, *own)


def without_weights() -> Deployment:
    """Another store in its place."""
    weights, checkpoints = deployment("dc1").object_stores
    other = weights.model_copy(update={"name": "models", "bucket": "b-models"})
    chat, pretrain = deployment("dc1").workloads
    chat = chat.model_copy(update={"mounts": (chat.mounts[0].model_copy(update={"storage": "models"}),)})
    return mesh(object_stores=(other, checkpoints), workloads=(chat, pretrain, site(), report()))


def other_bucket() -> Deployment:
    weights, checkpoints = deployment("dc1").object_stores
    return mesh(object_stores=(weights.model_copy(update={"bucket": "b-other"}), checkpoints))


UNMOUNTED = site(mounts=(SHARED,))
# by way: what the file says then, and the subjects of what is lost
WAYS: dict[str, tuple[Deployment, list[str]]] = {
    "bucket made ephemeral": (mesh("weights"), ["storage/weights"]),
    "bucket renamed": (without_weights(), ["storage/weights"]),
    "bucket replaced": (other_bucket(), ["storage/weights"]),
    "file system made ephemeral": (mesh("lustre"), ["storage/lustre"]),
    "file system removed": (mesh(file_systems=(system("shared"),)), ["storage/lustre"]),
    "file system replaced": (
        mesh(file_systems=(system("lustre", zone="b"), system("shared"))),
        ["storage/lustre"],
    ),
    "claim made ephemeral": (mesh("shared"), ["storage/shared"]),
    "claim of another class": (
        mesh(file_systems=(system("lustre"), system("shared", storage_class="ceph"))),
        ["storage/shared"],
    ),
    "claim renamed": (
        mesh(
            file_systems=(system("lustre"), system("common")),
            workloads=workloads(site(mounts=(DISK, SHARED.model_copy(update={"storage": "common"}))), report()),
        ),
        ["storage/shared"],
    ),
    "block of a service made ephemeral": (mesh("disk"), ["storage/disk"]),
    "block of a service renamed": (
        mesh(
            blocks=(block("data"), block("spool")),
            workloads=workloads(site(mounts=(DISK.model_copy(update={"storage": "data"}), SHARED)), report()),
        ),
        ["storage/disk"],
    ),
    "block of a service no longer mounted": (mesh(workloads=workloads(UNMOUNTED, report())), ["storage/disk"]),
    "block removed": (
        mesh(blocks=(block("spool"),), workloads=workloads(UNMOUNTED, report())),
        ["storage/disk"],
    ),
    "service removed": (mesh(workloads=workloads(report())), ["storage/disk"]),
    "service renamed": (mesh(workloads=workloads(site("web"), report())), ["storage/disk"]),
    "service made a job": (
        mesh(workloads=workloads(site(kind="batch", replicas=1), report())),
        ["storage/disk"],
    ),
    "block of a job made ephemeral": (mesh("spool"), ["storage/spool"]),
    "job removed": (mesh(workloads=workloads(site())), ["storage/spool"]),
    "job renamed": (mesh(workloads=workloads(site(), report("audit"))), ["storage/spool"]),
    "all at once": (
        deployment("dc1", object_stores=(), workloads=(), endpoints=()),
        ["storage/checkpoints", "storage/disk", "storage/lustre", "storage/shared", "storage/spool", "storage/weights"],
    ),
}
EVERYTHING = WAYS["all at once"][1]
VOLUMES = [name for name in EVERYTHING if name not in ("storage/checkpoints", "storage/weights")]

# what is no loss: changed without a question
HARMLESS: dict[str, tuple[Deployment, Deployment]] = {
    "nothing": (mesh(), mesh()),
    "an image": (mesh(), mesh(workloads=workloads(site(image="acme/site:2"), report()))),
    "fewer replicas": (mesh(), mesh(workloads=workloads(site(replicas=1), report()))),
    "a service paused": (mesh(), mesh().paused(frozenset({"site"}))),
    "a bigger block": (mesh(), mesh(blocks=(block("disk", size_gib=9), block("spool")))),
    "another storage": (mesh(), mesh(blocks=(block("disk"), block("spool"), block("more")))),
    "lasting from now on": (mesh("weights", "lustre", "shared", "spool"), mesh()),
    "removed, was ephemeral": (
        mesh("weights", "checkpoints", "lustre", "shared", "disk", "spool"),
        deployment("dc1", object_stores=(), workloads=(), endpoints=()),
    ),
}


def session(world: World, folder: Path) -> InMemory:
    return InMemory(folder, "llm-prod", ENVIRONMENTS, world=world)


class Mesh(Project):
    """The mesh, whose files say what the test says."""

    file = mesh()

    def known(self, environment: str) -> str:
        return environment

    checked_or_deployed_name = known

    def deployment(self, environment: str, *, moved_from: Deployment | None = None) -> Deployment:
        return self.file

    state_store = None  # no migration is open


Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of the CLI on a world, without a terminal; `yes`: with --yes."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    def command(name: Any, world: World, file: Deployment | None = None, *, yes: bool = True, **options: Any) -> None:
        found = Mesh(cast("Any", SimpleNamespace(name="llm-prod")), ENVIRONMENTS, session(world, tmp_path))
        found.file = file or mesh()

        @contextmanager
        def opened(*_: Any, **__: Any) -> Iterator[Mesh]:
            yield found

        monkeypatch.setattr(opening, "opened", opened)
        options = {"plan": None, **options} if name is commands.up else options
        with patched(world):
            name(SimpleNamespace(obj=Context(yes=yes)), "dc1", **options)

    return command


def places(losses: Sequence[Loss]) -> set[str]:
    """What the platform calls the things that were named."""
    found = [PLACES.fullmatch(loss.identity) for loss in losses]
    assert all(found), losses
    return {next(filter(None, match.groups())) for match in found if match}


def assert_refused(act: Callable[[], None], world: World, subjects: list[str]) -> None:
    before, resources = world.safe(), dict(world.resources)
    with pytest.raises(ProtectedDataError) as refused:
        act()
    assert (refused.value.code, refused.value.exit_code) == ("protected", 1)
    told = f"{refused.value.what} {refused.value.why}"
    assert [subject for subject in EVERYTHING if subject in told] == subjects
    assert world.safe() == before
    assert world.resources == resources


@pytest.mark.parametrize("way", WAYS)
def test_no_change_of_the_mesh_loses_data_unasked(way: str, run: Run, tmp_path: Path) -> None:
    file, subjects = WAYS[way]
    world = World().begin(mesh())
    before = world.safe()
    with patched(world):
        plan = session(world, tmp_path).plan(file)
    assert list(plan.data_at_risk) == plan.document()["data_at_risk"] == subjects
    plan_file.save(tmp_path / "saved", plan)

    for options in ({}, {"yes": False}, {"plan": tmp_path / "saved"}, {"allow_data_loss": True}):
        assert_refused(lambda options=options: run(commands.up, world, file, **options), world, subjects)  # type: ignore[misc]
    with pytest.raises(ProtectedDataError, match="nothing was deleted"):
        run(commands.up, world, file, allow_data_loss=True, confirm="dc2")

    run(commands.up, world, file, allow_data_loss=True, confirm="dc1")
    still = world.safe()
    assert before - still == places(plan.losses)
    run(commands.up, world, file)  # the question was answered
    assert world.safe() == still


@pytest.mark.parametrize("way", HARMLESS)
def test_a_change_that_loses_nothing_is_not_asked_about(way: str, run: Run) -> None:
    before, file = HARMLESS[way]
    world = World().begin(before)
    safe = world.safe()
    run(commands.up, world, file)
    assert safe <= world.safe()


def test_destroy_names_all_of_it_and_what_stateful_sets_have_left_behind(run: Run, tmp_path: Path) -> None:
    world = World().begin(mesh())
    world.apply(mesh(workloads=workloads(site("web"), report())))
    assert_refused(lambda: run(commands.destroy, world), world, EVERYTHING)
    assert_refused(lambda: run(commands.destroy, world, allow_data_loss=True), world, EVERYTHING)
    with patched(world):
        lost = session(world, tmp_path).lost_by_destroy("dc1")
    assert [loss.identity.split(",")[0] for loss in lost if loss.subject.startswith("claim/")] == [
        "claim disk-site-0",
        "claim disk-site-1",
    ]
    safe = world.safe()
    run(commands.destroy, world, allow_data_loss=True, confirm="dc1")
    assert safe < places(lost)
    assert (world.safe(), world.volumes, world.objects) == (set(), {}, {})


def test_destroy_of_what_is_ephemeral_asks_nothing(run: Run) -> None:
    world = World().begin(mesh("weights", "checkpoints", "lustre", "shared", "disk", "spool"))
    run(commands.destroy, world)
    assert world.resources == {}


def test_what_the_file_calls_ephemeral_is_not_until_up_has_asked(run: Run) -> None:
    world = World().begin(mesh())
    everything = mesh("weights", "checkpoints", "lustre", "shared", "disk", "spool")
    assert_refused(lambda: run(commands.destroy, world, everything), world, EVERYTHING)
    run(commands.up, world, everything, object_storage_only=True)
    assert not [r for r in world.resources.values() if r["inputs"].get("ForceDestroy")], "the store's own guard stays"
    assert_refused(lambda: run(commands.destroy, world, everything), world, EVERYTHING)


@pytest.mark.parametrize("yes", [True, False])
def test_a_run_of_the_buckets_alone_replaces_none_that_holds_data(run: Run, yes: bool) -> None:
    world = World().begin(mesh())
    only = {"object_storage_only": True, "yes": yes}
    assert_refused(lambda: run(commands.up, world, other_bucket(), **only), world, ["storage/weights"])


@pytest.mark.parametrize(("keep_data", "subjects"), [(True, VOLUMES), (False, EVERYTHING)])
def test_an_environment_that_is_retired_keeps_its_data_or_is_refused(
    keep_data: bool, subjects: list[str], tmp_path: Path
) -> None:
    world = World().begin(mesh())
    here = session(world, tmp_path)
    with patched(world):
        destroy = partial(here.destroy_keeping_data if keep_data else here.destroy_with_data, mesh())
        finish = partial(destroy, command="meshctl migrations finish")
        assert_refused(lambda: finish(allow_data_loss=False), world, subjects)
        lost = here.lost_by_destroy("dc1", keep_buckets=keep_data)
        before = world.safe()
        finish(allow_data_loss=True)
    assert before - world.safe() == places(lost)
    buckets = {store.bucket for store in mesh().object_stores}
    assert world.objects.keys() == (buckets if keep_data else set())


def test_a_cluster_that_does_not_answer_may_hold_everything(run: Run, tmp_path: Path) -> None:
    world = World(silent=True).begin(mesh())
    file, subjects = WAYS["service renamed"]
    assert_refused(lambda: run(commands.up, world, file), world, subjects)
    assert_refused(lambda: run(commands.destroy, world), world, EVERYTHING)


@pytest.mark.parametrize("command", [commands.up, commands.destroy])
def test_a_cluster_that_is_forgotten_is_so_with_the_names_of_its_volumes(command: Any, run: Run) -> None:
    world = World().begin(mesh())
    assert_refused(lambda: run(command, world, forget_cluster=True), world, VOLUMES)


def test_what_holds_nothing_goes_unasked(run: Run) -> None:
    world = World().begin(mesh())
    world.objects.clear()
    world.volumes.clear()
    run(commands.up, world, mesh(object_stores=(), file_systems=(system("lustre"),), workloads=(), endpoints=()))
    assert not [urn for urn in world.resources if BUCKET in urn]


def test_a_plan_that_was_saved_before_there_was_data_is_stale(run: Run, tmp_path: Path) -> None:
    world = World().begin(mesh())
    world.objects.clear()
    with patched(world):
        plan_file.save(tmp_path / "saved", session(world, tmp_path).plan(without_weights()))
    world.objects[mesh().object_stores[0].bucket] = 1
    with pytest.raises(StalePlanError, match="more data would be lost") as stale:
        run(commands.up, world, without_weights(), plan=tmp_path / "saved", allow_data_loss=True, confirm="dc1")
    assert "storage/weights" in stale.value.why

"""What other commands make of a shift: the pools that `up` sees, what it declares, what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl import render
from meshctl.cli import guards
from meshctl.deploy.session import Session
from meshctl.errors import LockedError, UsageError
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.environment import Environments
from meshctl.model.observed import Facts, ObservedNode, PodState, ShiftedNode, ShiftsInForce
from meshctl.model.shifts_now import at_home, with_shifts
from meshctl.operate.status import workload_status
from meshctl.project import Project
from meshctl.render.cluster.nodes import node_label_objects
from meshctl.shift import in_force, shifts
from meshctl.shift.gateway import FIELD_MANAGER
from meshctl.shift.planning.field_owners import Owner, owners, restored
from meshctl.shift.planning.plan import Request
from tests.unit.shift.world import POOL_LABEL, Killed, World, declared, world_of

SHIFTED = ShiftsInForce({"g2": ShiftedNode("g2", "train", "serve")}, frozenset({"pretrain"}))


class AProject:
    """A project of the world's mesh, with the journals of its shifts."""

    def __init__(self, world: World, provider: str = "onprem") -> None:
        entry: dict[str, Any] = {"provider": provider, "kubernetes": {"context": "x"}}
        if provider == "aws":
            entry = {"provider": provider, "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
        self.mesh = SimpleNamespace(name="demo")
        self.state_store = world.shifts().store
        declared_environments = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"dc1": entry}}
        self.environments = Environments.model_validate(declared_environments)


def project(world: World, provider: str = "onprem") -> Project:
    return cast("Project", AProject(world, provider))


def in_force_of(world: World) -> None:
    run = world.shifts()
    run.start(run.plan(Request("train", "serve", 1)))


def test_nodes_are_chosen_as_if_nothing_was_shifted() -> None:
    facts = Facts(
        nodes=tuple(
            ObservedNode(name=name, cpu_cores=8, memory_gib=64, labels={POOL_LABEL: pool})
            for name, pool in (("g1", "train"), ("g2", "serve"), ("g3", "serve"))
        )
    )
    seen = at_home(facts, SHIFTED)
    assert {node.name: node.labels[POOL_LABEL] for node in seen.nodes} == {"g1": "train", "g2": "train", "g3": "serve"}


def test_pools_are_counted_with_what_they_gained() -> None:
    assert [SHIFTED.gained(pool) for pool in ("train", "serve", "other")] == [-1, 1, 0]


def objects(made: Deployment) -> dict[str, render.PlatformObject]:
    return {item.name: item for item in (*render.platform_objects(made), *node_label_objects(made))}


def test_an_up_leaves_the_labels_and_the_stopped_job_alone() -> None:
    made = declared()
    pools = tuple(
        pool.model_copy(update={"node_names": ("g1", "g2") if pool.name == "train" else ("g3",)}) for pool in made.pools
    )
    made = made.model_copy(update={"pools": pools})
    before = objects(made)
    shifted = made.shifted({"g2"}, {"pretrain"}, {})
    after = objects(shifted)
    assert after["pool/train:node-g2"].ignore_changes == ("metadata.labels",)
    assert after["pool/train:node-g1"] == before["pool/train:node-g1"]
    job = after["workload/pretrain:job"]
    assert (job.manifest["spec"]["suspend"], job.left) == (True, ("spec.suspend",))
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"pool/train:node-g2", "workload/pretrain:job"}
    assert shifted.bare == made.bare
    assert made.shifted((), (), {}).model_dump_json() == made.model_dump_json()


def test_an_up_leaves_the_size_of_an_elastic_gang_alone() -> None:
    made = declared(least=2)
    facts = ShiftsInForce(sizes={"pretrain": 3, "chat": 1})
    resolution = with_shifts(Resolution(mesh="demo", environment="dc1", deployment=made), facts)
    assert resolution.deployment is not None
    assert resolution.deployment.jobs_with_fewer_nodes == {"pretrain": 3}
    assert resolution.deployment.bare == made.bare


def test_a_pool_whose_nodes_are_shifted_can_not_begin_to_lend() -> None:
    """Kueue would count the shifted node for the pool that it has left."""
    made = declared()
    lending = tuple(p.model_copy(update={"lends_nodes": 1}) if p.name == "serve" else p for p in made.pools)
    wanted = Resolution(mesh="demo", environment="dc1", deployment=made.model_copy(update={"pools": lending}))
    shifts = ShiftsInForce({"g2": ShiftedNode(name="g2", home="train", pool="serve")})
    refused = with_shifts(wanted, shifts)
    assert refused.deployment is None
    assert [gap.subject for gap in refused.gaps] == ["pool/serve"]
    assert "`meshctl shift dc1 --undo`" in refused.gaps[0].hint
    assert with_shifts(wanted, ShiftsInForce()) == wanted


def test_a_gang_that_is_small_is_left_alone_also_where_the_mesh_calls_it_elastic_no_more() -> None:
    """Made anew, it would have more pods than nodes, and what it reads its size from would be gone."""
    sizes = ShiftsInForce(sizes={"pretrain": 3})
    made = with_shifts(Resolution(mesh="demo", environment="dc1", deployment=declared()), sizes).deployment
    assert made is not None
    assert made.jobs_with_fewer_nodes == {"pretrain": 3}
    read = objects(made)["workload/pretrain:gang"]
    assert (read.manifest["metadata"]["name"], read.ignore_changes) == ("pretrain-gang", ("data",))
    assert made.with_ranks(sizes.sizes).workload("pretrain").replicas == 3
    other = made.model_copy(
        update={"workloads": tuple(w.model_copy(update={"kind": "batch"}) for w in declared().workloads)}
    )
    other_kind = with_shifts(Resolution(mesh="demo", environment="dc1", deployment=other.bare), sizes).deployment
    assert other_kind is not None
    assert other_kind.jobs_with_fewer_nodes == {}, "another kind of workload is made anew in any case"


def test_the_status_of_an_elastic_gang_counts_the_ranks_that_it_has() -> None:
    made = declared(least=2).with_ranks({"pretrain": 3, "chat": 9})
    pods = [PodState(f"pretrain-{n}", "pretrain", "Running", ready=True, node="g1", restarts=0) for n in range(3)]
    shown = workload_status(made, "pretrain", pods)
    assert (shown.ready, shown.wanted, shown.is_short) == (3, 3, False)
    assert made.workload("chat").replicas == 2


def test_a_restart_of_a_gang_that_runs_with_fewer_nodes_is_refused() -> None:
    sizes = SimpleNamespace(session=SimpleNamespace(shifts_in_force=lambda _: ShiftsInForce(sizes={"pretrain": 3})))
    with pytest.raises(UsageError, match="pretrain runs with fewer nodes in dc1") as caught:
        guards.refuse_restart_without_nodes(cast("Project", sizes), "dc1", "pretrain")
    assert "`meshctl shift dc1 --undo`" in caught.value.hint
    guards.refuse_restart_without_nodes(cast("Project", sizes), "dc1", "chat")


def test_commands_are_refused_while_a_shift_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    plan = world.shifts().plan(Request("train", "serve", 1))
    world.kill_at = 10
    with pytest.raises(Killed):
        world.shifts().start(plan)
    world.survive()
    for command in ("up", "destroy", "restart"):
        with pytest.raises(LockedError, match="train-0 from train to serve, stopped") as caught:
            guards.refuse_if_busy(project(world), "dc1", cast("Any", command))
        assert "`meshctl shift dc1 --resume` goes on" in caught.value.hint
    with pytest.raises(LockedError):
        guards.refuse_if_shifted(project(world), "dc1", "migrate")
    with pytest.raises(LockedError):
        guards.refuse_if_shift_under_way(project(world), "dc1", "expand")
    guards.refuse_if_busy(project(world), "cw", "up")


def test_in_force_it_forbids_what_could_not_take_its_labels_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    in_force_of(world)
    guards.refuse_if_busy(project(world), "dc1", "up")
    guards.refuse_if_shift_under_way(project(world), "dc1", "expand")
    for command, why in (("destroy", "these nodes stay"), ("migrate", "a migration"), ("expand", "an expansion")):
        with pytest.raises(LockedError, match="in force") as caught:
            guards.refuse_if_shifted(project(world), "dc1", cast("Any", command))
        assert "`meshctl shift dc1 --undo`" in caught.value.hint
        assert why in caught.value.why
    guards.refuse_if_shifted(project(world, "aws"), "dc1", "destroy")
    shifts.end_with_environment(world.shifts().store, "demo", "dc1")
    guards.refuse_if_shifted(project(world), "dc1", "destroy")
    assert in_force.of_project(project(world), "dc1") == ShiftsInForce()


def test_what_status_and_plans_say_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    in_force_of(world)
    found = in_force.of_project(project(world), "dc1")
    assert found.nodes == {"train-0": ShiftedNode("train-0", "train", "serve")}
    assert found.waiting == {"pretrain"}
    assert found.notes == (
        "shift: train-0 of pool train works for pool serve: in force; pretrain waits for its nodes;"
        " `meshctl shift dc1 --undo` gives them back",
    )
    world.shifts().undo()
    assert in_force.of_project(project(world), "dc1") == ShiftsInForce()


def entry(manager: str, *labels: str, operation: str = "Apply", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{label}": {} for label in labels}}}
    made = {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {**made, "fieldsV1": fields, **more}


def node(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "g1", "managedFields": list(entries)}}


def test_labels_go_back_to_who_owned_them() -> None:
    before = node(entry("kubelet", "zone", operation="Update"), entry("up", "mesh", "pool"))
    owned = owners(before, ["pool", "role"])
    assert owned == (Owner("pool", "up", "Apply", "v1"),)
    after = node(
        entry("kubelet", "zone", operation="Update"),
        entry("up", "mesh"),
        entry(FIELD_MANAGER, "pool", operation="Update"),
    )
    assert restored(after, owned) == before["metadata"]["managedFields"]
    assert restored(before, owned) is None


def test_an_owner_that_had_nothing_else_is_there_again() -> None:
    owned = owners(node(entry("up", "pool")), ["pool"])
    assert restored(node(entry(FIELD_MANAGER, "pool", operation="Update")), owned) == [entry("up", "pool")]


def test_what_is_up_has_the_shifts_of_now_and_not_those_of_its_last_up() -> None:
    """An undo writes no state. A `restart` would make a job that waited for its nodes then anew, and suspended, and so
    would a migration that is rolled back."""

    def deployed(now: ShiftsInForce, up: Deployment | None) -> Deployment | None:
        session = SimpleNamespace(outputs=lambda _: SimpleNamespace(deployment=up), shifts_in_force=lambda _: now)
        return Session.deployed(cast("Session", session), "dc1")

    waiting = ShiftsInForce(waiting=frozenset({"pretrain"}))
    recorded = declared(least=2).shifted({"g2"}, {"pretrain"}, {"pretrain": 3})
    undone = deployed(ShiftsInForce(), recorded)
    assert undone is not None
    assert undone == declared(least=2)
    assert objects(undone)["workload/pretrain:job"].manifest["spec"]["suspend"] is False
    still = deployed(waiting, recorded)
    assert still is not None
    assert still == declared(least=2).shifted((), {"pretrain"}, {})
    assert objects(still)["workload/pretrain:job"].manifest["spec"]["suspend"] is True
    assert deployed(waiting, None) is None


def test_a_restart_in_a_shift_that_came_after_the_up_is_not_refused() -> None:
    """The usual order: the `up` has recorded no shift, and a shift records none either."""
    bare = declared(least=2)
    pools = tuple(each.model_copy(update={"node_names": (f"{each.name}-1",)}) for each in bare.pools)
    recorded = bare.model_copy(update={"pools": pools})
    now = ShiftsInForce({"train-1": ShiftedNode("train-1", "train", "serve")})
    session = SimpleNamespace(
        outputs=lambda _: SimpleNamespace(deployment=recorded),
        shifts_in_force=lambda _: now,
        state=lambda _: SimpleNamespace(deployment=recorded),
    )
    deployment = Session.deployed(cast("Session", session), "dc1")
    assert deployment is not None
    mesh = cast("Project", SimpleNamespace(session=session, state_store=None, mesh=SimpleNamespace(name="demo")))
    guards.refuse_restart(mesh, deployment)
    now = ShiftsInForce()
    with pytest.raises(LockedError, match="nodes were shifted while this command ran"):
        guards.refuse_restart(mesh, deployment)

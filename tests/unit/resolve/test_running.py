"""What is up is not refused, and not moved to other machines, for what the catalog or the cluster says by now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.catalog import Catalog, load_catalog
from meshctl.engine import state_folder
from meshctl.errors import InfeasibleError
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ObservedNode, ShiftsInForce
from meshctl.model.stack_state import Resource, StackState
from meshctl.policies import least_policy
from meshctl.project import Project
from meshctl.resolve import resolve
from meshctl.resolve.placement.machine_types import offerings
from tests.unit.resolve.meshes import DC, node, resolved
from tests.unit.resolve.test_offerings import FRANKFURT, H100
from tests.unit.resolve.test_resolve_fit import service

P5 = "p5.48xlarge"
MIXED = {"nodes": 2, "accelerator": [{"model": "H100", "count": 8}, {"model": "A100", "count": 8}]}


def mesh_and_files(pool: dict[str, Any], **environment: Any) -> tuple[Mesh, Environments]:
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"serve": pool}}
    files = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": {**FRANKFURT, **environment}}}
    return Mesh.model_validate(mesh), Environments.model_validate(files)


def made(pool: dict[str, Any], *, up: Deployment | None = None, catalog: Catalog | None = None) -> Resolution:
    return resolve(*mesh_and_files(pool), "e", catalog or load_catalog(), up=up)


def running(pool: dict[str, Any] | None = None) -> Deployment:
    """As it came up while the environment named the type as offered, or before the table was as it is."""
    deployment = resolved({"serve": pool or H100}, {**FRANKFURT, "offered": [P5]}).deployment
    assert deployment is not None
    return deployment


def test_a1_a_pool_that_is_up_is_not_refused_for_the_table_of_offers() -> None:
    [gap] = made(H100).gaps
    assert gap.subject == "pool/serve"
    resolution = made(H100, up=running())
    assert resolution.gaps == ()
    assert [pool.machine for pool in resolution.pools] == [P5]
    [note] = [note for note in resolution.notes if "stays" in note]
    assert note.startswith(f"pool serve: {P5} is up in eu-central-1, and stays, although the table of 20")


def test_a1_a_pool_that_is_up_does_not_move_to_another_machine_for_the_table() -> None:
    before = running(MIXED)
    assert before.pool("serve").machine == P5
    assert [pool.machine for pool in made(MIXED).pools] != [P5]
    assert [pool.machine for pool in made(MIXED, up=before).pools] == [P5]


def test_a_pool_that_is_up_stays_in_its_market() -> None:
    catalog = load_catalog()
    machines = tuple(
        replace(each, markets=(), offers=None) if each.name == P5 else each for each in catalog.machines["aws"]
    )
    without = Catalog({"aws": machines}, catalog.storage)
    assert "not sold as on-demand" in made(H100, catalog=without).gaps[0].best
    assert made(H100, up=running(), catalog=without).gaps == ()
    assert offerings.depends_on_what_is_up(made(MIXED, catalog=without))


def test_the_state_is_looked_at_only_where_it_could_matter() -> None:
    assert offerings.depends_on_what_is_up(made(H100))
    assert offerings.depends_on_what_is_up(made(MIXED))
    cpu = {"nodes": 1, "cpu": {"cores": 4, "memory": "16GiB"}}
    assert not offerings.depends_on_what_is_up(made(cpu))


@pytest.mark.parametrize(("came_up", "gaps"), [("ACTIVE", 0), ("CREATE_FAILED", 1)])
def test_a1_a_project_takes_what_came_up_from_the_state(came_up: str, gaps: int) -> None:
    urn = "urn:pulumi:e::m::meshaws:eks:Nodegroup::pool/serve:nodegroup"
    record = {"urn": urn, "type": "meshaws:eks:Nodegroup", "custom": True, "id": "i", "outputs": {"status": came_up}}
    state = SimpleNamespace(deployment=running(), begun=None, resources=[Resource(record)])
    session = SimpleNamespace(
        remarks={}, shifts_in_force=lambda _: ShiftsInForce(), state=lambda _: cast("StackState", state)
    )
    project = Project(*mesh_and_files(H100), cast("Any", session))
    assert len(project.resolution("e").gaps) == gaps


def test_a_stack_in_a_folder_is_seen_without_the_engine(tmp_path: Path) -> None:
    url = "file://./.meshctl/state"
    assert not state_folder.has_stack(url, tmp_path, "m", "e")
    assert list(tmp_path.iterdir()) == []
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/m"
    stacks.mkdir(parents=True)
    (stacks / "e.json").write_text("{}")
    assert state_folder.has_stack(url, tmp_path, "m", "e")
    assert not state_folder.has_stack(url, tmp_path, "m", "f")
    assert not state_folder.has_stack("s3://bucket", tmp_path, "m", "e")


def in_cluster(replicas: int, *nodes: ObservedNode, up: Deployment | None = None) -> Resolution:
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 2}}}
    mesh |= {"workloads": {"w": service(replicas, cpu=6)}}
    environment = {**DC, "workloads": {"w": {"pod": {"nodeSelector": {"disk": "ssd"}}}}}
    files = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": environment}}
    given = (Mesh.model_validate(mesh), Environments.model_validate(files), "e", load_catalog())
    return resolve(*given, Facts(nodes=nodes, pods_are_seen=True), up=up)


def test_pods_that_are_up_are_not_refused_for_a_label_that_a_node_has_lost() -> None:
    ssd = {"disk": "ssd"}
    both = (node("c1", labels=ssd, cpu_cores=16), node("c2", labels=ssd, cpu_cores=16))
    one = (node("c1", cpu_cores=16), node("c2", labels=ssd, cpu_cores=16))
    before = in_cluster(3, *both).deployment
    assert before is not None
    assert [gap.subject for gap in in_cluster(3, *one).gaps] == ["workload/w"]
    resolution = in_cluster(3, *one, up=before)
    assert resolution.gaps == ()
    [note] = [note for note in resolution.notes if note.startswith("workload/w is up and stays")]
    assert "matches 1 of its 2 nodes (c2)" in note
    assert in_cluster(4, *one, up=before).gaps != ()  # more pods than are up


def test_a1_rights_are_the_same_where_the_table_of_offers_lacks_the_machine() -> None:
    """An environment that is up there wants its policy, too."""
    mesh, environments = mesh_and_files(H100)
    assert resolve(mesh, environments, "e", load_catalog(), None).gaps != ()
    assert least_policy(mesh, environments, "e").document["Statement"]
    too_much = {**H100, "cpu": {"cores": 9999}}
    with pytest.raises(InfeasibleError):
        least_policy(*mesh_and_files(too_much), "e")

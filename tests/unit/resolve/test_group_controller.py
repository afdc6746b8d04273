"""Groups are kept by a controller where the cluster has one, unless they are up without it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards.running import running_pods
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts
from meshctl.model.served_apis import LEADER_WORKER_SET
from meshctl.model.stack_state import StackOutputs, StackState
from meshctl.resolve import resolve
from tests.unit.resolve.meshes import CATALOG, DC, H100, gpu_node, resolved
from tests.unit.resolve.test_resolve_fit import service

AWS = {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}


def deployed(*, has_controller: bool, names: tuple[str, ...] = ("llama",), nodes: int = 2) -> Deployment:
    nodes_of_site = tuple(gpu_node(f"g{number}") for number in range(1, 7))
    served = (LEADER_WORKER_SET,) if has_controller else ()
    facts = Facts(nodes=nodes_of_site, served_apis=served)
    workloads = {name: {**service(kind="inference", accelerators=8), "nodes": nodes} for name in names}
    resolution = resolved({"p": {**H100, "nodes": 4}}, DC, facts, workloads=workloads)
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def state_of(deployment: Deployment | None) -> StackState:
    return StackState(outputs=StackOutputs(deployment=deployment))


@pytest.mark.parametrize(("has_controller", "nodes", "kept"), [(True, 2, True), (False, 2, False), (True, 1, False)])
def test_facts_decide(has_controller: bool, nodes: int, kept: bool) -> None:
    assert deployed(has_controller=has_controller, nodes=nodes).has_group_controller is kept


def test_a_cluster_that_is_made_has_none() -> None:
    workloads: dict[str, Any] = {"llama": {**service(kind="inference", accelerators=8), "nodes": 2}}
    resolution = resolved({"p": H100}, AWS, workloads=workloads)
    assert resolution.deployment is not None, resolution.gaps
    assert not resolution.deployment.has_group_controller


@pytest.mark.parametrize("served", [(), (LEADER_WORKER_SET,)])
def test_an_existing_cluster_in_which_nodes_are_made_is_asked_for_it_alone(served: tuple[str, ...]) -> None:
    pools = {"p": {"role": "general", "nodes": 4, "cpu": {"cores": 8}}}
    document = {"name": "m", "pools": pools, "workloads": {"llama": {**service(kind="inference"), "nodes": 2}}}
    mesh = Mesh.model_validate({"apiVersion": "meshctl/v1", "kind": "Mesh", **document})
    environment = {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}
    given = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"cw": environment}}
    resolution = resolve(mesh, Environments.model_validate(given), "cw", CATALOG, served=served)
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.has_group_controller == bool(served)


def test_a_controller_that_comes_later_rolls_no_group_that_is_up() -> None:
    before, now = deployed(has_controller=False), deployed(has_controller=True)
    assert running_pods.with_running_pods(now, state_of(before)) == before
    more = deployed(has_controller=True, names=("llama", "mistral"))
    assert not running_pods.with_running_pods(more, state_of(before)).has_group_controller


def test_groups_that_come_later_are_kept_by_the_controller() -> None:
    now = deployed(has_controller=True)
    none_before = deployed(has_controller=False, nodes=1)
    other_before = deployed(has_controller=False, names=("mistral",))
    for before in (None, none_before, other_before):
        assert running_pods.with_running_pods(now, state_of(before)).has_group_controller


def test_what_the_controller_keeps_stays_so_until_it_is_gone() -> None:
    before = deployed(has_controller=True)
    assert running_pods.with_running_pods(before, state_of(before)) == before
    gone = deployed(has_controller=False)
    assert running_pods.with_running_pods(gone, state_of(before)) == gone


def test_groups_that_are_up_with_a_fixed_number_do_not_lose_some_to_a_range() -> None:
    before, now = deployed(has_controller=False), deployed(has_controller=True)
    workloads = tuple(each.model_copy(update={"most_replicas": 3}) for each in now.workloads)
    ranged = now.model_copy(update={"workloads": workloads})
    with pytest.raises(UsageError, match="workload/llama can't follow load yet"):
        running_pods.with_running_pods(ranged, state_of(before))
    assert running_pods.with_running_pods(ranged, state_of(None)) == ranged

"""`resources.accelerators: all`: the number follows from the nodes that the pool has got."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts
from meshctl.render.pod import pod_resources, pods
from tests.unit.resolve.meshes import AWS, CW, DC, gap, gpu_node, resolved

EITHER = [{"model": "MI300X", "count": 8}, {"model": "A100", "count": 4}, {"model": "L4", "count": 8}]


def serving(accelerators: object, **more: Any) -> dict[str, Any]:
    args = ["--tensor-parallel-size=$(MESH_ACCELERATORS)"]
    resources = {"accelerators": accelerators}
    return {"w": {"kind": "inference", "pool": "p", "image": "i", "args": args, "resources": resources, **more}}


def deployed(
    pool: dict[str, Any], environment: dict[str, Any], accelerators: object, facts: Facts | None = None
) -> Deployment:
    resolution = resolved({"p": {"nodes": 1, **pool}}, environment, facts, workloads=serving(accelerators))
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def workload(deployment: Deployment) -> Workload:
    return deployment.workloads[0]


@pytest.mark.parametrize(
    ("pool", "environment", "count"),
    [
        ({"accelerator": {"model": "H100", "count": 1}}, AWS, 1),
        ({"accelerator": {"model": "H100", "count": 1}}, CW, 8),  # there are no smaller machines
        ({"accelerator": EITHER}, AWS, 8),
        ({"accelerator": EITHER[1]}, DC, 4),
    ],
)
def test_it_is_what_a_node_of_the_chosen_machine_has(
    pool: dict[str, Any], environment: dict[str, Any], count: int
) -> None:
    deployment = deployed(pool, environment, "all")
    assert workload(deployment).accelerators == count
    env = {entry["name"]: entry for entry in pods.environment(deployment, workload(deployment), deployment.pools[0])}
    assert env["MESH_ACCELERATORS"]["value"] == str(count)
    limits = pod_resources.resources(workload(deployment), deployment.pools[0])["limits"]
    assert limits[deployment.pools[0].gpu_resource] == str(count)


def test_of_given_nodes_it_is_what_the_smallest_has() -> None:
    nodes = (gpu_node("g1"), gpu_node("g2", gpu_count=4))
    facts = Facts(nodes=nodes)
    pool = {"nodes": 2, "accelerator": {"model": "H100", "count": 2}}
    assert workload(deployed(pool, DC, "all", facts)).accelerators == 4


def test_a_sick_accelerator_changes_no_number_and_is_a_gap_where_it_is_needed() -> None:
    """Another number would roll what is up, and begin trainings anew."""
    nodes = (gpu_node("g1"), gpu_node("g2", gpu_count=7, gpu_capacity=8))
    pool = {"nodes": 2, "accelerator": {"model": "H100", "count": 2}}
    made = deployed(pool, DC, "all", Facts(nodes=nodes))
    assert workload(made).accelerators == made.pools[0].gpus_per_node == 8
    resolution = resolved({"p": pool}, DC, Facts(nodes=nodes), workloads=serving("all", replicas=2))
    assert gap(resolution, "workload/w").best.startswith("1 fit on its 2 nodes")


def test_a_number_that_is_up_may_be_written_as_all() -> None:
    pool = {"accelerator": {"model": "H100", "count": 8}}
    assert deployed(pool, AWS, "all") == deployed(pool, AWS, 8)


def test_pods_that_take_whole_nodes_are_counted_as_such() -> None:
    pool = {"nodes": 1, "accelerator": {"model": "H100", "count": 8}}
    resolution = resolved({"p": pool}, AWS, workloads=serving("all", replicas=2))
    assert gap(resolution, "workload/w").best.startswith("1 fit on its 1 node")


def test_a_pool_without_a_place_has_the_only_gap() -> None:
    pool = {"nodes": 1, "accelerator": {"model": "H1000", "count": 8}}
    assert [each.subject for each in resolved({"p": pool}, AWS, workloads=serving("all")).gaps] == ["pool/p"]


def test_all_of_a_pool_without_accelerators_is_refused(tmp_path: Path) -> None:
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 1}}}
    environments = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": AWS}}
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump({**mesh, "workloads": serving("all")}))
    (tmp_path / "environments.yaml").write_text(yaml.safe_dump(environments))
    with pytest.raises(DiagnosticsError) as refused:
        load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    (mistake,) = refused.value.diagnostics
    assert 'workloads.w.resources.accelerators: the nodes of pool "p" have none' in str(mistake)


@pytest.mark.parametrize(
    ("value", "says"), [("some", "valid integer"), (-1, "greater than or equal to 0"), (True, "valid integer")]
)
def test_what_is_no_number(value: object, says: str) -> None:
    document = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 1}}}
    with pytest.raises(ValueError, match=says):
        Mesh.model_validate({**document, "workloads": serving(value)})

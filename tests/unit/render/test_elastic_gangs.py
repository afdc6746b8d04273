"""An elastic gang reads its size from a ConfigMap; every other gang is rendered as it always was."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.model.deployment import Deployment
from tests.unit.render.sample import sample


def of(deployment: Deployment) -> dict[str, render.PlatformObject]:
    return {item.name: item for item in render.platform_objects(deployment) if item.subject == "workload/pretrain"}


def elastic(**changes: Any) -> Deployment:
    made = sample("coreweave")
    changes = {"replicas": 4, "least_nodes": 2, **changes}
    workloads = tuple(w.model_copy(update=changes) if w.name == "pretrain" else w for w in made.workloads)
    return made.model_copy(update={"workloads": workloads})


def variables(objects: dict[str, render.PlatformObject]) -> dict[str, Any]:
    container = objects["workload/pretrain:job"].manifest["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_its_pods_read_the_number_of_ranks_when_they_start() -> None:
    objects = of(elastic(args=("--hosts=$(MESH_HOSTS)",)))
    sizes = objects["workload/pretrain:gang"].manifest
    hosts = "pretrain-0.pretrain,pretrain-1.pretrain,pretrain-2.pretrain,pretrain-3.pretrain"
    assert (sizes["metadata"]["name"], sizes["data"]) == ("pretrain-gang", {"nodes": "4", "hosts": hosts})
    read = variables(objects)
    assert read["MESH_NODES"] == {"configMapKeyRef": {"name": "pretrain-gang", "key": "nodes"}}
    assert read["MESH_HOSTS"] == {"configMapKeyRef": {"name": "pretrain-gang", "key": "hosts"}}
    assert read["MESH_LEADER"] == "pretrain-0.pretrain"
    job = objects["workload/pretrain:job"]
    assert job.manifest["metadata"]["annotations"]["meshctl.dev/elastic"] == "2 to 4 nodes"
    assert (job.manifest["spec"]["completions"], job.ignore_changes) == (4, ())
    assert "workload/pretrain:gang" in job.depends_on
    assert "MESH_HOSTS" not in variables(of(elastic()))  # named nowhere


def test_while_a_shift_has_its_nodes_the_engine_leaves_the_size_alone() -> None:
    objects = of(elastic().shifted((), (), {"pretrain": 3}))
    job, sizes = objects["workload/pretrain:job"], objects["workload/pretrain:gang"]
    assert (job.manifest["spec"]["completions"], job.manifest["spec"]["parallelism"]) == (3, 3)
    assert {"spec.completions", "spec.parallelism"} < {*job.ignore_changes}
    assert (sizes.manifest["data"]["nodes"], sizes.ignore_changes) == ("3", ("data",))


def test_another_gang_has_no_such_object() -> None:
    objects = of(elastic(least_nodes=0))
    assert "workload/pretrain:gang" not in objects
    assert variables(objects)["MESH_NODES"] == "4"
    assert objects["workload/pretrain:job"].manifest["metadata"].get("annotations") is None

"""Which pods stay on their nodes where a pool may get smaller, and which service would be gone meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Resolution
from meshctl.model.keys import evictions
from tests.unit.resolve.meshes import AWS, resolved
from tests.unit.resolve.test_resolve_fit import service

RANGE, FIXED = {"min": 2, "max": 4}, 2


def of(nodes: Any, kind: str, pool: dict[str, Any] | None = None, **workload: Any) -> Resolution:
    declared = {**service(1, kind), **workload}
    if kind == "training":
        declared.pop("replicas", None)
    overridden = {"annotations": declared.pop("annotations")} if "annotations" in declared else {}
    environment = {**AWS, "workloads": {"fit": overridden}} if overridden else AWS
    pools = {"p": {"nodes": nodes, **(pool or {"cpu": {"cores": 16}})}}
    resolution = resolved(pools, environment, workloads={"fit": declared})
    assert resolution.deployment is not None, resolution.gaps
    return resolution


def notes(resolution: Resolution) -> list[str]:
    return [each for each in resolution.notes if "node autoscalers from evicting" in each or "may evict it" in each]


@pytest.mark.parametrize("kind", ["training", "batch"])
def test_jobs_stay_where_they_run(kind: str) -> None:
    resolution = of(RANGE, kind)
    assert resolution.deployment is not None
    assert resolution.deployment.workload("fit").stays_on_node
    (note,) = notes(resolution)
    assert all(key in note for key in evictions.STAYING)


@pytest.mark.parametrize("kind", ["training", "batch", "inference"])
def test_in_a_pool_with_a_fixed_number_of_nodes_nothing_is_said(kind: str) -> None:
    resolution = of(FIXED, kind)
    assert resolution.deployment is not None
    assert not resolution.deployment.workload("fit").stays_on_node
    assert notes(resolution) == []


def test_what_serves_may_move_and_its_only_pod_is_missed() -> None:
    resolution = of(RANGE, "inference", replicas=1)
    assert resolution.deployment is not None
    assert not resolution.deployment.workload("fit").stays_on_node
    (note,) = notes(resolution)
    assert "raise `replicas`, or its `min`, to at least 2" in note


@pytest.mark.parametrize(
    "workload",
    [
        {"replicas": 2},
        {"replicas": 1, "resources": {"cpu": 12, "memory": "1GiB"}},
        {"replicas": 1, "annotations": {evictions.SAFE: "false"}},
    ],
    ids=["another answers", "half of the node", "the user has said it"],
)
def test_what_is_not_missed_is_not_mentioned(workload: dict[str, Any]) -> None:
    assert notes(of(RANGE, "inference", **workload)) == []


@pytest.mark.parametrize(("accelerators", "count"), [(8, 0), (4, 0), (3, 1)])
def test_of_a_node_with_gpus_only_these_count(accelerators: int, count: int) -> None:
    pool = {"accelerator": {"model": "H100", "count": 8}}
    wanted = {"replicas": 1, "resources": {"accelerators": accelerators}}
    assert len(notes(of(RANGE, "inference", pool, **wanted))) == count

"""A job in a queue of Kueue starts only where there is Kueue."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Resolution
from meshctl.model.observed import Facts
from tests.unit.resolve.meshes import AWS, DC, gap, node, resolved
from tests.unit.resolve.test_resolve_fit import service

WEB = {"p": {"nodes": 1, "cpu": {"cores": 16}}}
QUEUE = {"workloads": {"prep": {"queue": "research"}}}
NODES = (node("web-0"),)


def with_queue(environment: dict[str, Any], facts: Facts | None = None) -> Resolution:
    return resolved(WEB, {**environment, **QUEUE}, facts=facts, workloads={"prep": service(1, "batch")})


def test_without_kueue_in_the_cluster_the_job_would_never_start() -> None:
    found = gap(with_queue(DC, Facts(nodes=NODES, has_kueue=False)), "workload/prep")
    assert (found.wanted, found.best) == ("the queue research of Kueue", "the cluster has no Kueue")
    for facts in (Facts(nodes=NODES, has_kueue=True), Facts(nodes=NODES)):
        assert with_queue(DC, facts).gaps == ()


def test_a_cluster_that_meshctl_makes_has_no_kueue_of_ours() -> None:
    found = with_queue(AWS)
    assert found.deployment is not None
    assert found.deployment.workload("prep").queue == "research"
    assert any("waits until you have installed Kueue" in note for note in found.notes)


def test_a_queue_for_all_is_one_for_jobs() -> None:
    workloads = {"prep": service(1, "batch"), "chat": service(1)}
    both = {"workloads": {"*": {"queue": "genai"}, "prep": {"queue": "research"}}}
    found = resolved(WEB, {**AWS, **both}, workloads=workloads).deployment
    assert found is not None
    assert [(each.name, each.queue) for each in found.workloads] == [("prep", "research"), ("chat", "")]

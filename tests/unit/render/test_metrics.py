"""`metrics` of a workload: its pods say where Prometheus finds their numbers; pods without it stay as they were."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.changes.fields import fields
from meshctl.changes.steps import PropertyChange, Step
from meshctl.model.deployment import Deployment, Health, Metrics
from tests.unit.render.sample import sample


def pod_metadata(deployment: Deployment, workload: str) -> dict[str, Any]:
    objects = {item.name: item for item in render.platform_objects(deployment)}
    kind = next(kind for kind in ("deployment", "statefulset", "job") if f"workload/{workload}:{kind}" in objects)
    metadata: dict[str, Any] = objects[f"workload/{workload}:{kind}"].manifest["spec"]["template"]["metadata"]
    return metadata


def with_metrics(deployment: Deployment, workload: str, metrics: Metrics) -> Deployment:
    workloads = tuple(
        each.model_copy(update={"metrics": metrics}) if each.name == workload else each for each in deployment.workloads
    )
    return deployment.model_copy(update={"workloads": workloads})


@pytest.mark.parametrize("provider", ["aws", "coreweave", "onprem"])
def test_pods_carry_the_annotations_that_collectors_look_for(provider: Any) -> None:
    before = sample(provider)
    workload = next(each for each in before.workloads if each.ports)
    name, port = next(iter(workload.ports.items()))
    after = with_metrics(before, workload.name, Metrics(port=name, path="/stats"))
    annotations = pod_metadata(after, workload.name)["annotations"]
    assert {key: value for key, value in annotations.items() if key.startswith("prometheus.io/")} == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/stats",
    }
    others = [each.name for each in before.workloads if each.name != workload.name]
    assert [pod_metadata(after, each) for each in others] == [pod_metadata(before, each) for each in others]


@pytest.mark.parametrize(
    ("metrics_port", "protocol", "scheme"),
    [("http", "https", "https"), ("http", "http", None), ("admin", "https", None)],
)
def test_metrics_on_the_port_that_answers_health_by_https_are_read_by_https(
    metrics_port: str, protocol: Any, scheme: str | None
) -> None:
    given = sample("aws")
    name = next(each.name for each in given.workloads if not each.is_job)
    health = Health(path="/health", port="http", protocol=protocol)
    fields = {
        "ports": {"http": 8080, "admin": 9090},
        "health": health,
        "metrics": Metrics(port=metrics_port, path="/m"),
    }
    workloads = tuple(w.model_copy(update=fields) if w.name == name else w for w in given.workloads)
    annotations = pod_metadata(given.model_copy(update={"workloads": workloads}), name)["annotations"]
    assert annotations.get("prometheus.io/scheme") == scheme


def test_a_plan_calls_them_metrics() -> None:
    def template(port: str) -> dict[str, Any]:
        annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": port, "prometheus.io/path": "/metrics"}
        annotations["prometheus.io/scheme"] = "https"
        return {"spec": {"template": {"metadata": {"annotations": annotations}}}}

    bare: dict[str, Any] = {"spec": {"template": {"metadata": {}}}}
    first = (PropertyChange("spec.template.metadata.annotations"),)
    step = Step("urn:w", "kubernetes:apps/v1:Deployment", "update", bare, template("9000"), first)
    assert [change.text() for change in fields(step)] == [
        "metrics path none -> /metrics",
        "metrics port none -> 9000",
        "metrics scheme none -> https",
    ]

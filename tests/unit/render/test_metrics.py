"""`metrics` of a workload: its pods say where Prometheus finds their numbers; pods without it stay as they were."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.changes.fields import fields
from meshctl.changes.steps import PropertyChange, Step
from meshctl.model.deployment import Deployment, Health, Metrics
from meshctl.model.observed import Facts
from meshctl.model.served_apis import POD_MONITOR
from tests.unit.render.sample import sample
from tests.unit.resolve.meshes import DC, node, resolved


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


# PodMonitors, where the cluster was seen to know them

SERVED = Facts(nodes=(node("n1"),), served_apis=(POD_MONITOR,))
SERVING = {"kind": "inference", "pool": "p", "image": "i", "ports": {"http": 8000, "numbers": 9000}}


def objects_of(facts: Facts | None, **workload: Any) -> dict[str, dict[str, Any]]:
    resolution = resolved({"p": {"nodes": 1}}, DC, facts, workloads={"w": {**SERVING, **workload}})
    assert resolution.deployment is not None, resolution.gaps
    return {item.name: item.manifest for item in render.platform_objects(resolution.deployment)}


def test_a_cluster_that_knows_pod_monitors_gets_one_and_nothing_else_changes() -> None:
    metrics = {"port": "numbers", "path": "/stats"}
    before = objects_of(Facts(nodes=SERVED.nodes), metrics=metrics)
    after = objects_of(SERVED, metrics=metrics)
    monitor = after.pop("workload/w:pod-monitor")
    assert after == before
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "numbers", "path": "/stats"}
    template = after["workload/w:deployment"]["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]


def test_metrics_by_https_are_scraped_by_https() -> None:
    health = {"path": "/health", "port": "http", "protocol": "https"}
    monitor = objects_of(SERVED, metrics={"port": "http"}, health=health)["workload/w:pod-monitor"]
    assert monitor["spec"]["podMetricsEndpoints"][0]["scheme"] == "https"


def test_without_metrics_or_offline_there_is_no_pod_monitor() -> None:
    assert "workload/w:pod-monitor" not in objects_of(SERVED)
    assert "workload/w:pod-monitor" not in objects_of(None, metrics={"port": "http"})


def test_a_pod_monitor_has_the_labels_that_the_environment_gives_its_workload() -> None:
    environment = {**DC, "workloads": {"w": {"labels": {"release": "prometheus"}}}}
    workloads = {"w": {**SERVING, "metrics": {"port": "http"}}}
    deployment = resolved({"p": {"nodes": 1}}, environment, SERVED, workloads=workloads).deployment
    assert deployment is not None
    monitor = next(item for item in render.platform_objects(deployment) if item.kind == "PodMonitor")
    assert monitor.manifest["metadata"]["labels"]["release"] == "prometheus"

"""The words of `health` as a kubelet's probes, and how long pods are waited for."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Deployment, Health, Provider
from meshctl.model.mesh import Mesh
from meshctl.render.pod import probes
from meshctl.resolve.work import workloads
from tests.unit.render.sample import sample
from tests.unit.render.test_render_stability import ENVIRONMENTS

PROVIDERS: tuple[Provider, ...] = ("aws", "coreweave", "onprem", "kubernetes")


def resolved(health: dict[str, Any]) -> Health:
    """What a mesh with this section means."""
    workload = {"kind": "service", "pool": "p", "image": "i", "ports": {"http": 8000}, "health": health}
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": {"p": {"nodes": 1}}}
    made = Mesh.model_validate({**mesh, "workloads": {"w": workload}})
    (found,) = workloads.resolve(made, ENVIRONMENTS.environments["dc"])
    assert found.health is not None
    return found.health


def with_health(provider: Provider, health: Health | None, **update: Any) -> Deployment:
    deployment = sample(provider)
    changed = tuple(
        w.model_copy(update={"health": health, **update}) if w.name == "chat" else w for w in deployment.workloads
    )
    return deployment.model_copy(update={"workloads": changed})


def server(deployment: Deployment) -> dict[str, Any]:
    kinds = ("Deployment", "StatefulSet")
    objects = render.platform_objects(deployment)
    return next(i.manifest for i in objects if i.subject == "workload/chat" and i.kind in kinds)


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("given", "ready", "alive"),
    [
        (
            {"path": "/health"},
            {"httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"}},
            {"httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"}},
        ),
        (
            {"path": "/ready", "protocol": "https", "live": "/live"},
            {"httpGet": {"path": "/ready", "port": 8000, "scheme": "HTTPS"}},
            {"httpGet": {"path": "/live", "port": 8000, "scheme": "HTTPS"}},
        ),
        ({"protocol": "grpc"}, {"grpc": {"port": 8000}}, {"grpc": {"port": 8000}}),
        ({"protocol": "tcp"}, {"tcpSocket": {"port": 8000}}, {"tcpSocket": {"port": 8000}}),
        ({}, {"tcpSocket": {"port": 8000}}, {"tcpSocket": {"port": 8000}}),
        ({"protocol": "http"}, {"tcpSocket": {"port": 8000}}, {"tcpSocket": {"port": 8000}}),
    ],
)
def test_each_protocol_is_asked_by_the_probe_of_its_kind(
    provider: Provider, given: dict[str, Any], ready: dict[str, Any], alive: dict[str, Any]
) -> None:
    rendered = container(server(with_health(provider, resolved({"port": "http", **given}))))
    assert rendered["startupProbe"] == {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 360}
    assert rendered["readinessProbe"] == {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3}
    assert rendered["livenessProbe"] == {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}


@pytest.mark.parametrize(
    ("startup", "failures", "one_pod_s", "both_pods_s"),
    [("100m", 1200, 6600, 12600), ("24h", 17280, 87000, 173400), ("30m", 360, 2400, 2400), ("61s", 13, 2400, 2400)],
)
def test_everything_waits_as_long_as_a_start_may_take(
    startup: str, failures: int, one_pod_s: int, both_pods_s: int
) -> None:
    health = resolved({"port": "http", "path": "/health", "startup": startup})
    manifest = server(with_health("aws", health, replicas=2))
    assert container(manifest)["startupProbe"]["failureThreshold"] == failures
    assert manifest["spec"]["progressDeadlineSeconds"] == one_pod_s
    assert manifest["metadata"]["annotations"]["pulumi.com/timeoutSeconds"] == str(both_pods_s)


@pytest.mark.parametrize(("staging_s", "one_pod_s", "both_pods_s"), [(0, 2400, 2400), (8797, 11197, 21794)])
def test_b7_what_is_copied_before_the_start_has_its_time(staging_s: int, one_pod_s: int, both_pods_s: int) -> None:
    deployment = with_health("aws", resolved({"port": "http", "path": "/health"}), replicas=2, staging_s=staging_s)
    manifest = server(deployment)
    assert manifest["spec"]["progressDeadlineSeconds"] == one_pod_s
    assert manifest["metadata"]["annotations"]["pulumi.com/timeoutSeconds"] == str(both_pods_s)
    assert container(manifest)["startupProbe"]["failureThreshold"] == 360  # which begins after the copy


def test_without_health_nothing_is_asked_and_the_waits_are_those_of_the_default() -> None:
    deployment = with_health("aws", None)
    manifest = server(deployment)
    assert not [key for key in container(manifest) if key.endswith("Probe")]
    assert manifest["spec"]["progressDeadlineSeconds"] == 2400
    assert probes.rollout_s(deployment.workload("chat")) == 2400


def test_what_earlier_versions_wrote_is_written_in_the_same_bytes() -> None:
    assert resolved({"port": "http", "path": "/health"}).model_dump() == {"path": "/health", "port": "http"}
    same = resolved({"port": "http", "path": "/health", "protocol": "http", "startup": "30m"})
    assert same.model_dump() == {"path": "/health", "port": "http"}

"""A field of `pod` in environments.yaml that the cluster does not know is named, and nothing else is refused for it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards import pod_fields
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import client_of
from tests.unit.states import NOTHING, state

MISTYPED = {"hostNetwrk": True, "dnsConfig": {"searches": ["a"]}}


class Cluster:
    """Knows no field of these names, and answers in the words of an API server."""

    def __init__(self, *unknown: str, otherwise: int = 409) -> None:
        self.unknown = unknown
        self.otherwise = otherwise
        self.requests: list[Request] = []

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def send(self, request: Request) -> Any:
        self.requests.append(request)
        kind, spec = request.body["kind"], request.body["spec"]
        templates = {"": spec}
        if kind == "LeaderWorkerSet":
            of_groups = spec["leaderWorkerTemplate"]
            templates = {
                f"leaderWorkerTemplate.{name}.": {"template": of_groups[name]}
                for name in ("leaderTemplate", "workerTemplate")
            }
        fields = [
            f'unknown field "spec.{place or "template."}spec.{name}"'
            for place, template in templates.items()
            for name in self.unknown
            if name in template["template"]["spec"]
        ]
        if fields:
            text = f'{kind} in version "v1" cannot be handled as a {kind}: strict decoding error: {", ".join(fields)}'
            raise ApiError(400, text, reason="BadRequest")
        raise ApiError(self.otherwise, "whatever comes after the object was read")


def overriding(pod: dict[str, Any], workload: str = "chat") -> Deployment:
    made = deployment("dc1")
    workloads = tuple(w.model_copy(update={"pod": pod}) if w.name == workload else w for w in made.workloads)
    return made.model_copy(update={"workloads": workloads})


def up(deployed: Deployment) -> StackState:
    urn = "urn:pulumi:dc1::llm-prod::pulumi:pulumi:Stack::llm-prod-dc1"
    outputs = {"deployment": deployed.model_dump(mode="json")}
    return state({"urn": urn, "type": "pulumi:pulumi:Stack", "outputs": outputs})


@pytest.mark.parametrize("workload", ["chat", "pretrain"])
def test_a_mistyped_field_is_named(monkeypatch: pytest.MonkeyPatch, workload: str) -> None:
    cluster = Cluster("hostNetwrk")
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    with pytest.raises(UsageError, match=f"workload/{workload}: pods have no field hostNetwrk") as caught:
        pod_fields.check(overriding(MISTYPED, workload), NOTHING)
    assert "`workloads." in caught.value.why
    assert "of dc1 in environments.yaml sets" in caught.value.why
    assert all(each.query == {"dryRun": "All", "fieldValidation": "Strict"} for each in cluster.requests)


def test_a_mistyped_field_of_a_leader_worker_set_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(Cluster("hostNetwrk")))
    made = overriding(MISTYPED)
    groups = {"nodes_per_replica": 2}
    workloads = tuple(w.model_copy(update=groups) if w.name == "chat" else w for w in made.workloads)
    made = made.model_copy(update={"workloads": workloads, "has_group_controller": True})
    assert [each["kind"] for each in render.workload_manifests(made, made.workload("chat"))] == ["LeaderWorkerSet"]
    with pytest.raises(UsageError, match=r"workload/chat: pods have no field hostNetwrk$"):
        pod_fields.check(made, NOTHING)


@pytest.mark.parametrize("otherwise", [403, 404, 409, 422, 500])
def test_what_the_cluster_knows_is_left_to_the_preview(monkeypatch: pytest.MonkeyPatch, otherwise: int) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(Cluster(otherwise=otherwise)))
    pod_fields.check(overriding(MISTYPED), NOTHING)


def test_a_field_of_meshctl_s_own_that_an_old_cluster_lacks_is_not_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(Cluster("tolerations", "nodeSelector")))
    pod_fields.check(overriding(MISTYPED), NOTHING)


def test_what_is_up_is_not_asked_about_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: ClusterAccess) -> None:
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr(ClusterAccess, "client", nobody)
    pod_fields.check(overriding(MISTYPED), up(overriding(MISTYPED)))
    pod_fields.check(deployment("dc1"), NOTHING)


def test_a_cluster_that_does_not_exist_yet_is_not_asked() -> None:
    made = deployment("aws-east")
    workloads = tuple(each.model_copy(update={"pod": MISTYPED}) for each in made.workloads)
    pod_fields.check(made.model_copy(update={"workloads": workloads}), NOTHING)

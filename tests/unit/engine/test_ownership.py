"""When live objects are looked at, and when there is nothing to look at; what a user may name to be taken over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pulumi import automation

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects, ownership
from meshctl.deploy.fields.field_owners import FieldConflict, Manager
from meshctl.deploy.fields.field_rules import REPLICAS, Decision, Verdict
from meshctl.deploy.fields.ownership import Ownership
from meshctl.engine.workspace import EngineStack
from meshctl.errors import CredentialsError, UsageError
from meshctl.model.deployment import Cluster, Deployment
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.states import NOTHING, state

CHAT = "workload/chat:deployment"
TOKEN = "kubernetes:apps/v1:Deployment"
STATE = state({"urn": f"urn:pulumi:dc1::llm-prod::{TOKEN}::{CHAT}", "type": TOKEN})


def on_prem(tmp_path: Path) -> Deployment:
    return deployment("dc1", cluster=Cluster(name="dc1", kubeconfig=str(tmp_path / "kubeconfig")))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that are asked for, at a cluster that has none of them."""
    names: list[str] = []

    def read(_client: Any, wanted: Any, *_: Any) -> dict[Any, Any]:
        names.extend(ref.name for ref in wanted)
        return {}

    monkeypatch.setattr(live_objects, "read", read)
    monkeypatch.setattr(live_objects, "autoscalers", lambda *_: {})
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({})))
    return names


def test_only_what_the_state_has_is_looked_at(looked_at: list[str], tmp_path: Path) -> None:
    """Somebody else's object of the same name is no business of ours."""
    assert ownership.read_ownership(on_prem(tmp_path), STATE).decisions == ()
    assert looked_at == ["chat"]


def test_before_the_first_up_nothing_is_looked_at(looked_at: list[str], tmp_path: Path) -> None:
    assert ownership.read_ownership(on_prem(tmp_path), NOTHING) == Ownership("dc1")
    assert ownership.read_ownership(deployment("aws-east"), STATE) == Ownership(
        "aws-east"
    )  # the cluster is not known yet
    assert looked_at == []


def test_a_cluster_that_can_not_be_asked_is_never_one_without_its_objects(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError):
        ownership.read_ownership(on_prem(tmp_path), STATE)


def test_what_is_to_be_taken_over_must_be_of_the_mesh() -> None:
    given = ("workload/chat:.spec.replicas", "storage/weights", "workload/chat")
    with pytest.raises(UsageError, match="the mesh has no storage/weights"):
        ownership.checked_take_over(given, deployment("dc1"))
    with pytest.raises(UsageError, match='the mesh has no workload/caht; did you mean "workload/chat"'):
        ownership.checked_take_over(["workload/caht:.spec.replicas"], deployment("dc1"))
    assert ownership.checked_take_over(["workload/chat"], deployment("dc1")) == ("workload/chat",)
    assert ownership.checked_take_over([], deployment("dc1")) == ()
    without = deployment("dc1").model_copy(update={"workloads": (), "endpoints": ()})
    with pytest.raises(UsageError, match="the mesh has no workload/chat"):
        ownership.checked_take_over(["workload/chat"], without)
    assert ownership.checked_take_over(["workload/chat"], without, deployment("dc1")) == ("workload/chat",)


def test_a_preview_holds_what_up_sets_by_itself_and_up_only_what_stays() -> None:
    def decision(resource: str, path: tuple[str, ...], verdict: Verdict) -> Decision:
        conflict = FieldConflict(resource, "Job", "x", path, (Manager("kubectl", "Update"),), 3, 2)
        return Decision(conflict, verdict, "kubectl")

    job = ("f:spec", "f:parallelism")
    found = Ownership(
        "dc1",
        (
            decision("workload/a:deployment", REPLICAS, Verdict.LEAVE),
            decision("workload/b:job", job, Verdict.SET),
            decision("workload/c:deployment", REPLICAS, Verdict.TAKE_OVER),
        ),
    )
    assert found.kept_values(preview=False) == {"held workload/a:deployment spec.replicas": 3}
    assert found.kept_values(preview=True) == {
        "held workload/a:deployment spec.replicas": 3,
        "held workload/b:job spec.parallelism": 3,
    }
    assert found.resources_with_left_fields == {"workload/a:deployment"}


def test_only_a_preview_takes_over_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = EngineStack.__new__(EngineStack)
    stack.workspace = cast("automation.Workspace", SimpleNamespace(env_vars={"A": "b"}))
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(automation.Stack, "preview", lambda *_, **__: seen.append({**stack.workspace.env_vars}))
    stack.preview()
    assert seen[0].items() >= {"A": "b", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true"}.items()
    assert stack.workspace.env_vars == {"A": "b"}

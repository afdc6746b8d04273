"""`restart` runs a job with the values that its Secrets have now, and touches nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from meshctl import render
from meshctl.changes.steps import resource_name
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.jobs.job_reruns import secrets_of
from meshctl.deploy.session import Session
from meshctl.engine.command import PulumiProgram
from meshctl.engine.run import StackRun
from meshctl.engine.workspace import EngineStack
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Provider
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackState
from tests.unit.render.sample import sample

ENVIRONMENTS = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {"coreweave-1": {"provider": "kubernetes", "kubernetes": {"kubeconfig": "config"}}},
}
URN = "urn:pulumi:coreweave-1::m::"
TYPES = {"Job": "kubernetes:batch/v1:Job", "Secret": "kubernetes:core/v1:Secret"}


def with_secrets(provider: Provider = "coreweave") -> Deployment:
    given = sample(provider)
    secrets = {"secrets": {"TOKEN": "token"}, "image_pull_secrets": ("ghcr",)}
    return given.model_copy(
        update={"workloads": tuple(w.model_copy(update=secrets) if w.is_job else w for w in given.workloads)}
    )


def state(deployment: Deployment, without: str = "") -> dict[str, Any]:
    objects = [item for item in render.platform_objects(deployment) if item.name != without]
    types = {item.name: TYPES.get(item.kind, "kubernetes:core/v1:ConfigMap") for item in objects}
    return {"resources": [{"type": type_, "urn": f"{URN}{type_}::{name}"} for name, type_ in types.items()]}


def names(urns: list[str]) -> list[str]:
    return [resource_name(urn) for urn in urns]


class Stack:
    """Keeps what an `up` is to set, and to make anew."""

    name = "coreweave-1"

    def __init__(self, state: dict[str, Any]) -> None:
        self.deployment = state
        self.target: list[str] = []
        self.replace: list[str] = []
        self.read_state: Callable[[], StackState] = StackState  # what its program reads

    def exported(self, **_: Any) -> dict[str, Any]:
        return {"deployment": self.deployment}

    def up(self, *, target: list[str], replace: list[str], **_: Any) -> None:
        self.target, self.replace = target, replace


def restarted(
    workload: str, deployment: Deployment, before: dict[str, Any], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Stack:
    stack = Stack(before)
    run = StackRun(cast("EngineStack", stack), PulumiProgram(lambda: Path("pulumi"), "3.259.0"))
    monkeypatch.setattr(cluster_identity, "declared_cluster_uid", lambda _: "")
    monkeypatch.setattr(cluster_identity, "check_change", lambda *_: None)

    def environment_run(*given: Any, **_: Any) -> StackRun:
        stack.read_state = given[3]
        return run

    monkeypatch.setattr(Session, "environment_run", environment_run)
    Session(folder, "m", Environments.model_validate(ENVIRONMENTS)).rerun_job(deployment, workload)
    return stack


def test_a_rotated_secret_reaches_the_job_that_runs_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deployment = with_secrets()
    stack = restarted("pretrain", deployment, state(deployment), monkeypatch, tmp_path)
    assert names(stack.replace) == ["workload/pretrain:job"]
    assert sorted(names(stack.target)) == [
        "platform:object-storage",
        "platform:registry-ghcr",
        "workload/pretrain:job",
        "workload/pretrain:secrets",
    ]


def test_the_run_has_nothing_of_the_old_job_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its queue of KAI Scheduler, among others, which a run otherwise reads from the Job that is up."""
    deployment = sample("coreweave")
    stack = restarted("pretrain", deployment, state(deployment), monkeypatch, tmp_path)
    declared_from = [each.name for each in stack.read_state().resources]
    assert "workload/embed:job" in declared_from
    assert "workload/pretrain:job" not in declared_from


def test_an_elastic_gang_that_runs_again_has_the_size_that_its_pods_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may have changed in mesh.yaml while a shift had some of its nodes."""
    given = sample("coreweave")
    elastic = tuple(w.model_copy(update={"least_nodes": 1}) if w.name == "pretrain" else w for w in given.workloads)
    deployment = given.model_copy(update={"workloads": elastic})
    stack = restarted("pretrain", deployment, state(deployment), monkeypatch, tmp_path)
    assert "workload/pretrain:gang" in names(stack.target)


def test_a_secret_that_was_never_made_is_no_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deployment = with_secrets()
    before = state(deployment, without="platform:registry-ghcr")
    stack = restarted("embed", deployment, before, monkeypatch, tmp_path)
    assert names(stack.target) == ["workload/embed:secrets", "workload/embed:job"]


def test_what_starts_a_job_after_others_is_made_anew_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The release that has ended was made for the old job, and starts no other one."""
    given = sample("coreweave")
    after = {"pretrain": {"after": ("embed",)}}
    workloads = tuple(w.model_copy(update=after.get(w.name, {})) for w in given.workloads)
    deployment = given.model_copy(update={"workloads": workloads})
    stack = restarted("pretrain", deployment, state(deployment), monkeypatch, tmp_path)
    assert "workload/pretrain:release" in names(stack.target)
    stack = restarted("embed", deployment, state(deployment), monkeypatch, tmp_path)
    assert "workload/pretrain:release" not in names(stack.target)


def test_a_job_that_was_never_made_is_for_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deployment = with_secrets()
    with pytest.raises(UsageError, match="embed has no job in"):
        restarted("embed", deployment, state(deployment, without="workload/embed:job"), monkeypatch, tmp_path)


@pytest.mark.parametrize("provider", ["aws", "onprem", "coreweave"])
def test_only_secrets_that_the_pods_read(provider: Provider) -> None:
    assert secrets_of("workload/embed:job", sample(provider)) == ()
    keys = () if provider == "aws" else ("platform:object-storage",)
    assert secrets_of("workload/pretrain:job", sample(provider)) == keys

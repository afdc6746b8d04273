"""An `up` of some workloads alone: what it has the engine set, and what forbids it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from meshctl.deploy.fields.field_owners import FieldConflict, Manager
from meshctl.deploy.fields.field_rules import Decision, Verdict
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.runs import drift_check, workload_runs
from meshctl.deploy.session import Session
from meshctl.engine.command import PulumiProgram
from meshctl.engine.run import StackRun
from meshctl.errors import OwnedFieldsError
from meshctl.model.environment import Environments
from tests.unit.engine.test_job_reruns import ENVIRONMENTS, names, state
from tests.unit.render.sample import sample

if TYPE_CHECKING:
    from meshctl.engine.workspace import EngineStack


class Stack:
    """Keeps what an `up` is to set."""

    name = "coreweave-1"

    def __init__(self, exported: dict[str, Any]) -> None:
        self.deployment = exported
        self.targets: list[list[str]] = []

    def exported(self, **_: Any) -> dict[str, Any]:
        return {"deployment": self.deployment}

    def up(self, *, target: list[str], **_: Any) -> None:
        self.targets.append(names(target))


def image_of(workload: str) -> Decision:
    """An image that somebody has set with kubectl."""
    path = ("f:spec", "f:template")
    conflict = FieldConflict(f"workload/{workload}:deployment", "Deployment", workload, path, (), "theirs", "ours")
    assert not Manager("kubectl-edit", "Update").is_ours
    return Decision(conflict, Verdict.REFUSE, "kubectl-edit")


def brought_up(monkeypatch: pytest.MonkeyPatch, folder: Path, *decisions: Decision) -> Stack:
    deployment = sample("coreweave")
    stack = Stack(state(deployment))
    run = StackRun(cast("EngineStack", stack), PulumiProgram(lambda: Path("pulumi"), "3.259.0"))
    monkeypatch.setattr(cluster_identity, "declared_cluster_uid", lambda _: "")
    monkeypatch.setattr(cluster_identity, "check_change", lambda *_: None)
    monkeypatch.setattr(drift_check, "read_ownership", lambda *_: Ownership("coreweave-1", decisions))
    monkeypatch.setattr(workload_runs, "read_unchanged_jobs", lambda *_: None)
    monkeypatch.setattr(Session, "environment_run", lambda *_, **__: run)
    Session(folder, "m", Environments.model_validate(ENVIRONMENTS)).up_workloads(deployment, ["chat"])
    return stack


def test_all_objects_of_the_workload_are_set_and_no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (targets,) = brought_up(monkeypatch, tmp_path, image_of("embed")).targets
    assert {"workload/chat:deployment", "workload/chat:service", "workload/chat:service-account"} <= set(targets)
    assert {each.partition(":")[0] for each in targets} == {"workload/chat"}


def test_a_field_of_its_own_that_another_program_has_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(OwnedFieldsError, match="deployment chat"):
        brought_up(monkeypatch, tmp_path, image_of("chat"))

"""The context of a cluster on AWS is there while `up` still waits for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from meshctl.deploy import kubeconfig
from meshctl.deploy.runs import early_context
from meshctl.engine.events import Progress, Recorder
from meshctl.errors import MeshError
from meshctl.model.stack_state import StackOutputs
from stacks.aws.cluster import kubeconfig_text
from tests.unit.deployments import deployment
from tests.unit.states import NOTHING, state

URN = "urn:pulumi:aws-east::m::meshaws:eks:Cluster::cluster:eks"
CLUSTER = {"name": "m-aws-east", "endpoint": "https://eks.example", "certificateAuthority": {"data": "Y2E="}}
AWS = deployment().model_copy(update={"provider": "aws", "environment": "aws-east", "region": "us-east-1"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".meshctl").mkdir()
    return tmp_path


def servers(folder: Path) -> dict[str, str]:
    if not kubeconfig.path(folder).exists():
        return {}
    clusters = yaml.safe_load(kubeconfig.path(folder).read_text())["clusters"]
    return {item["name"]: item["cluster"]["server"] for item in clusters}


def finished(outputs: Mapping[str, Any], op: str = "create", urn: str = URN) -> Any:
    """The engine's event for a resource that is done."""
    state = SimpleNamespace(inputs={}, outputs=outputs, custom=True)
    step = {"keys": None, "detailed_diff": None, "diffs": None, "old": None, "new": state}
    metadata = SimpleNamespace(urn=urn, type=urn.split("::")[2], op=op, **step)
    return SimpleNamespace(resource_pre_event=None, res_outputs_event=SimpleNamespace(metadata=metadata))


def test_it_is_written_when_the_engine_has_made_the_cluster(folder: Path) -> None:
    said: list[Progress] = []
    record = Recorder(early_context.progress_writing_context(AWS, folder, said.append))
    record(finished({}, urn=URN.replace("eks:Cluster::cluster:eks", "iam:Role::cluster:role")))
    assert servers(folder) == {}
    record(finished(CLUSTER))
    assert servers(folder) == {"aws-east": "https://eks.example"}
    context = yaml.safe_load(kubeconfig.path(folder).read_text())["contexts"][0]
    assert context == {
        "name": "aws-east",
        "context": {"cluster": "aws-east", "user": "aws-east", "namespace": AWS.namespace},
    }
    assert [moment.detail for moment in said] == ["cluster:role", "cluster:eks"]


@pytest.mark.parametrize(
    "outputs", [{}, {**CLUSTER, "endpoint": None}, {**CLUSTER, "certificateAuthority": "[secret]"}]
)
def test_a_cluster_that_cannot_be_reached_yet_has_none(folder: Path, outputs: dict[str, Any]) -> None:
    Recorder(early_context.progress_writing_context(AWS, folder, None))(finished(outputs))
    assert servers(folder) == {}


def test_elsewhere_none_is_written(folder: Path) -> None:
    elsewhere = AWS.model_copy(update={"provider": "coreweave"})
    assert early_context.progress_writing_context(elsewhere, folder, None) is None


def test_a_context_that_cannot_be_written_fails_no_run(folder: Path) -> None:
    kubeconfig.path(folder).mkdir()
    Recorder(early_context.progress_writing_context(AWS, folder, None))(finished(CLUSTER))


def test_the_next_up_after_a_kill_begins_with_it(folder: Path) -> None:
    made = state({"type": "meshaws:eks:Cluster", "urn": URN, "outputs": CLUSTER})
    run = cast("Any", SimpleNamespace(name="aws-east", outputs=StackOutputs))
    with early_context.context_written_around_up(AWS, folder, NOTHING, run):
        assert servers(folder) == {}
    with early_context.context_written_around_up(AWS, folder, made, run):
        assert servers(folder) == {"aws-east": "https://eks.example"}


def test_after_a_failure_it_is_there(folder: Path) -> None:
    Recorder(early_context.progress_writing_context(AWS, folder / "made", None))(finished(CLUSTER))  # no such folder
    made = kubeconfig_text(AWS, name="m", endpoint="https://eks.example", authority="Y2E=")
    run = cast("Any", SimpleNamespace(name="aws-east", outputs=lambda: StackOutputs({"kubeconfig": made})))
    with pytest.raises(MeshError, match="failed"), early_context.context_written_around_up(AWS, folder, NOTHING, run):
        raise MeshError("failed")
    assert servers(folder) == {"aws-east": "https://eks.example"}

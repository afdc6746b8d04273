"""A gang that a shift has made smaller goes on with the Job that it has: what its pods need stays."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running.pods import small_gangs
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Mount
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.engine.job_meshes import changed

SMALL = {"pretrain": 3}
NEEDS: dict[str, Any] = {
    "secrets": {"HF_TOKEN": "hf-token", "WANDB": "wandb"},
    "secret_files": {"/run/secrets/key": "api-key"},
    "files": {"/prompt.yaml": "a: b\n"},
    "image_pull_secrets": ("ghcr",),
}


def gang(**changes: Any) -> Deployment:
    given = changed("pretrain")
    mounts = (Mount(storage="shared", kind="filesystem", path="/data"), *given.workload("pretrain").mounts)
    fields = {"replicas": 4, "least_nodes": 2, "mounts": mounts, **NEEDS, **changes}
    return changed("pretrain", **fields).shifted((), (), SMALL)


def up(deployed: Deployment) -> StackState:
    """What is up, with values of secrets that nobody may read."""
    resources = []
    for item in render.platform_objects(deployed):
        type_ = f"kubernetes:{item.manifest['apiVersion']}:{item.kind}"
        inputs = {key: value for key, value in item.manifest.items() if key != "stringData"}
        resources.append({"type": type_, "urn": f"urn:pulumi:e::m::{type_}::{item.name}", "inputs": inputs})
    return states.state(*resources)


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"secrets": {"HF_TOKEN": "hf-token"}}, "the Secret pretrain-secrets with WANDB"),
        ({"secrets": {}, "secret_files": {}}, "the Secret pretrain-secrets with HF_TOKEN"),
        ({"secret_files": {}}, "the Secret pretrain-secrets with "),
        ({"files": {}}, "the ConfigMap pretrain-files with "),
        ({"files": {"/other.yaml": "a: b\n"}}, "the ConfigMap pretrain-files with "),
        ({"image_pull_secrets": ()}, "the Secret registry-ghcr"),
    ],
)
def test_what_its_pods_need_is_not_deleted(changes: dict[str, Any], lost: str) -> None:
    with pytest.raises(UsageError, match="workload/pretrain runs with fewer nodes") as caught:
        small_gangs.check(gang(**changes), up(gang()))
    assert lost in caught.value.why
    assert "`meshctl shift coreweave-1 --undo` first" in caught.value.hint
    assert "leave in mesh.yaml and environments.yaml what" in caught.value.hint


def test_a_file_system_that_the_mesh_drops_stays_for_it() -> None:
    after = gang(mounts=())
    others = tuple(
        each.model_copy(update={"mounts": tuple(mount for mount in each.mounts if mount.storage != "shared")})
        for each in after.workloads
    )
    after = after.model_copy(update={"workloads": others, "file_systems": ()})
    with pytest.raises(UsageError) as caught:
        small_gangs.check(after, up(gang()))
    assert "the PersistentVolumeClaim shared" in caught.value.why


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": "acme/train:2"},
        {"files": {"/prompt.yaml": "a: c\n"}},
        {"secrets": {**NEEDS["secrets"], "MORE": "x"}},
    ],
)
def test_all_other_changes_wait_for_the_undo(changes: dict[str, Any]) -> None:
    small_gangs.check(gang(**changes), up(gang()))


def test_a_gang_of_its_own_size_is_made_anew_and_what_is_not_ours_is_left_to_others() -> None:
    small_gangs.check(gang(secrets={}).shifted((), (), {}), up(gang()))
    without_ours = StackState(resources=up(gang()).of_type("kubernetes:batch/v1:Job"))
    small_gangs.check(gang(files={}, secrets={}), without_ours)

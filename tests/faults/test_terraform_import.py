"""Terraform's AWS provider takes over all that the example has on AWS, and finds nothing to change.

Another program, written by others against the real AWS, reads every resource back from the lab: what it would change is
a resource that is made unlike what AWS makes, or an answer of the lab that is unlike AWS's.

It runs where terraform is installed and MESHCTL_TERRAFORM_PLUGINS names a folder with its AWS provider, as
`terraform providers mirror DIR` makes one: a test downloads nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.by_hand import Stack
from tests.integration.example_mesh import EXAMPLE, upload_weights
from tests.lab_fixture import RunningLab
from tests.terraform_imports import configuration, imports

TERRAFORM = shutil.which("terraform")
PLUGINS = os.environ.get("MESHCTL_TERRAFORM_PLUGINS", "")
PROVIDER = {"region": "us-east-1", "skip_metadata_api_check": True, "skip_region_validation": True}
REQUIRED = {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.100"}}}

pytestmark = [
    pytest.mark.lab,
    pytest.mark.exhaustive,
    pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed: nothing is imported"),
    pytest.mark.skipif(not PLUGINS, reason="MESHCTL_TERRAFORM_PLUGINS names no folder with terraform's AWS provider"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After `terraform init`, before anything is brought up."""
    folder = tmp_path_factory.mktemp("terraform")
    (folder / "main.tf.json").write_text(json.dumps({"terraform": REQUIRED, "provider": {"aws": PROVIDER}}))
    done = run(folder, "init", "-input=false", "-no-color", f"-plugin-dir={Path(PLUGINS).absolute()}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def mesh(folder: Path, lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    assert folder.exists()  # without the provider nothing is brought up
    made = tmp_path_factory.mktemp("llm-prod")
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns(".meshctl"), dirs_exist_ok=True)
    here = lab.at(made, HF_TOKEN="of-nobody")
    here.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    upload_weights(here, "aws-east", "default")
    here.meshctl("up", "aws-east", "--yes", timeout_s=600)
    yield here
    here.meshctl("destroy", "aws-east", "--yes", "--allow-data-loss", "--confirm", "aws-east", timeout_s=300)


def test_terraform_imports_every_resource_and_plans_no_change(folder: Path, mesh: RunningLab) -> None:
    wanted = imports(Stack(mesh, "llm-prod", "aws-east").resources())
    (folder / "imports.tf.json").write_text(configuration(wanted))
    generated = run(folder, "plan", "-input=false", "-no-color", "-generate-config-out=made.tf", env=mesh.env)
    assert (folder / "made.tf").exists(), generated.stderr
    planned = run(folder, "plan", "-input=false", "-no-color", "-out=plan", env=mesh.env)
    assert planned.returncode == 0, planned.stderr
    shown = json.loads(run(folder, "show", "-json", "plan", env=mesh.env).stdout)
    changes = {each["address"]: each["change"] for each in shown["resource_changes"]}
    assert {each.block()["to"] for each in wanted} == {name for name, each in changes.items() if "importing" in each}
    assert {name: each["actions"] for name, each in changes.items() if each["actions"] != ["no-op"]} == {}


def run(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    assert TERRAFORM is not None
    command = [TERRAFORM, *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=400)

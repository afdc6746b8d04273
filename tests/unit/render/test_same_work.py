"""A finished job is run again when mesh.yaml changes what it runs, and not for what holds in one environment only."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.catalog import load_catalog
from meshctl.deploy.jobs.finished_jobs import unchanged_jobs, with_finished_marks
from meshctl.load import load
from meshctl.migrate.planning.jobs import jobs_with_equal_work
from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackState
from meshctl.resolve import resolve
from tests.unit.engine.job_meshes import state

JOB = """kind: batch, pool: cpu, image: "acme/job:1", args: ["$(TUNING)"], env: {A: mesh},
    before: [{image: "redis:7", env: {STEP: "1"}}]"""
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {cpu: {nodes: 2, cpu: {cores: 4}}}
workloads:
  job: {JOB}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  dc1:
    provider: onprem
    kubernetes: {context: dc1}
    OVERRIDES
  dc2:
    provider: onprem
    kubernetes: {context: dc2}
"""
MIRRORS = "images: {docker.io: mirror/hub}"
VARIABLES = 'workloads: {"*": {env: {TUNING: "1"}}, job: {env: {A: here}}}'
COMPLETE = {"job": JobState("job", "complete")}


def deployment(folder: Path, environment: str, overrides: str = "", job: str = JOB) -> Deployment:
    (folder / "mesh.yaml").write_text(MESH.replace("JOB", job))
    (folder / "environments.yaml").write_text(ENVIRONMENTS.replace("OVERRIDES", overrides))
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    made = resolve(mesh, environments, environment, load_catalog()).deployment
    assert made is not None
    return made


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        MIRRORS,
        VARIABLES,
        'workloads: {job: {pod: {containers: [{name: main, volumeMounts: [{name: x, mountPath: "/x"}]}]}}}',
    ],
)
def test_a_migration_does_not_run_a_job_again_for_what_one_environment_adds(tmp_path: Path, overrides: str) -> None:
    source, target = deployment(tmp_path, "dc1", overrides), deployment(tmp_path, "dc2", overrides)
    assert jobs_with_equal_work(source, target, ["job", "gone"]) == {"job"}
    assert jobs_with_equal_work(target, source, ["job"]) == {"job"}


CHANGES = [("acme/job:1", "acme/job:2"), ("{A: mesh}", "{A: mesh, B: b}"), ("redis:7", "redis:8"), ('"1"', '"2"')]


@pytest.mark.parametrize(("old_text", "new_text"), CHANGES)
@pytest.mark.parametrize("overrides", ["", MIRRORS, VARIABLES])
def test_a_change_of_the_mesh_has_it_run_again(tmp_path: Path, overrides: str, old_text: str, new_text: str) -> None:
    source = deployment(tmp_path, "dc1", overrides)
    changed_job = JOB.replace(old_text, new_text)
    assert jobs_with_equal_work(source, deployment(tmp_path, "dc2", overrides, changed_job), ["job"]) == frozenset()
    assert list(unchanged(deployment(tmp_path, "dc1", overrides, changed_job), state(source))) == []


def unchanged(after: Deployment, before: StackState) -> list[str]:
    return list(unchanged_jobs(after, before, lambda: COMPLETE).paths)


@pytest.mark.parametrize("overrides", [MIRRORS, 'workloads: {"*": {env: {OTHER: "1"}}}'])
def test_an_up_does_not_run_a_finished_job_again_for_what_its_environment_adds(tmp_path: Path, overrides: str) -> None:
    plain, with_overrides = deployment(tmp_path, "dc1"), deployment(tmp_path, "dc1", overrides)
    assert unchanged(with_overrides, state(plain)) == ["job"]
    assert unchanged(plain, state(with_overrides)) == ["job"]
    # the job was left unchanged by the `up` before, so that the state has its older manifest
    assert unchanged(plain, state(plain, ran=with_overrides)) == ["job"]
    marked = with_overrides.finished({"job": "dc2"})
    assert with_finished_marks(plain, state(marked)).marks == {"job": "dc2"}


def test_another_value_of_a_variable_of_the_environment_does_not_run_a_finished_job_again(tmp_path: Path) -> None:
    one, other, mesh_value = (
        deployment(tmp_path, "dc1", overrides) for overrides in (VARIABLES, VARIABLES.replace("here", "there"), "")
    )
    assert unchanged(other, state(one)) == ["job"]
    assert unchanged(other, state(other, ran=one)) == ["job"]
    # a value of mesh.yaml that holds again: said by the plan at once, and not only by the one after it
    assert unchanged(mesh_value, state(one)) == []


def test_the_names_of_variables_of_the_environment_are_in_the_deployment(tmp_path: Path) -> None:
    assert deployment(tmp_path, "dc1", VARIABLES).workload("job").override_env == ("A", "TUNING")
    assert "override_env" not in deployment(tmp_path, "dc1").model_dump_json()

"""Jobs on the lab's on-prem cluster: one that fails, one that has finished, one that saves its work while it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: jobs
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
workloads:
  site: {kind: service, pool: web, replicas: 1, image: "acme/site:1"}
  prep: {kind: batch, pool: web, replicas: 1, image: "ghcr.io/acme/train:1.4", args: [--steps, "2"]}
  fit:
    kind: batch
    pool: web
    replicas: 1
    image: ghcr.io/acme/train:1.4
    command: [sh, -c, "echo no data >&2; exit 1"]
"""
SAVER = """\
apiVersion: meshctl/v1
kind: Mesh
name: saver
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
workloads:
  pretrain:
    kind: training
    pool: web
    nodes: 1
    image: ghcr.io/acme/train:1.4
    command: [sh, -c, "trap 'sleep 18; exit 0' TERM; while :; do sleep 0.2; done"]
    mounts: {checkpoints: {path: /ckpt}}
    checkpoint: {storage: checkpoints, grace: 120s}
storage:
  checkpoints: {kind: object, size: 1GiB}
"""
pytestmark = pytest.mark.lab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def mesh(lab: RunningLab, folder: Path) -> Iterator[RunningLab]:
    (folder / "mesh.yaml").write_text(MESH)
    here = lab.at(folder)
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("destroy", "dc1", "--yes")


def get(here: RunningLab, kind: str, name: str) -> dict[str, Any]:
    space = here.folder.joinpath("mesh.yaml").read_text().partition("name: ")[2].split()[0]
    found: dict[str, Any] = json.loads(here.kubectl("dc1", "get", kind, name, "-n", space, "-o", "json"))
    return found


def uid(here: RunningLab, name: str) -> str:
    return str(get(here, "job", name)["metadata"]["uid"])


def is_(here: RunningLab, name: str, condition: str) -> bool:
    conditions = get(here, "job", name).get("status", {}).get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def edit(here: RunningLab, old: str, new: str) -> None:
    file = here.folder / "mesh.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.exhaustive
def test_a_job_that_failed_is_told_and_one_that_finished_is_run_again_when_asked(mesh: RunningLab) -> None:
    # three retries take more than a minute; under another name than the engine's it would be another program's field
    ours = ("--type=merge", "--field-manager=pulumi-kubernetes-test")
    mesh.kubectl("dc1", "patch", "job", "fit", "-n", "jobs", *ours, "-p", '{"spec": {"backoffLimit": 0}}')
    wait_until(lambda: is_(mesh, "fit", "Failed") and is_(mesh, "prep", "Complete"))
    finished, failed = uid(mesh, "prep"), uid(mesh, "fit")
    mended = mesh.meshctl("up", "dc1", "--yes", check=False)  # the field that was changed above
    assert (mended.returncode, "backoffLimit 3 -> 0" in mended.stdout) == (3, True)
    done = mesh.meshctl("up", "dc1", "--yes", check=False)
    assert done.returncode == 3
    assert "up to date" in done.stdout
    assert "dc1: the job of fit has failed" in done.stderr
    assert "BackoffLimitExceeded" in done.stderr
    assert "no data" in done.stderr
    assert "`meshctl restart fit --env dc1`" in done.stderr
    workloads = {each["name"]: each for each in mesh.json("status", "dc1")["environments"]["dc1"]["workloads"]}
    assert (workloads["fit"]["job"], workloads["prep"]["job"]) == ("failed", "complete")
    assert "no data" in workloads["fit"]["reason"]

    mesh.meshctl("restart", "fit", "--yes")
    assert uid(mesh, "fit") != failed
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout

    edit(mesh, "web", "plain")
    plan = mesh.meshctl("plan", "dc1").stdout
    (change,) = [line for line in plan.splitlines() if " workload/fit " in line]
    assert change.endswith("runs again")
    assert not [line for line in plan.splitlines() if " workload/prep " in line and "note" not in line]
    assert "workload/prep has finished and is left unchanged" in plan
    mesh.meshctl("up", "dc1", "--yes")
    assert uid(mesh, "prep") == finished
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout

    assert "prep runs again in dc1" in mesh.meshctl("restart", "prep", "--env", "dc1").stdout
    assert uid(mesh, "prep") != finished
    wait_until(lambda: is_(mesh, "prep", "Complete"))
    plan = mesh.meshctl("plan", "dc1").stdout
    assert "no changes" in plan
    assert "workload/prep" not in plan
    edit(mesh, '--steps, "2"', '--steps, "3"')
    (change,) = [line for line in mesh.meshctl("plan", "dc1").stdout.splitlines() if " workload/prep " in line]
    assert change.endswith("runs again")
    edit(mesh, '--steps, "3"', '--steps, "2"')

    before = pods(mesh, "site")
    assert "site is rolled in dc1" in mesh.meshctl("restart", "site").stdout
    assert not before & pods(mesh, "site")
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout


def pods(here: RunningLab, workload: str) -> set[str]:
    selector = f"app.kubernetes.io/name={workload}"
    found = here.kubectl("dc1", "get", "pods", "-n", "jobs", "-l", selector, "-o", "json")
    items = json.loads(found)["items"]
    return {pod["metadata"]["uid"] for pod in items if "deletionTimestamp" not in pod["metadata"]}


def test_a_changed_image_and_a_killed_restart_wait_until_the_gang_has_saved(lab: RunningLab, folder: Path) -> None:
    (folder / "mesh.yaml").write_text(SAVER)
    here = lab.at(folder)
    here.meshctl("up", "dc1", "--yes")
    try:
        old = uid(here, "pretrain")
        wait_until(lambda: get(here, "job", "pretrain").get("status", {}).get("ready"))
        edit(here, "train:1.4", "train:1.5")
        here.meshctl("up", "dc1", "--yes")
        assert uid(here, "pretrain") != old
        (container,) = get(here, "job", "pretrain")["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "ghcr.io/acme/train:1.5"
        assert "no changes" in here.meshctl("plan", "dc1").stdout

        old = uid(here, "pretrain")
        wait_until(lambda: get(here, "job", "pretrain").get("status", {}).get("ready"))
        arguments = [sys.executable, "-m", "meshctl.cli.main", "restart", "pretrain", "--yes"]
        with subprocess.Popen(arguments, cwd=here.folder, env=here.env, stderr=subprocess.DEVNULL) as restarting:
            wait_until(lambda: "deletionTimestamp" in get(here, "job", "pretrain")["metadata"])
            restarting.kill()
        here.meshctl("up", "dc1", "--yes")
        assert uid(here, "pretrain") != old
        assert "deletionTimestamp" not in get(here, "job", "pretrain")["metadata"]
        assert "no changes" in here.meshctl("plan", "dc1").stdout
    finally:
        here.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")

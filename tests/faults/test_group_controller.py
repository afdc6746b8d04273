"""Groups of pods that the controller of LeaderWorkerSets keeps: it makes the group of a pod that ends anew, and the
other group serves meanwhile. In a lab of its own, which runs that controller."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.state import Lab
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.lab_fixture import RunningLab, command_line, raise_quotas
from tests.preloaded import CommandLine

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]
LIMIT_S = 300.0

# Each pod serves what it was told of its group. The leader first reads that of its worker, by the name it was given.
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: grouped
pools:
  web: {role: general, nodes: 2, cpu: {cores: 8}}
storage:
  scratch: {kind: local, size: 1GiB}
workloads:
  chat:
    kind: inference
    pool: web
    replicas: 2
    nodes: 2
    image: rclone/rclone:1.75
    command:
      - sh
      - -c
      - |
        echo "$MESH_REPLICA $MESH_RANK $MESH_NODES $MESH_LEADER $MESH_HOSTS" > /scratch/told
        if [ "$MESH_RANK" = 0 ]; then
          until rclone copyurl "http://${MESH_HOSTS#*,}:8080/told" /scratch/worker; do sleep 0.3; done
        fi
        exec rclone serve http --addr "$(MESH_ADDRESS):8080" /scratch
    env: {VERSION: "1"}
    ports: {http: 8080}
    health: {port: http, path: /told}
    mounts: {scratch: {path: /scratch}}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: http}
"""

AWS_EAST = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
"""


@dataclass(frozen=True)
class Pod:
    uid: str
    is_ready: bool
    version: str


@pytest.fixture(scope="module")
def lab_with_controller(tmp_path_factory: pytest.TempPathFactory, command_lines: CommandLine) -> Iterator[RunningLab]:
    root = tmp_path_factory.mktemp("lab") / "root"
    command_line(root, "up", "--group-controller", "cw", "--group-controller", "aws-east")
    raise_quotas(root)
    try:
        yield RunningLab(Lab(root), tmp_path_factory.mktemp("mesh"), command_lines)
    finally:
        command_line(root, "down")


@pytest.fixture
def here(lab_with_controller: RunningLab) -> Iterator[RunningLab]:
    folder = lab_with_controller.folder
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    yield lab_with_controller
    lab_with_controller.meshctl("destroy", "cw", "--yes", check=False)


def pods(here: RunningLab, at: str = "cw") -> dict[str, Pod]:
    chosen = ("--namespace", "grouped", "--selector", "app.kubernetes.io/name=chat", "-o", "json")
    listed = json.loads(here.kubectl(at, "get", "pods", *chosen))["items"]
    return {item["metadata"]["name"]: _pod(item) for item in listed}


def _pod(item: dict[str, Any]) -> Pod:
    conditions = {each["type"]: each["status"] for each in item["status"].get("conditions") or ()}
    env = {each["name"]: each.get("value", "") for each in item["spec"]["containers"][0]["env"]}
    leaves = "deletionTimestamp" in item["metadata"]
    return Pod(item["metadata"]["uid"], conditions.get("Ready") == "True" and not leaves, env["VERSION"])


def told(address: str, file: str = "told") -> list[str]:
    with urllib.request.urlopen(f"http://{address}:8080/{file}", timeout=10) as answer:
        words: list[str] = answer.read().decode().split()
    return words


def wait_until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not look():
        assert time.monotonic() < deadline, f"no {what} in {LIMIT_S:g} s"
        time.sleep(0.2)


def address_of(here: RunningLab) -> str:
    (endpoint,) = here.json("status", "cw")["environments"]["cw"]["endpoints"]
    return str(endpoint["address"])


def test_a_group_is_made_anew_as_a_whole_while_the_other_one_serves(here: RunningLab) -> None:
    here.meshctl("up", "cw", "--yes")
    before = pods(here)
    assert set(before) == {"chat-0", "chat-0-1", "chat-1", "chat-1-1"}
    assert all(pod.is_ready for pod in before.values())
    assert "leaderworkerset" in here.kubectl("cw", "--namespace", "grouped", "get", "leaderworkersets", "-o", "name")
    address = address_of(here)
    for file, expected_rank in (("told", "0"), ("worker", "1")):  # each request may meet another replica
        replica, rank, nodes, leader, hosts = told(address, file)
        assert (rank, nodes, leader) == (expected_rank, "2", f"chat-{replica}.chat-{replica}")
        assert hosts == f"chat-{replica}.chat-{replica},chat-{replica}-1.chat-{replica}"
    assert here.json("plan", "cw")["changes"] == []  # what the controller adds is nothing to be set back

    here.kubectl("cw", "--namespace", "grouped", "delete", "pod", "chat-0-1", "--wait=false")
    served_by: list[str] = []

    def is_back() -> bool:
        with contextlib.suppress(OSError):
            served_by.append(told(address)[0])
        now = pods(here)
        group = [now.get(name) for name in ("chat-0", "chat-0-1")]
        old = {before[name].uid for name in ("chat-0", "chat-0-1")}
        return all(pod is not None and pod.is_ready and pod.uid not in old for pod in group)

    wait_until(is_back, "new group")
    assert "1" in served_by
    after = pods(here)
    assert all(after[name] == before[name] for name in ("chat-1", "chat-1-1"))

    # a roll-out is over when all groups are new
    mesh = here.folder / "mesh.yaml"
    mesh.write_text(MESH.replace('VERSION: "1"', 'VERSION: "2"'))
    (change,) = here.json("plan", "cw")["changes"]
    assert [(field["path"], field["new"]) for field in change["fields"]] == [("env VERSION", "2")]
    here.meshctl("up", "cw", "--yes")
    rolled = pods(here)
    assert set(rolled) == set(before)
    assert {(pod.version, pod.is_ready) for pod in rolled.values()} == {("2", True)}


def test_it_is_there_only_where_it_was_asked_for(lab_with_controller: RunningLab) -> None:
    log = lab_with_controller.lab.logs / "lws-manager-cw.log"
    assert "starting manager" in log.read_text()
    assert not (lab_with_controller.lab.logs / "lws-manager-dc1.log").exists()
    resources = ("api-resources", "--api-group", "leaderworkerset.x-k8s.io", "-o", "name")
    assert "leaderworkersets" in lab_with_controller.kubectl("cw", *resources)
    assert "leaderworkersets" not in lab_with_controller.kubectl("dc1", *resources)


@pytest.fixture
def on_aws(lab_with_controller: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The first EKS cluster of the lab, in which the controller is as soon as it is there."""
    lab = lab_with_controller.at(tmp_path)
    (tmp_path / "environments.yaml").write_text(AWS_EAST)
    yield lab
    lab.meshctl("destroy", "aws-east", "--yes", timeout_s=600)


def test_groups_that_come_to_a_made_cluster_after_the_controller_are_kept_by_it(on_aws: RunningLab) -> None:
    mesh = MESH[: MESH.index("endpoints:")]
    (on_aws.folder / "mesh.yaml").write_text(mesh[: mesh.index("workloads:")])
    on_aws.meshctl("up", "aws-east", "--yes", timeout_s=600)  # makes the cluster, and asks it nothing before
    (on_aws.folder / "mesh.yaml").write_text(mesh)
    on_aws.meshctl("up", "aws-east", "--yes", timeout_s=600)
    before = pods(on_aws, "aws-east")
    assert set(before) == {"chat-0", "chat-0-1", "chat-1", "chat-1-1"}
    on_aws.kubectl("aws-east", "--namespace", "grouped", "delete", "pod", "chat-0-1", "--wait=false")
    wait_until(lambda: is_anew(before, pods(on_aws, "aws-east")), "new group in the place of chat-0")
    assert on_aws.json("plan", "aws-east")["changes"] == []


def is_anew(before: dict[str, Pod], now: dict[str, Pod]) -> bool:
    """Whether all of the group 0 are other pods, ready, and the others are the same."""
    is_whole = set(now) == set(before) and all(pod.is_ready for pod in now.values())
    changed = {name for name in now if is_whole and now[name].uid != before[name].uid}
    return is_whole and changed == {"chat-0", "chat-0-1"}

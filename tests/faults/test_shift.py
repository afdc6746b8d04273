"""A node of the trainers serves, and goes back: 0 failed requests, no step lost, labels and taints as before.

Each moment of a kill is in memory (`tests/unit/shift`); here one run of each direction is killed (`exhaustive`).
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from meshctl.lab.load import Load
from meshctl.model.deployment import POOL_LABEL
from tests.faults.moved_mesh import Moved
from tests.waiting import wait_until

pytestmark = pytest.mark.lab

SHIFT = ("shift", "dc1", "--from", "train", "--to", "serve", "--nodes", "1")


def nodes(mesh: Moved) -> dict[str, Any]:
    """The whole nodes, but for what others write all the time: their status, version, and who owns which field."""
    items = json.loads(mesh.lab.kubectl("dc1", "get", "nodes", "-o", "json"))["items"]
    return {item["metadata"]["name"]: whole(item) for item in items}


def gang(mesh: Moved) -> list[Any]:
    """The Job of the trainers and the ConfigMap of their size, where there is one, as `nodes`."""
    kinds = ("-n", "faults", "get", "jobs,configmaps", "-l", "app.kubernetes.io/name=pretrain", "-o", "json")
    items = json.loads(mesh.lab.kubectl("dc1", *kinds))["items"]
    return sorted(map(whole, items), key=lambda item: (item["kind"], item["metadata"]["name"]))


def whole(item: dict[str, Any]) -> dict[str, Any]:
    written = ("resourceVersion", "managedFields", "generation")
    metadata = {key: value for key, value in item["metadata"].items() if key not in written}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def pools(mesh: Moved) -> list[str]:
    labels = [node["metadata"]["labels"] for node in nodes(mesh).values()]
    return sorted(each[POOL_LABEL] for each in labels if POOL_LABEL in each)


def one_more_chat(mesh: Moved) -> None:
    """As an autoscaler does: its pod finds no node."""
    mesh.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "3")


def load(mesh: Moved) -> Load:
    dns_server = mesh.lab.env["MESHCTL_DNS_SERVER"]
    return Load("http://chat.example.com:8000/v1/completions", rate=20, dns_server=dns_server).start()


def test_a_node_of_the_trainers_serves_under_load_and_goes_back(moved: Moved) -> None:
    before, trainers = nodes(moved), gang(moved)
    assert [item["kind"] for item in trainers] == ["Job"]
    one_more_chat(moved)
    requests = load(moved)
    try:
        shown = moved.lab.json(*SHIFT, "--dry-run")
        (disturbed,) = shown["disturbs"]
        assert disturbed == {
            "owner": "faults/pretrain",
            "pods": 1,
            "effect": "waits",
            "grace_s": 60,
            "without_room": 0,
        }
        assert nodes(moved) == before
        assert moved.lab.json(*SHIFT, "--yes")["state"] == "in-force"
        in_force(moved)
        stopped_at = moved.chain("dc1")
        assert moved.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    finally:
        result = requests.stop()
    assert result.failed == 0, result.errors
    # a taint of the node controller goes a moment after a node is uncordoned
    wait_until(lambda: nodes(moved) == before)
    assert gang(moved) == trainers
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})
    wait_until(lambda: moved.chain("dc1") > stopped_at)
    moved.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "2")
    assert moved.lab.json("plan", "dc1")["changes"] == []


def in_force(mesh: Moved) -> None:
    """A third chat runs, the trainers wait, and nothing would take the node back."""
    assert pools(mesh) == ["serve", "serve", "serve", "train"]
    status = mesh.lab.json("status", "dc1")["environments"]["dc1"]
    assert {each["name"]: (each["ready"], each["wanted"]) for each in status["pools"]} == {
        "serve": (3, 3),
        "train": (1, 1),
    }
    (trainer,) = [each for each in status["workloads"] if each["name"] == "pretrain"]
    assert (trainer["ready"], trainer["job"]) == (0, "waiting")
    assert "in force" in status["shifts"][0]
    changes = mesh.lab.json("plan", "dc1")["changes"]
    assert [each["subject"] for each in changes if each["subject"] != "workload/chat"] == []
    refused = mesh.lab.meshctl("destroy", "dc1", "--yes", check=False)
    assert refused.returncode == 75
    assert "meshctl shift dc1 --undo" in refused.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("step", ["hold", "checkpoint", "empty", "hand-over", "release", "arrive"])
def test_killed_in_each_step_it_goes_on(moved: Moved, step: str) -> None:
    one_more_chat(moved)
    before = nodes(moved)
    assert killed(moved, f"{step}-intent", *SHIFT, "--yes") == -signal.SIGKILL
    refused = moved.lab.meshctl("up", "dc1", "--yes", check=False)
    assert refused.returncode == 75
    assert moved.lab.json("shift", "dc1", "--resume")["state"] == "in-force"
    assert pools(moved) == ["serve", "serve", "serve", "train"]
    assert killed(moved, "undo.put-back-intent", "shift", "dc1", "--undo") == -signal.SIGKILL
    assert moved.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    wait_until(lambda: nodes(moved) == before)
    moved.chain("dc1")


def killed(mesh: Moved, record: str, *arguments: str) -> int:
    """Run the command, and kill it once the journal holds the record; its exit code."""
    journals = mesh.folder / ".meshctl/state/shifts/faults"
    with mesh.started(*arguments) as command:
        command.wait_until(lambda: list(journals.glob(f"*/*-{record}.json")), f"record {record}")
        command.process.kill()
        return command.ended()


@pytest.mark.exhaustive
def test_an_up_in_force_changes_no_node_and_starts_no_trainer(moved: Moved) -> None:
    one_more_chat(moved)
    moved.lab.meshctl(*SHIFT, "--yes")
    wait_until(lambda: not any(node["spec"].get("taints") for node in nodes(moved).values()))
    shifted = nodes(moved)
    moved.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "2")
    moved.lab.meshctl("up", "dc1", "--yes")
    assert nodes(moved) == shifted
    assert moved.ready("dc1")["pretrain"] == 0
    moved.lab.meshctl("shift", "dc1", "--undo")
    moved.lab.meshctl("up", "dc1", "--yes")
    assert moved.lab.json("plan", "dc1")["changes"] == []
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})


@pytest.mark.exhaustive
def test_a_trainer_that_ignores_its_signal_is_ended_when_its_grace_is_over(moved: Moved) -> None:
    mesh = moved.folder / "mesh.yaml"
    command = "    command: [python, train.py]\n"
    text = mesh.read_text().replace(command, f'{command}    env: {{TRAINER_IGNORE_SIGNAL: "1"}}\n')
    mesh.write_text(text.replace("grace: 60s", "grace: 5s"))
    moved.lab.meshctl("up", "dc1", "--yes")
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})  # the gang is made anew
    before = nodes(moved)
    one_more_chat(moved)
    done = moved.lab.meshctl(*SHIFT, "--yes")
    assert "used its whole grace period of 5 s" in done.stderr
    wait_until(lambda: moved.ready("dc1") == {"chat": 3, "pretrain": 0})
    assert moved.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    wait_until(lambda: nodes(moved) == before)
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})


@pytest.mark.exhaustive
def test_an_elastic_gang_goes_on_with_fewer_ranks_and_grows_back(moved: Moved) -> None:
    mesh = moved.folder / "mesh.yaml"
    mesh.write_text(mesh.read_text().replace("    nodes: 2\n", "    nodes: 2\n    elastic: {min: 1}\n"))
    moved.lab.meshctl("up", "dc1", "--yes")
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})  # the gang is made anew
    one_more_chat(moved)
    before, trainers = nodes(moved), gang(moved)
    assert [item["kind"] for item in trainers] == ["ConfigMap", "Job"]
    requests = load(moved)
    try:
        (disturbed,) = moved.lab.json(*SHIFT, "--dry-run")["disturbs"]
        assert (disturbed["effect"], disturbed["nodes_before"], disturbed["nodes"]) == ("shrinks", 2, 1)
        assert killed(moved, "checkpoint-intent", *SHIFT, "--yes") == -signal.SIGKILL
        assert moved.lab.json("shift", "dc1", "--resume")["state"] == "in-force"
        shrunk_at = moved.chain("dc1")
        wait_until(lambda: moved.ready("dc1") == {"chat": 3, "pretrain": 1})
        wait_until(lambda: moved.chain("dc1") > shrunk_at)
        assert started_with(moved) == ["rank 0 of 1"]
        untouched_while_it_is_small(moved)
        assert killed(moved, "undo.gangs-intent", "shift", "dc1", "--undo") == -signal.SIGKILL
        assert moved.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    finally:
        result = requests.stop()
    assert result.failed == 0, result.errors
    wait_until(lambda: nodes(moved) == before)
    assert gang(moved) == trainers
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})
    wait_until(lambda: started_with(moved) == ["rank 0 of 2", "rank 1 of 2"])  # a pod is ready before it says so
    grown_at = moved.chain("dc1")
    wait_until(lambda: moved.chain("dc1") > grown_at)
    moved.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "2")
    assert moved.lab.json("plan", "dc1")["changes"] == []


def started_with(mesh: Moved) -> list[str]:
    """What each rank that runs has said when it started."""
    running = ("get", "pods", "-l", "app.kubernetes.io/name=pretrain", "--field-selector", "status.phase=Running")
    pods = json.loads(mesh.lab.kubectl("dc1", "-n", "faults", *running, "-o", "json"))["items"]
    folders = (mesh.lab.lab.root / "pods" / pod["metadata"]["uid"] for pod in pods)
    logs = (folder / "main.log" for folder in folders)
    lines = (line for log in logs if log.exists() for line in log.read_text().splitlines())
    return sorted(line.partition(",")[0] for line in lines if "rank " in line)


def untouched_while_it_is_small(mesh: Moved) -> None:
    """An `up` leaves the gang as it is, also where mesh.yaml has another one by now; `restart` is refused."""
    file = mesh.folder / "mesh.yaml"
    text = file.read_text()
    file.write_text(text.replace("[python, train.py]", "[python, train.py, --seed=2]"))
    planned = mesh.lab.json("plan", "dc1")
    assert [each["subject"] for each in planned["changes"] if each["subject"] != "workload/chat"] == []
    assert any("its changes wait for" in note for note in planned["notes"])
    file.write_text(text)
    mesh.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "2")
    mesh.lab.meshctl("up", "dc1", "--yes")
    assert mesh.ready("dc1")["pretrain"] == 1
    refused = mesh.lab.meshctl("restart", "pretrain", "--env", "dc1", "--yes", check=False)
    assert refused.returncode == 64, refused.stderr
    assert "runs with fewer nodes" in refused.stderr

"""A node dies while a shift empties it: its machine is set up anew, or does not answer any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.faults.moved_mesh import Moved
from tests.faults.test_shift import SHIFT, gang, load, nodes, one_more_chat, pools
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

SILENT = "lab.meshctl.dev/silent"
SAVE_S = 8  # how long the trainers take to save: their node dies meanwhile


@pytest.fixture
def saving(moved: Moved) -> Moved:
    """The mesh with a third chat that finds no node, and trainers that take some seconds to save."""
    mesh = moved.folder / "mesh.yaml"
    command = "    command: [python, train.py]\n"
    mesh.write_text(mesh.read_text().replace(command, f'{command}    env: {{TRAINER_SAVE_S: "{SAVE_S}"}}\n'))
    moved.lab.meshctl("up", "dc1", "--yes")
    wait_until(lambda: moved.ready("dc1") == {"chat": 2, "pretrain": 2})  # the gang is made anew
    one_more_chat(moved)
    return moved


@contextmanager
def served(mesh: Moved) -> Iterator[None]:
    """No request fails within the block."""
    requests = load(mesh)
    try:
        yield
    finally:
        result = requests.stop()
    assert result.failed == 0, result.errors
    assert result.requests > 0


def shift_while(mesh: Moved, kill: Callable[[str], object], *arguments: str) -> tuple[str, int, str]:
    """Shift a node, and `kill` it once the trainer on it saves. The node, the exit code, and what the shift said."""
    (node,) = mesh.lab.json(*SHIFT, "--dry-run")["nodes"]
    with mesh.started(*SHIFT, "--yes", *arguments) as shift:
        shift.wait_until(lambda: "saving step" in log_of_rank_on(mesh, node), "save")
        kill(node)
        return node, shift.ended(), shift.said()


def log_of_rank_on(mesh: Moved, node: str) -> str:
    (log,) = [log for name, log in logs_of_ranks(mesh) if name == node]
    return log


def logs_of_ranks(mesh: Moved) -> list[tuple[str, str]]:
    """What each rank has said, with its node."""
    names = ("get", "pods", "-l", "app.kubernetes.io/name=pretrain", "-o", "json")
    ranks = json.loads(mesh.lab.kubectl("dc1", "-n", "faults", *names))["items"]
    files = [(r["spec"].get("nodeName", ""), mesh.lab.lab.root / "pods" / r["metadata"]["uid"]) for r in ranks]
    return [(node, (folder / "main.log").read_text()) for node, folder in files if (folder / "main.log").exists()]


def silence(mesh: Moved, node: str) -> None:
    mesh.lab.kubectl("dc1", "annotate", "node", node, f"{SILENT}=true")


def answer(mesh: Moved, node: str) -> None:
    mesh.lab.kubectl("dc1", "annotate", "node", node, f"{SILENT}-")


def trains_on(mesh: Moved, stopped_at: int) -> None:
    """Both ranks run, from the checkpoint at this step on."""
    wait_until(lambda: mesh.ready("dc1") == {"chat": 2, "pretrain": 2})
    wait_until(lambda: mesh.chain("dc1") > stopped_at)
    logs = logs_of_ranks(mesh)
    assert any(f"resumed at step {stopped_at}\n" in log for _, log in logs), logs


def of_mesh(mesh: Moved) -> dict[str, Any]:
    """What a shift changes of each node, whichever machine has its name."""
    return {
        name: (node["metadata"]["labels"], node["spec"].get("taints"), node["spec"].get("unschedulable"))
        for name, node in nodes(mesh).items()
    }


def test_a_machine_that_is_set_up_anew_while_it_is_emptied_is_handed_over(saving: Moved) -> None:
    before, trainers = of_mesh(saving), gang(saving)
    with served(saving):
        node, code, said = shift_while(saving, lambda name: saving.lab.kubectl("dc1", "delete", "node", name))
        assert code == 0, said
        assert pools(saving) == ["serve", "serve", "serve", "train"]
        wait_until(lambda: saving.ready("dc1") == {"chat": 3, "pretrain": 0})
        assert serves_on(saving, node)
        stopped_at = saving.chain("dc1")
        assert saving.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    wait_until(lambda: of_mesh(saving) == before)
    assert gang(saving) == trainers
    trains_on(saving, stopped_at)
    saving.lab.kubectl("dc1", "-n", "faults", "scale", "deployment", "chat", "--replicas", "2")
    saving.lab.meshctl("up", "dc1", "--yes")
    assert saving.lab.json("plan", "dc1")["changes"] == []


def serves_on(mesh: Moved, node: str) -> bool:
    names = ("get", "pods", "-l", "app.kubernetes.io/name=chat", "--field-selector", f"spec.nodeName={node}")
    return bool(mesh.lab.kubectl("dc1", "-n", "faults", *names, "-o", "name"))


def test_a_node_that_stops_answering_is_put_back_and_another_one_is_handed_over(saving: Moved) -> None:
    before, trainers = nodes(saving), gang(saving)
    with served(saving):
        node, code, said = shift_while(saving, lambda name: silence(saving, name), "--timeout", "20s")
        assert code == 3, said
        assert f"{node} does not answer" in said
        assert "can't tell whether pretrain-" in said
        assert "meshctl shift dc1 --undo" in said
        stopped_at = saving.chain("dc1")
        assert saving.lab.json("shift", "dc1", "--undo")["state"] == "undone"

        (other,) = saving.lab.json(*SHIFT, "--dry-run")["nodes"]
        assert other != node
        assert saving.lab.json(*SHIFT, "--yes")["state"] == "in-force"
        wait_until(lambda: saving.ready("dc1") == {"chat": 3, "pretrain": 0})
        assert serves_on(saving, other)
        assert saving.chain("dc1") >= stopped_at
        stopped_at = saving.chain("dc1")
        answer(saving, node)
        assert saving.lab.json("shift", "dc1", "--undo")["state"] == "undone"
    wait_until(lambda: nodes(saving) == before)
    assert gang(saving) == trainers
    trains_on(saving, stopped_at)


def test_a_node_that_answers_again_is_handed_over_and_is_put_back_though_it_died_anew(saving: Moved) -> None:
    before = nodes(saving)
    with served(saving):
        node, code, said = shift_while(saving, lambda name: silence(saving, name), "--timeout", "20s")
        assert code == 3, said
        answer(saving, node)
        assert saving.lab.json("shift", "dc1", "--resume")["state"] == "in-force"
        wait_until(lambda: saving.ready("dc1") == {"chat": 3, "pretrain": 0})
        assert serves_on(saving, node)
        stopped_at = saving.chain("dc1")
    silence(saving, node)
    wait_until(lambda: saving.ready("dc1") == {"chat": 2, "pretrain": 0})
    undone = saving.lab.meshctl("shift", "dc1", "--undo")
    assert f"may still run on {node}, which does not answer" in undone.stderr
    assert serves_on(saving, node)
    answer(saving, node)
    wait_until(lambda: nodes(saving) == before)
    trains_on(saving, stopped_at)
    assert not serves_on(saving, node)

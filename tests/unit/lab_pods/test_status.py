from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshctl.lab.pods import addresses, names, probes, status
from meshctl.lab.pods.status import ContainerState


def state(
    *, code: int | None = None, running: bool = False, finished: bool = False, restarts: int = 0
) -> ContainerState:
    made = ContainerState("main", "image", restarts=restarts, finished=finished)
    made.running_since = "2026-01-01T00:00:00Z" if running else ""
    made.terminated = {} if code is None else {"exitCode": code}
    return made


@pytest.mark.parametrize(
    ("inits", "mains", "phase"),
    [
        ([], [state()], "Pending"),
        ([], [state(running=True)], "Running"),
        ([state(running=True)], [state()], "Pending"),
        ([state(code=1, finished=True)], [state()], "Failed"),
        ([state(code=0, finished=True)], [state(running=True)], "Running"),
        ([], [state(restarts=1)], "Running"),  # between two starts
        ([], [state(code=0, finished=True)], "Succeeded"),
        ([], [state(code=0, finished=True), state(code=1, finished=True)], "Failed"),
        ([], [state(code=0, finished=True), state(running=True)], "Running"),
    ],
)
def test_phase(inits: list[ContainerState], mains: list[ContainerState], phase: str) -> None:
    assert status.phase(inits, mains) == phase


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    main = state(running=True)
    old = {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    pod = {"status": {"conditions": [old]}}
    same = status.pod_status(pod, [], [main], address="10.240.0.2")
    assert {each["type"]: each["lastTransitionTime"] for each in same["conditions"]}["Ready"] == "2020-01-01T00:00:00Z"
    main.ready = True
    changed = status.pod_status(pod, [], [main], address="10.240.0.2")
    assert {each["type"]: each["status"] for each in changed["conditions"]}["Ready"] == "True"
    assert {each["type"]: each["lastTransitionTime"] for each in changed["conditions"]}[
        "Ready"
    ] != "2020-01-01T00:00:00Z"


def test_backoff_doubles_up_to_its_cap() -> None:
    assert [status.backoff_s(count) for count in (1, 2, 3, 5, 6, 50)] == [1, 2, 4, 16, 30, 30]


def test_a_probe_changes_its_mind_after_its_thresholds() -> None:
    counted = probes.streak({"successThreshold": 2, "failureThreshold": 3}, passing=False)
    results = [True, True, False, False, True, False, False, False]
    assert [counted.add(ok=ok) for ok in results] == [False, True, True, True, True, True, True, False]


def test_a_probe_that_nothing_could_answer_fails() -> None:
    async def execute(_argv: list[str], _timeout_s: float) -> int:
        return 0

    assert asyncio.run(probes.check({"exec": {"command": ["true"]}}, {}, "127.0.0.1", execute)).ok
    assert not asyncio.run(probes.check({"grpc": {"port": 1}}, {}, "127.0.0.1", execute)).ok


def test_a_pod_keeps_its_address_over_a_restart_of_the_runner(tmp_path: Path) -> None:
    first = addresses.Addresses(tmp_path)
    kept = first.assign("uid-1")
    first.assign("uid-2")
    first.release("uid-2")
    second = addresses.Addresses(tmp_path)
    assert second.assign("uid-1") == kept
    assert second.assign("uid-3") != kept
    assert addresses.read(tmp_path)[kept[0]] == kept[1]
    assert kept[0].startswith("10.")
    assert kept[1].startswith("127.")


def test_pods_find_peers_of_their_own_cluster_only() -> None:
    own = names.Peer("cw", "llm", "pretrain-1-x", "pretrain-1", "pretrain", "127.70.0.3")
    leader = names.Peer("cw", "llm", "pretrain-0-x", "pretrain-0", "pretrain", "127.70.0.2")
    other = names.Peer("dc1", "llm", "pretrain-0-y", "pretrain-0", "pretrain", "127.70.0.9")
    elsewhere = names.Peer("cw", "b", "x-0", "x-0", "x", "127.70.0.4")
    text = names.hosts(
        own, [own, leader, other, elsewhere], {"cw/llm/chat": "127.70.250.2", "dc1/llm/chat": "127.70.250.3"}
    )
    table = {name: line.split()[0] for line in text.splitlines() for name in line.split()[1:]}
    assert table["pretrain-0.pretrain"] == "127.70.0.2"
    assert table["pretrain-0.pretrain.llm.svc.cluster.local"] == "127.70.0.2"
    assert table["chat"] == "127.70.250.2"
    assert table["x-0.x.b"] == "127.70.0.4"
    assert "x-0.x" not in table
    assert "127.70.0.9" not in text

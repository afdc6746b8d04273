"""Ranks that a launcher starts meet at rank 0's store before they train, and end together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from meshctl.lab.images import commands
from meshctl.lab.images.gangs import gang
from meshctl.lab.images.gangs.gang_launch import Launch, read
from tests.waiting import end, wait_until

TORCHRUN = "torchrun --nnodes=2 --node-rank=1 --master-addr=pretrain-0.pretrain --nproc-per-node=8 train.py --nnodes 7"


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        (TORCHRUN, {}, (2, 1, "pretrain-0.pretrain", 29500)),
        ("torchrun --nnodes 1:4 --node_rank 3 --master_addr a --master_port 1234 x.py", {}, (4, 3, "a", 1234)),
        ("torchrun --nnodes 2 --rdzv-endpoint a:400 --rdzv_id 5 x.py", {"RANK": "1"}, (2, 1, "a", 400)),
        ("torchrun x.py", {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "b"}, (2, 1, "b", 29500)),
        ("torchrun x.py", {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "b"}, (2, 0, "b", 29500)),
        ("torchrun --standalone x.py", {}, (1, 0, "127.0.0.1", 29500)),
        ("python -m torch.distributed.run --nnodes 2 --node-rank 1 x.py", {}, (2, 1, "127.0.0.1", 29500)),
        (
            "accelerate launch --config_file f --num_machines 4 --num_processes 32 --machine_rank 3 "
            "--main_process_ip lead --main_process_port 29501 /sft/train.py --model_id m",
            {},
            (4, 3, "lead", 29501),
        ),
        ("python train.py", {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "c", "MASTER_PORT": "7"}, (2, 1, "c", 7)),
    ],
)
def test_a_launcher_says_where_its_rank_stands(
    words: str, variables: dict[str, str], expected: tuple[int, int, str, int]
) -> None:
    launch = read(words.split(), variables)
    assert (launch.ranks, launch.rank, launch.address, launch.port) == expected
    assert launch.script[0].endswith(".py")


def test_a_rank_beyond_its_gang_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 2 of a gang of 2"):
        read(["torchrun", "--nnodes", "2", "--node-rank", "2", "x.py"], {})


class Rank:
    """A launcher as a process, with a trainer that has no store and makes a step each 10 ms."""

    def __init__(self, rank: int, port: int, folder: Path, *words: str) -> None:
        launcher = ["torchrun", "--nnodes=2", f"--node-rank={rank}", f"--master-port={port}", "train.py", *words]
        command = [sys.executable, "-m", commands.__name__, *launcher, "--step-seconds", "0.01"]
        self.log = folder / f"{port}-{rank}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MESH_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def has_said(self, text: str) -> bool:
        return text in self.log.read_text()


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Callable[..., list[Rank]]]:
    started: list[Rank] = []

    def start(*words: str) -> list[Rank]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        gang_of_two = [Rank(rank, port, tmp_path, *words) for rank in (0, 1)]
        started.extend(gang_of_two)
        return gang_of_two

    yield start
    for rank in started:
        end(rank.process)


def test_a_gang_trains_to_its_end(ranks: Callable[..., list[Rank]]) -> None:
    started = ranks("--steps", "3")
    assert [rank.process.wait(60) for rank in started] == [0, 0]
    assert all(rank.has_said("all 2 ranks have joined") and rank.has_said("finished at step 3") for rank in started)


def test_a_rank_that_is_killed_ends_the_other_and_one_that_is_told_to_end_does_not(
    ranks: Callable[..., list[Rank]],
) -> None:
    first, second = ranks()
    wait_until(lambda: first.has_said("\nstep 3\n") and second.has_said("\nstep 3\n"))
    second.process.terminate()
    assert second.process.wait(60) == 0
    assert second.has_said("stopped at step")
    assert first.process.poll() is None, "it is about to be told, too"
    first.process.terminate()
    assert first.process.wait(60) == 0
    first, second = ranks()
    wait_until(lambda: first.has_said("\nstep 3\n") and second.has_said("\nstep 3\n"))
    children = psutil.Process(second.process.pid).children()
    second.process.kill()
    for child in children:
        child.kill()
    assert first.process.wait(60) == 1
    assert first.has_said("rank 1 is gone: this rank ends, too")


@pytest.fixture
def store() -> Iterator[gang.Store]:
    made = gang.Store(2, "127.0.0.1", 0)
    yield made
    made.close()


@pytest.fixture
def member(store: gang.Store) -> Iterator[Callable[[int], gang.Member]]:
    made: list[gang.Member] = []

    def make(rank: int) -> gang.Member:
        made.append(gang.Member(Launch(2, rank, "127.0.0.1", store.port)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@dataclass
class Reasons:
    """What a rank hears of the others."""

    gone: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def lost(self, reason: str) -> None:
        self.gone.append(reason)

    def left(self, reason: str) -> None:
        self.ended.append(reason)


def joining(member: gang.Member) -> threading.Thread:
    thread = threading.Thread(target=member.join, args=(30,), daemon=True)
    thread.start()
    return thread


def met(member: Callable[[int], gang.Member]) -> tuple[gang.Member, gang.Member]:
    """Both ranks of a gang, once each has joined."""
    first, second = member(0), member(1)
    waiting = joining(first)
    second.join(30)
    waiting.join(30)
    return first, second


def test_no_rank_goes_before_all_have_joined(store: gang.Store, member: Callable[[int], gang.Member]) -> None:
    first, second = member(0), member(1)
    waiting = joining(first)
    wait_until(lambda: store.joined)
    assert waiting.is_alive()
    second.join(30)
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_rank_that_comes_again_before_the_start_has_its_place(
    store: gang.Store, member: Callable[[int], gang.Member]
) -> None:
    early = member(1)
    early._connect(30)
    wait_until(lambda: 1 in store.joined)
    early.close()
    wait_until(lambda: 1 not in store.joined)  # if rank 0 came first, the gang would begin with the rank that is gone
    again = joining(member(1))
    member(0).join(30)
    again.join(30)
    assert not again.is_alive()


def test_a_rank_that_dies_ends_the_others(store: gang.Store, member: Callable[[int], gang.Member]) -> None:
    first, second = met(member)
    reasons = Reasons()
    first.watch(reasons)
    second.close()
    wait_until(lambda: reasons.gone)
    assert reasons.gone == ["rank 1 is gone"]


def test_ranks_that_are_done_end_nobody(store: gang.Store, member: Callable[[int], gang.Member]) -> None:
    first, second = met(member)
    reasons = Reasons()
    first.watch(reasons)
    second.watch(reasons)
    second.leave(is_told=False)
    wait_until(lambda: 1 in store.done)
    second.close()
    first.leave(is_told=False)
    assert first.released.is_set()
    assert (reasons.gone, reasons.ended) == ([], [])


def test_a_rank_that_is_told_to_end_is_not_dead(store: gang.Store, member: Callable[[int], gang.Member]) -> None:
    first, second = met(member)
    reasons = Reasons()
    first.watch(reasons)
    second.leave(is_told=True)
    second.close()
    wait_until(lambda: reasons.ended)
    assert (reasons.gone, reasons.ended) == ([], ["rank 1 was told to end"])


def test_ranks_that_expect_another_gang_are_refused(store: gang.Store, member: Callable[[int], gang.Member]) -> None:
    stranger = member(1)
    stranger.launch = replace(stranger.launch, ranks=3)
    with pytest.raises(gang.GangError, match="rank 1 expects 3 ranks, and rank 0 expects 2"):
        stranger.join(30)


def test_a_rank_that_meets_nobody_says_where_it_looked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    member = gang.Member(Launch(2, 1, "127.0.0.1", port))
    with pytest.raises(gang.GangError, match=f"rank 1 of 2 met nobody at 127.0.0.1:{port} within 0.3 s: .*refused"):
        member.join(0.3)

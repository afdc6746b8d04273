"""What the lab runs for `torchrun`, `accelerate launch` and `python -m torch.distributed.run`. EDGE.

Started by `commands`. Rank 0 keeps a store where its launcher says, all ranks join it, and only then does each of them
train: `trainer` in a process of its own, whatever the script is. A rank that dies ends all: the others exit with 1, and
Kubernetes starts them again. SIGTERM is passed on to the trainer, which may take its time over its checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from meshctl.lab.images.gangs import gang, gang_launch

JOIN_S = 900.0  # torch's own time limit for a rendezvous
# A rank that is told to end is usually not the only one. The others would stand still in their next collective
# operation, and have this long to be told, too.
LEFT_S = 30.0
TRAINER = "meshctl.lab.images.trainer"


class Launcher:
    """One rank. `is_told`: it has got its SIGTERM, and whoever ends now is no reason to end before it is done."""

    def __init__(self, launch: gang_launch.Launch) -> None:
        self.launch = launch
        self.member = gang.Member(launch)
        self.is_told = False
        self.trainer: subprocess.Popen[bytes] | None = None
        self.reason = ""  # why this rank was ended by another

    def run(self) -> int:
        """The exit code, once the trainer has ended. Raises: GangError."""
        signal.signal(signal.SIGTERM, self._tell)
        if self.launch.ranks > 1:
            self.member.join(JOIN_S)
            say(f"all {self.launch.ranks} ranks have joined")
        if self.is_told:
            return 0
        environment = {**os.environ, "MESH_RANK": str(self.launch.rank)}
        command = [sys.executable, "-m", TRAINER, *self.launch.script[1:]]
        self.trainer = subprocess.Popen(command, env=environment)
        self.member.watch(self)
        code = self.trainer.wait()
        if self.reason:
            say(f"{self.reason}: this rank ends, too")
            return 1
        if code == 0:
            self.member.leave(is_told=self.is_told)
        return code if code >= 0 else 128 - code

    def lost(self, reason: str) -> None:
        """Another rank died: in the middle of a step, this one ends."""
        if self.trainer and not self.is_told:
            self.reason = reason
            self.trainer.kill()

    def left(self, reason: str) -> None:
        """Another rank was told to end."""
        timer = threading.Timer(LEFT_S, self.lost, [reason])
        timer.daemon = True
        timer.start()

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.is_told = True
        if self.trainer:
            self.trainer.terminate()


def main(words: Sequence[str]) -> int:
    launch = gang_launch.read(words, os.environ)
    store = None
    if launch.ranks > 1:
        say(f"rank {launch.rank} of {launch.ranks} meets the others at {launch.address}:{launch.port}")
        own = os.environ.get("POD_ADDRESS", gang_launch.LOCAL)
        store = gang.Store(launch.ranks, own, launch.port) if launch.rank == 0 else None
    launcher = Launcher(launch)
    try:
        return launcher.run()
    except gang.GangError as error:
        say(str(error))
        return 1
    finally:
        launcher.member.close()
        if store:
            store.close()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

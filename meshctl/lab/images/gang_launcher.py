"""What the lab runs for `torchrun`, `accelerate launch` and `python -m torch.distributed.run`. EDGE.

Started by `commands`. Rank 0 keeps a store where its launcher says, all ranks join it, and only then does each of them
train (`trainer`, whatever the script is). A rank that dies ends all: the others exit with 1, and Kubernetes starts them
again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from meshctl.lab.images import gang, gang_launch, trainer

JOIN_S = 900.0  # torch's own time limit for a rendezvous


def main(words: Sequence[str]) -> int:
    launch = gang_launch.read(words, os.environ)
    os.environ["MESH_RANK"] = str(launch.rank)
    sys.argv = [" ".join(launch.script[:1]) or "train", *launch.script[1:]]
    if launch.ranks == 1:
        return trainer.main()
    trainer.say(f"rank {launch.rank} of {launch.ranks} meets the others at {launch.address}:{launch.port}")
    own = os.environ.get("POD_ADDRESS", gang_launch.LOCAL)
    store = gang.Store(launch.ranks, own, launch.port) if launch.rank == 0 else None
    member = gang.Member(launch)
    try:
        member.join(JOIN_S)
        trainer.say(f"all {launch.ranks} ranks have joined")
        member.watch(_end_with)
        code = trainer.main()
        member.leave()
    except gang.GangError as error:
        trainer.say(str(error))
        return 1
    finally:
        member.close()
        if store:
            store.close()
    return code


def _end_with(reason: str) -> None:
    trainer.say(f"{reason}: this rank ends, too")
    os._exit(1)  # at once, in the middle of a step

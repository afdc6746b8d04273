"""What `torchrun`, `accelerate launch` and torch's own variables say of a gang: its ranks, and where they meet. PURE.

Called by `gang_launcher`.

Read at: docs.pytorch.org "torchrun (Elastic Launch)", huggingface.co/docs/accelerate "The Command Line" (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

PORT: Final = 29500
LOCAL: Final = "127.0.0.1"  # where torchrun looks for rank 0 when nobody says anything else


@dataclass(frozen=True)
class Launch:
    """One rank's place in its gang, by nodes: the lab plays one process for each node."""

    ranks: int
    rank: int
    address: str
    port: int
    script: tuple[str, ...] = ()  # and its own words


# a launcher's options for ranks, rank, address and port; each with - and _
_TORCHRUN: Final = ("--nnodes", "--node-rank", "--master-addr", "--master-port")
_ACCELERATE: Final = ("--num-machines", "--machine-rank", "--main-process-ip", "--main-process-port")
_MODULES: Final = {
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "accelerate.commands.launch": "accelerate",
}


def launcher_of(words: Sequence[str]) -> str:
    """`torchrun` or `accelerate` where these words start one, else nothing."""
    program = PurePosixPath(words[0]).name if words else ""
    if program in {"torchrun", "accelerate"}:
        return program
    if program.startswith("python") and "-m" in words[:3]:
        module = words[words.index("-m") + 1 : words.index("-m") + 2]
        return _MODULES.get(module[0], "") if module else ""
    return ""


def read(words: Sequence[str], variables: Mapping[str, str]) -> Launch:
    """What these words and variables say. Raises: ValueError for a number that is none, or a rank beyond the gang."""
    launcher = launcher_of(words)
    options, script = _split(words)
    if launcher == "accelerate":
        launch = _launch(options, script, variables, _ACCELERATE)
    elif launcher == "torchrun":
        launch = _launch(options, script, variables, _TORCHRUN)
    else:  # a script that calls torch.distributed itself, with the variables of `env://`
        ranks, rank = variables.get("WORLD_SIZE") or variables.get("NNODES", "1"), _rank(variables)
        launch = Launch(int(ranks), rank, *_place("", "", variables), script=script)
    if not 0 <= launch.rank < launch.ranks:
        raise ValueError(f"rank {launch.rank} of a gang of {launch.ranks}")
    return launch


def _launch(
    options: Mapping[str, str], script: tuple[str, ...], variables: Mapping[str, str], names: tuple[str, str, str, str]
) -> Launch:
    ranks, rank, address, port = (options.get(name, "") for name in names)
    if "--rdzv-endpoint" in options and not address:
        address, _, port = options["--rdzv-endpoint"].partition(":")
    # torchrun takes `1:4`, elastically; here a gang is as many as it may be
    number = (ranks or variables.get("PET_NNODES") or variables.get("NNODES", "1")).rpartition(":")[2]
    own_rank = int(rank) if rank else _rank(variables)
    return Launch(int(number), own_rank, *_place(address, port, variables), script=script)


def _rank(variables: Mapping[str, str]) -> int:
    names = ("PET_NODE_RANK", "NODE_RANK", "GROUP_RANK", "RANK")
    return int(next((variables[name] for name in names if variables.get(name)), "0"))


def _place(address: str, port: str, variables: Mapping[str, str]) -> tuple[str, int]:
    address = address or variables.get("PET_MASTER_ADDR") or variables.get("MASTER_ADDR") or LOCAL
    return address, int(port or variables.get("PET_MASTER_PORT") or variables.get("MASTER_PORT") or PORT)


def _split(words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The launcher's own options, and the script with its words. The first word that ends in `.py` is the script."""
    start = next((number for number, word in enumerate(words) if word.endswith(".py")), len(words))
    options: dict[str, str] = {}
    name = ""
    for word in words[:start]:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            options[name] = value
            name = "" if equals else name
        elif name:
            options[name], name = word, ""
    return options, tuple(words[start:])

"""The blueprint `train`: a training run on several nodes, with checkpoints. PURE.

Called by `meshctl.blueprints.expansion`. The program finds the place of its checkpoints in the variable `CHECKPOINTS`:
the URL of an object store, or the folder where a file system is mounted.
"""

from __future__ import annotations

from typing import Final

from meshctl.blueprints import pieces, slots
from meshctl.blueprints.pieces import Pieces, Source, Stored, Template
from meshctl.model.files.file_problems import Problem
from meshctl.model.pods import pod_variables

SLOT: Final = "trainer"
PARTS: Final = ("torchrun", slots.OWN)
_CHECKPOINTS: Final = "/checkpoints"
_DATA: Final = "/data"


def made(source: Source) -> Pieces:
    default = "torchrun" if source.has("script") else slots.OWN
    slot = slots.chosen(source, SLOT, PARTS, default)
    checkpoints = pieces.storage(source, "checkpoints", ("object", "filesystem"))
    data = pieces.storage(source, "data", ("object", "filesystem"))
    problems = (
        *slot.problems,
        *checkpoints.problems,
        *data.problems,
        *pieces.used_twice(checkpoints, data, "data"),
        *_script_problems(source, slot.part),
    )
    if problems:
        return Pieces({}, problems)
    workload = {
        "kind": "training",
        "pool": source.given("pool"),
        "nodes": source.given("nodes"),
        "image": source.given("image"),
        "command": _command(source) if slot.part == "torchrun" else None,
        "env": {"CHECKPOINTS": _place(source, checkpoints)},
        "resources": pieces.accelerators(source),
        "mounts": _mounts(source, checkpoints, data),
        "checkpoint": {"storage": source.given("checkpoints", checkpoints.name)},
    }
    return Pieces(
        {
            "storage": {**checkpoints.made, **data.made},
            "workloads": {source.name: slots.filled(workload, slot)},
        }
    )


def _script_problems(source: Source, part: str) -> tuple[Problem, ...]:
    has_script = source.has("script")
    if part == "torchrun" and not has_script:
        return (((SLOT,), "torchrun starts a script on each node; name it: `script: train.py`"),)
    if part == slots.OWN and has_script:
        return ((("script",), "only torchrun starts a script; leave it out, or write `trainer: torchrun`"),)
    return ()


def _command(source: Source) -> list[Template]:
    """Source: docs.pytorch.org, "torchrun (Elastic Launch)"."""
    processes = "$(MESH_ACCELERATORS)" if pieces.has_accelerators(source) else "1"
    return [
        "torchrun",
        "--nnodes=$(MESH_NODES)",
        "--node-rank=$(MESH_RANK)",
        f"--nproc-per-node={processes}",
        "--master-addr=$(MESH_LEADER)",
        "--master-port=29500",
        source.given("script"),
    ]


def _place(source: Source, checkpoints: Stored) -> str:
    is_url = pieces.kind_of(source, checkpoints) == "object"
    return f"$({pod_variables.url_of(checkpoints.name)})" if is_url else _CHECKPOINTS


def _mounts(source: Source, checkpoints: Stored, data: Stored) -> dict[str, Template]:
    mounts = {checkpoints.name: source.given("checkpoints", {"path": _CHECKPOINTS})}
    if data.name:
        mounts[data.name] = source.given("data", {"path": _DATA, "readOnly": True})
    return mounts

"""The blueprint `notebook`: JupyterLab on a node of a pool. PURE.

Called by `meshctl.blueprints.expansion`. People log in with the value of the secret `token`.
"""

from __future__ import annotations

from typing import Final

from meshctl.blueprints import pieces, slots
from meshctl.blueprints.pieces import Pieces, Source, Stored, Template

SLOT: Final = "notebook"
PARTS: Final = ("jupyter", slots.OWN)
_HOME: Final = "/home/mesh"
_DATA: Final = "/data"
_PORT: Final = 8888
_IMAGE: Final = "quay.io/jupyter/scipy-notebook:2025-08-18"
_GPU_IMAGE: Final = "quay.io/jupyter/pytorch-notebook:cuda12-2025-08-18"


def made(source: Source) -> Pieces:
    slot = slots.chosen(source, SLOT, PARTS, "jupyter")
    home = pieces.storage(source, "home", ("block", "filesystem"))
    data = pieces.storage(source, "data", ("object", "filesystem"))
    problems = (*slot.problems, *home.problems, *data.problems, *pieces.used_twice(home, data, "data"))
    if problems:
        return Pieces({}, problems)
    port = slots.port(slot, _PORT)
    workload = {
        "kind": "service",
        "pool": source.given("pool"),
        **(_jupyter(source, port) if slot.part == "jupyter" else {}),
        "env": {"HOME": _HOME} if home.name else None,
        "secrets": {"JUPYTER_TOKEN": source.given("token")},
        "resources": pieces.accelerators(source),
        "ports": {"http": port},
        "mounts": _mounts(source, home, data),
    }
    return Pieces(
        {
            "storage": {**home.made, **data.made},
            "workloads": {source.name: slots.filled(workload, slot)},
            "endpoints": pieces.endpoint(source, "http"),
        }
    )


def _jupyter(source: Source, port: int) -> dict[str, Template]:
    """`/api` asks nobody for the token. Source: jupyter-server.readthedocs.io, "REST API" and "Security"."""
    folder = _HOME if source.has("home") else "/tmp"  # noqa: S108 (the home of pods that have no other)
    listen = ["--ip=0.0.0.0", f"--port={port}", "--no-browser"]
    return {
        "image": _GPU_IMAGE if pieces.has_accelerators(source) else _IMAGE,
        "command": ["jupyter", "lab"],
        "args": [*listen, f"--ServerApp.root_dir={folder}"],
        "health": {"path": "/api", "port": "http"},
    }


def _mounts(source: Source, home: Stored, data: Stored) -> dict[str, Template] | None:
    mounts = {home.name: source.given("home", {"path": _HOME})} if home.name else {}
    if data.name:
        mounts[data.name] = source.given("data", {"path": _DATA, "readOnly": True})
    return mounts or None

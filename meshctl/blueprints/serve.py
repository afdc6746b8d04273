"""The blueprint `serve`: one model behind an API in the style of OpenAI. PURE.

Called by `meshctl.blueprints.expansion`. Whatever fills the slot `llm` answers `/v1/chat/completions` on the port
`http` of a workload with the blueprint's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshctl.blueprints import pieces, slots
from meshctl.blueprints.pieces import Given, Pieces, Source, Stored, Template
from meshctl.blueprints.slots import Slot

SLOT: Final = "llm"
_MODELS: Final = "/models"
PORT: Final = 8000


def made(source: Source) -> Pieces:
    slot = slots.chosen(source, SLOT, tuple(PARTS), "vllm")
    weights = pieces.storage(source, "weights", ("object", "filesystem"))
    problems = (*slot.problems, *weights.problems)
    if problems:
        return Pieces({}, problems)
    return Pieces(
        {
            "storage": weights.made,
            "workloads": {source.name: server(source, slot, weights)},
            "endpoints": pieces.endpoint(source, "http"),
        }
    )


def server(source: Source, slot: Slot, weights: Stored) -> dict[str, Template]:
    """The workload of a model server, also of another blueprint that has a `model`."""
    mount = source.given("weights", {"path": _MODELS, "readOnly": True})
    workload = {
        "kind": "inference",
        "pool": source.given("pool"),
        "replicas": source.verbatim("replicas"),
        **PARTS[slot.part](source, slots.port(slot, PORT)),
        "resources": pieces.accelerators(source),
        "mounts": {weights.name: mount} if weights.name else None,
    }
    return slots.filled(workload, slot)


def _vllm(source: Source, port: int) -> dict[str, Template]:
    """Source: docs.vllm.ai, "vllm serve" (2026-11)."""
    parallel = ["--tensor-parallel-size", "$(MESH_ACCELERATORS)"] if pieces.has_accelerators(source) else []
    return {
        "image": "vllm/vllm-openai:v0.11.0",
        "args": ["--model", _path(source), *_name(source), "--port", str(port), *parallel],
        **_answers(port),
    }


def _sglang(source: Source, port: int) -> dict[str, Template]:
    """It listens on localhost alone unless `--host` says otherwise. Source: docs.sglang.ai, "Server Arguments"."""
    parallel = ["--tp-size", "$(MESH_ACCELERATORS)"] if pieces.has_accelerators(source) else []
    listen = ["--host", "0.0.0.0", "--port", str(port), "--enable-metrics"]  # noqa: S104 (of a pod)
    return {
        "image": "lmsysorg/sglang:v0.5.5",
        "command": ["python3", "-m", "sglang.launch_server"],
        "args": ["--model-path", _path(source), *_name(source), *listen, *parallel],
        **_answers(port),
    }


def _own(source: Source, port: int) -> dict[str, Template]:  # noqa: ARG001 (the same for each part)
    return {"ports": {"http": port}}


PARTS: Final[dict[str, Callable[[Source, int], dict[str, Template]]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    slots.OWN: _own,
}


def _path(source: Source) -> Given | None:
    """The name of a model of a hub, or its folder below the weights."""
    model = str(source.keys["model"])
    return source.given("model", f"{_MODELS}/{model.strip('/')}" if source.has("weights") else model)


def _name(source: Source) -> list[Template]:
    """Clients call the model by what the mesh calls it, not by its folder in the pod."""
    return ["--served-model-name", source.given("model")] if source.has("weights") else []


def _answers(port: int) -> dict[str, Template]:
    return {"ports": {"http": port}, "health": {"path": "/health", "port": "http"}, "metrics": {"port": "http"}}

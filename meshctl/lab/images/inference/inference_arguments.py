"""What an inference server reads from its command line and its environment, as vLLM, SGLang, TGI or NIM. PURE.

Called by `openai_server`, which plays all four. What a real one reads beyond this (tensor parallelism, data types,
lengths) has no meaning on this machine and is passed over.

Read at: docs.vllm.ai "vllm serve", docs.sglang.ai "Server Arguments", huggingface.co/docs/text-generation-inference
"text-generation-launcher arguments", docs.nvidia.com/nim/large-language-models "Configuration" (2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MOST_RUNNING: Final = 256  # requests that are computed at a time: vLLM's default of --max-num-seqs
LOCAL: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Server:
    """How one server is told its model, its port and its host. The first option that is given counts."""

    name: str
    port: int
    model_options: tuple[str, ...] = ("--model",)
    model_variables: tuple[str, ...] = ()
    port_variables: tuple[str, ...] = ()
    name_variables: tuple[str, ...] = ()
    host_option: str = "--host"
    host: str = "0.0.0.0"  # noqa: S104 (the default of a program in a container)


VLLM: Final = Server("vllm", 8000)
# Without `--host` SGLang listens on localhost alone, and no probe reaches it.
SGLANG: Final = Server("sglang", 30000, model_options=("--model-path", "--model"), host="127.0.0.1")
TGI: Final = Server(
    "tgi", 80, ("--model-id",), model_variables=("MODEL_ID",), port_variables=("PORT",), host_option="--hostname"
)
NIM: Final = Server(
    "nim",
    8000,
    model_variables=("NIM_MODEL_NAME",),
    port_variables=("NIM_SERVER_PORT", "NIM_HTTP_API_PORT"),
    name_variables=("NIM_SERVED_MODEL_NAME",),
)
SERVERS: Final = {server.name: server for server in (VLLM, SGLANG, TGI, NIM)}
_NIM_IMAGE: Final = re.compile(r"^nvcr\.io/nim/(?P<model>[^:@]+)")


@dataclass(frozen=True)
class Arguments:
    """`names`: what the model is called in the API. `is_local`: it listens on localhost alone. `certificate` and `key`:
    files for HTTPS; "" for HTTP."""

    server: Server
    model: str
    names: tuple[str, ...]
    port: int
    is_local: bool
    certificate: str = ""
    key: str = ""
    most_running: int = MOST_RUNNING


def read(server: Server, words: Sequence[str], variables: Mapping[str, str], image: str = "") -> Arguments:
    """The arguments of `server`. `image` names the model of a NIM. Raises: ValueError for a port that is no number."""
    given = _options(words)
    model = _first([given.get(option) for option in server.model_options]) or _of_variables(
        server.model_variables, variables
    )
    model = model or _positional(words) or _nim_model(server, image) or "/models"
    named = given.get("--served-model-name") or _of_variables(server.name_variables, variables).split(",")
    port = _first([given.get("--port")]) or _of_variables(server.port_variables, variables) or str(server.port)
    host = _first([given.get(server.host_option)]) or server.host
    names = tuple(filter(None, named)) or (model,)
    certificate, key = _first([given.get("--ssl-certfile")]), _first([given.get("--ssl-keyfile")])
    most_running = int(_first([given.get("--max-num-seqs")]) or MOST_RUNNING)
    return Arguments(server, model, names, int(port), host in LOCAL, certificate, key, most_running)


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    """`--name value …` and `--name=value` -> the values of each option."""
    options: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            values = options[name] = [value] if equals else []
        else:
            values.append(word)
    return options


def _first(candidates: Sequence[Sequence[str] | None]) -> str:
    return next((values[0] for values in candidates if values), "")


def _of_variables(names: Sequence[str], variables: Mapping[str, str]) -> str:
    return next((variables[name] for name in names if variables.get(name)), "")


def _positional(words: Sequence[str]) -> str:
    """The model of `vllm serve MODEL`: the first word, else the first path that no option precedes with a value."""
    rest = list(words[1:] if words[:1] == ["serve"] else words)
    if rest and not rest[0].startswith("-"):
        return rest[0]
    return next((word for word in rest if word.startswith(("/", "s3://"))), "")


def _nim_model(server: Server, image: str) -> str:
    """A NIM's image is made for one model, and named after it."""
    match = _NIM_IMAGE.match(image)
    return match["model"] if match and server is NIM else ""

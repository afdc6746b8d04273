"""The lab's inference server over HTTP, as vLLM, SGLang, TGI and NIM.

Its text comes from a stand-in and, where the extra `lab-programs` is installed, from a real language model.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.images import openai_server
from meshctl.lab.images.inference import inference_answers, language_model
from meshctl.lab.images.inference.inference_answers import Loaded, Object, RefusedError, StandIn, Weights
from tests.programs import needs_programs
from tests.waiting import WAIT_S, wait_until

WEIGHTS = Weights("/m", "ab" * 32, 3, 1)
CAPITAL: Object = {"messages": [{"role": "user", "content": "The capital of France?"}], "max_tokens": 6}


class Client:
    """Asks a server that runs in a thread."""

    def __init__(self, *words: str) -> None:
        arguments = openai_server.arguments_of(words)
        self.server = openai_server.Server(("127.0.0.1", 0), arguments)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def load(self, model: Any = None) -> Client:
        where = {"environment": "cw"}
        self.server.loaded = Loaded(self.server.arguments, WEIGHTS, model or StandIn(WEIGHTS), where)
        return self

    def ask(self, path: str, body: Object | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=60)
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
            with connection.getresponse() as response:
                return response.status, response.read().decode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=30)


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    made: list[Client] = []
    yield made
    for client in made:
        client.close()


def events(text: str) -> list[Any]:
    """The parts of a stream; `[DONE]` as None."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [None if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("words", "paths", "foreign"),
    [
        ([], ["/health", "/v1/models", "/ping"], "/v1/health/ready"),
        (["--lab-server", "sglang"], ["/health", "/health_generate", "/get_model_info", "/v1/models"], "/info"),
        (["--lab-server", "tgi"], ["/health", "/info", "/v1/models"], "/health_generate"),
        (["--lab-server", "nim"], ["/v1/health/ready", "/v1/health/live", "/v1/metadata", "/v1/models"], "/health"),
    ],
)
def test_each_server_has_its_own_paths(words: list[str], paths: list[str], foreign: str, clients: list[Client]) -> None:
    client = Client(*words)
    clients.append(client)
    before = {path: client.ask(path)[0] for path in paths}
    assert before == {path: 200 if path.endswith("/live") else 503 for path in paths}, "the weights are not loaded yet"
    client.load()
    assert {path: client.ask(path)[0] for path in paths} == dict.fromkeys(paths, 200)
    assert client.ask(foreign)[0] == 404


def test_the_models_say_what_was_loaded_and_where(clients: list[Client]) -> None:
    client = Client("--served-model-name", "llama", "--model", "/m").load()
    clients.append(client)
    (model,) = json.loads(client.ask("/v1/models")[1])["data"]
    assert (model["id"], model["root"], model["bytes"], model["environment"]) == ("llama", "/m", 3, "cw")


def test_an_answer_comes_at_once_or_in_parts(clients: list[Client]) -> None:
    client = Client().load()
    clients.append(client)
    whole = json.loads(client.ask("/v1/completions", {"prompt": "x"})[1])
    assert (whole["choices"][0]["text"], whole["environment"]) == ("weights abababababab", "cw")
    *parts, end = events(client.ask("/v1/chat/completions", {"messages": [], "stream": True})[1])
    assert end is None
    assert "".join(part["choices"][0]["delta"].get("content", "") for part in parts) == "weights abababababab"
    assert {part["environment"] for part in parts} == {"cw"}
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"


def test_servers_have_apis_of_their_own(clients: list[Client]) -> None:
    tgi, sglang = Client("--lab-server", "tgi").load(), Client("--lab-server", "sglang").load()
    clients += [tgi, sglang]
    asked = {"inputs": "x", "parameters": {"max_new_tokens": 4, "details": True}}
    answer = json.loads(tgi.ask("/generate", asked)[1])
    assert (answer["generated_text"], answer["details"]["generated_tokens"]) == ("weights abababababab", 2)
    parts = events(tgi.ask("/generate_stream", {"inputs": "x"})[1])
    assert parts[-1]["generated_text"] == "weights abababababab", "TGI ends without [DONE]"
    answer = json.loads(sglang.ask("/generate", {"text": "x", "sampling_params": {"max_new_tokens": 4}})[1])
    assert (answer["text"], answer["meta_info"]["completion_tokens"]) == ("weights abababababab", 2)


@pytest.mark.parametrize("body", [b"{", b"[]"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    arguments = openai_server.arguments_of([])
    loaded = Loaded(arguments, WEIGHTS, StandIn(WEIGHTS), {})
    with pytest.raises(RefusedError) as refused:
        inference_answers.respond("POST", "/v1/completions", body, loaded, print)
    assert refused.value.status == 400


class Broken:
    """A model that fails in the middle of its answer."""

    def answer(self, request: Object, *, chat: bool) -> Object:
        raise RefusedError(400, "too long")

    def stream(self, request: Object, emit: Any, *, chat: bool) -> None:
        if request["prompt"]:
            emit({"choices": []})
        raise RefusedError(400, "too long")


def test_a_stream_that_breaks_has_no_end_and_one_that_never_began_is_an_error(clients: list[Client]) -> None:
    client = Client().load(Broken())
    clients.append(client)
    assert client.ask("/v1/completions", {"prompt": "", "stream": True})[0] == 400
    with pytest.raises(http.client.IncompleteRead):
        client.ask("/v1/completions", {"prompt": "x", "stream": True})


def test_the_name_of_a_hubs_model_is_no_folder_that_is_missing(tmp_path: Path) -> None:
    assert language_model.is_hub_name("meta-llama/Llama-3.1-8B-Instruct")
    assert not language_model.is_hub_name("/models/llama")
    assert openai_server.load("meta-llama/Llama-3.1-8B-Instruct").files == 1
    for missing in (str(tmp_path), "acme/llama/v1"):
        with pytest.raises(FileNotFoundError, match="no weights at"):
            openai_server.load(missing)


def test_weights_that_are_no_language_model_are_only_read(tmp_path: Path) -> None:
    (tmp_path / "part-0").write_bytes(b"\0" * 10)
    assert isinstance(openai_server.open_model(openai_server.load(str(tmp_path))), StandIn)


@pytest.fixture(scope="module")
def real() -> Any:
    file = language_model.own_weights()
    assert file is not None
    return language_model.LanguageModel(file)


@needs_programs
def test_a_real_model_answers_with_tokens_at_once_and_in_parts(real: Any, clients: list[Client]) -> None:
    client = Client().load(real)
    clients.append(client)
    asked = CAPITAL | {"temperature": 0}
    whole = json.loads(client.ask("/v1/chat/completions", asked)[1])
    assert whole["usage"]["completion_tokens"] == 6
    assert whole["model"] == "/models"
    text = whole["choices"][0]["message"]["content"]
    *parts, end = events(client.ask("/v1/chat/completions", asked | {"stream": True})[1])
    assert end is None
    assert len(parts) > 3, "it came in one piece"
    assert "".join(part["choices"][0]["delta"].get("content") or "" for part in parts) == text
    completion = json.loads(client.ask("/v1/completions", {"prompt": "Once upon a time"})[1])
    assert completion["usage"]["completion_tokens"] == 16


@needs_programs
def test_a_real_model_refuses_what_it_can_not_read(real: Any, clients: list[Client]) -> None:
    client = Client().load(real)
    clients.append(client)
    for stream in (False, True):
        status, text = client.ask("/v1/chat/completions", {"messages": "x", "stream": stream})
        assert (status, "messages" in text) == (400, True)
        long = {"prompt": "word " * 3000, "stream": stream}
        status, text = client.ask("/v1/completions", long)
        assert (status, "context" in text) == (400, True)


@needs_programs
def test_a_hubs_model_is_played_by_the_one_that_is_installed() -> None:
    weights = openai_server.load("meta-llama/Llama-3.1-8B-Instruct")
    file = language_model.own_weights()
    assert file is not None
    assert weights.size_bytes == file.stat().st_size
    assert isinstance(openai_server.open_model(weights), language_model.LanguageModel)


def metric(client: Client, path: str, name: str) -> float:
    status, text = client.ask(path)
    assert status == 200
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.split()[-1])


class Held:
    """A model that answers once it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    def answer(self, request: Object, *, chat: bool) -> Object:
        self.may_answer.wait(WAIT_S)
        return {"choices": []}


def test_what_waits_runs_and_has_ended_is_counted_by_the_names_of_the_server(clients: list[Client]) -> None:
    model = Held()
    vllm, nim = Client("--max-num-seqs", "1").load(model), Client("--lab-server", "nim").load()
    clients += [vllm, nim]
    asking = [threading.Thread(target=vllm.ask, args=("/v1/completions", {"prompt": "a"})) for _ in range(3)]
    for each in asking:
        each.start()
    wait_until(lambda: metric(vllm, "/metrics", "vllm:num_requests_waiting") == 2)
    assert metric(vllm, "/metrics", "vllm:num_requests_running") == 1
    model.may_answer.set()
    for each in asking:
        each.join(20)
    # A request is counted when its turn has ended, which is a moment after its answer has arrived.
    wait_until(lambda: metric(vllm, "/metrics", "vllm:request_success_total") == 3)
    nim.ask("/v1/completions", {"prompt": "a"})
    wait_until(lambda: metric(nim, "/v1/metrics", "request_success_total") == 1)

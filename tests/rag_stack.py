"""The stack of examples/rag as processes on loopback, each in place of its image as pods of the lab are. No cluster.

What it needs is in the extras `rag` and `lab-rag`; `nox -s rag` installs them.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.lab import images
from meshctl.lab.images import milvus_server, minilm
from meshctl.lab.images.inference import language_model
from tests.waiting import COMMAND_S, end, wait_until

EXAMPLE = Path(__file__).parents[1] / "examples" / "rag"
IMAGES = {
    "llm": "vllm/vllm-openai:v0.11.0",
    "embed": "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8",
    "rerank": "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8",
    "milvus": "milvusdb/milvus:v2.6.5",
    "pgvector": "pgvector/pgvector:0.8.1-pg17",
    "rag": "ghcr.io/meshctl/rag:0.2",
}
needs_rag = pytest.mark.skipif(
    not all(images.runnable(image) for image in IMAGES.values())
    or not (language_model.is_installed() and minilm.is_installed()),
    reason="the extras rag and lab-rag are not installed; `nox -s rag` has them",
)
REAL_MILVUS = os.environ.get("MESHCTL_REAL_MILVUS", "")
"""A Python that has the wheel `milvus`, whose server then runs instead of milvus-lite. It listens on all addresses, so
`nox -s rag` runs these tests in a network namespace of their own."""
PORTS = {"milvus": milvus_server.PORT, "pgvector": 5432}


@dataclass(frozen=True)
class Question:
    """A question of the example, with the document that is cited first and words of the chunk."""

    ask: str
    document: str
    chunk: str
    answer: str = ""


def questions() -> list[Question]:
    listed = yaml.safe_load((EXAMPLE / "questions.yaml").read_text())["questions"]
    return [Question(**each) for each in listed]


@dataclass
class Stack:
    """The model servers and both stores; ingestion and API are started for one of these."""

    folder: Path
    corpus: Path
    running: ExitStack
    addresses: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, image: str, args: Sequence[str] = (), **variables: str) -> None:
        address = f"127.0.9.{len(self.addresses) + 1}"
        self.addresses[name] = address
        data = self.folder / name
        data.mkdir()
        known = images.runnable(image)
        assert known is not None
        argv = images.argv(known, [], list(args), sys.executable)
        if name == "milvus" and REAL_MILVUS:
            argv = [REAL_MILVUS, str(Path(__file__).parent / "real_milvus.py")]
        env = {**os.environ, **variables, "POD_ADDRESS": address}
        with (data / "log").open("w") as log:
            process = subprocess.Popen(argv, env=env, cwd=data, stdout=log, stderr=subprocess.STDOUT)
        self.running.callback(end, process)

    def settings(self, store: str) -> dict[str, str]:
        addresses = self.addresses
        urls = {"milvus": f"milvus://{addresses['milvus']}:19530"}
        urls["pgvector"] = f"postgresql://postgres@{addresses['pgvector']}:5432/postgres"
        return {
            **os.environ,
            "RAG_LLM_URL": f"http://{addresses['llm']}:8000/v1",
            "RAG_LLM_MODEL": "org/smol",
            "RAG_EMBED_URL": f"http://{addresses['embed']}:8080/v1",
            "RAG_EMBED_MODEL": "sentence-transformers/all-MiniLM-L6-v2",
            "RAG_RERANK_URL": f"http://{addresses['rerank']}:8080/rerank",
            "RAG_STORE": urls[store],
            "RAG_CORPUS": str(self.corpus),
            "RAG_COLLECTION": "documents",
            "RAG_WAIT_S": "60",
        }

    def ingest(self, store: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One run: its summary, and the outcome of each document."""
        command = [sys.executable, "-m", "meshrag.ingest", "--once"]
        ended = subprocess.run(command, env=self.settings(store), capture_output=True, text=True, timeout=COMMAND_S)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        return lines[-1]["summary"], lines[:-1]

    @contextmanager
    def api(self, store: str) -> Iterator[Api]:
        address = f"127.0.9.{100 + list(PORTS).index(store)}"
        env = {**self.settings(store), "RAG_HOST": address}
        with (self.folder / f"api-{store}").open("w") as log:
            process = subprocess.Popen([sys.executable, "-m", "meshrag.api"], env=env, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(address, 8080))
            yield Api(address, 8080)
        finally:
            end(process)


@dataclass(frozen=True)
class Api:
    address: str
    port: int

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection(self.address, self.port, timeout=120)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def answers(self, path: str) -> bool:
        try:
            return self.request("GET", path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def search(self, query: str) -> list[dict[str, Any]]:
        status, body = self.request("POST", "/v1/search", {"query": query})
        assert status == 200, body
        return list(body["results"])

    def ask(self, question: str) -> dict[str, Any]:
        status, body = self.request("POST", "/v1/chat/completions", request(question))
        assert status == 200, body
        return dict(body)

    def stream(self, question: str) -> list[dict[str, Any]]:
        """The events of a stream that has its end."""
        with closing(http.client.HTTPConnection(self.address, self.port, timeout=120)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps({**request(question), "stream": True}))
            *events, end_mark = connection.getresponse().read().decode().strip().split("\n\n")
        assert end_mark == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]


def request(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}], "max_tokens": 24, "temperature": 0}


def citations(api: Api, question: Question) -> list[tuple[str, str]]:
    """Document and hash of each chunk, best first, after a look at whether the first is the right one."""
    results = api.search(question.ask)
    best = results[0]
    assert best["key"] == question.document, results
    assert question.chunk in " ".join(best["text"].split())
    return [(each["key"], each["chunk"]) for each in results]


def answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def stack(folder: Path, corpus: Path) -> Iterator[Stack]:
    with ExitStack() as running:
        made = Stack(folder, corpus, running)
        made.start(
            "embed",
            IMAGES["embed"],
            MODEL_ID="sentence-transformers/all-MiniLM-L6-v2",
            PORT="8080",
            AUTO_TRUNCATE="true",
        )
        made.start("rerank", IMAGES["rerank"], MODEL_ID="BAAI/bge-reranker-base", PORT="8080")
        made.start("llm", IMAGES["llm"], ["--model", "org/smol", "--port", "8000"])
        made.start("milvus", IMAGES["milvus"])
        made.start(
            "pgvector",
            IMAGES["pgvector"],
            POSTGRES_HOST_AUTH_METHOD="trust",
            PGDATA=str(folder / "pgvector" / "data"),
        )
        yield made

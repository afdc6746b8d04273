"""The blueprint `rag`: answers from documents, with citations. PURE.

Called by `meshctl.blueprints.expansion`. A model server, one for embeddings, a re-ranker and a vector store, each of
which can be replaced by a part, an image or a URL, and two workloads of our own image (`meshrag`): `ingest` keeps the
index of the documents, and `api` answers from it. These two are told of the others by the variables `RAG_…`.

Why `ingest` is a service and no job: docs/adr/0058.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshctl.blueprints import pieces, serve, slots
from meshctl.blueprints.pieces import Given, Pieces, Source, Stored, Template
from meshctl.blueprints.slots import Slot
from meshctl.model.files.file_problems import Problem, mapping
from meshctl.model.pods import pod_variables


@dataclass(frozen=True)
class SlotOfRag:
    """`url`: what the URL of something in its place looks like; "" where there is none."""

    name: str
    parts: tuple[str, ...]
    default: str
    contract: str
    url: str = ""


_API: Final = "meshrag"  # the part that is our own image
_HTTP_URL: Final = "https://models.example.com/v1|http://models.example.com/v1"
_RERANK_URL: Final = "https://models.example.com/v1/rerank|http://models.example.com/v1/rerank"
_STORE_URL: Final = "milvus://milvus.example.com:19530|postgresql://user@db.example.com:5432/documents"
SLOTS: Final = (
    SlotOfRag(
        "llm",
        (*serve.PARTS, slots.OFF),
        "vllm",
        "/v1/chat/completions on the port `http`, or a URL, or off: passages are found, and nothing is answered",
        _HTTP_URL,
    ),
    SlotOfRag("embed", ("tei", slots.OWN), "tei", "/v1/embeddings on the port `http`, or a URL", _HTTP_URL),
    SlotOfRag(
        "rerank", ("tei", slots.OWN, slots.OFF), "tei", "/v1/rerank on the port `http`, or a URL, or off", _RERANK_URL
    ),
    SlotOfRag("store", ("milvus", "pgvector"), "milvus", "Milvus, or PostgreSQL with pgvector, or a URL", _STORE_URL),
    SlotOfRag(
        "ingest",
        (_API, slots.OWN, slots.OFF),
        _API,
        "keeps the index of $RAG_CORPUS in $RAG_STORE; /health says when it is complete",
    ),
    SlotOfRag("api", (_API, slots.OWN), _API, "/v1/chat/completions and /v1/search on the port `http`"),
    SlotOfRag("ui", (slots.OWN, slots.OFF), slots.OFF, "a page on the port `http`, which asks $OPENAI_API_BASE_URL"),
)

STORE_VARIABLE: Final = "RAG_STORE"  # tells both programs where the index is
MODEL_VARIABLE: Final = "RAG_LLM_MODEL"  # tells the API which model it asks
IMAGE: Final = "ghcr.io/meshctl/rag:0.2"
_TEI_IMAGE: Final = "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8"
_MILVUS_IMAGE: Final = "milvusdb/milvus:v2.6.5"
_PGVECTOR_IMAGE: Final = "pgvector/pgvector:0.8.1-pg17"
_EMBED_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
_RERANK_MODEL: Final = "BAAI/bge-reranker-base"
_COLLECTION: Final = "documents"
_OWNER_CHARACTERS: Final = 22  # with `_` and a digest 31, the most that meshrag takes
_DIGEST_CHARACTERS: Final = 8  # a-b of c and a of b-c are the same words
_INDEX_SIZE: Final = "20GiB"
_CORPUS: Final = "/corpus"
_PORT: Final = 8080
_MILVUS_PORT: Final = 19530
_POSTGRES_PORT: Final = 5432
_STARTUP: Final = "2h"  # all documents are read before the first answer
_POSTGRES_USER: Final = 999  # whom the folder of the data belongs to in the image


@dataclass(frozen=True)
class _Stack:
    """What the workloads are made of."""

    source: Source
    slots: Mapping[str, Slot]
    corpus: Stored
    index: Stored
    weights: Stored

    def name_of(self, slot: str) -> str:
        """The API has the name of the blueprint, as what is asked from outside."""
        return self.source.name if slot == "api" else f"{self.source.name}-{slot}"


def made(source: Source) -> Pieces:
    chosen = {offer.name: _chosen(source, offer) for offer in SLOTS}
    corpus = pieces.storage(source, "corpus", ("object", "filesystem"))
    weights = pieces.storage(source, "weights", ("object", "filesystem"))
    index = _index(source, chosen["store"])
    problems = (
        *(problem for slot in chosen.values() for problem in slot.problems),
        *corpus.problems,
        *weights.problems,
        *index.problems,
        *_of_model(source, chosen["llm"]),
        *_of_no_use(source, chosen),
    )
    if problems:
        return Pieces({}, problems)
    stack = _Stack(source, chosen, corpus, index, weights)
    makers = {
        "llm": _llm,
        "embed": _embed,
        "rerank": _rerank,
        "store": _store,
        "ingest": _ingest,
        "api": _api,
        "ui": _ui,
    }
    return Pieces(
        {
            "storage": {**corpus.made, **weights.made, **index.made},
            "workloads": {
                stack.name_of(name): make(stack, chosen[name])
                for name, make in makers.items()
                if chosen[name].has_workload
            },
            "endpoints": pieces.endpoint(source, "http"),
        }
    )


def _chosen(source: Source, offer: SlotOfRag) -> Slot:
    if offer.url:
        return slots.chosen_or_url(source, offer.name, offer.parts, offer.default, offer.url)
    has_keys = bool(mapping(source.keys.get(offer.name)))  # of a workload, so that there is one
    default = slots.OWN if offer.default == slots.OFF and has_keys else offer.default
    return slots.chosen(source, offer.name, offer.parts, default)


def _index(source: Source, store: Slot) -> Stored:
    """The volume of the store. One that is made here is `ephemeral`: the index is made of the documents, and is made of
    them again in another environment."""
    if not store.has_workload:
        return Stored("", {})
    named = pieces.storage(source, "index", ("block",))
    if named.name and not named.made:
        return named
    name = f"{source.name}-index"
    size = source.given("index") or _INDEX_SIZE
    return Stored(name, {name: {"kind": "block", "size": size, "ephemeral": True}}, named.problems)


def _of_model(source: Source, llm: Slot) -> tuple[Problem, ...]:
    """The model is asked for by its name, also at a URL."""
    if llm.part == slots.OFF:
        return ((("model",), _no_use("llm", "off")),) if source.has("model") else ()
    return () if source.has("model") else (((), 'missing key "model"'),)


def _of_no_use(source: Source, chosen: Mapping[str, Slot]) -> tuple[Problem, ...]:
    """Keys about a workload that is not made."""
    keys = {"index": chosen["store"], "weights": chosen["llm"], "accelerators": chosen["llm"]}
    states = {slots.EXTERNAL: "a URL", slots.OFF: "off"}
    return tuple(
        ((key,), _no_use(slot.name, states[slot.part]))
        for key, slot in keys.items()
        if source.has(key) and slot.part in states
    )


def _no_use(slot: str, state: str) -> str:
    return f"nothing here uses it, as `{slot}` is {state}; leave it out"


def _llm(stack: _Stack, slot: Slot) -> dict[str, Template]:
    return serve.server(stack.source, slot, stack.weights)


def _embed(stack: _Stack, slot: Slot) -> dict[str, Template]:
    model = stack.source.given("embedModel") or _EMBED_MODEL
    return _small_model(stack, slot, model)


def _rerank(stack: _Stack, slot: Slot) -> dict[str, Template]:
    return _small_model(stack, slot, _RERANK_MODEL)


def _small_model(stack: _Stack, slot: Slot, model: Template) -> dict[str, Template]:
    port = slots.port(slot, _PORT)
    of_part = _tei(model, port) if slot.part == "tei" else {}
    workload = {"kind": "inference", "pool": stack.source.given("pool"), **of_part, "ports": {"http": port}}
    return slots.filled(workload, slot)


def _tei(model: Template, port: int) -> dict[str, Template]:
    """Its options are variables as well. Source: huggingface.co/docs/text-embeddings-inference, "CLI arguments"."""
    return {
        "image": _TEI_IMAGE,
        "env": {
            "MODEL_ID": model,
            "PORT": str(port),
            "AUTO_TRUNCATE": "true",  # a passage with more tokens than the model reads is no error
            "HUGGINGFACE_HUB_CACHE": "/tmp/hub",  # noqa: S108 (of a pod)
        },
        "resources": {"cpu": 2, "memory": "4GiB"},
        "health": {"path": "/health", "port": "http"},
    }


def _store(stack: _Stack, slot: Slot) -> dict[str, Template]:
    of_part = _milvus(stack.index) if slot.part == "milvus" else _pgvector(stack.index)
    return slots.filled({"kind": "service", "pool": stack.source.given("pool"), **of_part}, slot)


def _milvus(index: Stored) -> dict[str, Template]:
    """All of Milvus in one process, with an etcd inside and segments on its volume. Source: milvus.io/docs, "Run Milvus
    in Docker", and the variables of its standalone_embed.sh."""
    folder = "/var/lib/milvus"
    return {
        "image": _MILVUS_IMAGE,
        "command": ["milvus", "run", "standalone"],
        "env": {
            "DEPLOY_MODE": "STANDALONE",
            "ETCD_USE_EMBED": "true",
            "ETCD_DATA_DIR": f"{folder}/etcd",
            "COMMON_STORAGETYPE": "local",
        },
        "resources": {"cpu": 2, "memory": "8GiB"},
        "ports": {"milvus": _MILVUS_PORT, "metrics": 9091},
        "health": {"path": "/healthz", "port": "metrics"},
        "metrics": {"port": "metrics"},
        "mounts": {index.name: {"path": folder}},
    }


def _pgvector(index: Stored) -> dict[str, Template]:
    """PGDATA is a folder in the volume, which may have a `lost+found`. Source: github.com/docker-library/docs,
    postgres, "PGDATA" and "POSTGRES_HOST_AUTH_METHOD"."""
    folder = "/var/lib/postgresql/data"
    return {
        "image": _PGVECTOR_IMAGE,
        "user": _POSTGRES_USER,
        "env": {"PGDATA": f"{folder}/pgdata", "POSTGRES_HOST_AUTH_METHOD": "trust"},
        "resources": {"cpu": 1, "memory": "2GiB"},
        "ports": {"postgres": _POSTGRES_PORT},
        "health": {"port": "postgres"},
        "mounts": {index.name: {"path": folder}},
    }


def _ingest(stack: _Stack, slot: Slot) -> dict[str, Template]:
    mount = stack.source.given("corpus", {"path": _CORPUS, "readOnly": True})
    more = {"env": {**_variables(stack), "RAG_CORPUS": _CORPUS}, "mounts": {stack.corpus.name: mount}}
    return _own_program(stack, slot, "meshrag.ingest", more)


def _api(stack: _Stack, slot: Slot) -> dict[str, Template]:
    env = {
        "RAG_LLM_URL": _llm_url(stack),
        MODEL_VARIABLE: stack.source.given("model"),
        **_variables(stack),
        "RAG_RERANK_URL": _rerank_url(stack),
    }
    return _own_program(stack, slot, "meshrag.api", {"env": env})


def _own_program(stack: _Stack, slot: Slot, module: str, more: dict[str, Template]) -> dict[str, Template]:
    """A workload of our own image, or of the user's, which is told the same."""
    port = slots.port(slot, _PORT)
    of_part = {
        "image": IMAGE,
        "command": ["python", "-m", module],
        "resources": {"cpu": 1, "memory": "2GiB"},
        "health": {"path": "/health", "live": "/live", "port": "http", "startup": _STARTUP},
    }
    workload = {
        "kind": "service",
        "pool": stack.source.given("pool"),
        **(of_part if slot.part == _API else {}),
        **more,
        "ports": {"http": port},
    }
    workload["env"] = {**more["env"], "RAG_PORT": str(port)}
    return slots.filled(workload, slot)


def _ui(stack: _Stack, slot: Slot) -> dict[str, Template]:
    api = f"http://{stack.source.name}:{slots.port(stack.slots['api'], _PORT)}/v1"
    return slots.filled(
        {
            "kind": "service",
            "pool": stack.source.given("pool"),
            "env": {"OPENAI_API_BASE_URL": api},
            "ports": {"http": slots.port(slot, _PORT)},
        },
        slot,
    )


def _variables(stack: _Stack) -> dict[str, Template]:
    """What both programs are told."""
    embed = stack.slots["embed"]
    url = embed.url or f"http://{stack.name_of('embed')}:{slots.port(embed, _PORT)}/v1"
    return {
        "RAG_EMBED_URL": url,
        "RAG_EMBED_MODEL": stack.source.given("embedModel") or _EMBED_MODEL,
        STORE_VARIABLE: _store_url(stack),
        **_collection(stack),
    }


def _collection(stack: _Stack) -> dict[str, Template]:
    """A store elsewhere may have indexes of others: of each mesh, blueprint and environment one of its own. A store
    that is made here has one alone, and one that this blueprint only reads has the name that its writer gives it."""
    if stack.slots["store"].has_workload or not stack.slots["ingest"].has_workload:
        return {"RAG_COLLECTION": _COLLECTION}
    owner = f"{stack.source.mesh.get('name')}/{stack.source.name}"
    words = re.sub(r"[^a-z0-9]", "_", owner.lower())[:_OWNER_CHARACTERS]
    digest = hashlib.sha256(owner.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return {"RAG_COLLECTION": f"{words}_{digest}", "RAG_ENVIRONMENT": f"$({pod_variables.ENVIRONMENT})"}


def _store_url(stack: _Stack) -> Given | str:
    slot, host = stack.slots["store"], stack.name_of("store")
    if slot.url is not None:
        return slot.url
    if slot.part == "milvus":
        return f"milvus://{host}:{_MILVUS_PORT}"
    return f"postgresql://postgres@{host}:{_POSTGRES_PORT}/postgres"


def _llm_url(stack: _Stack) -> Given | str | None:
    slot = stack.slots["llm"]
    if slot.part == slots.OFF:
        return None
    return slot.url or f"http://{stack.name_of('llm')}:{slots.port(slot, serve.PORT)}/v1"


def _rerank_url(stack: _Stack) -> Given | str | None:
    """text-embeddings-inference has a path and a form of its own; others have that of Jina and Cohere."""
    slot = stack.slots["rerank"]
    if slot.part == slots.OFF:
        return None
    path = "/rerank" if slot.part == "tei" else "/v1/rerank"
    return slot.url or f"http://{stack.name_of('rerank')}:{slots.port(slot, _PORT)}{path}"

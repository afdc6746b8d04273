"""What the program is told, by environment variables alone. PURE.

The names are a contract: the blueprint `rag` sets them, and `docs/blueprints.md` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from meshrag.errors import SettingsError

STORE_SCHEMES: Final = ("milvus", "postgresql")
_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+]{0,20}://")
_COLLECTION: Final = re.compile(r"^[a-z][a-z0-9_]{0,30}$")


@dataclass(frozen=True)
class ModelServer:
    """`url`: of the API in the style of OpenAI, with its `/v1`; of a re-ranker the whole URL that is asked. `api_key`
    "": none is sent."""

    url: str
    model: str
    timeout_s: float
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Settings:
    """`rerank` None: passages stay in the order in which the store finds them. `environment`: whose index it is, of
    several that one store may have; "" where the store has one environment alone. `passages`: how many an answer is
    made of. `embed_requests`: how many ingestion has under way at once. `wait_s`: for how long ingestion waits for a
    program that does not answer yet. `rescan_s`: how often it looks whether documents or the store have changed."""

    embed: ModelServer
    llm: ModelServer | None
    rerank: ModelServer | None
    store: str
    collection: str
    environment: str
    corpus: str
    port: int
    passages: int
    embed_requests: int
    wait_s: float
    rescan_s: float


def read(variables: Mapping[str, str]) -> Settings:
    """Raises: SettingsError with the name of the variable."""
    return Settings(
        embed=_required_server(variables, "EMBED"),
        llm=_server(variables, "LLM"),
        rerank=_server(variables, "RERANK"),
        store=_store(variables),
        collection=_collection(variables),
        environment=variables.get("RAG_ENVIRONMENT", ""),
        corpus=variables.get("RAG_CORPUS", ""),
        port=int(_number(variables, "RAG_PORT", 8080)),
        passages=max(1, int(_number(variables, "RAG_PASSAGES", 4))),
        embed_requests=max(1, int(_number(variables, "RAG_EMBED_REQUESTS", 4))),
        wait_s=_number(variables, "RAG_WAIT_S", 1800),
        rescan_s=_number(variables, "RAG_RESCAN_S", 60),
    )


def _server(variables: Mapping[str, str], name: str) -> ModelServer | None:
    url = variables.get(f"RAG_{name}_URL", "")
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f'RAG_{name}_URL is "{url}": expected a URL like http://host:8000/v1')
    if "@" in urlsplit(url).netloc:  # messages name the URL
        raise SettingsError(f"RAG_{name}_URL has a user or a password in it: leave it out, a key is RAG_{name}_API_KEY")
    return ModelServer(
        url=url.rstrip("/"),
        model=variables.get(f"RAG_{name}_MODEL", ""),
        timeout_s=_number(variables, f"RAG_{name}_TIMEOUT_S", 120 if name == "LLM" else 30),
        api_key=variables.get(f"RAG_{name}_API_KEY", ""),
    )


def _required_server(variables: Mapping[str, str], name: str) -> ModelServer:
    server = _server(variables, name)
    if server is None:
        raise SettingsError(f"RAG_{name}_URL is not set: the URL of a model server, like http://host:8000/v1")
    return server


def _store(variables: Mapping[str, str]) -> str:
    """The rest of a URL may hold a password, and so may all of a text that is none: no message repeats it."""
    url = variables.get("RAG_STORE", "")
    scheme = url.partition("://")[0]
    if "://" in url and scheme in STORE_SCHEMES:
        return url
    fault = f'begins with "{scheme}"' if _SCHEME.match(url) else "is no URL"
    raise SettingsError(f"RAG_STORE {fault}: expected milvus://HOST:19530 or postgresql://…")


def _collection(variables: Mapping[str, str]) -> str:
    name = variables.get("RAG_COLLECTION", "documents")
    if not _COLLECTION.match(name):
        raise SettingsError(f'RAG_COLLECTION is "{name}": expected at most 31 of a-z, 0-9 and _, a letter first')
    return name


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        raise SettingsError(f'{name} is "{text}": expected a number') from None
    if not 0 < number < 1_000_000:
        raise SettingsError(f'{name} is "{text}": expected a number above zero')
    return number

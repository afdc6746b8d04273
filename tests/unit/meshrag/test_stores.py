"""The two stores with clients that fail or write down what they are asked: no server is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from meshrag import chunks
from meshrag.chunks import Piece
from meshrag.errors import SlotError, SlotTimeoutError
from meshrag.stores import Completion

pymilvus = pytest.importorskip("pymilvus", reason="the extra rag is not installed; `nox -s rag` has it")
psycopg = pytest.importorskip("psycopg", reason="the extra rag is not installed; `nox -s rag` has it")


(chunk,) = chunks.of_document("a.md", [Piece(0, "text")])


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """What pymilvus hands on as it is."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "of the server"


def milvus_that_raises(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    from meshrag.stores.milvus import MilvusStore

    class Client:
        def has_collection(self, _name: str, timeout: float) -> bool:
            raise error

    monkeypatch.setattr(pymilvus, "MilvusClient", lambda **_: Client())
    return MilvusStore("milvus://store:19530", "documents")


@pytest.mark.parametrize("name", ["RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE"])
def test_milvus_is_to_blame_for_a_refusal_of_its_wire(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    store = milvus_that_raises(monkeypatch, Refusal(grpc.StatusCode[name]))
    with pytest.raises(SlotError, match=f"store: Milvus: {name}: of the server") as caught:
        store.completion()
    assert caught.value.status == 502


def test_milvus_that_answers_too_late_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    store = milvus_that_raises(monkeypatch, Refusal(grpc.StatusCode.DEADLINE_EXCEEDED))
    with pytest.raises(SlotTimeoutError, match="store: Milvus: DEADLINE_EXCEEDED"):
        store.completion()


def test_a_wire_that_failed_without_a_code_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    store = milvus_that_raises(monkeypatch, grpc.RpcError())
    with pytest.raises(SlotError, match="store: Milvus: RpcError"):
        store.completion()


class Recording:
    """Takes every call that a store makes, and remembers which of them had a timeout."""

    def __init__(self) -> None:
        self.timeouts: dict[str, set[float | None]] = {}

    def __getattr__(self, name: str) -> Any:
        def called(*_: Any, **options: Any) -> Any:
            self.timeouts.setdefault(name, set()).add(options.get("timeout"))
            return ANSWERS.get(name)

        return called


class Rows:
    def next(self) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing is open."""


class Schema:
    def add_field(self, *_: Any, **__: Any) -> None:
        """Whatever it is."""


class Index:
    def add_index(self, *_: Any, **__: Any) -> None:
        """Whatever it is."""


ANSWERS: dict[str, Any] = {
    "create_schema": Schema(),
    "prepare_index_params": Index(),
    "describe_collection": {"fields": [{"name": "embedding", "params": {"dim": 2}}]},
    "query_iterator": Rows(),
    "query": [],
    "search": [[]],
}


@pytest.mark.parametrize("has_collection", [True, False])
def test_each_call_of_milvus_has_an_end(monkeypatch: pytest.MonkeyPatch, *, has_collection: bool) -> None:
    """pymilvus hands the timeout of its client to no call."""
    from meshrag.stores.milvus import MilvusStore

    client = Recording()
    monkeypatch.setitem(ANSWERS, "has_collection", has_collection)
    monkeypatch.setattr(pymilvus, "MilvusClient", lambda **_: client)
    store = MilvusStore("milvus://store:19530", "documents")
    store.prepare(2)
    assert store.dimensions() == (2 if has_collection else None)
    store.ids_by_key()
    store.add([chunk], [[1.0, 0.0]])
    store.remove(["a"])
    store.search([1.0, 0.0], 4)
    store.completion()
    store.complete(Completion(1, 1, "f"))
    local = {"create_schema", "prepare_index_params"}
    assert {name: times for name, times in client.timeouts.items() if name not in local} == {
        name: {30} for name in client.timeouts.keys() - local
    }
    assert client.timeouts.keys() >= {"upsert", "delete", "search", "has_collection", "query_iterator"}


def test_a_connection_to_postgresql_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose server has gone without a word."""
    from meshrag.stores.pgvector import PgvectorStore

    given: dict[str, Any] = {}

    def connect(_url: str, **options: Any) -> None:
        given.update(options)
        raise psycopg.OperationalError("refused")

    monkeypatch.setattr(psycopg, "connect", connect)
    with pytest.raises(SlotError, match="store: PostgreSQL: refused"):
        PgvectorStore("postgresql://store/documents", "documents").dimensions()
    assert (given["connect_timeout"], given["tcp_user_timeout"]) == (10, 30_000)
    assert given["options"] == "-c statement_timeout=60000"


class Cursor:
    """Writes statements down, and has one row: the length of the vectors."""

    def __init__(self, dimensions: int) -> None:
        self.statements: list[str] = []
        self._dimensions = dimensions

    def execute(self, statement: Any, _parameters: Any = None) -> None:
        self.statements.append(statement if isinstance(statement, str) else statement.as_string(None))

    def fetchone(self) -> tuple[int]:
        return (self._dimensions,)


@pytest.mark.parametrize(("dimensions", "is_indexed"), [(384, True), (2000, True), (2001, False), (3072, False)])
def test_vectors_that_are_too_long_for_an_index_have_none(
    monkeypatch: pytest.MonkeyPatch, dimensions: int, is_indexed: bool
) -> None:
    from meshrag.stores.pgvector import PgvectorStore

    cursor = Cursor(dimensions)

    @contextlib.contextmanager
    def connected(_store: PgvectorStore) -> Iterator[Cursor]:
        yield cursor

    monkeypatch.setattr(PgvectorStore, "_cursor", connected)
    PgvectorStore("postgresql://store/documents", "documents").prepare(dimensions)
    assert any("hnsw" in statement for statement in cursor.statements) == is_indexed
    assert any(f"vector({dimensions})" in statement for statement in cursor.statements)

"""Vector stores behind one small interface: Milvus and PostgreSQL with pgvector. EDGE.

A store has one collection of chunks, and a mark that a run over all documents has ended there. The mark is in the store
itself, so that an index that is lost is never taken for a complete one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from meshrag.chunks import Chunk
from meshrag.errors import SlotError
from meshrag.passages import Passage


@dataclass(frozen=True)
class Completion:
    """The index has all documents. `fingerprint`: `chunks.fingerprint` of what it has."""

    documents: int
    chunks: int
    fingerprint: str


class Store(Protocol):
    """Each method raises `SlotError("store", …)` where the store does not answer."""

    def prepare(self, dimensions: int) -> None:
        """Makes the collection where there is none. Raises: SlotError where there is one of other dimensions."""

    def dimensions(self) -> int | None:
        """Of the vectors that it has; None where there is no collection."""

    def ids_by_key(self) -> dict[str, set[str]]:
        """The chunks that there are, by document."""

    def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        """Adds chunks, or puts them in place of those with the same ids."""

    def remove(self, ids: Collection[str]) -> None: ...

    def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
        """The nearest chunks by cosine, at most `limit`."""

    def completion(self) -> Completion | None:
        """None: there is no collection, or no run over all documents has ended."""

    def complete(self, completion: Completion) -> None: ...


def other_length(store: Store, length: int) -> SlotError | None:
    """What is to be said of vectors of `length` numbers; None where the store has vectors of the same length, or none.
    A collection belongs to one model, so that it is the model server which has another one than it is told."""
    indexed = store.dimensions()
    if indexed in {None, length}:
        return None
    return SlotError("embed", f"a vector of {length} numbers, and the index has vectors of {indexed}: is it the model?")


def open_store(url: str, collection: str) -> Store:
    """Opens no connection yet. `url`: milvus://host:19530 or postgresql://…"""
    if url.startswith("milvus://"):
        from meshrag.stores.milvus import MilvusStore  # pymilvus takes seconds

        return MilvusStore(url, collection)
    from meshrag.stores.pgvector import PgvectorStore

    return PgvectorStore(url, collection)

"""Chunks of documents and their ids, which follow from their content. PURE.

An id is made of the document's key, the place in it and the text. So a second run over the same documents finds every
chunk in the store already, a run that was stopped goes on where it was, and a changed document replaces only those of
its chunks that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

CHUNK_CHARACTERS: Final = 800  # MiniLM reads 256 tokens, which are about 1000 characters of English
OVERLAP_CHARACTERS: Final = 100


@dataclass(frozen=True)
class Piece:
    """A part of a document's text that begins at character `start`."""

    start: int
    text: str


@dataclass(frozen=True)
class Chunk:
    """`key`: that of the document in its corpus. `hash`: of the text alone, which is what a citation names."""

    id: str
    key: str
    start: int
    hash: str
    text: str


@dataclass(frozen=True)
class Difference:
    """What has to happen in the store so that a document is in it as it is."""

    missing: tuple[Chunk, ...]
    stale: frozenset[str]


def of_document(key: str, pieces: Iterable[Piece]) -> tuple[Chunk, ...]:
    """The chunks of one document; pieces of nothing but white space are left out."""
    return tuple(_chunk(key, piece) for piece in pieces if piece.text.strip())


def difference(wanted: Iterable[Chunk], stored: frozenset[str]) -> Difference:
    """`stored`: the ids that the store has of this document."""
    chunks = {chunk.id: chunk for chunk in wanted}
    missing = tuple(chunk for chunk in chunks.values() if chunk.id not in stored)
    return Difference(missing, stored - chunks.keys())


def collection_name(name: str, embedding_model: str, environment: str = "") -> str:
    """Vectors of two models are not comparable: each model has a collection of its own. So has each environment, where
    it is named: two of them may have other documents, and the same store."""
    of_environment = (environment,) if environment else ()
    return f"{name}_{_digest(embedding_model, CHUNK_CHARACTERS, OVERLAP_CHARACTERS, *of_environment)[:12]}"


def fingerprint(chunks_by_key: Mapping[str, Iterable[str]]) -> str:
    """Of all ids in an index: two indexes of the same documents have the same one."""
    return _digest(*(f"{key}\0{' '.join(sorted(ids))}" for key, ids in sorted(chunks_by_key.items())))


def _chunk(key: str, piece: Piece) -> Chunk:
    return Chunk(
        id=_digest(key, piece.start, piece.text),
        key=key,
        start=piece.start,
        hash=_digest(piece.text)[:16],
        text=piece.text,
    )


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]

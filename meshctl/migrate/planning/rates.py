"""The rates on which the estimates of a plan are based, each with its source. PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CopyRate:
    bytes_per_s: float
    source: str


@dataclass(frozen=True)
class ListingRate:
    objects_per_s: float
    source: str


@dataclass(frozen=True)
class EmbeddingRate:
    """Of passages of 800 characters, with one model on one thread of a CPU."""

    passages_per_s: float
    model: str
    source: str


LISTING_RATE = ListingRate(5000, "assumed: 5,000 objects a second")

# between the stores and the operator's machine; the progress of a copy shows the actual rate
COPY_RATE = CopyRate(125e6, "assumed: 1 Gbit/s through this machine")

# of the server that the lab runs, 25 ms each; a server with more threads takes less (docs/lab.md, Retrieval)
EMBEDDING_RATE = EmbeddingRate(
    40,
    "sentence-transformers/all-MiniLM-L6-v2",
    "measured 2026-11-28: all-MiniLM-L6-v2 on one CPU thread, 40 passages of 800 characters a second",
)

"""Indexes that the target makes of their documents again, and how long that takes. PURE.

Called by `plan`. A deployment does not record blueprints, so the workload that makes an index is recognized by its
command and by the variables that configure it, even if a user wrote it by hand. Both are contracts of meshrag
(docs/blueprints.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from meshctl.migrate.planning.inputs import StoreFacts
from meshctl.migrate.planning.rates import EMBEDDING_RATE
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.value import Value

PASSAGE_CHARACTERS: Final = 700  # by which a passage of meshrag goes beyond the one before it: 800 with 100 of overlap
REQUESTS: Final = 4  # that meshrag has under way at once, unless it is told otherwise
_PROGRAM: Final = "meshrag.ingest"


class RemadeIndex(Value):
    """An index that `workload` makes at the target. None is unknown, for the reason that `source` has. `passages`: if
    all bytes of the documents are text."""

    workload: str
    documents: str  # the storage
    objects: int | None
    total_bytes: int | None
    passages: int | None
    minutes: float | None
    source: str


def remade(target: Deployment, facts: Mapping[str, StoreFacts], idle: frozenset[str]) -> tuple[RemadeIndex, ...]:
    """`facts`: by the name of the store. `idle`: the workloads that stay paused."""
    makers = (workload for workload in target.workloads if _PROGRAM in workload.command and workload.name not in idle)
    return tuple(index for maker in makers for index in _of_maker(target, maker, facts))


def _of_maker(target: Deployment, maker: Workload, facts: Mapping[str, StoreFacts]) -> Iterator[RemadeIndex]:
    folder = maker.env.get("RAG_CORPUS", "").rstrip("/")  # of a mount, or inside of one
    for mount in maker.mounts:
        if not f"{folder}/".startswith(f"{mount.path.rstrip('/')}/"):
            continue
        size = facts.get(mount.storage)
        passages = size.objects + size.total_bytes // PASSAGE_CHARACTERS if size is not None else None
        rate = _rate(target, maker)
        yield RemadeIndex(
            workload=maker.name,
            documents=mount.storage,
            objects=size.objects if size is not None else None,
            total_bytes=size.total_bytes if size is not None else None,
            passages=passages,
            minutes=_minutes(passages, rate),
            source=rate.source if size is not None else "what is in storage that is not copied is not counted",
        )


@dataclass(frozen=True)
class _Rate:
    """`passages_per_s` None: unknown, and `source` says why."""

    passages_per_s: float | None
    source: str


def _minutes(passages: int | None, rate: _Rate) -> float | None:
    if passages is None or rate.passages_per_s is None:
        return None
    return round(passages / rate.passages_per_s / 60, 1)


def _rate(target: Deployment, maker: Workload) -> _Rate:
    """How fast passages become vectors. It is known for one model on a CPU; several servers share the requests that
    the maker has under way at once."""
    model, host = maker.env.get("RAG_EMBED_MODEL", ""), urlsplit(maker.env.get("RAG_EMBED_URL", "")).hostname
    embedder = next((each for each in target.workloads if each.name == host), None)
    if model != EMBEDDING_RATE.model:
        return _Rate(None, f"no rate of {model or 'its model'} is known")
    if embedder is None:
        return _Rate(None, f"no rate of {host} is known")
    if embedder.accelerators:
        return _Rate(None, f"no rate of {model} on an accelerator is known")
    requests = maker.env.get("RAG_EMBED_REQUESTS", "")
    servers = max(1, min(embedder.replicas, int(requests) if requests.isdecimal() else REQUESTS))
    of_each = f"; {servers} servers" if servers > 1 else ""
    return _Rate(servers * EMBEDDING_RATE.passages_per_s, f"{EMBEDDING_RATE.source}{of_each}")


def minutes_of(indexes: tuple[RemadeIndex, ...]) -> float:
    """Until the last of them is complete, without those of which nothing is known: they are made at the same time."""
    return max((index.minutes or 0.0 for index in indexes), default=0.0)


def notes(target: Deployment, indexes: tuple[RemadeIndex, ...]) -> Iterator[str]:
    """Of an index that takes longer than its maker may take to start."""
    for index in indexes:
        health = target.workload(index.workload).health
        if health is not None and index.minutes is not None and index.minutes * 60 > health.startup_s:
            yield (
                f"the index of {index.workload} takes about {index.minutes / 60:.1f} h, and its pods may take"
                f" {health.startup_s / 3600:.1f} h to start: raise `health: {{startup: …}}` of it, and of the workload"
                " that answers from the index, so that the step `start` waits long enough"
            )

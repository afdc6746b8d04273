"""Indexes that the target makes of their documents again, and how long that takes. PURE.

Called by `plan`. A deployment knows no blueprints: what makes an index is known by its command and by the variables
that it is told its work by, also where somebody has written it out. Both are contracts of meshrag (docs/blueprints.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from meshctl.migrate.planning.inputs import StoreFacts
from meshctl.migrate.planning.rates import EMBEDDING_RATE
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.value import Value

PASSAGE_CHARACTERS: Final = 700  # by which a passage of meshrag goes beyond the one before it: 800 with 100 of overlap
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
        unknown = _why_unknown(target, maker, size)
        minutes = None if unknown or passages is None else round(passages / EMBEDDING_RATE.passages_per_s / 60, 1)
        yield RemadeIndex(
            workload=maker.name,
            documents=mount.storage,
            objects=size.objects if size is not None else None,
            total_bytes=size.total_bytes if size is not None else None,
            passages=passages,
            minutes=minutes,
            source=unknown or EMBEDDING_RATE.source,
        )


def _why_unknown(target: Deployment, maker: Workload, size: StoreFacts | None) -> str:
    """ "" where there is a measured rate for what embeds the passages: the number holds for one model on a CPU."""
    if size is None:
        return "what is in storage that is not copied is not counted"
    model, host = maker.env.get("RAG_EMBED_MODEL", ""), urlsplit(maker.env.get("RAG_EMBED_URL", "")).hostname
    embedder = next((each for each in target.workloads if each.name == host), None)
    if model != EMBEDDING_RATE.model:
        return f"no rate of {model or 'its model'} is known"
    if embedder is None:
        return f"no rate of {host} is known"
    return f"no rate of {model} on an accelerator is known" if embedder.accelerators else ""


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
                f" {health.startup_s / 3600:.1f} h to start: a longer `health: {{startup: …}}` of it and of what"
                " answers from the index lets `start` wait for as long"
            )

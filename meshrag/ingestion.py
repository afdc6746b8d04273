"""Documents of a folder -> chunks in a store. EDGE: reads files, and writes to the store.

Called by `meshrag.ingest`. Chunks are added before those that they replace are removed, and a run over all documents is
marked as complete at its end. So a run that is killed leaves an index that the next one goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from meshrag import chunks, documents, outcomes
from meshrag.chunks import Chunk, Difference, Piece
from meshrag.outcomes import Outcome, Summary
from meshrag.stores import Completion, Store

_TOGETHER: Final = 32  # chunks that are embedded by one request, of as many documents as it takes


Splits = Callable[[str], Sequence[Piece]]


class Embeds(Protocol):
    def vectors(self, texts: Sequence[str]) -> list[list[float]]: ...


@dataclass(frozen=True)
class _Document:
    outcome: Outcome
    difference: Difference
    ids: frozenset[str]


def dimensions(embedder: Embeds) -> int:
    """Raises: SlotError while the server does not answer."""
    return len(embedder.vectors(["dimensions"])[0])


def run(
    folder: Path,
    store: Store,
    embedder: Embeds,
    split: Splits,
    report: Callable[[Outcome], None],
) -> Summary:
    """Brings the store's index to what the folder has. `report` hears of each document once its chunks are stored.

    Raises: SlotError, OSError for a folder that is not there.
    """
    store.prepare(dimensions(embedder))
    stored = store.ids_by_key()
    reported: list[Outcome] = []
    ids_by_key: dict[str, frozenset[str]] = {}
    for group in _groups(_compared(folder, stored, split)):
        _put(group, store, embedder)
        for document in group:
            ids_by_key[document.outcome.key] = document.ids
            reported.append(document.outcome)
            report(document.outcome)
    gone = [chunk_id for key, ids in stored.items() if key not in ids_by_key for chunk_id in ids]
    if gone:
        store.remove(gone)
    summary = outcomes.summary(reported, len(gone), chunks.fingerprint(ids_by_key))
    store.complete(Completion(summary.documents, summary.chunks, summary.fingerprint))
    return summary


def listing(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Key, size and time of change of each document: what has to be equal for a run to have nothing to do."""
    paths = ((key, (folder / key).stat()) for key in documents.keys(folder))
    return tuple((key, stat.st_size, stat.st_mtime_ns) for key, stat in paths)


def _compared(folder: Path, stored: dict[str, set[str]], split: Splits) -> Iterator[_Document]:
    for key in documents.keys(folder):
        reading = documents.read(folder, key)
        wanted = chunks.of_document(key, split(reading.text) if reading.text else ())
        difference = chunks.difference(wanted, frozenset(stored.get(key, ())))
        ids = frozenset(chunk.id for chunk in wanted)
        outcome = Outcome(
            documents.shown(key), reading.outcome, len(ids), len(difference.missing), len(difference.stale)
        )
        yield _Document(outcome, difference, ids)


def _groups(compared: Iterator[_Document]) -> Iterator[list[_Document]]:
    group: list[_Document] = []
    for document in compared:
        group.append(document)
        if sum(len(each.difference.missing) for each in group) >= _TOGETHER or len(group) >= _TOGETHER:
            yield group
            group = []
    if group:
        yield group


def _put(group: list[_Document], store: Store, embedder: Embeds) -> None:
    missing: list[Chunk] = [chunk for document in group for chunk in document.difference.missing]
    for first in range(0, len(missing), _TOGETHER):
        batch = missing[first : first + _TOGETHER]
        store.add(batch, embedder.vectors([chunk.text for chunk in batch]))
    stale = [chunk_id for document in group for chunk_id in document.difference.stale]
    if stale:
        store.remove(stale)

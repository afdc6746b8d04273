"""Documents of a folder -> chunks in a store. EDGE: reads files, and writes to the store.

Called by `meshrag.ingest`. Documents that can't be read now, those in a folder that can't be listed, and those that are
more than is read, keep the chunks that the store has of them: nobody knows that they have changed.

Chunks are added before those that they replace are removed, and a run over all documents is marked as complete at its
end. So a run that is killed leaves an index that the next one goes on with.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from meshrag import chunks, documents, outcomes
from meshrag.chunks import Chunk, Difference, Piece
from meshrag.documents import Entry, Reading
from meshrag.errors import SlotError
from meshrag.outcomes import Outcome, Summary
from meshrag.stores import Completion, Store, other_length

TOGETHER: Final = 32  # chunks that are embedded by one request, of as many documents as it takes
_UNKNOWN: Final = (-1, -1)  # size and time of what can't be looked at


Splits = Callable[[str], Sequence[Piece]]


class Embeds(Protocol):
    def vectors(self, texts: Sequence[str]) -> list[list[float]]: ...


@dataclass(frozen=True)
class _Document:
    """`ids`: the chunks that the index is to have, by document; those of several where a folder can't be listed.
    `is_retried`: they are what the store has, as nothing else is known now."""

    key: str
    outcome: Outcome
    difference: Difference
    ids: Mapping[str, frozenset[str]]
    is_retried: bool = False


def dimensions(embedder: Embeds) -> int:
    """Raises: SlotError while the server does not answer."""
    return len(embedder.vectors(["dimensions"])[0])


@documents.reading()
def run(
    folder: Path,
    store: Store,
    embedder: Embeds,
    split: Splits,
    report: Callable[[Outcome], None],
    requests: int = 1,
) -> Summary:
    """Brings the store's index to what the folder has. `report` hears of each document once its chunks are stored.
    `requests`: how many are sent to the embedder at once.

    Raises: SlotError, OSError for a folder that is not there, or can't be listed.
    """
    length = dimensions(embedder)
    problem = other_length(store, length)
    if problem is not None:
        raise problem
    store.prepare(length)
    stored = store.ids_by_key()
    reported: list[Outcome] = []
    unread: list[str] = []
    ids_by_key: dict[str, frozenset[str]] = {}
    for group in _groups(_compared(folder, stored, split), requests * TOGETHER):
        _put(group, store, embedder, length, requests)
        for document in group:
            ids_by_key.update(document.ids)
            unread += [document.key] if document.is_retried else []
            reported.append(document.outcome)
            report(document.outcome)
    gone = [chunk_id for key, ids in stored.items() if key not in ids_by_key for chunk_id in ids]
    if gone:
        store.remove(gone)
    summary = outcomes.summary(reported, len(gone), chunks.fingerprint(ids_by_key), unread)
    store.complete(Completion(summary.documents, summary.chunks, summary.fingerprint))
    return summary


def listing(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Key, size and time of change of each document: what has to be equal for a run to have nothing to do."""
    return tuple(line for entry in documents.entries(folder) for line in _lines(folder, entry))


def _lines(folder: Path, entry: Entry) -> Iterator[tuple[str, int, int]]:
    """None of a document that has gone meanwhile."""
    try:
        stat = (folder / entry.key).lstat() if not entry.problem else None
    except FileNotFoundError:
        return
    except OSError:
        stat = None
    yield (entry.key, stat.st_size, stat.st_mtime_ns) if stat is not None else (entry.key, *_UNKNOWN)


def _compared(folder: Path, stored: dict[str, set[str]], split: Splits) -> Iterator[_Document]:
    sorted_keys = sorted(stored)
    for entry in documents.entries(folder):
        reading = Reading(entry.problem, is_unread=True) if entry.problem else documents.read(folder, entry.key)
        if reading.is_unread:
            yield _unread(entry.key, reading, stored, sorted_keys)
        else:
            yield _read(entry.key, reading, stored, split)


def _read(key: str, reading: Reading, stored: dict[str, set[str]], split: Splits) -> _Document:
    wanted = chunks.of_document(key, split(reading.text) if reading.text else ())
    difference = chunks.difference(wanted, frozenset(stored.get(key, ())))
    ids = frozenset(chunk.id for chunk in wanted)
    shown = documents.shown(key)
    outcome = Outcome(shown, reading.outcome, len(ids), len(difference.missing), len(difference.stale))
    return _Document(key, outcome, difference, {shown: ids})


def _unread(key: str, reading: Reading, stored: dict[str, set[str]], sorted_keys: Sequence[str]) -> _Document:
    """Of a document, or of all that the store has from a folder."""
    first, end = (bisect.bisect_left(sorted_keys, f"{key}{character}") for character in "/0")  # 0 comes after /
    keys = (key, *sorted_keys[first:end])
    ids = {each: frozenset(stored[each]) for each in keys if each in stored}
    outcome = Outcome(documents.shown(key), reading.outcome, sum(map(len, ids.values())))
    return _Document(key, outcome, Difference((), frozenset()), ids, not reading.is_lasting)


def _groups(compared: Iterator[_Document], size: int) -> Iterator[list[_Document]]:
    """`size`: of missing chunks or of documents, after which a group ends."""
    group: list[_Document] = []
    for document in compared:
        group.append(document)
        if sum(len(each.difference.missing) for each in group) >= size or len(group) >= size:
            yield group
            group = []
    if group:
        yield group


def _put(group: list[_Document], store: Store, embedder: Embeds, length: int, requests: int) -> None:
    missing: list[Chunk] = [chunk for document in group for chunk in document.difference.missing]
    for first in range(0, len(missing), requests * TOGETHER):
        _add(missing[first : first + requests * TOGETHER], store, embedder, length, requests)
    stale = [chunk_id for document in group for chunk_id in document.difference.stale]
    if stale:
        store.remove(stale)


def _add(missing: Sequence[Chunk], store: Store, embedder: Embeds, length: int, requests: int) -> None:
    """`length`: of each vector. A server that is replaced during a run may have another model."""
    batches = [missing[first : first + TOGETHER] for first in range(0, len(missing), TOGETHER)]
    with ThreadPoolExecutor(requests) as pool:
        texts = ([chunk.text for chunk in batch] for batch in batches)
        for batch, vectors in zip(batches, pool.map(embedder.vectors, texts), strict=True):
            if len(vectors[0]) != length:
                raise SlotError("embed", f"vectors of {len(vectors[0])} numbers, and of {length} before")
            store.add(batch, vectors)

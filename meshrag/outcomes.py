"""What became of each document, as a line of JSON. PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

OK: Final = "ok"
EMPTY: Final = "empty"  # a file of no bytes
NO_TEXT: Final = "no text"  # there is something, but no text: a scanned page
UNREADABLE: Final = "unreadable"
SKIPPED: Final = "skipped"


@dataclass(frozen=True)
class Outcome:
    """`outcome`: one of the words above, the last two with a colon and the reason. `added`, `removed`: chunks."""

    key: str
    outcome: str
    chunks: int = 0
    added: int = 0
    removed: int = 0

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class Summary:
    """Of one run over all documents. `fingerprint`: of the index that it leaves. `unread`: the keys of documents and
    folders that could not be read, and may be another time."""

    documents: int
    chunks: int
    added: int
    removed: int
    without_text: int
    fingerprint: str
    unread: tuple[str, ...] = ()

    def line(self) -> str:
        return json.dumps({"summary": asdict(self)})


def summary(outcomes: Iterable[Outcome], removed: int, fingerprint: str, unread: Iterable[str] = ()) -> Summary:
    """`removed`: chunks of documents that are gone."""
    listed = list(outcomes)
    return Summary(
        documents=len(listed),
        chunks=sum(each.chunks for each in listed),
        added=sum(each.added for each in listed),
        removed=sum(each.removed for each in listed) + removed,
        without_text=sum(each.outcome != OK for each in listed),
        fingerprint=fingerprint,
        unread=tuple(unread),
    )


def unreadable(error: Exception) -> str:
    """The kind of the error alone: messages of parsers may repeat what the document says."""
    return f"{UNREADABLE}: {type(error).__name__}"


def skipped(reason: str) -> str:
    return f"{SKIPPED}: {reason}"

"""`python -m meshrag.ingest`: brings the documents into the store, and keeps the index so. EDGE.

It runs at its start, whenever documents have changed, and whenever the store has lost the index. `/health` says 503
with the reason until the index is complete. With `--once` it runs once and ends: 0 for a complete index.

A line of JSON for each document goes to the output, and one at the end of each run.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from meshrag import chunks, documents, ingestion, settings
from meshrag.chunks import Piece
from meshrag.errors import SettingsError, SlotError
from meshrag.ingestion import Embeds, Splits
from meshrag.model_servers import Embedder
from meshrag.outcomes import Outcome, Summary
from meshrag.settings import Settings
from meshrag.stores import Store, open_store

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 15.0
_TIMES_BETWEEN: Final = 9  # as long as trying to read has taken, before it is tried again


class _Patience:
    """For how long a run is tried again: `wait_s` from its start, and from each try that came further than those
    before. Hours of work may lie between two failures."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._furthest = -1
        self.is_left(0)

    def is_left(self, stored: int) -> bool:
        """`stored`: how far the last try came, in documents."""
        if stored > self._furthest:
            self._furthest, self._deadline, self._pause_s = stored, time.monotonic() + self._wait_s, _FIRST_PAUSE_S
        return time.monotonic() <= self._deadline

    def pause(self) -> None:
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


class Ingestion:
    """Runs until nothing is left to do. `problem`: why the index is not complete, "" once it is."""

    def __init__(self, config: Settings, store: Store, embedder: Embeds, split: Splits) -> None:
        self._settings = config
        self._store = store
        self._embedder = embedder
        self._split = split
        self._folder = Path(config.corpus)
        self._listing: object = None
        self._fingerprint = ""
        self._unread: tuple[str, ...] = ()
        self._next_try = 0.0
        self.problem = "the documents are being read"

    def run_once(self) -> Summary:
        """One run, which waits for programs that do not answer yet. Raises: SlotError once no patience is left."""
        patience = _Patience(self._settings.wait_s)
        while True:
            listing = ingestion.listing(self._folder)
            stored: list[str] = []
            try:
                summary = self._try(stored)
            except SlotError as error:
                self.problem = str(error)
                if not patience.is_left(len(stored)):
                    raise
                _print(f"waiting: {error}")
                patience.pause()
                continue
            self._listing, self._fingerprint, self._unread = listing, summary.fingerprint, summary.unread
            self.problem = ""
            _print(summary.line())
            return summary

    def _try(self, stored: list[str]) -> Summary:
        """`stored` gets the key of each document whose chunks are in the store."""

        def report(outcome: Outcome) -> None:
            stored.append(outcome.key)
            _print(outcome.line())

        requests = self._settings.embed_requests
        return ingestion.run(self._folder, self._store, self._embedder, self._split, report, requests)

    def run_for_ever(self) -> None:
        """Ends the process where a program that is needed never answers, and for every other error: `/health` would
        keep its last answer, and nobody would read what is new."""
        try:
            while True:
                if self.has_work():
                    self.run_once()
                time.sleep(self._settings.rescan_s)
        except (SlotError, OSError) as error:
            _print(f"error: {error}")
        except Exception as error:  # of a library, which has its own
            _print(f"error: {type(error).__name__}: {error}")
        finally:
            os._exit(1)  # the server of `/health` runs in another thread

    def has_work(self) -> bool:
        """Whether documents have changed or can be read again, or the store is not as the last run left it."""
        if ingestion.listing(self._folder) != self._listing:
            return True
        if self._has_readable():
            return True
        try:
            completion = self._store.completion()
        except SlotError as error:
            _print(f"waiting: {error}")
            return True
        if completion is not None and completion.fingerprint == self._fingerprint:
            return False
        self.problem = "the store has lost the index, and the documents are read again"
        return True

    @documents.reading()
    def _has_readable(self) -> bool:
        """Whether one of those that could not be read can be read now. A PDF file may take ten minutes to be unreadable
        again, in which nothing else happens: trying takes a tenth of the time at most, or what a scan has for it."""
        begun = time.monotonic()
        if begun < self._next_try:
            return False
        is_any = any(documents.is_readable(self._folder, key) for key in self._unread)
        now = time.monotonic()
        pause_s = _TIMES_BETWEEN * (now - begun)
        self._next_try = now + pause_s if pause_s > self._settings.rescan_s else now
        return is_any


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m meshrag.ingest", description="Documents -> vector store.")
    parser.add_argument("--once", action="store_true", help="run once and end")
    arguments = parser.parse_args(words)
    try:
        config = settings.read(os.environ)
        if not config.corpus:
            raise SettingsError("RAG_CORPUS is not set: the folder of the documents")
    except SettingsError as error:
        _print(f"error: {error}")
        return 2
    collection = chunks.collection_name(config.collection, config.embed.model, config.environment)
    store = open_store(config.store, collection)
    ingestion_ = Ingestion(config, store, Embedder(config.embed), _split)
    if not arguments.once:
        return _serve(ingestion_, config.port)
    try:
        ingestion_.run_once()
    except (SlotError, OSError) as error:
        _print(f"error: {error}")
        return 1
    return 0


def _serve(ingestion_: Ingestion, port: int) -> int:
    from meshrag import serving

    threading.Thread(target=ingestion_.run_for_ever, daemon=True).start()
    serving.run(serving.health_app(lambda: ingestion_.problem), port)
    return 0


def _split(text: str) -> list[Piece]:
    from meshrag import splitting  # LangChain takes seconds: the first probes are answered before

    return splitting.split(text)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

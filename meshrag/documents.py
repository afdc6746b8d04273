"""The documents of a folder, and the text in each. EDGE: reads files.

Called by `meshrag.ingestion`. A document that can't be read is an outcome and no error: the others go on. Whether it is
damaged, or the file system has failed, is told apart: of the latter nothing is known, and it may be read another time.
"""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshrag import outcomes

MOST_BYTES: Final = 256 * 2**20  # of one document: all of it is held in memory
MOST_TEXT: Final = 16 * 2**20  # bytes of a text, characters of a PDF file: split at its worst, it takes 1 GiB
MOST_MINUTES: Final = 10  # for the pages of one PDF file
_TEXT: Final = frozenset({".txt", ".md", ".markdown", ".rst", ".text"})
_PDF: Final = ".pdf"
_PAGE_END: Final = "\n\n"


@dataclass(frozen=True)
class Reading:
    """`text`: "" wherever `outcome` is not ok. `is_unread`: the file system has failed, and the text is not known."""

    outcome: str
    text: str = ""
    is_unread: bool = False


@dataclass(frozen=True)
class Entry:
    """A document by its path below the folder, as an object store would list it. `problem`: the outcome of a folder
    that can't be listed, or of something that is there and of which nothing else is known; "" of a document."""

    key: str
    problem: str = ""


def entries(folder: Path) -> Iterator[Entry]:
    """The documents, and the folders that can't be listed. Links are not followed, so that nothing outside of the
    folder is read. Raises: OSError for a folder that is not there, or can't be listed itself."""
    errors: list[OSError] = []
    for where, folders, files in os.walk(folder, onerror=errors.append):
        folders.sort()
        for name in sorted(files):
            entry = _entry(folder, Path(where, name))
            if entry is not None:
                yield entry
    for error in errors:
        if error.filename in {None, os.fspath(folder)}:
            raise error
        if not isinstance(error, FileNotFoundError):  # else it has gone meanwhile
            yield _closed(folder, Path(error.filename), error)


def _entry(folder: Path, path: Path) -> Entry | None:
    """None of what is no file, or has gone meanwhile."""
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _closed(folder, path, error)
    return Entry(path.relative_to(folder).as_posix()) if is_file else None


def _closed(folder: Path, path: Path, error: OSError) -> Entry:
    return Entry(path.relative_to(folder).as_posix(), outcomes.unreadable(error))


def is_readable(folder: Path, key: str) -> bool:
    """Whether a document or a folder that could not be read is worth another run: it can be read now, or has gone."""
    path = folder / key
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            return not read(folder, key).is_unread
        with os.scandir(path) as listed:
            next(listed, None)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def read(folder: Path, key: str) -> Reading:
    if shown(key) != key:
        return Reading(outcomes.skipped("its name is not UTF-8"))
    path = folder / key
    suffix = path.suffix.lower()
    if suffix not in _TEXT and suffix != _PDF:
        return Reading(outcomes.skipped("neither text, Markdown nor PDF"))
    try:
        data = _content(path, MOST_BYTES if suffix == _PDF else MOST_TEXT)
    except FileNotFoundError as error:
        return Reading(outcomes.unreadable(error))
    except OSError as error:
        return Reading(outcomes.unreadable(error), is_unread=True)
    except _TooMuchError as error:
        return Reading(outcomes.skipped(str(error)))
    return _reading(data, suffix) if data else Reading(outcomes.EMPTY)


def _content(path: Path, most: int) -> bytes:
    """Not by a link, which may have taken the document's place since it was listed.

    Raises: OSError; _TooMuchError where it has more than `most` bytes."""
    with open(path, "rb", opener=_not_by_a_link) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise _TooMuchError(f"larger than {most // 2**20} MiB")
        return file.read(size)


def _not_by_a_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW)


def _reading(data: bytes, suffix: str) -> Reading:
    try:
        text = _storable(_pdf_text(data) if suffix == _PDF else data.decode("utf-8-sig"))
    except _TooMuchError as error:
        return Reading(outcomes.skipped(str(error)))
    except (_NoPdfError, UnicodeDecodeError) as error:
        return Reading(outcomes.unreadable(error))
    return Reading(outcomes.OK, text) if text.strip() else Reading(outcomes.NO_TEXT)


def shown(key: str) -> str:
    """The key as text: of a name that is not UTF-8, Python keeps the bytes in a form that can't be written."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL, and nobody half of a surrogate pair, which PDF files may have."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class _NoPdfError(Exception):
    """What pypdf says of a file, under its own name."""


class _TooMuchError(Exception):
    """More text than is split in memory, or pages that take too long."""


def _pdf_text(data: bytes) -> str:
    """The text of all pages. What a stream of a page may unpack to is bounded by pypdf.

    Raises: _NoPdfError, whose type has the name that pypdf gives the fault; _TooMuchError."""
    import pypdf  # half a second: only where there are PDF files

    try:
        with pypdf.PdfReader(io.BytesIO(data)) as reader:
            return _PAGE_END.join(_bounded(page.extract_text() for page in reader.pages))
    except _TooMuchError:
        raise
    except Exception as error:  # damaged files make its parsers raise whatever Python has
        raise type(type(error).__name__, (_NoPdfError,), {})(str(error)) from error


def _bounded(pages: Iterable[str]) -> Iterator[str]:
    """Raises: _TooMuchError after a page, so that a single one may take its time."""
    deadline = time.monotonic() + 60 * MOST_MINUTES
    characters = 0
    for text in pages:
        characters += len(text)
        if characters > MOST_TEXT:
            raise _TooMuchError(f"more than {MOST_TEXT // 2**20} million characters")
        if time.monotonic() > deadline:
            raise _TooMuchError(f"its pages take longer than {MOST_MINUTES} min")
        yield text

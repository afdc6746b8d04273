"""The documents of a folder, and the text in each. EDGE: reads files.

Called by `meshrag.ingestion`. A document that can't be read is an outcome and no error: the others go on. Whether it is
damaged, or the file system has failed, is told apart: of the latter nothing is known, and it may be read another time.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshrag import outcomes

MOST_BYTES: Final = 256 * 2**20  # of one document: all of it is held in memory
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
        size = path.stat().st_size
        if size == 0:
            return Reading(outcomes.EMPTY)
        if size > MOST_BYTES:
            return Reading(outcomes.skipped(f"larger than {MOST_BYTES // 2**20} MiB"))
        data = path.read_bytes()
    except FileNotFoundError as error:
        return Reading(outcomes.unreadable(error))
    except OSError as error:
        return Reading(outcomes.unreadable(error), is_unread=True)
    try:
        text = _storable(_pdf_text(data) if suffix == _PDF else data.decode("utf-8-sig"))
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


def _pdf_text(data: bytes) -> str:
    """The text of all pages. Raises: _NoPdfError, whose type has the name that pypdf gives the fault."""
    import pypdf  # half a second: only where there are PDF files

    try:
        with pypdf.PdfReader(io.BytesIO(data)) as reader:
            return _PAGE_END.join(page.extract_text() for page in reader.pages)
    except Exception as error:  # damaged files make its parsers raise whatever Python has
        raise type(type(error).__name__, (_NoPdfError,), {})(str(error)) from error

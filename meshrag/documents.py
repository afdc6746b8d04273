"""The documents of a folder, and the text in each. EDGE: reads files.

Called by `meshrag.ingestion`. A document that can't be read is an outcome and no error: the others go on. Whether it is
damaged, or the file system has failed, is told apart: of the latter nothing is known, and it may be read another time.
Nothing is known either of what is more than is read here, and an index may have it that was made by what read more.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from meshrag import outcomes, pdf_pages
from meshrag.pdf_files import PdfFiles

MOST_BYTES: Final = 256 * 2**20  # of a PDF file: all of it is held in memory
MOST_TEXT: Final = pdf_pages.MOST_CHARACTERS  # bytes of a text
_TEXT: Final = frozenset({".txt", ".md", ".markdown", ".rst", ".text"})
_PDF: Final = ".pdf"
_pdf_files: Final = PdfFiles()


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """The process that reads PDF files, which the first of them starts, ends with it."""
    try:
        yield
    finally:
        _pdf_files.close()


@dataclass(frozen=True)
class Reading:
    """`text`: "" wherever `outcome` is not ok. `is_unread`: the text is not known, as the file system has failed, or
    there is more than is read. `is_lasting`: it is as unread another time."""

    outcome: str
    text: str = ""
    is_unread: bool = False
    is_lasting: bool = False


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
        with open(path, "rb", opener=_not_by_a_link) as file:
            return _pdf_reading(file) if suffix == _PDF else _text_reading(file)
    except FileNotFoundError as error:
        return Reading(outcomes.unreadable(error))
    except OSError as error:
        return Reading(outcomes.unreadable(error), is_unread=True)
    except _TooMuchError as error:
        return _excess(str(error))


def _excess(reason: str) -> Reading:
    return Reading(outcomes.skipped(reason), is_unread=True, is_lasting=True)


def _not_by_a_link(name: str, flags: int) -> int:
    """Not by a link, which may have taken the document's place since it was listed."""
    return os.open(name, flags | os.O_NOFOLLOW)


def _text_reading(file: BinaryIO) -> Reading:
    """Raises: OSError, _TooMuchError."""
    data = file.read(_size(file, MOST_TEXT))
    try:
        return _reading(data.decode("utf-8-sig")) if data else Reading(outcomes.EMPTY)
    except UnicodeDecodeError as error:
        return Reading(outcomes.unreadable(error))


def _pdf_reading(file: BinaryIO) -> Reading:
    """Raises: OSError, _TooMuchError; RuntimeError where PDF files can't be read at all."""
    if not _size(file, MOST_BYTES):
        return Reading(outcomes.EMPTY)
    kind, text = _pdf_files.content(file.fileno())
    if kind == pdf_pages.TEXT:
        return _reading(text)
    if kind == pdf_pages.EXCESS:
        return _excess(text)
    if kind == pdf_pages.ENDED:
        return Reading(outcomes.skipped(text), is_unread=True)
    return Reading(f"{outcomes.UNREADABLE}: {text}", is_unread=kind == pdf_pages.FAILED)


def _size(file: BinaryIO, most: int) -> int:
    """In bytes. Raises: OSError; _TooMuchError where there are more than `most`."""
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise _TooMuchError(f"larger than {most // 2**20} MiB")
    return size


def _reading(text: str) -> Reading:
    storable = _storable(text)
    return Reading(outcomes.OK, storable) if storable.strip() else Reading(outcomes.NO_TEXT)


def shown(key: str) -> str:
    """The key as text: of a name that is not UTF-8, Python keeps the bytes in a form that can't be written."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL, and nobody half of a surrogate pair, which PDF files may have."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class _TooMuchError(Exception):
    """More bytes than are held in memory."""

"""The documents of a folder, and the text in each. EDGE: reads files.

Called by `meshrag.ingestion`. A document that can't be read is an outcome and no error: the others go on.
"""

from __future__ import annotations

import os
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
    """`text`: "" wherever `outcome` is not ok."""

    outcome: str
    text: str = ""


def keys(folder: Path) -> Iterator[str]:
    """The documents by their paths below the folder, as an object store would list them. Links are not followed, so
    that nothing outside of the folder is read. Raises: OSError for a folder that is not there."""
    for where, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(files):
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _raise(error: OSError) -> None:
    raise error


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
        text = _storable(_pdf_text(path) if suffix == _PDF else path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        return Reading(outcomes.unreadable(error))
    return Reading(outcomes.OK, text) if text.strip() else Reading(outcomes.NO_TEXT)


def shown(key: str) -> str:
    """The key as text: of a name that is not UTF-8, Python keeps the bytes in a form that can't be written."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL, and nobody half of a surrogate pair, which PDF files may have."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class _NoPdfError(OSError):
    """What pypdf says of a file, under its own name."""


def _pdf_text(path: Path) -> str:
    """The text of all pages. Raises: OSError, whose type has the name that pypdf gives the fault."""
    import pypdf  # half a second: only where there are PDF files

    try:
        with pypdf.PdfReader(path) as reader:
            return _PAGE_END.join(page.extract_text() for page in reader.pages)
    except OSError:
        raise
    except Exception as error:  # damaged files make its parsers raise whatever Python has
        raise type(type(error).__name__, (_NoPdfError,), {})(str(error)) from error

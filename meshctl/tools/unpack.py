"""Extracts one program from a downloaded archive. EDGE: reads and writes files.

Called by `download` after the archive was verified. Only the bytes of the one member are copied, into a file that
the caller names: nothing in an archive can choose where it is written, be a link, or bring anything else along.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from meshctl.errors import ToolError
from meshctl.tools.releases import ReleaseFile

_MOST_BYTES = 1 << 30


def unpack(archive: Path, file: ReleaseFile, program: Path) -> None:
    """Put the program at `program`. Raises: ToolError when it isn't in the archive as a plain file."""
    if not file.member:
        shutil.move(archive, program)
        return
    try:
        with _member(archive, file) as source, program.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError) as error:
        raise _unusable(file, str(error)) from error


@contextlib.contextmanager
def _member(archive: Path, file: ReleaseFile) -> Iterator[IO[bytes]]:
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            entry = zipped.getinfo(file.member)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            _check(file, is_file=not entry.is_dir() and kind in (0, stat.S_IFREG), size=entry.file_size)
            with zipped.open(entry) as source:
                yield source
        return
    with tarfile.open(archive, "r:gz") as tar:
        member = tar.getmember(file.member)
        _check(file, is_file=member.isreg(), size=member.size)
        content = tar.extractfile(member)
        if content is None:
            raise _unusable(file, f"{file.member} is not a plain file")
        yield content


def _check(file: ReleaseFile, *, is_file: bool, size: int) -> None:
    if not is_file:
        raise _unusable(file, f"{file.member} is not a plain file")
    if size > _MOST_BYTES:
        raise _unusable(file, f"{file.member} is larger than {_MOST_BYTES >> 20} MiB")


def _unusable(file: ReleaseFile, why: str) -> ToolError:
    return ToolError(
        f"the release archive {file.name} does not hold the program where it should",
        why=why,
        hint="meshctl setup --build, and report this",
    )

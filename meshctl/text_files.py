"""Text files beside mesh.yaml that go into pods. EDGE. Called by `meshctl.load`."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path


class UnusableFileError(Exception):
    """Why a file can't go into a pod, for a diagnostic at the place that names it."""


Place = tuple[str | int, ...]  # of a file's name in mesh.yaml


def collect(
    folder: Path, named: Iterable[tuple[Place, str]], most_bytes: int
) -> tuple[dict[str, str], list[tuple[Place, str]]]:
    """The texts by the files' names, and what is wrong with the others. Pods get each file as often as it is named, and
    all of them together have at most `most_bytes`."""
    texts: dict[str, str] = {}
    problems: list[tuple[Place, str]] = []
    total = 0
    for place, name in named:
        try:
            texts[name] = texts[name] if name in texts else read(folder, name, most_bytes)
        except UnusableFileError as error:
            problems.append((place, str(error)))
            continue
        before, total = total, total + len(texts[name].encode())
        if before <= most_bytes < total:
            problems.append((place, f'with "{name}" they are {total} bytes; {too_much(most_bytes)}'))
    return texts, problems


def read(folder: Path, name: str, most_bytes: int) -> str:
    """The text of the file `name` of the mesh's folder. Raises: UnusableFileError."""
    try:
        path = _inside(folder, name)
        size = _size_of(path, name)
        if size > most_bytes:
            raise UnusableFileError(f'"{name}" has {size} bytes; {too_much(most_bytes)}')
        content = path.read_bytes()
    except OSError as error:
        raise UnusableFileError(f'"{name}" can\'t be read: {error.strerror}') from error
    except ValueError as error:  # a character that no path can hold
        raise UnusableFileError(f'"{name}" is no path of a file') from error
    return _text(content, name)


def too_much(most_bytes: int) -> str:
    return f"the files of a mesh have at most {most_bytes} bytes together; put larger ones in the image or in storage"


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or posixpath.normpath(name).split("/")[0] == "..":
        raise UnusableFileError(f'"{name}" is not in the folder of mesh.yaml; write a path relative to it')
    path = Path(os.path.realpath(folder / name))  # unlike Path.resolve, it passes over links that lead in a circle
    if not path.is_relative_to(os.path.realpath(folder)):
        raise UnusableFileError(f'"{name}" leads out of the folder of mesh.yaml by a symbolic link; copy the file')
    return path


def _size_of(path: Path, name: str) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnusableFileError(f'there is no file "{name}" beside mesh.yaml') from None
    if stat.S_ISDIR(status.st_mode):
        raise UnusableFileError(f'"{name}" is a folder; name each of its files')
    if not stat.S_ISREG(status.st_mode):  # reading a pipe may never end
        raise UnusableFileError(f'"{name}" is no regular file')
    return status.st_size


def _text(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UnusableFileError(f'"{name}" is not UTF-8 text; put binary files in the image or in storage') from None
    if "\0" in text:
        raise UnusableFileError(f'"{name}" holds NUL characters; put binary files in the image or in storage')
    return text

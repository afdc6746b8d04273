"""Reads data files: rows in YAML, and the dated tables in JSON that `tools/catalog` writes. EDGE.

Called by the other modules of the catalog and by platforms, for files of meshctl and of other packages alike. A file
gives each source once, in words under `sources`, and its rows name one by a tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml


class DataFileError(ValueError):
    """A mistake of the package that the file is a part of. The text names the file and says what is wrong."""


def read(file: Traversable) -> dict[str, Any]:
    """The document, whose form its ending tells. Raises: DataFileError."""
    try:
        text = file.read_text(encoding="utf-8")
        document = json.loads(text) if file.name.endswith(".json") else yaml.load(text, Loader=yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataFileError(f"{file.name} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise DataFileError(f"{file.name} has no keys at its top: it is {type(document).__name__}")
    return document


@contextmanager
def mistakes_in(place: str) -> Iterator[None]:
    """What goes wrong within, while values are taken apart, is a mistake of `place`: a file, or a row of one. Raises:
    DataFileError."""
    try:
        yield
    except DataFileError as error:
        raise DataFileError(f"{place}: {error}") from error
    except KeyError as error:
        raise DataFileError(f'{place} lacks the key "{error.args[0]}"') from error
    except (TypeError, AttributeError, ValueError, LookupError) as error:
        raise DataFileError(f"{place} has a value of another form: {error}") from error


def read_own(name: str) -> dict[str, Any]:
    """One of meshctl's own: `speeds.yaml`. Raises: DataFileError."""
    return read(resources.files("meshctl.catalog").joinpath(name))


def source_of(row: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """The source of a row in words. Raises: DataFileError."""
    return source_words(row["source"], document)


def source_words(tag: str, document: Mapping[str, Any]) -> str:
    """Raises: DataFileError where the document has no such source."""
    sources: Mapping[str, str] = document["sources"]
    if tag not in sources:
        raise DataFileError(f'a row names the source "{tag}", which is not among: {", ".join(sources)}')
    return sources[tag]

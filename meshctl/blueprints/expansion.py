"""Blueprints become ordinary workloads, storage and endpoints. PURE.

Called by `meshctl.load` on the parsed mesh, before references are checked and the mesh is validated: what is persisted,
planned, migrated and shown has workloads alone. A mesh without blueprints is handed on as it is.

Whatever is wrong with a piece is said at the user's own line: `Expansion.origin` leads from a place of the expanded
mesh to the place in the file that its value comes from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from meshctl.blueprints import notebook, rag, serve, train
from meshctl.blueprints.pieces import Given, Pieces, Source, plain
from meshctl.model.files.file_problems import Path, Problem, items, mapping
from meshctl.model.keys.blueprints import Blueprint

SECTION: Final = "blueprints"
_KINDS: Final[Mapping[str, Callable[[Source], Pieces]]] = {
    "serve": serve.made,
    "train": train.made,
    "notebook": notebook.made,
    "rag": rag.made,
}
_NOUNS: Final = {"workloads": "workload", "storage": "storage", "endpoints": "endpoint"}


@dataclass
class Expansion:
    """`data`: the mesh with what its blueprints make. `referable`: the same for who looks names up, with an empty
    workload for each blueprint that has mistakes, whose name would otherwise be missed as well. `made`: (section, name)
    of what each blueprint makes."""

    data: object
    referable: object
    problems: list[Problem] = field(default_factory=list)
    made: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _origins: dict[Path, tuple[Path, bool]] = field(default_factory=dict)

    def origin(self, path: Path) -> Path:
        """The place in the file that the value at `path` of the expanded mesh comes from."""
        for length in range(len(path), 1, -1):
            origin = self._origins.get(path[:length])
            if origin is not None:
                place, is_verbatim = origin
                return (*place, *path[length:]) if is_verbatim else place
        return path

    def record(self, path: Path, place: Path, *, is_verbatim: bool = False) -> None:
        self._origins[path] = (place, is_verbatim)


def expand(data: object) -> Expansion:
    """The mesh with its blueprints expanded. `data`: the parsed file, of any shape."""
    document = mapping(data)
    if not mapping(document.get(SECTION)):
        return Expansion(data, data)
    expansion = Expansion(dict(document), dict(document))
    names = _with_made_storage(document)
    for name, keys in items(document, SECTION):
        pieces = _pieces(Source(name, keys, names))
        if pieces is None or pieces.problems:
            places = pieces.problems if pieces is not None else ()
            expansion.problems += [((SECTION, name, *path), message) for path, message in places]
            _add(expansion.referable, "workloads", name, None)
            continue
        _put(expansion, name, pieces)
    return expansion


def _with_made_storage(document: dict[str, Any]) -> dict[str, Any]:
    """The mesh with the storage that its blueprints make, which others of them may name."""
    storage = dict(mapping(document.get("storage")))
    for name, keys in items(document, SECTION):
        pieces = _pieces(Source(name, keys, document))
        storage = {**(pieces.made.get("storage", {}) if pieces is not None else {}), **storage}
    return {**document, "storage": storage}


def _pieces(source: Source) -> Pieces | None:
    """None of a blueprint that is not valid, which validation of the mesh reports."""
    try:
        _section().validate_python(source.keys)
    except ValidationError:
        return None
    return _KINDS[source.keys["kind"]](source)


@functools.cache
def _section() -> TypeAdapter[Any]:
    """Made once there is a blueprint: it takes a millisecond of every command otherwise."""
    return TypeAdapter(Blueprint)


def _put(expansion: Expansion, name: str, pieces: Pieces) -> None:
    at: Path = (SECTION, name)

    def record(path: Path, given: Given) -> None:
        expansion.record(path, (*at, *given.path), is_verbatim=given.is_verbatim)

    for section, entries in pieces.made.items():
        for entry, template in entries.items():
            if entry in mapping(mapping(expansion.data).get(section)):
                noun = _NOUNS[section]
                message = f'makes a {noun} "{entry}", and the mesh has one of that name already; rename one of them'
                expansion.problems.append((at, message))
                continue
            expansion.record((section, entry), at)
            value = plain(template, (section, entry), record)
            _add(expansion.data, section, entry, value)
            _add(expansion.referable, section, entry, value)
            expansion.made.setdefault(name, []).append((section, entry))


def _add(data: Any, section: str, name: str, value: object) -> None:
    """A section of another shape stays as it is, for validation to report."""
    entries = data.get(section, {})
    if isinstance(entries, dict) and name not in entries:
        data[section] = {**entries, name: value}

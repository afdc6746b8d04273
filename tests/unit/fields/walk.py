"""Every field of a pydantic model of a user's file, and where a document sets it. PURE.

Used by `test_every_field`. A field's path is written as in the file, with `*` for a name or an index, and the model's
name in angle brackets where a value may be one of several sections: `environments.*.<AwsEnvironment>.network.cidr`.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

ANY = "*"
Path = tuple[str | int, ...]  # to one value of a document


@dataclass(frozen=True)
class Field:
    """A field that holds values and no sections of its own."""

    path: tuple[str, ...]
    annotation: Any
    sections: tuple[type[BaseModel], ...]  # the models that the angle brackets of `path` stand for

    def __str__(self) -> str:
        return ".".join(self.path)


def fields(
    model: type[BaseModel], path: tuple[str, ...] = (), sections: tuple[type[BaseModel], ...] = ()
) -> Iterator[Field]:
    """The fields of a model and of all models in it. Models must not contain themselves."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        inner = list(_inner(info.annotation))
        if not inner:
            yield Field(here, info.annotation, sections)
        several = len({kind for _, kind in inner}) > 1
        for below, kind in inner:
            tag = (f"<{kind.__name__}>",) if several else ()
            yield from fields(kind, (*here, *below, *tag), (*sections, kind) if several else sections)


def _inner(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """The models inside an annotation, and how they are reached from its value."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    elif origin is Annotated:
        yield from _inner(arguments[0])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _inner(argument)
    elif origin in (dict, list, tuple):
        for argument in arguments[-1:] if origin is dict else arguments:
            yield from (((ANY, *below), kind) for below, kind in _inner(argument))


def places(field: Field, document: Any) -> list[Path]:
    """Where the document sets the field, or could: the sections above it are there, or may be added as mappings."""
    return list(_places(field.path, {kind.__name__: kind for kind in field.sections}, document))


def _places(path: tuple[str, ...], sections: dict[str, type[BaseModel]], value: Any) -> Iterator[Path]:
    if not path:
        yield ()
        return
    part, rest = path[0], path[1:]
    if part == ANY:
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in entries:
            yield from ((key, *below) for below in _places(rest, sections, inner))
    elif part.startswith("<"):
        if _is_a(sections[part.strip("<>")], value):
            yield from _places(rest, sections, value)
    elif isinstance(value, dict | None):
        inner = value.get(part) if value else None
        yield from ((part, *below) for below in _places(rest, sections, inner))


def _is_a(model: type[BaseModel], value: Any) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


def value_at(document: Any, path: Path) -> Any:
    """None where there is none."""
    for part in path:
        present = part in document if isinstance(document, dict) else isinstance(document, list)
        document = document[part] if present else None
    return document


def with_value(document: Any, path: Path, value: Any) -> Any:
    """A copy of the document with another value at `path`; sections that are missing on the way are added."""
    if not path:
        return value
    if isinstance(document, list):
        return [with_value(each, path[1:], value) if i == path[0] else each for i, each in enumerate(document)]
    inner = (document or {}).get(path[0])
    return {**(document or {}), path[0]: with_value(inner, path[1:], value)}


def without(document: Any, path: Path) -> Any:
    """A copy of the document in which nothing stands at `path`."""
    if len(path) == 1:
        return {key: value for key, value in document.items() if key != path[0]}
    return with_value(document, path[:1], without(document[path[0]], path[1:]))

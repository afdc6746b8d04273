"""Every field of a pydantic model of a user's file, and where a document sets it. PURE.

Used by `test_every_field`. A field's path is written as in the file, with `*` for a name or an index, and in angle
brackets which section it is where a value may be one of several: `environments.*.<aws>.network.cidr`.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

ANY = "*"
Path = tuple[str | int, ...]  # to one value of a document


@dataclass(frozen=True)
class Field:
    """A field that holds values and no sections of its own."""

    path: tuple[str, ...]
    annotation: Any
    sections: tuple[tuple[str, type[BaseModel]], ...]  # what the angle brackets of `path` stand for

    def __str__(self) -> str:
        return ".".join(self.path)


def fields(
    model: type[BaseModel], path: tuple[str, ...] = (), sections: tuple[tuple[str, type[BaseModel]], ...] = ()
) -> Iterator[Field]:
    """The fields of a model and of all models in it. Models must not contain themselves."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        inner = list(_inner(info.annotation))
        if not inner:
            yield Field(here, info.annotation, sections)
        several = len({kind for _, kind in inner}) > 1
        for below, kind in inner:
            if several:
                tag = f"<{_name(kind)}>"
                yield from fields(kind, (*here, *below, tag), (*sections, (tag, kind)))
            else:
                yield from fields(kind, (*here, *below), sections)


def _inner(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """The models inside an annotation, and how they are reached from its value."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from (((), kind) for kind in _kinds(annotation))
    elif origin is Annotated:
        yield from _inner(arguments[0])
    elif is_union(annotation):
        for argument in arguments:
            yield from _inner(argument)
    elif origin in (dict, list, tuple):
        for argument in arguments[-1:] if origin is dict else arguments:
            yield from (((ANY, *below), kind) for below, kind in _inner(argument))


def _kinds(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model stands for itself, or for those of meshctl that extend it and have a field that says which they are."""
    below = [kind for each in model.__subclasses__() for kind in _kinds(each)]
    named = [kind for kind in below if kind.__module__.startswith("meshctl.") and _fixed(kind)]
    return named if named and not _fixed(model) else [model]


def _fixed(model: type[BaseModel]) -> list[str]:
    """The values of the fields that can have one value only."""
    return [choices(info.annotation)[0] for info in model.model_fields.values() if len(choices(info.annotation)) == 1]


def _name(model: type[BaseModel]) -> str:
    return next(iter(_fixed(model)), model.__name__)


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal, also of an optional one; empty for other types."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    inner = [choices(each) for each in get_args(annotation)] if is_union(annotation) else []
    return next(filter(None, inner), ())


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def places(field: Field, document: Any) -> list[Path]:
    """Where the document sets the field, or could: the sections above it are there, or may be added as mappings."""
    return list(_places(field.path, dict(field.sections), document))


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
        if _is_a(sections[part], value):
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

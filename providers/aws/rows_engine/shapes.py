"""JMESPath against botocore shapes: what a path leads to, without any answer at hand. Called by `crud` and `lint`.
PURE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jmespath  # type: ignore[import-untyped]

from providers.plugin.values import UNKNOWN


class PathError(ValueError):
    """A path that leads nowhere in the shape."""


def shape_at(shape: Any, path: str) -> Any:
    """The shape that `path` leads to, or None where a function computes the value.

    Raises:
        PathError: the shape has no such member, or the path isn't JMESPath.
    """
    try:
        tree = jmespath.compile(re.sub(r"\$\{.+?\}", "'x'", path)).parsed
    except jmespath.exceptions.JMESPathError as error:
        raise PathError(f"{path}: {error}") from error
    return _walk(shape, tree)


def _walk(shape: Any, node: dict[str, Any]) -> Any:
    if shape is None:
        return None
    kind, children = node["type"], node["children"]
    match kind:
        case "field":
            return _member(shape, node["value"])
        case "subexpression" | "index_expression" | "pipe":
            for child in children:
                shape = _walk(shape, child)
            return shape
        case "index":
            return _element(shape)
        case "projection" | "filter_projection" | "flatten" | "slice" | "value_projection":
            return _project(shape, node)
        case "identity" | "current":
            return shape
        case _:
            return _check_inside(shape, node)


def _project(shape: Any, node: dict[str, Any]) -> Any:
    left = _walk(shape, node["children"][0])
    if node["type"] in ("flatten", "slice"):
        return left
    element = _element(left)
    if node["type"] == "filter_projection":
        _walk(element, node["children"][2])
    inner = _walk(element, node["children"][1])
    return _ListOf(inner)


class _ListOf:
    """The list that a projection makes."""

    type_name = "list"

    def __init__(self, member: Any) -> None:
        self.member = member


def _check_inside(shape: Any, node: dict[str, Any]) -> None:
    for child in node["children"]:
        if isinstance(child, dict):
            _walk(shape, child)


def _member(shape: Any, name: str) -> Any:
    if shape.type_name == "map":
        return shape.value
    members = getattr(shape, "members", None)
    if members is None:
        raise PathError(f"a {shape.type_name} has no member {name}")
    if name not in members:
        raise PathError(f"{shape.name} has no member {name}")
    return members[name]


def _element(shape: Any) -> Any:
    if shape is None:
        return None
    if shape.type_name != "list":
        raise PathError(f"a {shape.type_name} is no list")
    return shape.member


def described(model: Any, operation: str, path: str) -> Any:
    """The shape of what a read describes; None for an operation that answers nothing."""
    output = model.operation_model(operation).output_shape
    if output is None:
        return None
    return shape_at(output, path) if path else output


def with_unknown(shape: Any, given: Any) -> Any:
    """The structure with the members that are not given as unknown: the API fills them in."""
    if shape is None or shape.type_name != "structure" or not isinstance(given, Mapping):
        return given
    added = {name: UNKNOWN for name in shape.members if name not in given}
    return added | {name: with_unknown(shape.members.get(name), value) for name, value in given.items()}

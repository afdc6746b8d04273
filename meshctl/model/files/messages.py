"""Validation errors in the words of a user's file. PURE.

Called by `meshctl.load` for each error that pydantic found; gives the path in the file and one line that says what to
do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.files import foreign_keys, secret_places
from meshctl.model.files.file_problems import Path, suggestion
from meshctl.model.keys import blueprints
from meshctl.platforms import registry

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "float_type": "a number",
}


def message_of(detail: ErrorDetails, model: type[BaseModel]) -> tuple[Path, str, bool]:
    """Path, message and whether it is about the key itself (an unknown or malformed key).

    `model` is the root that was validated: its keys give the suggestions for unknown ones.
    """
    location = _file_path(detail["loc"], model)
    at_key = bool(location) and location[-1] == "[key]"
    path = location[:-1] if at_key else location
    kind = detail["type"]
    about_secret = _about_secret(kind, path, model, at_key=at_key)
    if about_secret is not None:
        return path, about_secret, at_key or kind == "extra_forbidden"
    if kind == "extra_forbidden":
        return (
            path,
            _key_of_workload(detail["loc"], model) or _unknown_key(path, _keys(model, detail["loc"][:-1])),
            True,
        )
    if kind == "missing":
        advice = foreign_keys.missing_advice(path)
        return path[:-1], f'missing key "{path[-1]}"' + (f"; {advice}" if advice else ""), True
    if kind == "union_tag_invalid":
        key = _discriminator(detail)
        return (*path, key), _one_of(detail["input"][key], str(detail["ctx"]["expected_tags"])), False
    return path, _message(detail, path), at_key


def _unknown_key(path: Path, keys: list[str]) -> str:
    """The message for a key that the section does not have. `keys`: those that it may have."""
    advice = foreign_keys.key_advice(path)
    return f'unknown key "{path[-1]}"' + (f"; {advice}" if advice else suggestion(path[-1], keys))


def _key_of_workload(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The message for a workload's key beside the slot that it belongs into; "" where it is none."""
    if location[:1] != ("blueprints",) or len(location) != 4:
        return ""
    slot, key = blueprints.SLOTS[str(location[2])], location[3]
    if key not in _keys(model, ("workloads", "*")):
        return ""
    return f'"{key}" is a key of the blueprint\'s workload; write it into the slot: `{slot}: {{{key}: …}}`'


def _discriminator(detail: ErrorDetails) -> str:
    """The key that says which of several sections this is."""
    return str(detail["ctx"]["discriminator"]).strip("'")


def unusable_platform(name: str) -> str:
    """The message for an entry whose platform can't be used: why that is, or which platforms there are."""
    broken = registry.unusable(name)
    names = ", ".join(f"'{platform.name}'" for platform in registry.platforms())
    return str(broken) if broken is not None else _one_of(name, names)


def _about_secret(kind: str, path: Path, model: type[BaseModel], *, at_key: bool) -> str | None:
    """The message at a place where a secret is named, which does not repeat what the file holds there; None at every
    other place."""
    if path[:1] == ("secrets",) and model is not Environments:  # mesh.yaml has no such key
        return None
    if kind == "extra_forbidden":
        return secret_places.unknown_key_message(path)
    return secret_places.key_message(path) if at_key else secret_places.value_message(path)


def _file_path(location: tuple[int | str, ...], model: type[BaseModel]) -> Path:
    """Pydantic's location without what it inserts below each environment, the name of the provider, and below each
    blueprint, its kind."""
    section = "environments" if model is Environments else "blueprints"
    if location[:1] == (section,) and len(location) > 2 and location[2] != "[key]":
        return (*location[:2], *location[3:])
    return location


def _message(detail: ErrorDetails, path: Path) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "model_type" and detail["loc"][-1:] in (("nodes",), ("replicas",)):
        return f"expected a whole number or {{min, max}}, got {_shown(value)}"
    if kind in _EXPECTED:
        return _wrong_type(kind, value, path)
    if kind == "literal_error":
        advice = foreign_keys.value_advice(path, value)
        return _one_of(value, str(context["expected"])) + (f"; instead of {value}: {advice}" if advice else "")
    if kind == "union_tag_not_found":
        key = _discriminator(detail)
        platforms = (platform.name for platform in registry.platforms())
        return f'missing key "{key}": one of {", ".join(blueprints.SLOTS if key == "kind" else platforms)}'
    if kind == "string_pattern_mismatch":
        return _unlike(value, context["pattern"])
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind in ("greater_than_equal", "greater_than"):
        advice = foreign_keys.value_advice(path, str(value))
        least = f"must be at least {context.get('ge', context.get('gt'))}, got {value}"
        return f"{least}; {advice}" if advice else least
    if kind in ("less_than_equal", "less_than"):
        return f"must be at most {context.get('le', context.get('lt'))}, got {value}"
    return detail["msg"]


def _unlike(value: object, pattern: str) -> str:
    if pattern == "^/":
        return f'"{value}" does not begin with "/"; write it like /{value}'
    return f'"{value}" does not look right (it must match {pattern})'


def _wrong_type(kind: str, value: object, path: Path) -> str:
    form = foreign_keys.form_of(path)
    wanted = f"{_EXPECTED[kind]} like {form}" if form else _EXPECTED[kind]
    hint = ""
    if kind == "string_type" and isinstance(value, int | float):
        hint = f'; quote it: "{_plain(value)}"'
    if kind.startswith("int_") and isinstance(value, dict):
        meaning = foreign_keys.mapping_advice(path)
        hint = f"; {meaning}" if meaning else ""
    return f"expected {wanted}, got {_shown(value)}{hint}"


def _one_of(value: object, expected: str) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    if len(choices) == 1:
        return f'expected "{choices[0]}", got {_shown(value)}'
    near = suggestion(value, choices) if isinstance(value, str) else ""
    return f"expected one of {', '.join(choices)}; got {_shown(value)}{near}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f'"{value}"' if isinstance(value, str) else _plain(value)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand in the section at pydantic's `location`."""
    current: Any = model
    for part in location:
        current = _inside(current, part)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return [info.alias or name for name, info in current.model_fields.items()]


def _inside(current: Any, part: int | str) -> Any:
    if isinstance(current, _Many):
        return current.section
    if isinstance(current, tuple):  # an environment or a blueprint: several sections, told apart by a key
        return next((item for item in current if part in _told_by(item)), None)
    if isinstance(current, type) and issubclass(current, BaseModel):
        fields = current.model_fields.items()
        return next((_section(info.annotation) for name, info in fields if part in (info.alias, name)), None)
    return None


def _told_by(section: type[BaseModel]) -> tuple[Any, ...]:
    """The values of the key that tells this section from the others."""
    key = "provider" if "provider" in section.model_fields else "kind"
    return get_args(section.model_fields[key].annotation)


@dataclass(frozen=True)
class _Many:
    """A mapping or list of equal sections: its next part is a name or an index."""

    section: Any


def _section(annotation: Any) -> Any:
    """What a field holds: a section, `_Many` of one, the providers' sections, or None for a plain value."""
    if annotation is PlatformEnvironment:
        return tuple(platform.environment for platform in registry.platforms())
    if annotation is blueprints.Blueprint:
        return blueprints.KINDS
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    section = next((inner for inner in map(_section, reversed(get_args(annotation))) if inner is not None), None)
    return _Many(section) if section is not None and get_origin(annotation) in (dict, tuple) else section

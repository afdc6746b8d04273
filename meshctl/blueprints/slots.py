"""Slots: which part fills one, and the user's own keys on top of what the part says. PURE.

Used by each kind of blueprint. A slot is one workload; its part is what runs in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.blueprints.pieces import Given, Source, Template
from meshctl.model.blueprints import PART
from meshctl.model.file_problems import Path, Problem, mapping, suggestion

OWN: Final = "own"  # the part of which nothing but the contract is known: the user's image
_PORT: Final = "http"


@dataclass(frozen=True)
class Slot:
    """`part` "": none that there is. `keys`: those of a workload which the user has written."""

    name: str
    part: str
    keys: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()


def chosen(source: Source, name: str, parts: tuple[str, ...], default: str) -> Slot:
    """What the blueprint says of the slot `name`. `default`: the part where it names none."""
    value = source.keys.get(name)
    keys = {key: inner for key, inner in mapping(value).items() if key != PART}
    is_text = isinstance(value, str)
    part = value if is_text else mapping(value).get(PART, default)
    at: Path = (name,) if is_text else (name, PART)
    if part not in parts:
        message = f'no part "{part}" for {name}; choose one of {", ".join(parts)}{suggestion(part, parts)}'
        return Slot(name, "", keys, ((at, message),))
    problems: list[Problem] = []
    if "kind" in keys:
        problems.append(((name, "kind"), "the kind of this workload follows from the blueprint; leave it out"))
    if part == OWN and "image" not in keys and not source.has("image"):
        problems.append(((name,), f'part "{OWN}" is an image of yours; name it: `{name}: {{part: own, image: …}}`'))
    return Slot(name, str(part), keys, tuple(problems))


def port(slot: Slot, default: int) -> int:
    """The port that a part is told to listen on: the user's own, where it is one."""
    number = mapping(slot.keys.get("ports")).get(_PORT)
    return number if isinstance(number, int) and not isinstance(number, bool) else default


def filled(template: dict[str, Template], slot: Slot) -> dict[str, Template]:
    """The workload of a slot: what its part says, with the user's keys on top. A mapping is merged, `args` come after
    those of the part, so that the last word is the user's; with a `command` nothing of the part's remains. All else
    is replaced."""
    merged = _merged(template, slot.keys, (slot.name,))
    if "command" in slot.keys:
        return {**merged, "args": _given(slot, "args")}
    if isinstance(slot.keys.get("args"), list):
        arguments = [Given((slot.name, "args", index), text) for index, text in enumerate(slot.keys["args"])]
        return {**merged, "args": [*(template.get("args") or ()), *arguments]}
    return merged


def _given(slot: Slot, key: str) -> Given | None:
    return Given((slot.name, key), slot.keys[key], is_verbatim=True) if key in slot.keys else None


def _merged(template: Mapping[str, Template], keys: Mapping[str, Any], at: Path) -> dict[str, Template]:
    merged = dict(template)
    for key, value in keys.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merged(below, value, (*at, key))
        elif isinstance(below, Given) and isinstance(below.value, dict) and isinstance(value, dict):
            merged[key] = Given(below.path, _merged(below.value, value, (*at, key)))
        else:
            merged[key] = Given((*at, key), value, is_verbatim=True)
    return merged

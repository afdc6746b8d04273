"""Slots: which part fills one, and the user's own keys on top of what the part says. PURE.

Used by each kind of blueprint. A slot is one workload; its part is what runs in it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.blueprints.pieces import Given, Source, Template
from meshctl.model.files.file_problems import Path, Problem, mapping, suggestion
from meshctl.model.keys.blueprints import PART

OWN: Final = "own"  # the part of which nothing but the contract is known: the user's image
OFF: Final = "off"  # no part, and no workload
EXTERNAL: Final = "url"  # no workload either: what answers the slot's contract is elsewhere. It is the key with its URL
_PORT: Final = "http"
_OF_URL: Final = re.compile(r"[:@]")
_SECRET_PARAMETER: Final = re.compile(r"passw|pwd|secret|token|api[-_]?key", re.IGNORECASE)
_OF_SECRETS: Final = "a password does not belong here; name a secret in `secrets` of the slots that use the URL"


@dataclass(frozen=True)
class Slot:
    """`part` "": none that there is. `keys`: those of a workload which the user has written. `url`: of what is used in
    place of a workload, with the part `EXTERNAL`."""

    name: str
    part: str
    keys: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    url: Given | None = None

    @property
    def has_workload(self) -> bool:
        return self.part not in {"", OFF, EXTERNAL}


def chosen(source: Source, name: str, parts: tuple[str, ...], default: str, *, or_else: str = "") -> Slot:
    """What the blueprint says of the slot `name`. `default`: the part where it names none. `or_else`: what may stand in
    place of a part, in words."""
    value = source.keys.get(name)
    keys = {key: inner for key, inner in mapping(value).items() if key != PART}
    is_text = isinstance(value, str)
    part = value if is_text else mapping(value).get(PART, default)
    at: Path = (name,) if is_text else (name, PART)
    if part not in parts:
        message = f"{_named(part)} for {name}; choose one of {', '.join(parts)}{or_else}{suggestion(part, parts)}"
        return Slot(name, "", keys, ((at, message),))
    problems: list[Problem] = []
    if "kind" in keys:
        problems.append(((name, "kind"), "the kind of this workload follows from the blueprint; leave it out"))
    if part == OFF and keys:
        problems.append(((name, min(map(str, keys))), f"`{name}` is off and has no workload; leave this out"))
    if part == OWN and "image" not in keys and not source.has("image"):
        problems.append(((name,), f'part "{OWN}" is an image of yours; name it: `{name}: {{part: own, image: …}}`'))
    return Slot(name, str(part), keys, tuple(problems))


def _named(part: object) -> str:
    """A text with `:` or `@` may be a URL without its scheme, which may hold a password."""
    return "no such part" if _OF_URL.search(str(part)) else f'no part "{part}"'


def chosen_or_url(source: Source, name: str, parts: tuple[str, ...], default: str, url: str) -> Slot:
    """As `chosen`, of a slot that may also be the URL of something elsewhere: `llm: https://…` or `llm: {url: …}`.
    `url`: what such a URL looks like, whose scheme is among those that are taken, with `|` between several."""
    value = source.keys.get(name)
    is_text = isinstance(value, str) and "://" in value
    if not is_text and EXTERNAL not in mapping(value):
        return chosen(source, name, parts, default, or_else=f", or a URL like {url.partition('|')[0]}")
    at: Path = (name,) if is_text else (name, EXTERNAL)
    text = value if is_text else mapping(value)[EXTERNAL]
    problems = [*_url_problems(text, at, url)]
    others = sorted(str(key) for key in mapping(value) if key != EXTERNAL)
    if others:
        message = f"what is at a URL has no workload; leave out {', '.join(others)}, or the URL"
        problems.append(((name, others[0]), message))
    return Slot(name, EXTERNAL, {}, tuple(problems), Given(at, text))


def _url_problems(text: object, at: Path, url: str) -> Iterator[Problem]:
    """A URL may hold a password, so no message repeats it."""
    schemes = {form.partition("://")[0] for form in url.split("|")}
    forms = url.replace("|", " or ")
    if not isinstance(text, str) or text.partition("://")[0] not in schemes or not text.partition("://")[2]:
        yield at, f"expected a URL like {forms}"
        return
    user_part, at_sign, _ = text.partition("://")[2].partition("/")[0].rpartition("@")
    parameters = urllib.parse.parse_qsl(text.partition("?")[2], keep_blank_values=True)
    if (at_sign and ":" in user_part) or any(_SECRET_PARAMETER.search(key) for key, _ in parameters):
        yield at, _OF_SECRETS


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

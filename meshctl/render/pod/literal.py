"""Texts of users, written down so that Kubernetes hands on the very same text. PURE.

Called by `pods` and `container_fields`, by `rewriting` for what an older meshctl has written, and by
`meshctl.changes.fields` for what a plan shows.

The kubelet reads `$$` and `$(NAME)` in the values of variables, in commands and in arguments
(kubernetes: third_party/forked/golang/expansion/expand.go). `$$` becomes `$`; `$(NAME)` becomes the value of the
variable where it is defined, which in `env` means that it stands before; a `$` in front of a character beyond ASCII
spoils that character. What a mesh means by its texts is in `meshctl.model.pods.pod_variables`.

A text that arrives as it is meant stays as it is written, although it could be escaped, too: pods that run have it so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from meshctl.model.pods import pod_variables

# `$` and what follows it, as far as the kubelet reads it as one expression
_READ_TOGETHER = re.compile(r"\$(?:(?P<dollar>\$)|\((?P<name>[^)]*)\)|(?P<other>.))", re.DOTALL)
_DOLLARS = re.compile(rf"{pod_variables.EXPRESSION.pattern}|\$")
# Variables that a container has although its manifest does not name them: the address of the API server, which the
# kubelet sets, and what EKS Pod Identity adds.
_SET_BY_CLUSTER = re.compile(r"(KUBERNETES|AWS)_[A-Z0-9_]+")


def written(text: str, references: Collection[str], defined: Collection[str]) -> str:
    """The text for a manifest. `references`: the variables that it may refer to; `defined`: all that Kubernetes would
    put a value in for."""
    escaped_text = escaped(text, references)
    as_it_is = _arrives(text, {*defined, *(name for name in _names(text) if _SET_BY_CLUSTER.fullmatch(name))})
    return text if as_it_is == _arrives(escaped_text, references) else escaped_text


def escaped(text: str, references: Collection[str]) -> str:
    """The text with each `$` doubled, except in references to these variables."""

    def doubled(match: re.Match[str]) -> str:
        dollars, name = match.group(1), match.group(2)
        if name is None:
            return "$$"
        is_text = len(dollars) % 2 and name not in references
        return f"{'$' if is_text else ''}{match.group(0)}"

    return _DOLLARS.sub(doubled, text)


def read(text: str) -> str:
    """The text that Kubernetes reads from a manifest, with references left as they are. If this version wrote the
    manifest, it is the mesh's own text."""
    return _READ_TOGETHER.sub(lambda match: "$" if match["dollar"] else match.group(0), text)


def _arrives(text: str, defined: Collection[str]) -> str:
    """The text that the container gets. `NUL name NUL` stands for the value of a variable, as no text can hold a
    NUL."""

    def read(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["name"] is not None:
            return f"\0{match['name']}\0" if match["name"] in defined else match.group(0)
        return match.group(0) if match["other"].isascii() else f"\0{match.group(0)}"

    return _READ_TOGETHER.sub(read, text)


def _names(text: str) -> list[str]:
    return [match["name"] for match in _READ_TOGETHER.finditer(text) if match["name"] is not None]


def variables(entries: Mapping[str, Mapping[str, Any]], texts: Collection[str]) -> list[dict[str, Any]]:
    """Kubernetes' list of a container's variables. `texts`: the names of those whose values may refer to others.

    They are sorted by name; only where a value would refer to one that comes later, all that can be referred to are
    first. A change of the order alone would roll out pods.
    """
    names = sorted(entries)
    can_be_referred_to = [name for name in names if name.startswith(pod_variables.PREFIX)]
    if any(_refers_to_later(entries[name], name, can_be_referred_to) for name in texts):
        names = [*can_be_referred_to, *(name for name in names if name not in can_be_referred_to)]
    return list(each_value(({**entries[name], "name": name} for name in names), texts))


def followed_by(made: list[dict[str, Any]], more: Mapping[str, str]) -> list[dict[str, Any]]:
    """The list that `variables` made, followed by more variables, whose values may refer to those before them."""
    entries = ({"name": name, "value": value} for name, value in sorted(more.items()))
    return [*made, *each_value(entries, more, [entry["name"] for entry in made])]


def each_value(
    entries: Iterable[Mapping[str, Any]], texts: Collection[str] = (), before: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """Each variable with its value as a manifest has it, in the given order. `texts`: as for `variables`; `before`: the
    names of variables that stand before these."""
    defined = set(before)
    for entry in entries:
        name = entry["name"]
        made = dict(entry)
        if "value" in entry:
            references = {each for each in defined if each.startswith(pod_variables.PREFIX)} if name in texts else ()
            made["value"] = written(entry["value"], references, defined)
        yield made
        defined.add(name)


def _refers_to_later(entry: Mapping[str, Any], name: str, can_be_referred_to: Collection[str]) -> bool:
    references = pod_variables.references(entry.get("value") or "")
    return any(reference in can_be_referred_to and reference > name for reference in references)

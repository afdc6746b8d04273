"""A policy that is too long for one managed policy, as several that allow the same together. PURE.

Called by `policies`. Source: "IAM and AWS STS quotas", IAM user guide: a managed policy has at most 6,144 characters,
white space not counted; a user or role can have ten of them. The name of a statement (`Sid`) is unique in its document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_CHARACTERS: Final = 6144
MAX_ATTACHED: Final = 10

Document = Mapping[str, Any]


def characters(document: Document) -> int:
    """As IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def parts(document: Document) -> tuple[Document, ...]:
    """The document itself where it fits. Else its statements in their order, which is by service; one that does not fit
    by itself is divided: by service, then by its actions, then by its resources."""
    if characters(document) <= MAX_CHARACTERS:
        return (document,)
    of_parts: list[list[Any]] = [[]]
    for statement in document["Statement"]:
        for piece in _pieces(document, statement):
            if characters(_with(document, [*of_parts[-1], piece])) > MAX_CHARACTERS:
                of_parts.append([])
            of_parts[-1].append(piece)
    return tuple(_with(document, statements) for statements in of_parts)


def services(document: Document) -> tuple[str, ...]:
    """Of which a document allows actions."""
    actions = [action for statement in document["Statement"] for action in statement["Action"]]
    return tuple(sorted({action.partition(":")[0] for action in actions}))


def _with(document: Document, statements: list[Any]) -> Document:
    return {**document, "Statement": statements}


def _pieces(document: Document, statement: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    halves = _divided(statement)
    if characters(_with(document, [statement])) <= MAX_CHARACTERS or len(halves) < 2:
        yield statement
        return
    for number, half in enumerate(halves, start=1):
        yield from _pieces(document, {**half, "Sid": f"{statement['Sid']}{number}"})


def _divided(statement: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    actions, resources = statement["Action"], statement["Resource"]
    by_service: dict[str, list[str]] = {}
    for action in actions:
        by_service.setdefault(action.partition(":")[0], []).append(action)
    if len(by_service) > 1:
        return [{**statement, "Action": of_service} for of_service in by_service.values()]
    if isinstance(resources, list) and characters({"Resource": resources}) > characters({"Action": actions}):
        return [{**statement, "Resource": half} for half in _halves(resources)]
    return [{**statement, "Action": half} for half in _halves(actions)]


def _halves(items: list[str]) -> list[list[str]]:
    middle = (len(items) + 1) // 2
    return [half for half in (items[:middle], items[middle:]) if half]

"""Requests of clients: what is read from their JSON, and the answers in OpenAI's form. PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshrag import errors
from meshrag.errors import SlotError
from meshrag.passages import Passage, citation

MOST_RESULTS: Final = 50
MOST_CHARACTERS: Final = 8000  # of a question
_OPTIONS: Final = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop")


class BadRequestError(Exception):
    """What the client has sent can't be answered."""


@dataclass(frozen=True)
class Question:
    """`options`: those of the request that the language model gets as they are."""

    text: str
    options: dict[str, Any]
    is_stream: bool


@dataclass(frozen=True)
class Search:
    """`limit` None: as many results as an answer is made of."""

    query: str
    limit: int | None


def question(body: object) -> Question:
    """The last message of the user is the question. Raises: BadRequestError."""
    request = _mapping(body)
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise BadRequestError('expected "messages": [{"role": "user", "content": "…"}]')
    of_user = [each for each in messages if isinstance(each, dict) and each.get("role") == "user"]
    if not of_user:
        raise BadRequestError('no message with the role "user"')
    options = {name: request[name] for name in _OPTIONS if request.get(name) is not None}
    return Question(_text(_content(of_user[-1].get("content")), "content"), options, request.get("stream") is True)


def search(body: object) -> Search:
    """Raises: BadRequestError."""
    request = _mapping(body)
    limit = request.get("limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST_RESULTS):
        raise BadRequestError(f'"limit": expected a whole number from 1 to {MOST_RESULTS}')
    return Search(_text(request.get("query"), "query"), limit)


def answered(completion: dict[str, Any], passages: Sequence[Passage]) -> dict[str, Any]:
    """What the language model has answered, with the passages that it was shown as `citations`."""
    return {**completion, "citations": [citation(each) for each in passages]}


def streamed(parts: Iterable[dict[str, Any]], passages: Sequence[Passage]) -> Iterator[str]:
    """The parts of an answer as events; the first one has the citations. An event with an error ends a stream whose
    model has failed: its status was sent long before."""
    more: dict[str, Any] = {"citations": [citation(each) for each in passages]}
    try:
        for part in parts:
            yield _event({**part, **more})
            more = {}
    except SlotError as error:
        yield _event(errors.body(error.status, str(error), error.slot))
        return
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _mapping(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequestError("expected a JSON object")
    return body


def _content(content: object) -> object:
    """Clients may send the text in parts, each with its type."""
    if not isinstance(content, list):
        return content
    texts = [each.get("text") for each in content if isinstance(each, dict) and each.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRequestError(f'"{name}": expected a text')
    if len(value) > MOST_CHARACTERS:
        raise BadRequestError(f'"{name}": at most {MOST_CHARACTERS} characters')
    return value

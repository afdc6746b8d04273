"""Asks an API that answers from documents, one question after the other, through its endpoint. EDGE.

Called by `cli.bench`; `meshctl.measure.rag` makes results of what it returns. The API is that of `meshrag`:
`/v1/search` for passages, `/v1/chat/completions` for an answer with citations.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import httpx2

from meshctl.bench import load
from meshctl.bench.load import Server
from meshctl.measure.rag import Question, Reply

PASSAGES: Final = 5
_LIMIT_S: Final = 120.0
_MOST_TOKENS: Final = 128


def run(server: Server, questions: Sequence[Question], *, has_answers: bool = True) -> list[Reply]:
    """In the order of the questions; a refusal is a reply. `has_answers`: whether a language model stands behind it,
    else it only searches. No certificate is verified, as by `load`."""
    with httpx2.Client(timeout=_LIMIT_S, trust_env=False, verify=False) as client:
        return [_reply(client, server, question, has_answers=has_answers) for question in questions]


def _reply(client: httpx2.Client, server: Server, question: Question, *, has_answers: bool) -> Reply:
    passages: tuple[tuple[str, str], ...] = ()
    try:
        passages = _search(client, server, question)
        if not has_answers:
            return Reply(passages=passages, cited=None)
        begun = time.monotonic()
        cited, answer = _answer(client, server, question)
        return Reply(passages=passages, cited=cited, answer=answer, answer_s=time.monotonic() - begun)
    except httpx2.HTTPStatusError as error:
        return Reply(passages=passages, failure=f"status {error.response.status_code}")
    except httpx2.HTTPError:
        return Reply(passages=passages, failure=f"no answer in {_LIMIT_S:.0f} s, or none at all")
    except (IndexError, KeyError, TypeError, ValueError):
        return Reply(passages=passages, failure="an answer without passages or citations")


def _search(client: httpx2.Client, server: Server, question: Question) -> tuple[tuple[str, str], ...]:
    """As (key, text), best first."""
    results = _post(client, server, "/v1/search", {"query": question.ask, "limit": PASSAGES})["results"]
    return tuple((str(each["key"]), str(each["text"])) for each in results)


def _answer(client: httpx2.Client, server: Server, question: Question) -> tuple[tuple[str, ...], str]:
    """The keys that it cites, and its text."""
    messages = [{"role": "user", "content": question.ask}]
    request = {"messages": messages, "max_tokens": _MOST_TOKENS, "temperature": 0}
    body = _post(client, server, "/v1/chat/completions", request)
    text = body["choices"][0]["message"]["content"]
    return tuple(str(each["key"]) for each in body["citations"]), str(text)


def _post(client: httpx2.Client, server: Server, path: str, body: dict[str, Any]) -> Any:
    headers, extensions = load.headers(server), load.extensions(server)
    response = client.post(f"{server.url}{path}", json=body, headers=headers, extensions=extensions)
    return response.raise_for_status().json()

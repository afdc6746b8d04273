"""`python -m meshrag.api`: questions answered from the documents, in the style of OpenAI's API. EDGE.

`POST /v1/chat/completions` answers with citations, `POST /v1/search` finds passages alone, also where there is no
language model, `GET /v1/models` names the model. `/health` says 503 with the reason until the index is complete. Where
another program does not answer, the answer is 502, or 504 after its time, and names the slot.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from meshrag import chunks, passages, questions, serving, settings
from meshrag.answering import Answering
from meshrag.errors import SettingsError, SlotError
from meshrag.questions import BadRequestError
from meshrag.settings import Settings
from meshrag.stores import Store, open_store

Wanted = TypeVar("Wanted")
MOST_BYTES: Final = 2**20  # of a request: a conversation whose last message is read


def app(config: Settings, store: Store) -> Starlette:
    answering = Answering(config, store)

    async def chat(request: Request) -> Response:
        if config.llm is None:
            raise HTTPException(404, "there is no language model here (RAG_LLM_URL); POST /v1/search finds passages")
        question = await _read(request, questions.question)
        if question.is_stream:
            parts, shown = await run_in_threadpool(answering.stream, question.text, question.options)
            return StreamingResponse(questions.streamed(parts, shown), media_type="text/event-stream")
        completion, shown = await run_in_threadpool(answering.answer, question.text, question.options)
        return JSONResponse(questions.answered(completion, shown))

    async def search(request: Request) -> Response:
        wanted = await _read(request, questions.search)
        results = await run_in_threadpool(answering.search, wanted.query, wanted.limit)
        return JSONResponse({"results": [passages.result(each) for each in results]})

    def models(_request: Request) -> Response:
        names = [config.llm.model] if config.llm else []
        data = [{"id": name, "object": "model", "owned_by": "meshrag"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    def problem() -> str:
        try:
            answering.completion()
        except SlotError as error:
            return str(error)
        return ""

    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/search", search, methods=["POST"]),
        Route("/v1/models", models),
    ]
    return serving.app_of(problem, routes)


async def _read(request: Request, read: Callable[[object], Wanted]) -> Wanted:
    try:
        body: Any = json.loads(await _bounded(request))
        return read(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the request is not JSON") from None
    except BadRequestError as error:
        raise HTTPException(400, str(error)) from None


async def _bounded(request: Request) -> bytes:
    """Whoever reaches the API can send without end."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"the request has more than {MOST_BYTES // 2**20} MiB")
    return bytes(data)


def main() -> int:
    try:
        config = settings.read(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    collection = chunks.collection_name(config.collection, config.embed.model, config.environment)
    store = open_store(config.store, collection)
    serving.run(app(config, store), config.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())

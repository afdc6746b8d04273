"""HTTP: the server, `/health`, and answers that say what went wrong. EDGE.

Used by `meshrag.api` and `meshrag.ingest`. `RAG_HOST` says where to listen: a pod listens everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from meshrag import errors
from meshrag.errors import SlotError

_FINISH_S: Final = 30  # for requests that are open when the program is told to end


def run(app: Starlette, port: int) -> None:
    """Until SIGTERM or SIGINT, and then until the open requests have ended."""
    host = os.environ.get("RAG_HOST", "0.0.0.0")  # noqa: S104 (of a pod)
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=_FINISH_S)


def app_of(problem: Callable[[], str], routes: Sequence[BaseRoute]) -> Starlette:
    """`problem`: why requests can't be answered now, "" if they can. `/live` answers as long as the program runs."""

    def health(_request: Request) -> Response:
        reason = problem()
        body = {"status": "unavailable", "reason": reason} if reason else {"status": "ok"}
        return JSONResponse(body, 503 if reason else 200)

    def live(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    handlers: dict[Any, Any] = {SlotError: _slot_failed, HTTPException: _refused}
    return Starlette(routes=[Route("/health", health), Route("/live", live), *routes], exception_handlers=handlers)


def health_app(problem: Callable[[], str]) -> Starlette:
    return app_of(problem, ())


def _slot_failed(_request: Request, error: SlotError) -> Response:
    return JSONResponse(errors.body(error.status, str(error), error.slot), error.status)


def _refused(_request: Request, error: HTTPException) -> Response:
    return JSONResponse(errors.body(error.status_code, error.detail), error.status_code)

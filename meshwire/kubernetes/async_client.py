"""The client for an event loop, with watches. Used by the lab's controllers and pod runner. EDGE.

It asks once, as they do: what they do is tried again with the next change.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx2

from meshwire.kubernetes import connecting, requests
from meshwire.kubernetes.credentials import Credentials
from meshwire.kubernetes.requests import Json, Request
from meshwire.kubernetes.target import Target

TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Event:
    """One change of a watch. `kind`: ADDED, MODIFIED or DELETED."""

    kind: str
    object: Json


class AsyncClient:
    """Requests to one API server as one user. What it raises: see `client.Client`."""

    def __init__(
        self, target: Target, *, agent: str = "meshctl-lab", transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`transport`: takes the place of the network. Raises: KubeconfigError."""
        self.target = target
        self._credentials = Credentials(target.user)
        with connecting.address_errors(target):
            options = connecting.options(target, agent)
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(TIMEOUT_S, pool=None), transport=transport, **options
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, request: Request) -> Json:
        """The answer's object."""
        try:
            header = await self._header()
            response = await self._once(request, header)
            if response.status_code == 401 and header:
                renewed = await self._header(refused=header)
                response = await self._once(request, renewed) if renewed != header else response
        except connecting.NO_ANSWER as error:
            raise connecting.no_answer(self.target, error) from error
        return connecting.result(response)

    async def watch(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[Event]:
        """The changes since `version`, until the server ends the watch. An expired version ends it too."""
        parameters = {**query, "resourceVersion": version, "watch": "1", "allowWatchBookmarks": "true"}
        timeout = httpx2.Timeout(TIMEOUT_S, read=None)
        headers = connecting.headers(requests.get(path), await self._header())
        try:
            async with self._http.stream("GET", path, params=parameters, timeout=timeout, headers=headers) as response:
                if response.status_code != 200:
                    await response.aread()
                    connecting.result(response)
                async for line in response.aiter_lines():
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield Event(event["type"], event["object"])
        except connecting.NO_ANSWER as error:
            raise connecting.no_answer(self.target, error) from error

    async def _header(self, *, refused: str = "") -> str:
        if self._credentials.may_take_long:
            return await asyncio.to_thread(self._credentials.header, refused=refused)
        return self._credentials.header(refused=refused)

    async def _once(self, request: Request, authorization: str) -> httpx2.Response:
        headers = connecting.headers(request, authorization)
        query = dict(request.query)
        return await self._http.request(
            request.method, request.path, params=query, content=request.content, headers=headers
        )

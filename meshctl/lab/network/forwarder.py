"""A load balancer: one listening port, round robin over what is ready. EDGE. Made by `balancers`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from itertools import count

# After this time an endpoint counts as one that does not answer. The kernel accepts a connection at once unless its
# queue is full, and tries again after 1, 3 and 7 s; on a busy machine this process may notice it later.
CONNECT_TIMEOUT_S = 10.0
CHUNK_BYTES = 65536
Endpoint = tuple[str, int]


class Forwarder:
    """Listens at `address`:`port`. `endpoints` is asked for every connection, so that a removed endpoint gets no new
    ones while those that it has go on until they end. `admits`: whether a client's address is let in. `node`: which
    node the next connection passes through; it ends with that node. `tls`: ends TLS with it, and passes on what is
    inside; without, it passes on TCP."""

    def __init__(
        self,
        address: str,
        port: int,
        endpoints: Callable[[], list[Endpoint]],
        *,
        admits: Callable[[str], bool] = lambda _peer: True,
        node: Callable[[], str] = lambda: "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.endpoints = endpoints
        self.admits = admits
        self.node = node
        self.tls = tls
        # by node: both ends of the connections that pass through it
        self.passing: dict[str, set[asyncio.StreamWriter]] = {}
        self.turn = count()
        self.server: asyncio.Server | None = None
        self.connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises OSError when the address is taken."""
        self.server = await asyncio.start_server(self._accept, self.address, self.port, backlog=1024, ssl=self.tls)

    def close(self) -> None:
        """Stop listening; connections that exist go on."""
        if self.server:
            self.server.close()

    def drop(self, node: str) -> None:
        """End the connections that pass through a node that is gone."""
        for writer in self.passing.pop(node, set()):
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next ready endpoint that accepts one; None when none does."""
        endpoints = self.endpoints()
        first = next(self.turn)
        for offset in range(len(endpoints)):
            host, port = endpoints[(first + offset) % len(endpoints)]
            with contextlib.suppress(OSError, TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_TIMEOUT_S)
        return None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # held here: the event loop drops a connection's task once the client has gone, and the endpoint may still send
        task = asyncio.ensure_future(self._serve(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        upstream = await self._connect() if peer and self.admits(peer[0]) else None
        if upstream is None:
            writer.transport.abort()
            return
        sides, node = {writer, upstream[1]}, self.node()
        self.passing.setdefault(node, set()).update(sides)
        await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))
        self.passing.get(node, set()).difference_update(sides)
        for each in sides:
            each.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of the stream, then pass the end on; a broken side breaks the other."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS has no end of one direction
            writer.close()
    except OSError:
        writer.transport.abort()

"""What the lab runs for a model on several nodes: rank 0 serves while all other ranks are connected to it. EDGE.

Started by `meshctl.lab.pods` in place of `ghcr.io/acme/gang-server`. It reads MESH_RANK, MESH_NODES and MESH_LEADER as
launchers do. Each rank but the first connects to the leader, and waits for it as long as it takes. The leader answers
as `openai_server` does, with 503 until all have come.

As with NCCL, nobody survives the loss of another: the leader ends with 1 when a rank is gone, and a rank when the
leader is. SIGTERM: the leader answers for DRAIN_SECONDS more; the others end at once, with 0.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from typing import Final

from meshctl.lab.images import openai_server
from meshctl.lab.images.inference.inference_answers import Weights

JOIN_PORT: Final = 29500
_RETRY_S: Final = 0.3


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Gang:
    """The ranks that are connected to the leader."""

    def __init__(self, server: openai_server.Server, size: int) -> None:
        self._server = server
        self._size = size
        self._ranks: set[int] = set()
        self._lock = threading.Lock()
        self._set_serving()

    def _set_serving(self) -> None:
        is_whole = len(self._ranks) == self._size - 1
        say(f"{len(self._ranks) + 1} of {self._size} ranks are here")
        self._server.weights = Weights("gang", "", 0, 0) if is_whole else None

    def join(self, rank: int) -> None:
        with self._lock:
            self._ranks.add(rank)
            self._set_serving()

    def lose(self, rank: int) -> None:
        """Ends the process when the gang was whole, but for a leader that stops."""
        with self._lock:
            was_whole = self._server.weights is not None
            self._ranks.discard(rank)
            self._set_serving()
        if was_whole and not self._server.draining.is_set():
            say(f"rank {rank} is gone")
            os._exit(1)  # from a thread


def _serve_rank(connection: socket.socket, gang: Gang) -> None:
    with connection:
        first = connection.recv(16)
        if not first:
            return
        rank = int(first)
        gang.join(rank)
        try:
            while connection.recv(16):
                pass
        except OSError:
            pass
        gang.lose(rank)


def _take_ranks(listening: socket.socket, gang: Gang) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_serve_rank, args=(connection, gang), daemon=True).start()


def lead(address: str, port: int, nodes: int) -> int:
    server = openai_server.Server((address, port))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    gang = Gang(server, nodes)
    listening = socket.create_server((address, JOIN_PORT))
    threading.Thread(target=_take_ranks, args=(listening, gang), daemon=True).start()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    stop.wait()
    openai_server.drain(server, float(os.environ.get("DRAIN_SECONDS", openai_server.DRAIN_S)))
    return 0


def follow(leader: str, rank: int) -> int:
    """Connect to the leader, and stay as long as it does."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with _connected(leader) as connection:
        connection.sendall(str(rank).encode())
        say(f"rank {rank} is with {leader}")
        try:
            while connection.recv(16):
                pass
        except OSError as error:
            say(str(error))
    say("the leader is gone")
    return 1


def _connected(leader: str) -> socket.socket:
    while True:
        try:
            connection = socket.create_connection((leader, JOIN_PORT), 5)
        except OSError:  # it has no name yet, or does not listen
            time.sleep(_RETRY_S)
            continue
        connection.settimeout(None)
        return connection


def main() -> int:
    parser = argparse.ArgumentParser(prog="gang_server", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=8000)
    options, _ = parser.parse_known_args()
    rank = int(os.environ["MESH_RANK"])
    if rank:
        return follow(os.environ["MESH_LEADER"], rank)
    return lead(os.environ.get("POD_ADDRESS", "127.0.0.1"), options.port, int(os.environ["MESH_NODES"]))


if __name__ == "__main__":
    sys.exit(main())

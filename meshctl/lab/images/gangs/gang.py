"""How the ranks of a gang meet: rank 0 keeps a store on a TCP port, and nothing starts before all have joined. EDGE.

Used by `gang_launcher`.

As with torch's TCPStore, a rank that comes before the store tries again until its time is over, and a rank that ends
without a word ends all. The lines on the wire are our own (JSON), torch's are not spoken.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Final, Protocol

from meshctl.lab.images.gangs.gang_launch import Launch

RETRY_S: Final = 0.2
LEAVE_S: Final = 60.0  # how long rank 0, when it is done, waits for the others, as torchrun's exit barrier


class GangError(Exception):
    """The gang did not come together, or lost one of its ranks."""


class Watcher(Protocol):
    """Who is told of the other ranks, each time with a reason in words."""

    def lost(self, reason: str) -> None: ...

    def left(self, reason: str) -> None: ...


class Store:
    """Rank 0's side. `joined`: the connection of each rank; `done`: those that ended as they should."""

    def __init__(self, ranks: int, address: str, port: int) -> None:
        """Raises: OSError when the address is taken."""
        self.ranks = ranks
        self.listening = socket.create_server((address, port), backlog=64)
        self.port = int(self.listening.getsockname()[1])
        self.joined: dict[int, socket.socket] = {}
        self.done: set[int] = set()
        self.is_met = False
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with self.lock, contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for connection in list(self.joined.values()):
            _close(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("r") as lines:
            first = _read(lines)
            refusal = self._join(first, connection)
            if refusal:
                _say(connection, {"refused": refusal})
                return
            rank = int(first["rank"])
            last = _read(lines)
            if last.get("done"):
                self._leave(rank, is_told=bool(last.get("told")))
                _read(lines)  # until it has gone
            self._lost(rank)

    def _join(self, first: dict[str, Any], connection: socket.socket) -> str:
        """Why this rank can't join, or nothing. The last one to come is the start of all."""
        with self.lock:
            if "rank" not in first:
                return "no rank"
            if first["ranks"] != self.ranks:
                return f"rank {first['rank']} expects {first['ranks']} ranks, and rank 0 expects {self.ranks}"
            if self.is_met or first["rank"] in self.joined:
                return f"rank {first['rank']} has joined already"
            self.joined[int(first["rank"])] = connection
            if len(self.joined) == self.ranks:
                self.is_met = True
                self._tell({"go": True})
        return ""

    def _leave(self, rank: int, *, is_told: bool) -> None:
        with self.lock:
            self.done.add(rank)
            if is_told:
                self._tell({"left": rank})
            if len(self.done) == self.ranks:
                self._tell({"released": True})

    def _lost(self, rank: int) -> None:
        """Before the start its place is free again; after it, it ends all, unless it was done."""
        with self.lock:
            if not self.is_met:
                self.joined.pop(rank, None)
            elif rank not in self.done:
                self._tell({"lost": rank})

    def _tell(self, message: dict[str, Any]) -> None:
        for connection in self.joined.values():
            _say(connection, message)


class Member:
    """Every rank's side, rank 0's too."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.is_done = False
        self.released = threading.Event()
        self.connection: socket.socket | None = None
        self.lines: Any = None

    def join(self, timeout_s: float) -> None:
        """Return once all ranks have joined. Raises: GangError."""
        deadline = time.monotonic() + timeout_s
        last = "it was never asked"
        while time.monotonic() < deadline:
            try:
                self._connect(deadline - time.monotonic())
                answer = _read(self.lines)
            except OSError as error:
                last = str(error)
            else:
                if answer.get("go"):
                    return
                last = answer.get("refused", "the store went away")
                if "expects" in last:
                    raise GangError(last)
            self.close()
            time.sleep(RETRY_S)
        launch = self.launch
        raise GangError(
            f"rank {launch.rank} of {launch.ranks} met nobody at {launch.address}:{launch.port} "
            f"within {timeout_s:g} s: {last}"
        )

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` when another rank has left, or is gone, or the store, before everybody is done."""
        if self.connection:
            self.connection.settimeout(None)
            threading.Thread(target=self._watch, args=(watcher,), daemon=True).start()

    def leave(self, *, is_told: bool) -> None:
        """Say that this rank is done: by itself, when rank 0 waits for the others, or since it was told to end."""
        self.is_done = True
        if self.connection:
            _say(self.connection, {"done": True, "told": is_told})
            if self.launch.rank == 0 and not is_told:
                self.released.wait(LEAVE_S)

    def close(self) -> None:
        if self.connection:
            _close(self.connection)  # first: whoever reads its lines holds their lock
        if self.lines:
            self.lines.close()
        self.connection = self.lines = None

    def _connect(self, timeout_s: float) -> None:
        launch = self.launch
        self.connection = socket.create_connection((launch.address, launch.port), timeout=max(0.1, timeout_s))
        _say(self.connection, {"rank": launch.rank, "ranks": launch.ranks})
        self.lines = self.connection.makefile("r")

    def _watch(self, watcher: Watcher) -> None:
        lines = self.lines
        message = _read(lines)
        while "left" in message:
            watcher.left(f"rank {message['left']} was told to end")
            message = _read(lines)
        self.released.set()
        if message.get("released") or self.is_done:
            return
        lost = f"rank {message['lost']}" if "lost" in message else "rank 0, which keeps the store,"
        watcher.lost(f"{lost} is gone")


def _read(lines: Any) -> dict[str, Any]:
    """The next message; empty at the end of the connection."""
    try:
        message = json.loads(lines.readline() or "{}")
    except (ValueError, OSError):
        return {}
    return message if isinstance(message, dict) else {}


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # whoever is gone is noticed where it is read
        connection.sendall((json.dumps(message) + "\n").encode())


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

"""Ports for the lab's programs, handed out once: also when several processes or labs ask at the same time. EDGE.

Used by everything that starts a program of the lab. A port that was only found to be free may be given away again
before its program listens; so what was handed out in the last minutes is written down in meshctl's cache, where all
labs of this user look.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import time

from meshctl import tool_table

RANGE = (15000, 32000)  # below Linux's range for outgoing connections, which would take ports at random
HELD_S = 180.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on and that no other caller got in the last `HELD_S`; all different.

    Raises OSError when the range is used up.
    """
    path = tool_table.cache_dir() / "locks" / "ports.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        held = _read(file.read(), time.time())
        found: list[int] = []
        candidates = [port for port in range(*RANGE) if port not in held]
        random.shuffle(candidates)
        while len(found) < count:
            if not candidates:
                raise OSError(f"no {count} free ports in {RANGE[0]}-{RANGE[1]}")
            port = candidates.pop()
            if is_free(port):
                found.append(port)
        held.update(dict.fromkeys(found, time.time()))
        file.seek(0)
        file.truncate()
        json.dump(held, file)
    return found


def is_free(port: int) -> bool:
    """Whether a program could listen on this port at every address of the machine."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _read(text: str, now: float) -> dict[int, float]:
    try:
        kept = json.loads(text or "{}")
    except ValueError:
        return {}
    return {int(port): at for port, at in kept.items() if 0 <= now - at < HELD_S}

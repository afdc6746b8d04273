"""The process that reads PDF files: starts it, asks it, and starts another one where it has ended. EDGE.

Called by `meshrag.documents`, from one thread.
"""

from __future__ import annotations

import atexit
import json
import socket
import subprocess
import sys
from typing import Final

from meshrag import pdf_pages

COMMAND: Final = (sys.executable, "-m", "meshrag.pdf_pages")


class PdfFiles:
    """Starts its process with the first file."""

    def __init__(self) -> None:
        self._process: _Process | None = None

    def content(self, file: int) -> tuple[str, str]:
        """The kind of an answer of `meshrag.pdf_pages`, and its text. Raises: RuntimeError where it does not start."""
        if self._process is None:
            self._process = _Process()
        try:
            return self._process.answer(file)
        except (OSError, ValueError):
            self.close()
            return pdf_pages.ENDED, "the reader of PDF files has ended"

    def close(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    def __init__(self) -> None:
        self._requests, its_own = socket.socketpair()
        try:
            with its_own:
                self._process = subprocess.Popen(COMMAND, stdin=its_own.fileno(), stdout=its_own.fileno())
        except OSError as error:
            self._requests.close()
            raise RuntimeError(f"the reader of PDF files does not start: {error}") from error
        self._answers = self._requests.makefile("rb")
        atexit.register(self.end)
        try:
            self._line()
        except ValueError:
            self.end()
            raise RuntimeError("the reader of PDF files does not start") from None

    def answer(self, file: int) -> tuple[str, str]:
        """Raises: OSError, ValueError where the process has ended."""
        socket.send_fds(self._requests, [b"f"], [file])
        return self._line()

    def _line(self) -> tuple[str, str]:
        kind, text = json.loads(self._answers.readline())
        return kind, text

    def end(self) -> None:
        atexit.unregister(self.end)
        self._answers.close()
        self._requests.close()
        self._process.kill()
        self._process.wait()

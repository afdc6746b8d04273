"""`python -m meshrag.pdf_pages`: the text of PDF files, each of which is read by a process of its own. EDGE.

Started by `meshrag.pdf_files`, which sends open files over the socket that is input and output; each is answered by a
line of JSON, a kind and a text. A process is forked for each file, which is quicker than to start Python for it, and
safe where there is one thread: a page that keeps pypdf busy for ever, or takes all memory, ends that process alone.
"""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

MOST_CHARACTERS: Final = 16 * 2**20  # split at its worst, it takes 1 GiB
MOST_SECONDS: Final = 600  # of a processor, so that a busy node reads what an idle one reads
MOST_MEMORY: Final = 1536 * 2**20

READY: Final = "ready"  # before the first file
TEXT: Final = "text"
FAULT: Final = "fault"  # the kind of what is wrong with the file
FAILED: Final = "failed"  # the kind of the file system's error
EXCESS: Final = "excess"  # more than is read, another time as well
ENDED: Final = "ended"  # why the process of the file has ended


class _TooMuchError(Exception):
    """More text than is split in memory."""


def main() -> None:
    import pypdf  # noqa: F401 (once for all files: it takes half a second)

    logging.disable()  # what pypdf warns of may repeat what a document says
    _write(READY)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as requests:
        while True:
            _, files, _, _ = socket.recv_fds(requests, 1, 1)
            if not files:
                return
            _answer(files[0])
            os.close(files[0])


def _answer(file: int) -> None:
    child = os.fork()
    if child == 0:
        _answer_and_end(file)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGXCPU:
        _write(ENDED, f"its pages take longer than {MOST_SECONDS / 60:g} min of a processor")
    elif code != 0:
        _write(ENDED, f"its reader has ended with {code}")


def _answer_and_end(file: int) -> NoReturn:
    """Never returns to the loop of its parent."""
    try:
        _limit()
        kind, text = content(file)
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # half an answer would be none
        _write(kind, text)
        os._exit(0)
    finally:
        os._exit(1)


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, MOST_SECONDS),
        (resource.RLIMIT_DATA, MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        _, highest = resource.getrlimit(kind)
        if highest == resource.RLIM_INFINITY or most <= highest:
            resource.setrlimit(kind, (most, highest))


def _write(kind: str, text: str = "") -> None:
    sys.stdout.write(f"{json.dumps([kind, text])}\n")
    sys.stdout.flush()


def content(file: int) -> tuple[str, str]:
    """The kind of the answer, and its text."""
    try:
        data = os.fdopen(file, "rb", closefd=False).read()
    except OSError as error:
        return FAILED, type(error).__name__
    except MemoryError:
        return EXCESS, _memory()
    try:
        return TEXT, _text(data)
    except _TooMuchError:
        return EXCESS, f"more than {MOST_CHARACTERS // 2**20} million characters"
    except MemoryError:
        return EXCESS, _memory()
    except Exception as error:  # damaged files make its parsers raise whatever Python has
        return FAULT, type(error).__name__


def _memory() -> str:
    return f"its pages take more than {MOST_MEMORY // 2**20} MiB of memory"


def _text(data: bytes) -> str:
    """The text of all pages. What a stream of a page may unpack to is bounded by pypdf as well."""
    import pypdf

    with pypdf.PdfReader(io.BytesIO(data)) as reader:
        return "\n\n".join(_bounded(page.extract_text() for page in reader.pages))


def _bounded(pages: Iterable[str]) -> Iterator[str]:
    """Raises: _TooMuchError."""
    characters = 0
    for text in pages:
        characters += len(text)
        if characters > MOST_CHARACTERS:
            raise _TooMuchError
        yield text


if __name__ == "__main__":
    main()

"""A server on loopback that plays the publishers of official releases, with their faults; and a proxy.

Used by `test_tools_download`. It answers Range requests as a content delivery network does, and remembers what it was
asked.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What one path answers. `cut_after`: so many bytes of the body, then the connection is closed, the first time."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    always_cut: bool = False
    silent: bool = False  # nothing after the headers, until the test is over
    ranges: bool = True


@dataclass
class Publisher:
    """`requests` are pairs of path and Range header, in order."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    connects: list[str] = field(default_factory=list)

    def put(self, path: str, *answers: Answer | bytes) -> None:
        """The answers of a path, one after the other; the last one stays."""
        self.answers[path] = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]

    def release(self, path: str, body: bytes, checksums: str, *, digest: str = "") -> None:
        """A file and the file of checksums beside it, with a sha256sum line or, for `<file>.sha256`, the hash alone."""
        folder, _, name = path.rpartition("/")
        digest = digest or hashlib.sha256(body).hexdigest()
        self.put(path, body)
        self.put(
            f"{folder}/{checksums}",
            f"{digest}  {name}\n".encode() if checksums != f"{name}.sha256" else digest.encode(),
        )

    def asked(self, path: str) -> list[str]:
        return [ranges for asked, ranges in self.requests if asked == path]


@contextmanager
def publisher() -> Iterator[Publisher]:
    playing = Publisher()
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked_range = self.headers.get("Range", "")
            playing.requests.append((self.path, asked_range))
            queue = playing.answers.get(self.path, [Answer(status=404)])
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range and answer.ranges else 0
            self.reply(answer, start)

        def reply(self, answer: Answer, start: int) -> None:
            total = len(answer.body)
            if start and start >= total and answer.status == 200:
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            rest = answer.body[start:]
            self.send_response(206 if start and answer.status == 200 else answer.status)
            self.send_header("Content-Length", str(len(rest)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if answer.silent:
                over.wait(60)
                self.close_connection = True
                return
            if answer.cut_after is not None and (answer.always_cut or not start):
                self.wfile.write(rest[: answer.cut_after])
                self.close_connection = True
                return
            self.wfile.write(rest)

        def do_CONNECT(self) -> None:
            playing.connects.append(self.path)
            self.send_error(403, "no way out")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    playing.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield playing
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def tar_of(entries: dict[str, bytes | str]) -> bytes:
    """A tar.gz; a text is the target of a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries.items():
            zipped.writestr(name, content)
    return buffer.getvalue()

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
from pathlib import Path

from meshctl import tools

ETCD = b"#!/bin/sh\necho 'etcd Version: 3.6.15'\n" + b"# padding\n" * 1000
ETCD_FOLDER = "/github.com/etcd-io/etcd/releases/download/v3.6.15"
ETCD_FILE = f"{ETCD_FOLDER}/etcd-v3.6.15-linux-amd64.tar.gz"
KUBECTL = b'#!/bin/sh\necho \'{"gitVersion": "v1.36.3"}\'\n' + b"# padding\n" * 1000
KUBECTL_FILE = "/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubectl"


@dataclass
class Answer:
    """What one path answers. `cut_after`: so many bytes of the body, then the connection is closed, the first time."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    always_cut: bool = False
    silent: bool = False  # nothing after the headers, until the test is over
    trickles: bool = False  # one byte after the other, slowly, and never to the end
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


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for one Publisher; `publisher` makes a class for each."""

    protocol_version = "HTTP/1.1"
    playing: Publisher
    over: threading.Event

    def do_GET(self) -> None:
        asked_range = self.headers.get("Range", "")
        self.playing.requests.append((self.path, asked_range))
        queue = self.playing.answers.get(self.path, [Answer(status=404)])
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range and answer.ranges else 0
        self.reply(answer, start if answer.status == 200 else 0)

    def reply(self, answer: Answer, start: int) -> None:
        total = len(answer.body)
        if start and start >= total:
            self.send_head(416, 0, {})
            return
        rest = answer.body[start:]
        part = {"Content-Range": f"bytes {start}-{total - 1}/{total}"} if start else {}
        self.send_head(206 if start else answer.status, len(rest), {**part, **answer.headers})
        if answer.trickles:
            for byte in rest[:60]:
                self.wfile.write(bytes([byte]))
                self.over.wait(0.05)
            self.close_connection = True
        elif answer.silent:
            self.over.wait(60)
            self.close_connection = True
        elif answer.cut_after is not None and (answer.always_cut or not start):
            self.wfile.write(rest[: answer.cut_after])
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def send_head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def do_CONNECT(self) -> None:
        self.playing.connects.append(self.path)
        self.send_error(403, "no way out")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def publisher() -> Iterator[Publisher]:
    playing, over = Publisher(), threading.Event()
    handler = type("PlayingHandler", (Handler,), {"playing": playing, "over": over})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
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


def built(tmp_path: Path) -> int:
    """How many programs Go has built."""
    record = tmp_path / "built"
    return len(record.read_text().splitlines()) if record.exists() else 0


def setup(*names: str, build: bool = False) -> list[str]:
    """`meshctl setup NAME…`; what it told."""
    lines: list[str] = []
    tools.ensure(names, lines.append, build=build)
    return lines

"""Reading objects from a store on loopback that cuts connections and lets credentials expire."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import botocore.exceptions
import pytest

from meshctl.errors import CredentialsError, MigrationError, UnreachableError
from meshctl.objects import listing, verify
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

CONTENT = {f"shard-{number}": bytes([number]) * 3_000_000 for number in range(3)}
LISTING = "".join(
    f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"
    f"<ETag>&quot;{{side}}-2&quot;</ETag></Contents>"
    for key, content in CONTENT.items()
)


class Store(BaseHTTPRequestHandler):
    """Objects whose ETags say nothing. `cuts`: how many answers end in their middle; `token`: the only valid one."""

    protocol_version = "HTTP/1.1"
    cuts: ClassVar[int]
    lives: ClassVar[int]  # requests for objects that a token is good for
    token: ClassVar[int]
    ranges: ClassVar[list[str]]
    lock = threading.Lock()

    def do_GET(self) -> None:
        key = self.path.split("?")[0].split("/", 2)[2] if self.path.count("/") > 1 else ""
        if not key:
            listed = LISTING.format(side=self.path.split("?")[0].strip("/"))
            self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())
        elif self.headers["X-Amz-Security-Token"] != str(Store.token):
            self._answer(400, b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>")
        else:
            self._object(CONTENT[key])

    def _object(self, content: bytes) -> None:
        with Store.lock:
            Store.lives -= 1
            Store.token += Store.lives == 0
            cut = Store.cuts > 0
            Store.cuts -= cut
        wanted = self.headers["Range"]
        if wanted:
            Store.ranges.append(wanted)
            content = content[int(re.findall(r"\d+", wanted)[0]) :]
        self._answer(206 if wanted else 200, content, sent=len(content) // 2 if cut else None)

    def _answer(self, status: int, body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = sent is not None

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Store.cuts, Store.lives, Store.token, Store.ranges = 0, -1, 1, []
    monkeypatch.setattr(verify, "_PAUSE_S", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=30)


def compared(store: str, *, renewed: bool = True) -> verify.Comparison:
    first = Store.token

    def access(bucket: str) -> ObjectAccess:
        token = Store.token if renewed else first
        return ObjectAccess(bucket, "", store, "us-east-1", "id", "secret", str(token), "path")

    return verify.compare(lambda: access("here"), lambda: access("there"))


def test_a_read_goes_on_where_the_connection_was_cut(store: str) -> None:
    Store.cuts = 4
    comparison = compared(store)
    assert comparison.equal
    assert comparison.read_bytes == sum(map(len, CONTENT.values()))
    assert len(Store.ranges) == 4
    assert "bytes=0-" not in Store.ranges


def test_credentials_that_expire_while_reading_are_fetched_anew(store: str) -> None:
    Store.lives = 2
    assert compared(store).equal
    assert Store.token == 2


def test_credentials_that_stay_expired_are_an_error(store: str) -> None:
    Store.lives = 2
    with pytest.raises(CredentialsError, match="refused"):
        compared(store, renewed=False)


def test_a_store_that_sends_nothing_more_is_unreachable(store: str, monkeypatch: pytest.MonkeyPatch) -> None:

    def cut(self: Store, _content: bytes) -> None:
        self._answer(200, b"more", sent=0)

    monkeypatch.setattr(Store, "_object", cut)
    with pytest.raises(UnreachableError, match="broke off"):
        compared(store)


def test_the_digest_is_that_of_the_content(store: str) -> None:
    access = ObjectAccess("here", "", store, "us-east-1", "id", "secret", "1", "path")
    side = verify._Reader(lambda: access, Stop())
    Store.cuts = 2
    content = CONTENT["shard-1"]
    assert side.sha256("shard-1", listing.Item(len(content), "here-2")) == hashlib.sha256(content).hexdigest()


def test_everything_that_botocore_raises_has_a_name() -> None:
    access = ObjectAccess("weights", "", "", "r1", "id", "secret")
    broken = botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2)
    with pytest.raises(UnreachableError, match="s3://weights broke off"), listing.translate_errors(access):
        raise broken
    unknown = botocore.exceptions.DataNotFoundError(data_path="s3")
    with pytest.raises(MigrationError, match="s3://weights"), listing.translate_errors(access):
        raise unknown

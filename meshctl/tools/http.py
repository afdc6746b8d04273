"""HTTP for downloads: a small text, or the rest of a file. Every failure becomes one of three errors. EDGE.

Called by `download`, which decides what a failure leads to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

RETRY_WAIT_S = 1.0

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 20.0
_TEXT_TIMEOUT_S = 10.0
_RATE_WINDOW_S = 30.0
_LEAST_BYTES_PER_S = 1 << 10
_TEXT_ATTEMPTS = 3
_PROGRESS_EVERY_S = 2.0
_MOST_TEXT_BYTES = 1 << 20
_MOST_FILE_BYTES = 1 << 31

_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class NotDownloadedError(Exception):
    """The file can't be downloaded and verified. The text says why."""


class HostDownError(NotDownloadedError):
    """The host does not answer, or stopped answering."""


class CutOffError(Exception):
    """The host answered, but the response ended early. `stalled`: it did not end, but no more bytes came."""

    def __init__(self, text: str, *, stalled: bool = False) -> None:
        super().__init__(text)
        self.stalled = stalled


def shown(url: str) -> str:
    """The URL without the user name and password that a mirror's URL may carry."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its literal name or address; nothing is resolved."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def text_of(url: str) -> str:
    """A small text file. Raises: NotDownloadedError, HostDownError.

    In a thread of its own, because looking up a host's name has no time limit that could be set, and the limit for
    connecting is one for each of its addresses.
    """
    outcome: list[str | Exception] = []

    def work() -> None:
        try:
            outcome.append(_text_in_attempts(url))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_TEXT_TIMEOUT_S)
    if not outcome:
        raise HostDownError(f"no answer within {_TEXT_TIMEOUT_S:.0f} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def download_rest(url: str, target: Path, report: Callable[[int, int], None]) -> None:
    """Append the missing bytes to `target`; start from the beginning if the server does not send ranges.

    `report` gets the bytes received and the whole number, 0 if unknown. Raises: NotDownloadedError, HostDownError,
    CutOffError.
    """
    size = size_of(target)
    # without compression: a server that compresses would send other bytes than those that were hashed
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    with _response(url, headers) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE:
            return  # the server says that nothing is missing; the checksum will tell
        is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        if response.status_code != _PARTIAL_CONTENT or not is_rest:
            size = 0
        length = response.headers.get("Content-Length", "")
        total = size + int(length) if length.isdecimal() else 0
        last_report = time.monotonic()
        with target.open("ab" if size else "wb") as file:
            for chunk in _fast_enough(response.iter_raw()):
                file.write(chunk)
                size += len(chunk)
                if size > _MOST_FILE_BYTES:
                    target.unlink()  # so that the next run does not resume it
                    raise NotDownloadedError(f"{shown(url)} is larger than {_MOST_FILE_BYTES >> 20} MiB")
                if time.monotonic() - last_report >= _PROGRESS_EVERY_S:
                    last_report = time.monotonic()
                    report(size, total)


def _fast_enough(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, for as long as they don't come too slowly: a read timeout alone lets one byte at a time go on for
    days. Raises: CutOffError."""
    began, received = time.monotonic(), 0
    for chunk in chunks:
        received += len(chunk)
        passed_s = time.monotonic() - began
        if passed_s >= _RATE_WINDOW_S:
            if received < passed_s * _LEAST_BYTES_PER_S:
                raise CutOffError(f"less than {_LEAST_BYTES_PER_S >> 10} KiB in a second came")
            began, received = time.monotonic(), 0
        yield chunk


def _text_in_attempts(url: str) -> str:
    for _ in range(_TEXT_ATTEMPTS - 1):
        with contextlib.suppress(CutOffError):
            return _text(url)
        time.sleep(RETRY_WAIT_S)
    try:
        return _text(url)
    except CutOffError as error:
        raise HostDownError(str(error)) from error


def _text(url: str) -> str:
    content = b""
    with _response(url, {}) as response:
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _MOST_TEXT_BYTES:
                raise NotDownloadedError(f"{shown(url)} is too large for a checksum file")
    return content.decode(errors="replace")


@contextlib.contextmanager
def _response(url: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    """The response to a GET, after redirects. Raises: NotDownloadedError, HostDownError, CutOffError."""
    import httpx2  # slow to import, and only needed here

    began = False
    try:
        with _client(url) as client, client.stream("GET", url, headers=headers) as response:
            began = True
            is_complete = response.status_code == _RANGE_NOT_SATISFIABLE and "Range" in headers
            if not response.is_success and not is_complete:
                text = f"HTTP {response.status_code} for {shown(url)}"
                raise CutOffError(text) if response.status_code in _TRY_AGAIN else NotDownloadedError(text)
            yield response
    except httpx2.TransportError as error:
        reason = str(error) or type(error).__name__
        if began:
            silent = isinstance(error, httpx2.TimeoutException)
            raise CutOffError("no more data came" if silent else f"cut off ({reason})", stalled=silent) from error
        raise HostDownError(f"can't be reached ({reason})") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # a redirect loop, or an invalid URL
        raise NotDownloadedError(f"{shown(url)}: {error or type(error).__name__}") from error


def _client(url: str) -> httpx2.Client:
    import httpx2

    def refuse_downgrade(request: httpx2.Request) -> None:
        is_safe = not url.startswith("https://") and is_loopback(request.url.host)  # https stays https
        if request.url.scheme != "https" and not is_safe:
            raise NotDownloadedError(f"{shown(url)} redirects to an address without https")

    timeout = httpx2.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        return httpx2.Client(timeout=timeout, follow_redirects=True, event_hooks={"request": [refuse_downgrade]})
    except (ValueError, ImportError, OSError) as error:  # a proxy or a certificate file that can't be used
        raise NotDownloadedError(
            f"the proxy or certificate settings of the environment can't be used: {error}"
        ) from error

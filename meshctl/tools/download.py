"""Downloads a program from its publisher's official release, verified by the checksum file of that release. EDGE.

Called by `build.fetch_or_build`, with one `Downloads` for a whole `meshctl setup`: it remembers which hosts don't
answer, so that each costs a few seconds once and not once for each program. What can't be downloaded raises
`NotDownloadedError`, and the program is then built with Go. A file that differs from its checksum is a ToolError.

The bytes go to `<cache>/downloads/<program>-<version>/`, under a name with the expected checksum, and stay there when
a download is cut off: the next attempt, or the next `meshctl setup`, asks for the rest only.

Proxies and certificates are those of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from meshctl.errors import ToolError, UsageError
from meshctl.tools import http
from meshctl.tools.http import CutOffError, HostDownError, NotDownloadedError, is_loopback, shown
from meshctl.tools.releases import ReleaseFile, checksum_in, release_file
from meshctl.tools.table import Tool, cache_dir
from meshctl.tools.unpack import unpack

Progress = Callable[[str], None]

MIRROR_VARIABLE = "MESHCTL_MIRROR"

_ATTEMPTS = 5


@dataclass
class Downloads:
    """How one `meshctl setup` downloads. `down` maps each host that did not answer to the reason."""

    mirror: str = ""
    down: dict[str, str] = field(default_factory=dict)

    def fetch(self, tool: Tool, program: Path, tell: Progress) -> None:
        """Put the verified program at `program`. Raises: NotDownloadedError; ToolError for what must not be used."""
        reasons = []
        for file in release_files(tool, self.mirror):
            try:
                return self._fetch_file(tool, file, program, tell)
            except NotDownloadedError as error:
                reasons.append(str(error))
        raise NotDownloadedError("; ".join(reasons) or f"no official release to download for {'-'.join(machine())}")

    def _fetch_file(self, tool: Tool, file: ReleaseFile, program: Path, tell: Progress) -> None:
        host = urlsplit(file.url).netloc.rpartition("@")[2]
        if host in self.down:
            raise NotDownloadedError(self.down[host])
        folder = cache_dir() / "downloads" / tool.folder
        try:
            expected = _expected_sha256(file)
            folder.mkdir(parents=True, exist_ok=True)
            archive = folder / f"{expected[:16]}-{file.name}"
            _download_verified(tool, file, expected, archive, tell)
        except HostDownError as error:
            self.down[host] = f"{host}: {error}"
            raise NotDownloadedError(self.down[host]) from error
        unpack(archive, file, program)
        shutil.rmtree(folder, ignore_errors=True)


def downloads() -> Downloads:
    """The settings from the environment. Raises: UsageError when MESHCTL_MIRROR is not a URL, or can't be trusted."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    try:
        parts = urlsplit(mirror)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    hint = f"{MIRROR_VARIABLE}=https://mirror.example.com/meshctl, or unset it to use the publishers' own hosts"
    if mirror and not is_url:
        raise UsageError(
            f"{MIRROR_VARIABLE} is not a URL", why="it must begin with https:// and name a host", hint=hint
        )
    if mirror and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise UsageError(
            f"{MIRROR_VARIABLE} must begin with https://",
            why="over http, an attacker could replace a program together with its checksum; http is accepted only from"
            " this machine (localhost, 127.0.0.1, [::1])",
            hint=hint,
        )
    return Downloads(mirror)


def machine() -> tuple[str, str]:
    """The operating system and the architecture, as the publishers call them: ("linux", "amd64")."""
    architecture = platform.machine().lower()
    return platform.system().lower(), {"x86_64": "amd64", "aarch64": "arm64"}.get(architecture, architecture)


def release_files(tool: Tool, mirror: str = "") -> tuple[ReleaseFile, ...]:
    """The files for this machine, in the order in which to try them."""
    system, arch = machine()
    files = (release_file(item, tool.version, system=system, arch=arch, mirror=mirror) for item in tool.publishers)
    return tuple(file for file in files if file is not None)


def _expected_sha256(file: ReleaseFile) -> str:
    checksum = checksum_in(http.text_of(file.checksums_url), file.name)
    if not checksum:
        raise NotDownloadedError(f"{shown(file.checksums_url)} has no sha256 of {file.name}")
    return checksum


def _download_verified(tool: Tool, file: ReleaseFile, expected: str, archive: Path, tell: Progress) -> None:
    tell(f"{tool.name} {tool.version}: downloading {shown(file.url)}")
    had_bytes = archive.is_file()
    _download(tool, file, archive, tell)
    actual = _sha256(archive)
    if actual != expected and had_bytes:
        # the partial file of an earlier run may be the cause
        tell(f"{tool.name} {tool.version}: the resumed file does not match its checksum; downloading it from the start")
        archive.unlink()
        _download(tool, file, archive, tell)
        actual = _sha256(archive)
    if actual != expected:
        archive.unlink()
        raise ToolError(
            f"the download of {tool.name} {tool.version} does not match its checksum, so it was deleted",
            why=f"{shown(file.url)} has sha256 {actual}; {shown(file.checksums_url)} says {expected}",
            hint=f"meshctl setup {tool.name}, and if that fails again: meshctl setup --build {tool.name}",
        )


def _download(tool: Tool, file: ReleaseFile, archive: Path, tell: Progress) -> None:
    """Download the missing part of `archive`; an interrupted download is resumed."""
    started = time.monotonic()

    def report(received: int, total: int) -> None:
        of_total = f" of {total >> 20}" if total else ""
        tell(f"{tool.name} {tool.version}: {received >> 20}{of_total} MiB, {time.monotonic() - started:.0f} s")

    cause = CutOffError("")
    for _ in range(_ATTEMPTS):
        size_before = http.size_of(archive)
        try:
            return http.download_rest(file.url, archive, report)
        except CutOffError as error:
            cause = error
            size = http.size_of(archive)
            if error.stalled and size == size_before:
                break
            tell(f"{tool.name} {tool.version}: {error}; going on after {size >> 20} MiB")
            time.sleep(http.RETRY_WAIT_S)
    raise HostDownError(str(cause))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

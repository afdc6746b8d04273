"""A machine without programs, and a mirror on loopback, for the tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl.tools import download, http
from tests.unit.tools.publisher import Publisher, publisher

GO = """#!/bin/sh
if [ "$1" = env ]; then printf 'go1.26.8\\nlocal\\n'; exit 0; fi
echo "$@" >> RECORD
case "$*" in *k8s.io/kubernetes*) version=1.36.3 ;; *) version=3.6.15 ;; esac
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho %s\\n' "$version" > "$2"
"""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux machine with an empty cache, no proxy, and a `go` that builds programs which answer like etcd."""
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "machine", lambda: ("linux", "amd64"))
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    go = tmp_path / "path" / "go"
    go.parent.mkdir()
    go.write_text(GO.replace("RECORD", str(tmp_path / "built")))
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    with publisher() as playing:
        monkeypatch.setenv("MESHCTL_MIRROR", playing.url)
        yield playing

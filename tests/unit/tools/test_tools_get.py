"""Getting a program: checksums, half-written files, Go's own version, what a build reports."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshctl import tool_build
from meshctl.errors import ToolError
from meshctl.tool_build import fetch_or_build, go_program, module_folder
from meshctl.tool_table import TOOLS, Download, Tool, cached_path

SCRIPT = b"#!/bin/sh\necho 'etcd Version: 3.6.15'\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a loopback server over `tmp_path/served`."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "served"), **kwargs)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def etcd_from(download: Download) -> Tool:
    return replace(TOOLS["etcd"], downloads={tool_build._platform(): download})


def test_every_tool_has_its_module_and_its_package_in_it() -> None:
    for tool in TOOLS.values():
        text = (module_folder(tool) / "go.mod").read_text()
        assert tool.package in text
        assert f"v{tool.version}" in text


def test_a_pinned_download_is_put_in_place(tmp_path: Path, served: str) -> None:
    (tmp_path / "served" / "etcd").write_bytes(SCRIPT)
    tool = etcd_from(Download(f"{served}/etcd", hashlib.sha256(SCRIPT).hexdigest()))
    lines: list[str] = []
    fetch_or_build(tool, lines.append)
    assert cached_path(tool).read_bytes() == SCRIPT
    assert [path.name for path in cached_path(tool).parent.iterdir()] == ["etcd"]
    assert any("downloading" in line for line in lines)


def test_a_program_inside_an_archive(tmp_path: Path, served: str) -> None:
    with tarfile.open(tmp_path / "served" / "etcd.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("etcd-v3/etcd")
        info.size = len(SCRIPT)
        tar.addfile(info, io.BytesIO(SCRIPT))
    digest = hashlib.sha256((tmp_path / "served" / "etcd.tar.gz").read_bytes()).hexdigest()
    tool = etcd_from(Download(f"{served}/etcd.tar.gz", digest, "etcd-v3/etcd"))
    fetch_or_build(tool, lambda _: None)
    assert cached_path(tool).read_bytes() == SCRIPT


def test_another_file_than_the_pinned_one_is_never_used(tmp_path: Path, served: str) -> None:
    (tmp_path / "served" / "etcd").write_bytes(SCRIPT + b"# changed")
    tool = etcd_from(Download(f"{served}/etcd", hashlib.sha256(SCRIPT).hexdigest()))
    with pytest.raises(ToolError, match="not the file that was pinned"):
        fetch_or_build(tool, lambda _: None)
    assert list(cached_path(tool).parent.iterdir()) == []


def test_a_missing_file_at_the_publisher_is_a_tool_error(served: str) -> None:
    with pytest.raises(ToolError, match="can't download"):
        fetch_or_build(etcd_from(Download(f"{served}/nothing", "0")), lambda _: None)


def test_a_program_of_the_wrong_version_is_never_used(tmp_path: Path, served: str) -> None:
    wrong = SCRIPT.replace(b"3.6.15", b"3.6.14")
    (tmp_path / "served" / "etcd").write_bytes(wrong)
    tool = etcd_from(Download(f"{served}/etcd", hashlib.sha256(wrong).hexdigest()))
    with pytest.raises(ToolError, match="is not version"):
        fetch_or_build(tool, lambda _: None)
    assert not cached_path(tool).exists()


def test_left_overs_of_a_killed_run_are_swept_away(tmp_path: Path, served: str) -> None:
    (tmp_path / "served" / "etcd").write_bytes(SCRIPT)
    tool = etcd_from(Download(f"{served}/etcd", hashlib.sha256(SCRIPT).hexdigest()))
    folder = cached_path(tool).parent
    folder.mkdir(parents=True)
    (folder / ".etcd.4711.partial").write_bytes(b"half")
    fetch_or_build(tool, lambda _: None)
    assert [path.name for path in folder.iterdir()] == ["etcd"]


def go(folder: Path, version: str, toolchain: str) -> Path:
    program = folder / "go"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n%s\\n' '{version}' '{toolchain}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("version", "toolchain", "fit"),
    [
        ("go1.26.8", "local", True),
        ("go1.27", "local", True),
        ("go1.24.1", "auto", True),
        ("go1.24.1", "local", False),
        ("go1.20.3", "auto", False),
    ],
)
def test_go_must_be_new_enough_or_able_to_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str, *, fit: bool
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = go(tmp_path, version, toolchain)
    if fit:
        assert go_program(TOOLS["etcd"]) == str(program)
        return
    with pytest.raises(ToolError) as caught:
        go_program(TOOLS["etcd"])
    assert version in caught.value.why
    assert "1.26" in caught.value.hint


def test_without_go_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        go_program(TOOLS["kwok"])
    assert "no `go` command" in caught.value.why
    assert "kwok 0.7.x on PATH" in caught.value.hint


def test_a_build_reports_progress_and_keeps_the_compilers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_build, "_PROGRESS_EVERY_S", 0.0)
    lines: list[str] = []
    stderr = ["go: downloading a v1\n", "internal/a\n", "github.com/x/y.z/v3\n", "# pkg\n", "x.go:1:2: undefined: y\n"]
    kept = tool_build._follow(TOOLS["etcd"], stderr, lines.append, started=0.0)
    assert kept == ["# pkg", "x.go:1:2: undefined: y"]
    assert "1 modules fetched, 2 packages compiled" in lines[2]

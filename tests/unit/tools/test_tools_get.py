"""Building a program: its module, Go's own version, what a build reports. Downloads: `test_tools_download`."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import ToolError
from meshctl.tools import build
from meshctl.tools.build import GO_MINIMUM, go_program, module_folder
from meshctl.tools.table import TOOLS, numbers


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path / "cache"))


def test_every_tool_has_its_module_and_its_package_in_it() -> None:
    for tool in TOOLS.values():
        text = (module_folder(tool) / "go.mod").read_text()
        assert tool.package in text
        assert f"v{tool.version}" in text


@pytest.mark.parametrize("folder", sorted({tool.module_dir for tool in TOOLS.values()}))
def test_a_module_asks_for_no_newer_go_than_setup_does(folder: str) -> None:
    module = module_folder(next(tool for tool in TOOLS.values() if tool.module_dir == folder))
    go_line = next(line for line in (module / "go.mod").read_text().splitlines() if line.startswith("go "))
    assert numbers(go_line) <= (*GO_MINIMUM, 0), f"{module}/go.mod: go mod edit -go={GO_MINIMUM[0]}.{GO_MINIMUM[1]}"
    assert (module / "go.sum").is_file()


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
    monkeypatch.setattr(build, "_PROGRESS_EVERY_S", 0.0)
    lines: list[str] = []
    stderr = ["go: downloading a v1\n", "internal/a\n", "github.com/x/y.z/v3\n", "# pkg\n", "x.go:1:2: undefined: y\n"]
    kept = build._follow(TOOLS["etcd"], stderr, lines.append, started=0.0)
    assert kept == ["# pkg", "x.go:1:2: undefined: y"]
    assert "1 modules fetched, 2 packages compiled" in lines[2]

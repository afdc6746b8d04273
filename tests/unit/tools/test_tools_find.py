"""Which program is used: PATH before cache, acceptable versions only, each program asked once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meshctl import tools
from meshctl.errors import ToolError
from meshctl.tools.table import TOOLS, cached_path


@pytest.fixture(autouse=True)
def _empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (tmp_path / "path").mkdir()


def program(path: Path, answer: str, count: Path | None = None) -> Path:
    """A program that is no script to look at: the shell reads the colon line as a no-op."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counting = f"echo x >> '{count}'\n" if count else ""
    path.write_text(f": program\n{counting}echo '{answer}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _shell_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # a file without `#!` can't be executed directly; the real code path is the same from `subprocess.run` on
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda args, **kw: run(["/bin/sh", *args], **kw))


def test_nothing_anywhere_names_the_next_command() -> None:
    with pytest.raises(ToolError) as caught:
        tools.find("etcd")
    assert caught.value.hint == "meshctl setup"
    assert "etcd 3.6.15" in caught.value.what


def test_the_cache_is_used(tmp_path: Path) -> None:
    expected = program(cached_path(TOOLS["etcd"]), "anything")
    assert tools.find("etcd") == expected
    assert tools.locate("etcd") == tools.Located(expected, "cache", "3.6.15")


def test_a_cached_file_that_is_not_executable_is_no_program() -> None:
    program(cached_path(TOOLS["etcd"]), "anything").chmod(0o644)
    assert tools.locate("etcd") is None


@pytest.mark.parametrize(
    ("name", "answer", "used"),
    [
        ("etcd", "etcd Version: 3.6.2", True),
        ("etcd", "etcd Version: 3.5.20", False),
        ("kube-apiserver", "Kubernetes v1.36.0", True),
        ("kube-apiserver", "Kubernetes v1.35.9", False),
        ("kube-apiserver", "Kubernetes v1.37.0", False),
        ("pulumi", "v3.259.0", True),
        ("pulumi", "v3.260.1", True),
        ("pulumi", "v3.258.9", False),
        ("pulumi", "v4.0.0", False),
        ("kwok", "no number at all", False),
    ],
)
def test_acceptable_versions_on_path(tmp_path: Path, name: str, answer: str, *, used: bool) -> None:
    candidate = program(tmp_path / "path" / name, answer)
    located = tools.locate(name)
    assert (located.path if located else None) == (candidate if used else None)
    assert [item.path for item in tools.refusals(name)] == ([] if used else [candidate])


def test_path_comes_before_the_cache(tmp_path: Path) -> None:
    program(cached_path(TOOLS["etcd"]), "anything")
    candidate = program(tmp_path / "path" / "etcd", "etcd Version: 3.6.1")
    assert tools.find("etcd") == candidate


def test_a_version_managers_shim_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "path" / "kubectl"
    shim.write_text("#!/bin/sh\necho v1.36.3\n")
    shim.chmod(0o755)
    assert tools.locate("kubectl") is None
    assert "script" in tools.refusals("kubectl")[0].reason


def test_a_program_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    count = tmp_path / "asked"
    candidate = program(tmp_path / "path" / "etcd", "etcd Version: 3.6.1", count)
    for _ in range(3):
        tools.find("etcd")
    assert count.read_text() == "x\n"
    program(candidate, "etcd Version: 3.4.11", count)
    assert tools.locate("etcd") is None
    assert count.read_text() == "x\nx\n"


def test_a_spoilt_memory_of_probes_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "probes.json").write_text("{not json")
    candidate = program(tmp_path / "path" / "etcd", "etcd Version: 3.6.1")
    assert tools.find("etcd") == candidate


def test_programs_of_wheels_are_found_beside_the_interpreter() -> None:
    assert tools.find("rclone").name == "rclone"

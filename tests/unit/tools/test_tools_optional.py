"""A program that only some labs need, prints no version, and has files beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshctl import diagnosis, tools
from meshctl.cli.main import app
from meshctl.errors import ToolError
from meshctl.tools.table import TOOLS, cached_path
from tests.unit.tools.publisher import setup

NAME = "lws-manager"
# what `go build` writes into a program: the module of its main package, or one that it depends on
BUILT = b"\x7fELF\0path\tsigs.k8s.io/lws/cmd\nmod\tsigs.k8s.io/lws\tvVERSION\th1:x=\n\0"
GO = """#!/bin/sh
if [ "$1" = env ]; then printf 'go1.26.8\\nlocal\\n'; exit 0; fi
if [ "$1" = list ]; then echo "$5" > MODULE/asked; echo MODULE; exit 0; fi
while [ "$1" != -o ]; do shift; done
cp BUILT "$2"
"""


@pytest.fixture
def module(tmp_path: Path, machine: None) -> Path:
    """The module in Go's cache, and a `go` that builds its program."""
    folder = tmp_path / "module"
    for name in TOOLS[NAME].module_files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")
        (folder / name).chmod(0o444)
    built = tmp_path / "program"
    built.write_bytes(BUILT.replace(b"VERSION", b"0.7.0"))
    (tmp_path / "path" / "go").write_text(GO.replace("MODULE", str(folder)).replace("BUILT", str(built)))
    return folder


def test_it_is_known_by_what_go_wrote_into_it(module: Path) -> None:
    setup(NAME)
    located = tools.locate(NAME)
    assert located is not None
    assert (located.path, located.version) == (cached_path(TOOLS[NAME]), "0.7.0")


def test_its_files_lie_beside_it(module: Path) -> None:
    setup(NAME)
    assert (module / "asked").read_text().strip() == "sigs.k8s.io/lws"
    for name in TOOLS[NAME].module_files:
        assert tools.file_beside(NAME, Path(name).name).read_text() == f"# {name}\n"


def test_a_program_without_its_files_says_what_to_do(module: Path) -> None:
    setup(NAME)
    tools.file_beside(NAME, "manifests.yaml").unlink()
    with pytest.raises(ToolError) as caught:
        tools.file_beside(NAME, "manifests.yaml")
    assert f"meshctl setup {NAME}" in caught.value.hint


def test_another_release_is_refused(module: Path, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(BUILT.replace(b"VERSION", b"0.6.2"))
    with pytest.raises(ToolError) as caught:
        setup(NAME)
    assert caught.value.why == "it is of sigs.k8s.io/lws 0.6.2"
    assert tools.locate(NAME) is None


def test_setup_gets_it_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ensure(names: list[str], *_: object, build: bool) -> dict[str, Path]:
        asked.extend(names)
        return dict.fromkeys(names, Path("p"))

    monkeypatch.setattr(tools, "ensure", ensure)
    assert CliRunner().invoke(app, ["setup"]).exit_code == 0
    assert NAME not in asked
    assert {"pulumi", "kubectl"} <= set(asked)
    assert CliRunner().invoke(app, ["setup", NAME]).exit_code == 0
    assert asked[-1] == NAME


@pytest.mark.usefixtures("machine")
def test_a_missing_one_is_no_fault_and_named_with_its_own_command() -> None:
    findings = {finding.name: finding for finding in diagnosis.diagnose()}
    assert findings[NAME].state == "optional"
    with pytest.raises(ToolError) as caught:
        tools.find(NAME)
    assert caught.value.hint == f"meshctl setup {NAME}"

"""`.meshctl` holds a passphrase and the state: no version control is offered them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from meshctl.engine import workspace
from meshctl.engine.state_store import open_state_store
from meshctl.lab.state import Lab


def stack(folder: Path) -> None:
    backend = workspace.Backend("file://./.meshctl/state", "passphrase", folder)
    workspace.open_stack(backend, "m", "e", lambda: None, workspace.pulumi_program())


def journal(folder: Path) -> None:
    open_state_store("file://./.meshctl/state", folder).create("a", "{}")


def lab(folder: Path) -> None:
    with Lab(folder / ".meshctl" / "lab").exclusively():
        pass


@pytest.mark.parametrize("make", [stack, journal, lab])
@pytest.mark.parametrize("is_old", [False, True])
def test_git_offers_nothing_of_it(tmp_path: Path, make: Callable[[Path], None], is_old: bool) -> None:
    if is_old:  # as an older version left it
        (tmp_path / ".meshctl" / "state").mkdir(parents=True)
        (tmp_path / ".meshctl" / "passphrase").write_text("x")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True, timeout=60)
    make(tmp_path)
    assert len(list((tmp_path / ".meshctl").iterdir())) > 1
    assert subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, timeout=60).stdout == b""


def test_a_gitignore_of_the_users_own_stays(tmp_path: Path) -> None:
    (tmp_path / ".meshctl").mkdir()
    (tmp_path / ".meshctl" / ".gitignore").write_text("passphrase\n")
    stack(tmp_path)
    assert (tmp_path / ".meshctl" / ".gitignore").read_text() == "passphrase\n"


def test_a_state_elsewhere_is_left_to_its_owner(tmp_path: Path) -> None:
    open_state_store(f"file://{tmp_path}/shared/state", tmp_path).create("a", "{}")
    assert not list(tmp_path.rglob(".gitignore"))

"""The hook that looks at commit messages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOOK = ROOT / ".ci" / "commit_message.py"
SUBJECT = "Shift: a node that is gone is left out of an undo"
BODY = "\n\nIt stopped the undo of all others.\n"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commit_message", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


commit_message = loaded()


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (SUBJECT, "there is no body"),
        (f"{SUBJECT}\n\n# Please enter the commit message\n", "there is no body"),
        (f"{SUBJECT}\n\n# ------------------------ >8 ------------------------\ndiff --git a b\n", "there is no body"),
        ("x" * 73 + BODY, "the subject has 73 characters, 72 are allowed"),
        (f"{SUBJECT}\nIt stopped the undo.\n", "the second line must be empty"),
        ("", "the first line is empty"),
        ("# only comments\n", "the first line is empty"),
    ],
)
def test_a_wrong_message_is_refused(message: str, problem: str) -> None:
    assert any(problem in each for each in commit_message.problems(message))


@pytest.mark.parametrize(
    "message",
    [
        SUBJECT + BODY,
        "x" * 72 + BODY,
        f"# a comment above\n{SUBJECT}{BODY}",
        "Merge branch 'shift' into main\n",
        'Revert "Shift: a node"\n',
        "fixup! Shift: a node\n",
    ],
)
def test_a_right_message_passes(message: str) -> None:
    assert commit_message.problems(message) == []


def test_as_git_runs_it(tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    for message, code, said in (
        (SUBJECT, 1, "commit message: there is no body"),
        (SUBJECT + BODY, 0, ""),
    ):
        file.write_text(message)
        done = subprocess.run([sys.executable, HOOK, file], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.partition(":")[0]) == (code, said.partition(":")[0])
        assert said in done.stderr


def test_pre_commit_runs_it_on_messages() -> None:
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (hook,) = [each for each in settings["repos"][0]["hooks"] if HOOK.name in each["entry"]]
    assert (hook["stages"], "commit-msg" in settings["default_install_hook_types"]) == (["commit-msg"], True)

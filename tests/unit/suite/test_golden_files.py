"""`nox -s golden -- --accept` renews every golden file, and the tests compare with what it writes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_files import FOLDER, Golden

REPOSITORY = Path(__file__).parents[3]


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def arguments_of_the_session() -> list[str]:
    """The arguments that the session `golden` of the noxfile gives to pytest."""
    tree = ast.parse((REPOSITORY / "noxfile.py").read_text(encoding="utf-8"))
    [session] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "golden"]
    [call] = [node for node in ast.walk(session) if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest"]
    return [ast.literal_eval(argument) for argument in call.args[1:]]


# Only the files with such tests are collected: to import all of the folder would take several times as long.
def test_the_session_renews_every_golden_file(tmp_path: Path) -> None:
    folder, *choice = arguments_of_the_session()
    users = [path for path in REPOSITORY.glob("tests/**/test_*.py") if "golden: Golden" in path.read_text("utf-8")]
    users.remove(Path(__file__))
    assert all(path.is_relative_to(REPOSITORY / folder) for path in users)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *choice, *map(str, users)]
    done = subprocess.run(
        [*command, "--accept", f"--golden-folder={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    renewed, kept = files(tmp_path), files(FOLDER)
    assert sorted(renewed) == sorted(kept), "files below tests/golden that no test renews, or that are missing"
    assert [path for path in kept if renewed[path] != kept[path]] == []


def test_a_difference_and_a_missing_file_say_what_to_do(tmp_path: Path) -> None:
    Golden(tmp_path, accept=True)("folder/a.txt", "one\n")
    golden = Golden(tmp_path, accept=False)
    golden("folder/a.txt", "one\n")
    with pytest.raises(AssertionError, match=r"a.txt differs; run `nox -s golden -- --accept`"):
        golden("folder/a.txt", "two\n")
    with pytest.raises(AssertionError, match=r"b.txt is missing; run `nox -s golden -- --accept`"):
        golden("folder/b.txt", "one\n")


def test_json_is_laid_out_to_be_read(tmp_path: Path) -> None:
    long = ["x" * 50] * 3
    document = {"short": {"a": [1, None]}, "long": long, "nested": [{"b": long}], "none": {}}
    Golden(tmp_path, accept=True).json("a.json", document)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == document
    assert text.splitlines()[:3] == ["{", '  "short": {"a": [1, null]},', '  "long": [']

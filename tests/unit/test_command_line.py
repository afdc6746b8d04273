"""Global options anywhere, errors as three lines or one JSON object, exit codes by class."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshctl.cli.main import global_first

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"


def meshctl(*arguments: str, folder: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_global_options_may_follow_the_command() -> None:
    assert global_first(["up", "cw", "--yes"]) == ["--yes", "up", "cw"]
    assert global_first(["check", "--output", "json", "-v"]) == ["--output", "json", "-v", "check"]
    assert global_first(["check", "--output=json"]) == ["--output=json", "check"]
    assert global_first(["plan", "cw", "--out", "f"]) == ["plan", "cw", "--out", "f"]
    assert global_first(["x", "--", "--yes"]) == ["x", "--", "--yes"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["nonsense"], 64),
        (["check", "--output", "xml"], 64),
        (["check", "nowhere"], 64),
        (["migrate", "nowhere", "cw", "--dry-run"], 64),
        (["migrate", "cw", "nowhere", "--dry-run"], 64),
        (["-C", "/nonexistent", "check"], 64),
        (["check"], 0),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    assert meshctl(*arguments).returncode == code


def test_an_error_is_what_why_hint() -> None:
    done = meshctl("plan", "nowhere")
    assert done.returncode == 64
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        'error: no environment named "nowhere"',
        "  hint: environments.yaml has aws-east, cw, dc1",
    ]
    done = meshctl("migrate", "aws-eats", "cw", "--dry-run")
    assert done.stderr.splitlines()[0] == 'error: no environment named "aws-eats"; did you mean "aws-east"?'


def test_with_json_an_error_is_one_object_with_a_stable_code() -> None:
    done = meshctl("plan", "nowhere", "--output", "json")
    document = json.loads(done.stdout)
    assert document["meshctl"] == 1
    assert (document["error"]["code"], document["error"]["exit_code"]) == ("usage", 64)


def test_every_problem_of_a_mesh_is_told_in_one_run(tmp_path: Path) -> None:
    mesh = (EXAMPLE / "mesh.yaml").read_text()
    broken = (
        mesh.replace("fabric: backend", "fabric: backnd", 1)
        .replace("nodes: 4 ", "nodes: many ")
        .replace("web:", "wEb:", 1)
    )
    (tmp_path / "mesh.yaml").write_text(broken)
    (tmp_path / "environments.yaml").write_text((EXAMPLE / "environments.yaml").read_text())
    done = meshctl("check", folder=tmp_path)
    assert done.returncode == 65
    assert 'no fabric named "backnd"; did you mean "backend"?' in done.stderr
    assert "mesh.yaml:" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("mesh.yaml:")]) >= 3

"""Global options anywhere, errors as three lines or one JSON object, exit codes by class."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pytest

from meshctl.cli.main import global_first
from tests import command_line

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
FULL = Path("/dev/full")


def meshctl(*arguments: str, folder: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
    return command_line.meshctl(*arguments, folder=folder)


def process(
    *arguments: str,
    folder: Path = EXAMPLE,
    stdout: IO[str] | int = subprocess.PIPE,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A process of its own, where the process is what is looked at."""
    return subprocess.run(
        [sys.executable, "-m", "meshctl.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, **command_line.NO_PROGRAMS, **(variables or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_global_options_may_follow_the_command() -> None:
    assert global_first(["up", "cw", "--yes"]) == ["--yes", "up", "cw"]
    assert global_first(["check", "--output", "json", "-v"]) == ["--output", "json", "-v", "check"]
    assert global_first(["check", "--output=json"]) == ["--output=json", "check"]
    assert global_first(["plan", "cw", "--out", "f"]) == ["plan", "cw", "--out", "f"]
    assert global_first(["x", "--", "--yes"]) == ["x", "--", "--yes"]
    assert global_first(["check", "-C/srv", "-vy"]) == ["-C/srv", "-vy", "check"]
    assert global_first(["check", "-vC", "/srv", "cw"]) == ["-vC", "/srv", "check", "cw"]
    assert global_first(["check", "--version"]) == ["--version", "check"]
    assert global_first(["up", "cw", "-x"]) == ["up", "cw", "-x"]
    assert meshctl("check", f"-C{EXAMPLE}", "-vy", folder=Path("/")).returncode == 0


@pytest.mark.parametrize("option", ["--output", "-C", "-vC", "--mesh"])
def test_a_global_option_without_its_value_is_told(option: str) -> None:
    done = meshctl("check", option)
    assert done.returncode == 64
    assert done.stderr.splitlines()[0] == f"error: Option '{option.replace('v', '')}' requires an argument."


@pytest.mark.parametrize("group", [[], ["lab"], ["migrations"], ["migrations", "--output", "json"]])
def test_a_group_alone_shows_its_help(group: list[str]) -> None:
    done = meshctl(*group)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == meshctl(*group[:1], "--help").stdout


@pytest.mark.parametrize(
    ("command", "usage"),
    [("check", "[ENV]..."), ("plan", "{ENV}..."), ("status", "[ENV]"), ("schema", "[mesh|environments]")],
)
def test_usage_lines_name_an_argument_once(command: str, usage: str) -> None:
    assert meshctl(command, "--help").stdout.splitlines()[0].endswith(f" {command} [OPTIONS] {usage}")


def test_a_working_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$0" -m meshctl.cli.main lab status', sys.executable]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=gone, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: the working folder has been deleted"


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


def test_a_program_is_missed_where_it_is_needed_first(tmp_path: Path) -> None:
    for file in EXAMPLE.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    done = meshctl("status", folder=tmp_path)
    assert done.returncode == 1
    first, _, hint = done.stderr.splitlines()
    assert first == "error: the program pulumi 3.259.0 is missing"
    assert hint == "  hint: meshctl setup"


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


def test_a_plan_that_could_not_be_saved_is_not_made(tmp_path: Path) -> None:
    for place, why in ((tmp_path / "no/plan", f"there is no folder {tmp_path}/no"), (tmp_path, "it is a folder")):
        done = meshctl("plan", "cw", "--out", str(place))
        assert done.returncode == 64
        assert done.stdout == ""
        assert done.stderr.splitlines()[:2] == [
            f"error: --out {place}: the plan can't be saved there",
            f"  why: {why}",
        ]


def test_an_environment_that_is_named_twice_is_planned_once(tmp_path: Path) -> None:
    done = meshctl("plan", "cw", "cw", "--out", str(tmp_path))
    assert done.stderr.splitlines()[0] == f"error: --out {tmp_path}: the plan can't be saved there"


def test_a_mesh_that_cannot_be_read_is_a_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").mkdir()
    done = meshctl("check", folder=tmp_path)
    assert done.returncode == 65
    assert "mesh.yaml:1:1: can't be read: Is a directory" in done.stderr.splitlines()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [("check",), ("check", "--output", "json"), ("--help",), ("schema", "mesh")])
def test_output_that_cannot_be_written_is_an_error(arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = process(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].endswith("can't be written: No space left on device")
    assert "internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_an_error_is_told_on_stderr_where_its_document_cannot_be_written() -> None:
    with FULL.open("w") as full:
        done = process("check", "nowhere", "--output", "json", stdout=full)
    assert done.returncode == 64
    assert done.stderr.splitlines()[0] == 'error: no environment named "nowhere"'


@pytest.mark.parametrize(
    ("arguments", "code"), [(("check",), 0), (("schema", "mesh"), 0), (("check", "nowhere", "--output", "json"), 64)]
)
def test_a_reader_that_is_gone_is_no_error(arguments: tuple[str, ...], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process(*arguments, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == code
    assert done.stderr == "" or code


def test_errors_are_counted_by_the_exit_code_where_stderr_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "meshctl.cli.main", "check", "nowhere"]
        assert subprocess.run(command, cwd=EXAMPLE, stderr=writer, timeout=60, check=False).returncode == 64
    finally:
        os.close(writer)


def test_streams_that_the_shell_closed_are_no_error() -> None:
    command = ["sh", "-c", 'exec "$0" -m meshctl.cli.main check >&- 2>&-', sys.executable]
    assert subprocess.run(command, cwd=EXAMPLE, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("narrow", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii:strict"}])
def test_output_goes_where_the_encoding_lacks_its_letters(tmp_path: Path, narrow: dict[str, str]) -> None:
    environments = (EXAMPLE / "environments.yaml").read_text().splitlines()
    kept = [line for line in environments if not line.startswith("dns:")]  # the hint that asks for it has an ellipsis
    (tmp_path / "environments.yaml").write_text("\n".join(kept))
    shutil.copy(EXAMPLE / "mesh.yaml", tmp_path)
    for output in ("human", "json"):
        done = process("check", "--output", output, folder=tmp_path, variables=narrow)
        assert (done.returncode, done.stderr) == (65, "")
    assert json.loads(done.stdout)["environments"]["cw"]["gaps"]


def test_ctrl_c_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mesh.yaml")  # `check` waits until somebody writes into it
    command = [sys.executable, "-m", "meshctl.cli.main", "check"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            with (tmp_path / "mesh.yaml").open("w"):  # opens once `check` reads
                process.send_signal(signal.SIGINT)
            # closed only now: a signal just before the reading is handled once the reading ends
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, stderr) == (130, "error: interrupted\n")

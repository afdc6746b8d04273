"""`meshctl setup` as a user runs it: etcd is built with Go into an empty cache, once; the second run does nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from meshctl.cli.context import Context
from meshctl.cli.doctor import doctor
from meshctl.cli.setup import setup

app = typer.Typer()
app.command()(setup)
app.command()(doctor)


def run(*args: str, output: str = "human") -> Result:
    return CliRunner().invoke(app, list(args), obj=Context(output=output))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path))
    return tmp_path


def test_etcd_is_built_once(cache: Path) -> None:
    first = run("setup", "--build", "etcd")
    assert first.exit_code == 0, first.output
    assert "building with Go" in first.stderr
    program = cache / "bin" / "etcd-3.6.15" / "etcd"
    assert f"etcd  {program}" in first.stdout
    answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert "etcd Version: 3.6.15" in answer.stdout
    made = program.stat().st_mtime_ns

    second = run("setup", "etcd")
    assert second.exit_code == 0
    assert second.stderr == ""
    assert program.stat().st_mtime_ns == made


def test_doctor_fails_with_a_hint_while_pulumi_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    result = run("doctor")
    assert result.exit_code == 1, result.output
    assert "MISSING pulumi" in result.stdout
    assert "hint: meshctl setup pulumi" in result.stdout


def test_doctor_as_json(cache: Path) -> None:
    document = json.loads(run("doctor", output="json").stdout)
    assert document["meshctl"] == 1
    by_name = {(finding["group"], finding["name"]): finding for finding in document["findings"]}
    assert by_name["programs", "rclone"]["state"] == "ok"
    assert by_name["python", "boto3"]["state"] == "ok"
    assert by_name["plugins", "kubernetes"]["source"] in ("official", "stand-in")
    assert document["ok"] == all(finding["state"] != "missing" for finding in document["findings"])

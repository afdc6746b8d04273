"""The lab's folder, its processes and the files that point tools at it."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from meshctl import tools
from meshctl.errors import LabError
from meshctl.lab import environment
from meshctl.lab import up as lab_up
from meshctl.lab.state import ACCOUNT, MARK, Lab, lives, read_json, wait_ended, write_atomically
from tests.command_line import meshctl
from tests.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PORTS = {"aws": 4001, "dns": 4002, "webhook": 4003, "store_cw": 4004, "store_dc1": 4005}


def test_a_lab_that_is_not_up(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not up") as caught:
        Lab(tmp_path).read()
    assert "meshctl lab up" in caught.value.hint


def test_a_process_has_ended_when_its_last_thread_has() -> None:
    """A killed server's ports are its own until then, though the process is called a zombie before."""
    leaderless = "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    process = subprocess.Popen([sys.executable, "-c", f"{leaderless}ctypes.CDLL(None).pthread_exit(None)"])
    seen = psutil.Process(process.pid)
    try:
        wait_until(lambda: seen.status() == psutil.STATUS_ZOMBIE, every_s=0.01)
        assert lives(seen)
    finally:
        process.kill()
    wait_ended([seen], 30)
    assert not lives(seen)
    process.wait(timeout=30)


def test_only_processes_that_were_started_for_the_lab_are_its_own(tmp_path: Path) -> None:
    lab, other = Lab(tmp_path / "lab"), Lab(tmp_path / "lab2")
    own = subprocess.Popen(SLEEP, env=lab.environment())
    others = [
        subprocess.Popen(SLEEP, env=other.environment()),
        subprocess.Popen([*SLEEP, str(lab.file)], env={**os.environ, "MESHCTL_LAB_ROOT": str(lab.root)}),
    ]
    try:
        found = list(lab.processes())
        assert [process.pid for process in found] == [own.pid]
        own.kill()
        wait_ended(found, 30)  # nobody has waited for it yet: a zombie counts as ended
        assert list(lab.processes()) == []
    finally:
        for process in (own, *others):
            process.kill()
            process.wait(timeout=30)


def test_the_mark_is_not_passed_to_the_user(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write({"ports": PORTS, "clusters": {}})
    assert MARK not in environment.variables(lab, tmp_path)


def test_one_command_at_a_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    with lab.exclusively(), pytest.raises(LabError, match="being started or ended"), lab.exclusively():
        pass
    with lab.exclusively():
        assert lab.root.is_dir()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.json"
    assert read_json(file) == {}
    write_atomically(file, '{"a": 1}', 0o600)
    write_atomically(file, '{"a": 2}', 0o600)
    assert read_json(file) == {"a": 2}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
    file.write_text("{half")
    assert read_json(file) == {}


def test_aws_files(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    environment.write_aws_files(lab, PORTS)
    config, credentials = configparser.ConfigParser(), configparser.ConfigParser()
    config.read(tmp_path / "aws" / "config")
    credentials.read(tmp_path / "aws" / "credentials")
    assert {name: config[name]["endpoint_url"] for name in config.sections()} == {
        "default": "http://127.0.0.1:4001",
        "profile coreweave": "http://127.0.0.1:4004",
        "profile dc1": "http://127.0.0.1:4005",
    }
    keys = [credentials[name]["aws_access_key_id"] for name in credentials.sections()]
    assert len(set(keys)) == len(keys)
    assert (tmp_path / "aws" / "credentials").stat().st_mode & 0o777 == 0o600


def test_a_shell_can_read_the_exports(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "a lab's folder")
    lab.write({"ports": PORTS, "clusters": {}})
    script = f'{environment.exports(lab, tmp_path)}printf "%s\\n" "$KUBECONFIG" "$MESHCTL_DNS_SERVER" "$AWS_PROFILE"'
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={**os.environ, "AWS_PROFILE": "other"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kubeconfigs, dns, profile = done.stdout.split("\n")[:3]
    assert kubeconfigs.split(os.pathsep) == [str(lab.kubeconfig), str(tmp_path / ".meshctl" / "kubeconfig")]
    assert (dns, profile) == ("127.0.0.1:4002", "")


def test_the_command_prints_the_exports_of_a_lab_that_is_there(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    variables = {"MESHCTL_LAB_ROOT": str(lab.root)}
    missing = meshctl("lab", "env", folder=tmp_path, variables=variables)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "meshctl lab up" in missing.stderr
    lab.write({"ports": PORTS, "clusters": {}})
    done = meshctl("lab", "env", folder=tmp_path, variables=variables)
    assert (done.returncode, done.stdout) == (0, environment.exports(lab, tmp_path))


def test_the_account_may_be_chosen_before_the_lab_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path / "root")
    lab.root.mkdir()
    (lab.root / ACCOUNT).write_text('{"zoneSeed": 7}')
    begun: list[dict[str, object]] = []

    def start(lab: Lab, *_: object) -> None:
        begun.append(read_json(lab.root / ACCOUNT))
        write_atomically(lab.file, "{}")

    monkeypatch.setattr(tools, "find", lambda _name: Path("/bin/true"))
    monkeypatch.setattr(lab_up, "_start", start)
    for _ in range(2):  # the second one cleans up: nothing runs of what the first one said that it started
        lab_up.up(lab, lambda _text: None)
    assert begun == [{"zoneSeed": 7}] * 2
    lab_up.down(lab)
    assert not lab.root.exists()

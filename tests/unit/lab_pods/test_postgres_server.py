"""PostgreSQL with pgvector as a process pod: it has the data that its volume has, and asks for passwords as told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshctl.lab import images
from meshctl.lab.images import postgres_server
from meshctl.lab.images.postgres_server import RefusedError, options
from meshctl.lab.pods import launch
from tests.waiting import COMMAND_S, end, wait_until

ADDRESS = "127.0.9.77"


def test_it_reads_the_variables_of_the_image() -> None:
    read = options({"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "docs", "PGDATA": "/var/lib/postgresql/data/pgdata"})
    assert (read.user, read.database, read.method) == ("docs", "docs", "scram-sha-256")
    assert read.folder == "/var/lib/postgresql/data/pgdata"
    assert options({"POSTGRES_HOST_AUTH_METHOD": "trust"}).folder == postgres_server.FOLDER


@pytest.mark.parametrize("variables", [{}, {"POSTGRES_HOST_AUTH_METHOD": "ldap", "POSTGRES_PASSWORD": "p"}])
def test_it_does_not_start_without_a_password_or_with_what_is_not_known(variables: dict[str, str]) -> None:
    with pytest.raises(RefusedError):
        options(variables)


@contextmanager
def running(folder: Path, volume: Path, **variables: str) -> Iterator[None]:
    """A server in a container of its own, which ends as a pod does."""
    image = images.runnable("pgvector/pgvector:0.8.1-pg17")
    assert image is not None
    own = {"PGDATA": f"{postgres_server.FOLDER}/pgdata", "POD_ADDRESS": ADDRESS}
    spec = {
        "argv": images.argv(image, [], [], sys.executable),
        "env": {**os.environ, **variables, **own},
        "cwd": image.folder,
        "parent": os.getpid(),
        "hostname": "postgres",
        "root": str(folder / "root"),
        "mounts": [(str(volume), image.folder, False)],
        "empty": [image.folder],
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-I", "-S", launch.__file__, str(folder / "spec.json")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        password = variables.get("POSTGRES_PASSWORD", "")
        wait_until(lambda: asked("SELECT 1", password) == "1")
        yield
        process.terminate()
        assert process.wait(60) == 0
    finally:
        end(process)


def asked(statement: str, password: str = "") -> str:
    """What the server answers, and nothing where it refuses or there is none."""
    programs = postgres_server.find()
    assert programs is not None
    command = [str(programs / "psql"), "-h", ADDRESS, "-U", "postgres", "-At", "-w", "-c", statement]
    env = {**os.environ, "PGPASSWORD": password}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False
    ).stdout.strip()


@pytest.mark.skipif(not postgres_server.find(), reason="the extra lab-rag is not installed; `nox -s rag` has it")
def test_vectors_are_in_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with running(tmp_path, volume, POSTGRES_HOST_AUTH_METHOD="trust"):
        asked("CREATE EXTENSION vector; CREATE TABLE t AS SELECT '[1,2]'::vector AS v")
    with running(tmp_path, volume, POSTGRES_HOST_AUTH_METHOD="trust"):
        assert asked("SELECT v <-> '[1,4]' FROM t") == "2"


@pytest.mark.skipif(not postgres_server.find(), reason="the extra lab-rag is not installed; `nox -s rag` has it")
def test_it_asks_for_the_password(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with running(tmp_path, volume, POSTGRES_PASSWORD="right"):
        assert asked("SELECT 1", "wrong") == ""
        assert asked("SELECT 1") == ""

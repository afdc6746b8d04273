"""A process pod starts in its `workingDir`, which is made where there is none, as container runtimes do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.pods import launch


def started(
    folder: Path,
    cwd: str,
    *mounts: tuple[Path, str, bool],
    argv: tuple[str, ...] = ("/bin/pwd",),
    empty: tuple[str, ...] = (),
    scratch: tuple[str, ...] = (),
) -> Any:
    spec = {
        "argv": argv,
        "env": {},
        "cwd": cwd,
        "parent": os.getpid(),
        "hostname": "pod",
        "root": str(folder / "root"),
        "mounts": [[str(source), path, read_only] for source, path, read_only in mounts],
        "empty": empty,
        "scratch": scratch,
    }
    file = folder / "spec.json"
    file.write_text(json.dumps(spec))
    command = [sys.executable, "-I", "-S", launch.__file__, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("cwd", ["/", "/usr", "/app", "/app/deep/er", "/usr/no-such-folder-of-the-machine/src"])
def test_it_starts_where_it_is_told(tmp_path: Path, cwd: str) -> None:
    found = started(tmp_path, cwd)
    assert (found.stdout, found.stderr, found.returncode) == (f"{cwd}\n", "", 0)
    assert cwd in ("/", "/usr") or not Path(cwd).exists()


def test_a_folder_in_a_volume_is_made_in_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "kept").write_text("data")
    found = started(tmp_path, "/data/run", (volume, "/data", False), argv=("/bin/sh", "-c", "pwd; cat ../kept"))
    assert (found.stdout, found.stderr) == ("/data/run\ndata", "")
    assert (volume / "run").is_dir()


def test_where_no_folder_can_be_made_it_does_not_start_elsewhere(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    found = started(tmp_path, "/data/run", (volume, "/data", True))
    assert found.returncode == 128
    assert "can't start the container" in found.stderr
    assert "Read-only file system" in found.stderr


def test_a_folder_of_the_image_is_empty_at_every_start_unless_something_is_mounted_there(tmp_path: Path) -> None:
    script = ("/bin/sh", "-c", "ls; echo data > kept")
    for _ in range(2):
        found = started(tmp_path, "/data", argv=script, empty=("/data",))
        assert (found.stdout, found.stderr) == ("", "")
    volume = tmp_path / "volume"
    volume.mkdir()
    assert started(tmp_path, "/data", (volume, "/data", False), argv=script, empty=("/data",)).stdout == ""
    assert started(tmp_path, "/data", (volume, "/data", False), argv=script, empty=("/data",)).stdout == "kept\n"


def test_what_is_written_to_a_scratch_folder_of_the_machine_is_gone(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "kept").write_text("")
    script = ("/bin/sh", "-c", f"cd {tmp_path}/scratch; mkdir made; ls")
    for _ in range(2):
        found = started(tmp_path, "/", argv=script, scratch=(f"{tmp_path}/scratch",))
        assert (found.stdout, found.stderr) == ("kept\nmade\n", "")


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/etc/no-such-folder/nginx.conf", {}),
        ("/data/file", {"empty": ("/etc/no-such-folder",)}),
        ("/data/file", {"cwd": "/etc/no-such-folder"}),
    ],
)
def test_a_folder_that_is_made_beside_a_mount_does_not_hide_it(tmp_path: Path, path: str, more: dict[str, Any]) -> None:
    """The pod's hosts file, without which it finds no Service, lies beside files that its mesh mounts."""
    own = tmp_path / "own"
    own.write_text("of the pod\n")
    options = {"cwd": "/", "argv": ("/bin/cat", "/etc/hosts", path), **more}
    ended = started(tmp_path, options.pop("cwd"), (own, "/etc/hosts", True), (own, path, True), **options)
    assert (ended.stdout, ended.stderr) == ("of the pod\nof the pod\n", "")

"""`files` of a workload and secrets that are files: each mistake is one diagnostic at its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load
from tests.unit.load.test_load_files import ENVIRONMENTS, MESH, problems

MIB = 1024**2


def mesh(workload: str, storage: str = "") -> str:
    return f"{MESH}{storage}workloads:\n  w: {{kind: service, pool: p, image: a/b:1, {workload}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside.yaml").write_text("not of this mesh")
    inside = tmp_path / "mesh"
    (inside / "prompts").mkdir(parents=True)
    (inside / "prompt.yaml").write_text("be kind: yes\n")
    (inside / "prompts" / "long.txt").write_text("x" * MIB)
    (inside / "model.bin").write_bytes(b"\x93NUMPY\xff")
    (inside / "nul.txt").write_bytes(b"a\0b")
    (inside / "huge.txt").write_bytes(b"x" * (MIB + 1))
    (inside / "link.yaml").symlink_to("prompt.yaml")
    (inside / "out.yaml").symlink_to("../outside.yaml")
    (inside / "up").symlink_to("..")
    (inside / "loop").symlink_to("loop")
    os.mkfifo(inside / "pipe")
    return inside


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("missing.yaml", 'there is no file "missing.yaml" beside mesh.yaml'),
        ("prompts", '"prompts" is a folder; name each of its files'),
        ("../outside.yaml", '"../outside.yaml" is not in the folder of mesh.yaml; write a path relative to it'),
        ("/etc/hostname", '"/etc/hostname" is not in the folder of mesh.yaml; write a path relative to it'),
        ("out.yaml", '"out.yaml" leads out of the folder of mesh.yaml by a symbolic link; copy the file'),
        ("up/outside.yaml", '"up/outside.yaml" leads out of the folder of mesh.yaml by a symbolic link; copy the file'),
        (
            "prompts/../../outside.yaml",
            '"prompts/../../outside.yaml" is not in the folder of mesh.yaml; write a path relative to it',
        ),
        ("loop", '"loop" can\'t be read: Too many levels of symbolic links'),
        ("model.bin", '"model.bin" is not UTF-8 text; put binary files in the image or in storage'),
        ("nul.txt", '"nul.txt" holds NUL characters; put binary files in the image or in storage'),
        ("pipe", '"pipe" is no regular file'),
        (
            "huge.txt",
            '"huge.txt" has 1048577 bytes; the files of a mesh have at most 1048576 bytes together; put larger ones in'
            " the image or in storage",
        ),
    ],
)
def test_a_file_that_can_not_go_into_a_pod(folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, says: str) -> None:
    text = mesh(f"files: {{/p: {file}}}")
    assert problems(folder, monkeypatch, text) == [f"mesh.yaml:7:57: workloads.w.files./p: {says}"]


def test_all_files_together_have_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(folder, monkeypatch, mesh("files: {/a: prompts/long.txt}")) == []
    (problem,) = problems(folder, monkeypatch, mesh("files: {/a: prompts/long.txt, /b: prompt.yaml, /c: link.yaml}"))
    assert problem.startswith('mesh.yaml:7:79: workloads.w.files./b: with "prompt.yaml" they are 1048589 bytes')
    twice = mesh("files: {/a: prompts/long.txt, /b: prompts/long.txt}")
    assert len(problems(folder, monkeypatch, twice)) == 1


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ("files: {p: prompt.yaml}", '53: workloads.w.files.p: "p" is not an absolute path'),
        ("files: {/a/../p: prompt.yaml}", '"/a/../p" is not an absolute path'),
        ("files: {/a//p: prompt.yaml}", '"/a//p" is not in its shortest form; write "/a/p"'),
        ("files: {/p/: prompt.yaml}", '"/p/" is a folder; write the path of the file itself'),
        ("files: {/proc/p: prompt.yaml}", "can't be used: the kernel's own"),
        ("files: {/etc: prompt.yaml}", "it would hide /etc/meshctl"),
        ("files: {/root/p: prompt.yaml}", "pods run as user 1000, who can't enter it"),
        ("files: {/p: 7}", "expected text, got 7"),
        ("files: {/p: ''}", "must not be empty"),
        ("files: {/p: {text: x}}", "expected text, got a mapping"),
        ("files: prompt.yaml", 'expected a mapping like {/etc/app.yaml: app.yaml}, got "prompt.yaml"'),
        ("files: {/m/p: prompt.yaml}, mounts: {s: {path: /m}}", '"/m/p" lies inside of the mount of storage s at /m'),
        ("files: {/m: prompt.yaml}, mounts: {s: {path: /m/}}", '"/m" is taken by the mount of storage s already'),
        (
            "files: {/m: prompt.yaml}, mounts: {s: {path: /m/n}}",
            "the mount of storage s at /m/n needs it to be a folder",
        ),
        ("files: {/a: prompt.yaml, /a/b: prompt.yaml}", '"/a/b" lies inside of the file in files at /a'),
        ("files: {/a/b: prompt.yaml, /a: prompt.yaml}", "the file in files at /a/b needs it to be a folder"),
        (
            "files: {/a: prompt.yaml}, secrets: {/a: t}",
            '85: workloads.w.secrets./a: "/a" is taken by the file in files',
        ),
        ("secrets: {/m/t: t}, mounts: {s: {path: /m}}", 'workloads.w.secrets./m/t: "/m/t" lies inside of the mount'),
        ("secrets: {/root/t: t}", "pods run as user 1000, who can't enter it"),
        ("secrets: {/proc/t: t}", "or the path of a file in the pod, like /run/secrets/hf: hf-token"),
        ("secrets: {run/t: t}", "workloads.w.secrets: a key here must be the name of an environment variable"),
        ("secrets: {/t: T}", "workloads.w.secrets./t: must be the name of a secret, not its value"),
    ],
)
def test_a_path_where_no_file_can_be(folder: Path, monkeypatch: pytest.MonkeyPatch, workload: str, says: str) -> None:
    (problem,) = problems(folder, monkeypatch, mesh(workload, "storage: {s: {kind: filesystem, size: 1TiB}}\n"))
    assert says in problem
    assert problem.startswith("mesh.yaml:8:")


def test_files_are_read_beside_the_mesh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the working folder."""
    (folder / "mesh.yaml").write_text(mesh("files: {/p: prompt.yaml, /q: link.yaml, /root/p: prompt.yaml}, user: root"))
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    monkeypatch.chdir(folder.parent)
    read, _ = load(Path("mesh/mesh.yaml"), Path("mesh/environments.yaml"))
    assert (read.mistakes, read.text("prompt.yaml"), read.text("link.yaml")) == ((), "be kind: yes\n", "be kind: yes\n")


def test_a_missing_file_forbids_no_look_at_what_is_up(folder: Path) -> None:
    (folder / "mesh.yaml").write_text(mesh("files: {/p: gone.yaml}"))
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    read, _ = load(folder / "mesh.yaml", folder / "environments.yaml")
    assert read.name == "m"
    with pytest.raises(DiagnosticsError):
        raise DiagnosticsError(list(read.mistakes))

"""What a verified download becomes: one program of the right version, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import ToolError
from meshctl.tools import download
from meshctl.tools.table import TOOLS, cache_dir, cached_path
from tests.unit.tools.publisher import (
    ETCD,
    ETCD_FILE,
    ETCD_FOLDER,
    KUBECTL,
    KUBECTL_FILE,
    Publisher,
    built,
    setup,
    tar_of,
    zip_of,
)

pytestmark = pytest.mark.usefixtures("machine")


def only_the_program_is_left(name: str) -> None:
    cache = cache_dir()
    files = sorted(path.relative_to(cache).parts[0] for path in cache.rglob("*") if path.is_file())
    assert set(files) <= {"bin", "locks", "probes.json"}
    assert [path.name for path in cached_path(TOOLS[name]).parent.iterdir()] == [name]


def test_a_program_inside_a_tar(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(ETCD_FILE, tar_of({"etcd-v3.6.15-linux-amd64/etcd": ETCD, "README.md": b"x"}), "SHA256SUMS")
    lines = setup("etcd")
    assert cached_path(TOOLS["etcd"]).read_bytes() == ETCD
    assert lines == [f"etcd 3.6.15: downloading {mirror.url}{ETCD_FILE}"]
    assert built(tmp_path) == 0
    only_the_program_is_left("etcd")
    assert setup("etcd") == []


def test_a_program_inside_a_zip(mirror: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "machine", lambda: ("darwin", "arm64"))
    folder = "etcd-v3.6.15-darwin-arm64"
    mirror.release(f"{ETCD_FOLDER}/{folder}.zip", zip_of({f"{folder}/etcd": ETCD, "README.md": b"x"}), "SHA256SUMS")
    setup("etcd")
    assert cached_path(TOOLS["etcd"]).read_bytes() == ETCD


def test_a_bare_program(mirror: Publisher) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    setup("kubectl")
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL
    only_the_program_is_left("kubectl")


@pytest.mark.parametrize(
    "entries",
    [
        {"../../../evil": b"x", "other": ETCD},
        {"etcd-v3.6.15-linux-amd64/etcd": "/etc/passwd"},
        {"etcd-v3.6.15-linux-amd64/etcd": "../evil", "evil": ETCD},
    ],
)
def test_an_archive_without_the_program_as_a_plain_file_is_an_error(
    mirror: Publisher, tmp_path: Path, entries: dict[str, bytes | str]
) -> None:
    mirror.release(ETCD_FILE, tar_of(entries), "SHA256SUMS")
    with pytest.raises(ToolError, match="does not hold the program"):
        setup("etcd")
    assert built(tmp_path) == 0
    assert not list(tmp_path.rglob("evil"))
    assert list(cached_path(TOOLS["etcd"]).parent.iterdir()) == []


def test_nothing_in_an_archive_chooses_where_it_is_written(mirror: Publisher, tmp_path: Path) -> None:
    entries = {"../../../evil": b"x", str(tmp_path / "evil"): b"x", "etcd-v3.6.15-linux-amd64/etcd": ETCD}
    mirror.release(ETCD_FILE, tar_of({**entries}), "SHA256SUMS")
    setup("etcd")
    assert not list(tmp_path.rglob("evil"))
    only_the_program_is_left("etcd")


def test_a_file_that_is_no_archive_is_an_error(mirror: Publisher) -> None:
    mirror.release(ETCD_FILE, b"not a tar", "SHA256SUMS")
    with pytest.raises(ToolError, match="does not hold the program"):
        setup("etcd")


def test_a_program_of_the_wrong_version_is_never_used(mirror: Publisher, tmp_path: Path) -> None:
    wrong = ETCD.replace(b"3.6.15", b"3.6.14")
    mirror.release(ETCD_FILE, tar_of({"etcd-v3.6.15-linux-amd64/etcd": wrong}), "SHA256SUMS")
    with pytest.raises(ToolError, match="is not version") as caught:
        setup("etcd")
    assert "meshctl setup --build etcd" in caught.value.hint
    assert not cached_path(TOOLS["etcd"]).exists()


def test_left_overs_of_a_killed_run_are_swept_away(mirror: Publisher) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    folder = cached_path(TOOLS["kubectl"]).parent
    folder.mkdir(parents=True)
    (folder / ".kubectl.4711.partial").write_bytes(b"half")
    setup("kubectl")
    only_the_program_is_left("kubectl")

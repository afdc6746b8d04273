"""`images` of environments.yaml: which mirror an image is pulled from, and which entries are mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.render.pod.overrides import image_here
from tests.unit.render.test_overrides import MESH, manifests, resolution


@pytest.mark.parametrize(
    ("image", "here"),
    [
        ("redis:7", "mirror/hub/library/redis:7"),
        ("acme/web:1", "mirror/hub/acme/web:1"),
        ("docker.io/acme/web:1", "mirror/hub/acme/web:1"),
        ("ghcr.io/acme/job:1", "mirror/acme/job:1"),
        ("ghcr.io/acmeother/job:1", "ghcr.io/acmeother/job:1"),
        ("quay.io/x:1", "quay.io/x:1"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
    ],
)
def test_images_come_from_the_mirror_of_their_registry(tmp_path: Path, image: str, here: str) -> None:
    made = resolution(
        tmp_path, "images: {docker.io: mirror/hub, ghcr.io: other.example.com, ghcr.io/acme: mirror/acme}"
    ).deployment
    assert made is not None
    expected = here if not image.startswith("ghcr.io/acmeother") else "other.example.com/acmeother/job:1"
    assert image_here(made, image) == expected


def test_steps_before_come_from_the_mirror_too(tmp_path: Path) -> None:
    job = manifests(tmp_path, "images: {docker.io: mirror/hub}")["workload/job:job"]
    (step,) = job["spec"]["template"]["spec"]["initContainers"]
    assert step["image"] == "mirror/hub/library/redis:7"


@pytest.mark.parametrize(
    ("images", "image", "expected"),
    [
        ("redis: mirror.example.com/cache", "redis:7", "mirror.example.com/cache:7"),
        ("redis: mirror.example.com/cache", "docker.io/library/redis@sha256:0", "mirror.example.com/cache@sha256:0"),
        ("redis: mirror.example.com/cache", "redis", "mirror.example.com/cache"),
        ("redis: mirror.example.com/cache", "rediss:7", "rediss:7"),
        ("docker.io/redis: mirror.example.com/cache", "redis:7", "mirror.example.com/cache:7"),
        ("docker.io/acme: mirror.example.com/acme", "acme/web:1", "mirror.example.com/acme/web:1"),
        ("acme: mirror.example.com/acme", "acme/web:1", "mirror.example.com/acme/web:1"),
        ("acme/web: mirror.example.com/web", "acme/web:1", "mirror.example.com/web:1"),
        ("docker.io: mirror.example.com", "docker.io/redis:7", "mirror.example.com/library/redis:7"),
        ("docker.io: mirror.example.com", "index.docker.io/acme/web:1", "mirror.example.com/acme/web:1"),
        ("index.docker.io: mirror.example.com", "acme/web:1", "mirror.example.com/acme/web:1"),
        ("'localhost:5000': mirror.example.com", "localhost:5000/x:1", "mirror.example.com/x:1"),
    ],
)
def test_names_of_images_are_compared_in_full(tmp_path: Path, images: str, image: str, expected: str) -> None:
    made = resolution(tmp_path, f"images: {{{images}}}").deployment
    assert made is not None
    assert image_here(made, image) == expected


@pytest.mark.parametrize(
    "images",
    [
        "https://docker.io: mirror.example.com",
        "docker.io/: mirror.example.com",
        "Docker.io: mirror.example.com",
        "'docker.io/library/redis:7': mirror.example.com",
        "'redis:latest': mirror.example.com/redis",
        "'redis@sha256:0': mirror.example.com/redis",
        "docker.io: https://mirror.example.com",
        "docker.io: mirror.example.com/",
        "docker.io: mirror.example.com/Hub",
        "'redis': 'mirror.example.com/redis:7'",
        "docker.io: mirror",
        "docker.io: a.example.com, index.docker.io: b.example.com",
        "redis: a.example.com/redis, docker.io/redis: b.example.com/redis",
    ],
)
def test_what_is_no_name_of_a_mirror_is_refused(tmp_path: Path, images: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, f"images: {{{images}}}")
    assert all(problem.path.startswith("environments.dc.images") for problem in caught.value.diagnostics)


def test_mirrors_that_no_image_needs_are_named(tmp_path: Path) -> None:
    mirrors = "docker.io: mirror.example.com, ghcr.io/acme: mirror.example.com/acme, quay.io: mirror.example.com/quay"
    notes = [note for note in resolution(tmp_path, f"images: {{{mirrors}}}").notes if note.startswith("images.")]
    assert notes == ["images.quay.io in environments.yaml: no image of this mesh is pulled from this mirror"]


def test_the_images_of_meshctl_itself_need_mirrors_too(tmp_path: Path) -> None:
    mesh = MESH.replace('pool: cpu, image: "acme/web:1"', 'pool: cpu, image: "ghcr.io/web:1"').replace(
        ', before: [{image: "redis:7"}]', ", mounts: {data: {path: /data, readOnly: true}}"
    )
    mesh += "storage: {data: {kind: object, size: 1GiB}}\n"
    overrides = """objectStorage: {endpoint: "https://s3.example.com"}
    images: {docker.io/rclone: mirror.example.com/rclone, docker.io/library: mirror.example.com/library}
"""
    notes = [note for note in resolution(tmp_path, overrides, mesh).notes if note.startswith("images.")]
    assert notes == ["images.docker.io/library in environments.yaml: no image of this mesh is pulled from this mirror"]


def test_a_mirror_of_what_measures_is_no_mistake(tmp_path: Path) -> None:
    """`meshctl bench` has it pulled, and no workload does."""
    mirrors = "images: {ghcr.io/kastenhq: mirror.example.com/kastenhq}"
    assert not [note for note in resolution(tmp_path, mirrors).notes if note.startswith("images.")]

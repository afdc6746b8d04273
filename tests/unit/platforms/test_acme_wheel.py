"""The wheel of the example platform, built without network, has all that makes it a platform."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from meshctl.catalog import load_catalog
from meshctl.platforms import registry
from tests.acme_platform import FOLDER, installed


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    builders = pytest.importorskip("hatchling.builders.wheel")  # of the dependency group dev
    project = shutil.copytree(FOLDER, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    (built,) = builders.WheelBuilder(str(project)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    return Path(built)


def test_it_has_the_rows_of_its_machines_and_its_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert archive.read(points).decode().split() == ["[meshctl.platforms]", "acme", "=", "platform_acme:PLATFORM"]
    assert {"platform_acme/__init__.py", "platform_acme/machines.yaml"} <= set(names)


def test_what_is_unpacked_from_it_is_found_and_works(tmp_path: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    with installed(tmp_path / "site"):
        assert registry.installed().sources["acme"] == "platform-acme 1.0"
        assert load_catalog().machine("acme", "cpu32")

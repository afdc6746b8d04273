"""Data files: what is wrong with one is said with its name, whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.catalog import data_files, machines_of, storage_prices_of
from meshctl.catalog.data_files import DataFileError


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.yaml", "machines: {x: [\n", "rows.yaml can't be read: .*line 2"),
        ("rows.yaml", "- x\n", "rows.yaml has no keys at its top: it is list"),
        ("rows.yaml", "", "rows.yaml has no keys at its top: it is NoneType"),
        ("prices.json", '{"date": ', "prices.json can't be read: Expecting value"),
        ("prices.json", "[]", "prices.json has no keys at its top: it is list"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        data_files.read(written(tmp_path, name, text))


def test_a_missing_file_and_one_in_another_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"rows\.yaml can't be read: .*No such file"):
        data_files.read(tmp_path / "rows.yaml")
    (tmp_path / "rows.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(DataFileError, match=r"rows\.yaml can't be read: 'utf-8' codec"):
        data_files.read(tmp_path / "rows.yaml")


def test_the_ending_tells_the_form(tmp_path: Path) -> None:
    text = '{"usd_per_hour": 1e-05}'  # YAML 1.1 takes this number for a text
    assert data_files.read(written(tmp_path, "prices.json", text)) == {"usd_per_hour": 1e-05}
    assert data_files.read(written(tmp_path, "prices.yaml", text)) == {"usd_per_hour": "1e-05"}


def test_a_source_that_is_not_in_the_file_is_named(tmp_path: Path) -> None:
    row = "{provider: acme, service: object, region: '', usd_per_gb_month: 0.03, source: prices, date: '2026-01-01'}"
    file = written(tmp_path, "storage.yaml", f"sources: {{list: 'acme.example'}}\nservices: [{row}]\n")
    with pytest.raises(DataFileError, match='names the source "prices", which is not among: list'):
        storage_prices_of("acme", file)


def test_machines_are_read_through_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"machines\.yaml can't be read"):
        machines_of("acme", tmp_path / "machines.yaml")

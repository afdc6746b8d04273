"""Saved plans are whole, or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshctl.changes import Plan
from meshctl.changes.grouping import group
from meshctl.deploy import plan_file
from meshctl.errors import FileError, NewerVersionError, StalePlanError, UsageError
from meshctl.model.persisted import OWN, SCHEMA

FULL = Path("/dev/full")


def plan() -> Plan:
    return group([], environment="cw", digest="d", hourly_usd_before=0, hourly_usd_after=0)


def test_a_plan_is_saved_whole_and_read_again(tmp_path: Path) -> None:
    plan_file.save(tmp_path / "plan.json", plan())
    plan_file.check(tmp_path / "plan.json", plan())
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_plan_that_cannot_be_saved_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(FileError, match="Is a directory"):
        plan_file.save(tmp_path / "plan.json", plan())
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "text",
    ["", "7", "[]", "{", '{"meshctl": 1}', "\0", '{"meshctl": 1, "environment": "cw", "digest": "d", "changes": 7}'],
)
def test_what_is_no_plan_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    changes = '{"meshctl": 1, "environment": "cw", "digest": "d", "changes": [%s]}'
    for content in (text, changes % "7", changes % "{}", changes % '{"subject": 7}'):
        file.write_text(content)
        with pytest.raises(UsageError, match="plan"):
            plan_file.check(file, plan())


def changed(file: Path, **fields: Any) -> None:
    plan_file.save(file, plan())
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("fields", [{"schema": SCHEMA + 1}, {"conditions": []}, {"meshctl": 2}])
def test_a_plan_of_a_newer_version_is_a_named_error_and_unchanged(tmp_path: Path, fields: dict[str, Any]) -> None:
    file = tmp_path / "plan.json"
    changed(file, made_by="9.1.0", **fields)
    before = file.read_text()
    with pytest.raises(NewerVersionError, match="can't read it") as error:
        plan_file.check(file, plan())
    assert "install meshctl" in error.value.hint
    assert file.read_text() == before


def test_a_field_that_this_version_can_not_have_written_is_no_newer_version(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    changed(file, conditions=[])
    with pytest.raises(UsageError, match="is not a plan of meshctl") as error:
        plan_file.check(file, plan())
    assert "conditions" in error.value.why


@pytest.mark.parametrize(
    ("made_by", "what", "maker"),
    [
        (OWN.made_by, "the mesh", ""),
        ("0.1.0", "the mesh, or what meshctl makes of it,", "; the plan was made by meshctl 0.1.0, and this is "),
        ("", "the mesh, or what meshctl makes of it,", "; the plan was made by an older meshctl, and this is "),
    ],
)
def test_a_stale_plan_of_another_version_says_so(tmp_path: Path, made_by: str, what: str, maker: str) -> None:
    file = tmp_path / "plan.json"
    changed(file, made_by=made_by, digest="other")
    with pytest.raises(StalePlanError) as error:
        plan_file.check(file, plan())
    assert error.value.what == f"{what} has changed since the plan was made"
    version = f"{maker}meshctl {OWN.made_by}" if maker else ""
    assert error.value.why == f"the digest of the resolved mesh differs{version}"


def test_a_plan_without_a_schema_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    changed(file)
    document = json.loads(file.read_text())
    del document["schema"], document["outside"], document["data_losses"]
    file.write_text(json.dumps(document))
    plan_file.check(file, plan())


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_and_a_device_stays_what_it_is() -> None:
    with pytest.raises(FileError, match="No space left on device"):
        plan_file.save(FULL, plan())
    assert FULL.is_char_device()

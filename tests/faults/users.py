"""Two more users of the lab's account, whose policies a test gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab

KEYS = {"engineer": "AKIALABENGINEER00001", "colleague": "AKIALABCOLLEAGUE0001"}
SECRET = "secret-of-the-lab"  # the API server checks the signature of a token


@pytest.fixture
def users(lab: RunningLab) -> Iterator[Path]:
    """The lab with the users, who may do everything so far: the file of their policies."""
    file = Path(lab.env["AWS_SHARED_CREDENTIALS_FILE"])
    before = file.read_text()
    profiles = "".join(
        f"\n[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n" for name, key in KEYS.items()
    )
    file.write_text(before + profiles)
    yield file.with_name("policies.json")
    file.with_name("policies.json").unlink(missing_ok=True)
    file.write_text(before)


def as_user(here: RunningLab, name: str) -> RunningLab:
    keys = {"AWS_ACCESS_KEY_ID": KEYS[name], "AWS_SECRET_ACCESS_KEY": SECRET}
    return here.at(here.folder, **here.variables, **keys)


def give(here: RunningLab, policies: dict[str, list[dict[str, Any]]]) -> None:
    file = Path(here.env["AWS_SHARED_CREDENTIALS_FILE"]).with_name("policies.json")
    file.write_text(json.dumps(policies))

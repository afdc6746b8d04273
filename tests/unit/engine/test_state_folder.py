"""The Pulumi URL of a state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.engine import state_folder


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file://./.meshctl/state", "file:///mesh/.meshctl/state?metadata=skip"),
        ("file:///var/state", "file:///var/state?metadata=skip"),
        ("file:///var/state?no_tmp_dir=false", "file:///var/state?metadata=skip&no_tmp_dir=false"),
        ("file:///var/state?metadata=", "file:///var/state?metadata=skip"),
    ],
)
def test_the_engine_gets_an_absolute_url_without_sidecars(url: str, expected: str) -> None:
    assert state_folder.engine_url(url, Path("/mesh")) == expected


def test_home_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert state_folder.path_of("file://~/state", Path("/mesh")) == Path("/home/ada/state")

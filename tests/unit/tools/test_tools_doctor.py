"""When `meshctl doctor` counts Go as missing."""

from __future__ import annotations

import pytest

from meshctl import diagnosis
from meshctl.diagnosis import Finding
from meshctl.platforms import registry
from meshctl.tools import download


def go_is(missing: str, monkeypatch: pytest.MonkeyPatch, *, state: str = "missing") -> str:
    monkeypatch.setenv("PATH", "/nonexistent")
    return diagnosis._go([Finding("programs", missing, state)]).state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "program", "mirror", "go"),
    [
        (("linux", "amd64"), "pulumi", "", "optional"),
        (("linux", "amd64"), "kwok", "", "missing"),
        (("linux", "amd64"), "kwok", "https://mirror.test", "optional"),
        (("darwin", "arm64"), "kube-apiserver", "", "missing"),
        (("linux", "riscv64"), "pulumi", "", "missing"),
    ],
)
def test_go_is_missing_for_what_cannot_be_downloaded(
    monkeypatch: pytest.MonkeyPatch, machine: tuple[str, str], program: str, mirror: str, go: str
) -> None:
    monkeypatch.setattr(download, "machine", lambda: machine)
    monkeypatch.setenv("MESHCTL_MIRROR", mirror)
    assert go_is(program, monkeypatch) == go


def test_go_is_not_missing_for_a_program_that_is_optional_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "machine", lambda: ("linux", "amd64"))
    assert go_is("kwok", monkeypatch, state="optional") == "optional"


def test_credentials_are_looked_for_where_a_platform_has_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each such platform says by itself what to do without them."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for variable in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    hints = {name: platform.words.credentials_hint for name, platform in registry.installed().platforms.items()}
    findings = [each for each in diagnosis.diagnose() if each.group == "credentials"]
    assert {each.name: each.hint for each in findings} == {name: hint for name, hint in hints.items() if hint}
    assert {each.state for each in findings} == {"optional"}

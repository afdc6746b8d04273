"""The errors for a state backend that can't be opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from meshctl.engine.state_store import _translate_errors, open_state_store
from meshctl.errors import CredentialsError, MeshError, UnreachableError, UsageError


def refused(backend: str, folder: Path) -> MeshError:
    with pytest.raises(MeshError, match="the state backend can't be opened") as caught:
        open_state_store(backend, folder)
    assert caught.value.hint
    assert "Debug source" not in caught.value.why
    return caught.value


def test_a_certificate_that_is_refused_is_no_silence() -> None:
    with pytest.raises(CredentialsError, match="the state backend: the certificate was refused"), _translate_errors():
        raise GenericError("Generic S3 error: error sending request: invalid peer certificate: UnknownIssuer")
    with pytest.raises(UnreachableError), _translate_errors():
        raise GenericError("Generic S3 error: error sending request: connection refused")


def test_what_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert isinstance(refused("s3://acme?region=us-east-1&profile=nosuch", tmp_path), CredentialsError)
    assert isinstance(refused("azblob://acme", tmp_path), UsageError)
    assert "Account must be specified" in refused("azblob://acme", tmp_path).why

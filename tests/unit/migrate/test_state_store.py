"""The errors for a state backend that can't be opened, read or written. Migrations, shifts and benchmarks use it."""

from __future__ import annotations

from pathlib import Path

import botocore.exceptions
import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from meshctl.engine.state_store import _translate_errors, _translate_opening_errors, open_state_store
from meshctl.errors import CredentialsError, MeshError, UnreachableError, UsageError


@pytest.fixture
def no_aws_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def refused(backend: str, folder: Path) -> MeshError:
    with pytest.raises(MeshError) as caught:
        open_state_store(backend, folder)
    assert "state backend" in caught.value.what
    assert caught.value.hint
    assert "Debug source" not in caught.value.why
    return caught.value


def test_a_certificate_that_is_refused_is_no_silence() -> None:
    with pytest.raises(CredentialsError, match="the state backend: the certificate was refused"), _translate_errors():
        raise GenericError("Generic S3 error: error sending request: invalid peer certificate: UnknownIssuer")
    with pytest.raises(UnreachableError), _translate_errors():
        raise GenericError("Generic S3 error: error sending request: connection refused")


def test_a_missing_right_is_said_of_the_backend_and_not_of_a_migration() -> None:
    with pytest.raises(CredentialsError, match="can't be read or written") as caught, _translate_errors():
        raise PermissionDeniedError("403 Forbidden\n\nDebug source:\nPermissionDenied {}")
    assert caught.value.what == "the state backend can't be read or written"
    assert (caught.value.why, bool(caught.value.hint)) == ("403 Forbidden", True)


def test_a_backend_without_files_is_refused_for_all_who_keep_files_there(tmp_path: Path) -> None:
    error = refused("https://api.pulumi.com", tmp_path)
    assert isinstance(error, UsageError)
    assert error.what == "the state backend https://api.pulumi.com can't hold files"


def test_wrong_settings_are_named(tmp_path: Path, no_aws_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    profile = refused("s3://acme?region=us-east-1&profile=nosuch", tmp_path)
    assert isinstance(profile, CredentialsError)
    assert profile.what == 'no credentials for the state backend in the AWS profile "nosuch"'
    assert isinstance(refused("azblob://acme", tmp_path), UsageError)
    assert "Account must be specified" in refused("azblob://acme", tmp_path).why


def test_a_machine_without_credentials_is_told_so(tmp_path: Path, no_aws_credentials: None) -> None:
    error = refused("s3://acme?region=us-east-1", tmp_path)
    assert isinstance(error, CredentialsError)
    assert error.what == "no credentials for the state backend in the default AWS profile"


def test_an_expired_session_is_told_as_everywhere() -> None:
    with pytest.raises(CredentialsError, match="can't be used") as caught, _translate_opening_errors(""):
        raise botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="expired")
    assert caught.value.what == "the credentials for the state backend can't be used"
    assert "aws sso login" in caught.value.hint

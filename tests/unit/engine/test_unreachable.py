"""Endpoints that do not answer are told as such, in whichever of its two families botocore puts it."""

from __future__ import annotations

import ssl

import botocore.exceptions
import pytest

from meshctl.engine import endpoint_names, location, object_access
from meshctl.engine.object_access import ObjectAccess
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshctl.migrate import listing
from tests.unit.deployments import deployment

URL = "https://cwobject.example"
NO_ANSWER = [
    botocore.exceptions.EndpointConnectionError(endpoint_url=URL),
    botocore.exceptions.ConnectTimeoutError(endpoint_url=URL),
    botocore.exceptions.SSLError(
        endpoint_url=URL, error=ssl.SSLError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred")
    ),
    botocore.exceptions.ProxyConnectionError(proxy_url=URL),
    botocore.exceptions.ReadTimeoutError(endpoint_url=URL),
    botocore.exceptions.ConnectionClosedError(endpoint_url=URL),
]


@pytest.mark.parametrize("error", NO_ANSWER, ids=lambda error: type(error).__name__)
def test_a_store_that_does_not_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise error

    store = deployment().object_stores[0]
    monkeypatch.setattr(object_access, "client", refuse)
    with pytest.raises(UnreachableError, match=f"the object store of {store.name} does not answer"):
        object_access.held(store)
    with pytest.raises(UnreachableError, match="s3://weights does not answer"), listing.named(_access()):
        raise error


def test_a_certificate_that_is_refused_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired"
    error = botocore.exceptions.SSLError(endpoint_url=URL, error=ssl.SSLError(text))

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(object_access, "client", refuse)
    monkeypatch.setattr(endpoint_names, "aws_session", refuse)
    monkeypatch.setattr(location, "aws_session", refuse)
    match = "the certificate was refused"
    with pytest.raises(CredentialsError, match=match) as caught:
        object_access.held(deployment().object_stores[0])
    assert "certificate has expired" in caught.value.why
    with pytest.raises(CredentialsError, match=f"s3://weights: {match}"), listing.named(_access()):
        raise error
    with pytest.raises(CredentialsError, match=f"Route 53: {match}"):
        endpoint_names.hosted_zone_id("example.com", "")
    with pytest.raises(CredentialsError, match=f"AWS STS: {match}"):
        location.caller_account("us-east-1", "")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, BusyError),
        ("Throttling", 400, BusyError),
        ("InternalError", 500, BusyError),
        ("", 502, BusyError),
        ("ExpiredToken", 400, CredentialsError),
        ("InvalidRequest", 400, MeshError),
    ],
)
def test_a_store_or_a_dns_service_that_says_not_now(
    code: str, status: int, kind: type[MeshError], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = botocore.exceptions.ClientError(answer, "ListObjectsV2")  # type: ignore[arg-type]

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(object_access, "client", refuse)
    with pytest.raises(MeshError) as caught:
        object_access.held(deployment().object_stores[0])
    assert type(caught.value) is kind
    with pytest.raises(kind), listing.named(_access()):
        raise error
    monkeypatch.setattr(endpoint_names, "aws_session", refuse)
    with pytest.raises(MeshError) as caught:
        endpoint_names.hosted_zone_id("example.com", "")
    assert isinstance(caught.value, BusyError) == (kind is BusyError)


def test_a_profile_whose_credentials_can_t_be_had_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise botocore.exceptions.UnauthorizedSSOTokenError

    monkeypatch.setattr(object_access, "client", refuse)
    with pytest.raises(CredentialsError, match="can't be used") as caught:
        object_access.held(deployment().object_stores[0])
    assert "SSO" in caught.value.why


def _access() -> ObjectAccess:
    return ObjectAccess("weights", "", "", "us-east-1", "id", "secret")


def test_a_dns_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnreachableError, match="Route 53 does not answer"):
        endpoint_names.hosted_zone_id("example.com", "")

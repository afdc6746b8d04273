"""Endpoints that do not answer are told as such, in whichever of its two families botocore puts it."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import botocore.exceptions
import botocore.parsers
import botocore.session
import pytest

from meshctl import eks_token
from meshctl.deploy.guards import location
from meshctl.dns import endpoint_records
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshctl.objects import listing, object_access
from meshctl.objects.store import ObjectAccess
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
        object_access.content_summary(store)
    with pytest.raises(UnreachableError, match="s3://weights does not answer"), listing.translate_errors(_access()):
        raise error


def test_a_certificate_that_is_refused_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired"
    error = botocore.exceptions.SSLError(endpoint_url=URL, error=ssl.SSLError(text))

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(object_access, "client", refuse)
    monkeypatch.setattr(endpoint_records, "aws_session", refuse)
    monkeypatch.setattr(location, "aws_session", refuse)
    match = "the certificate was refused"
    with pytest.raises(CredentialsError, match=match) as caught:
        object_access.content_summary(deployment().object_stores[0])
    assert "certificate has expired" in caught.value.why
    with pytest.raises(CredentialsError, match=f"s3://weights: {match}"), listing.translate_errors(_access()):
        raise error
    with pytest.raises(CredentialsError, match=f"Route 53: {match}"):
        endpoint_records.hosted_zone_id("example.com", "")
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
        object_access.content_summary(deployment().object_stores[0])
    assert type(caught.value) is kind
    with pytest.raises(kind), listing.translate_errors(_access()):
        raise error
    monkeypatch.setattr(endpoint_records, "aws_session", refuse)
    with pytest.raises(MeshError) as caught:
        endpoint_records.hosted_zone_id("example.com", "")
    assert isinstance(caught.value, BusyError) == (kind is BusyError)

    if kind is not MeshError:
        assert type(caught.value) is kind
    monkeypatch.setattr(location, "aws_session", refuse)
    with pytest.raises(BusyError if kind is BusyError else CredentialsError):
        location.caller_account("us-east-1", "")


SOURCES: list[Callable[[], object]] = [
    lambda: object_access.content_summary(deployment().object_stores[0]),
    lambda: endpoint_records.hosted_zone_id("example.com", "ops"),
    lambda: location.caller_account("us-east-1", "ops"),
]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Has every service answer with this error."""

    def refuse(error: Exception) -> None:
        def raise_it(*_: object) -> None:
            raise error

        monkeypatch.setattr(object_access, "client", raise_it)
        monkeypatch.setattr(endpoint_records, "aws_session", raise_it)
        monkeypatch.setattr(location, "aws_session", raise_it)

    return refuse


@pytest.mark.parametrize("ask", SOURCES, ids=["S3", "Route 53", "STS"])
def test_a_profile_whose_credentials_can_t_be_had_is_no_bug(
    ask: Callable[[], str], refuse: Callable[[Exception], None]
) -> None:
    refuse(botocore.exceptions.UnauthorizedSSOTokenError())
    with pytest.raises(CredentialsError, match="can't be used") as caught:
        ask()
    assert "SSO" in caught.value.why


def test_a_token_for_eks_is_refused_for_the_same_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """kubectl shows what this command says: an expired SSO session was an internal error."""

    def refuse(*_: object) -> None:
        raise botocore.exceptions.UnauthorizedSSOTokenError

    monkeypatch.setattr(botocore.session.Session, "get_credentials", refuse)
    with pytest.raises(CredentialsError, match="can't be used") as caught:
        eks_token.token("one", "us-east-1", "ops")
    assert "SSO" in caught.value.why


@pytest.mark.parametrize("ask", SOURCES, ids=["S3", "Route 53", "STS"])
def test_half_a_pair_of_keys_is_no_credentials(ask: Callable[[], str], refuse: Callable[[Exception], None]) -> None:
    refuse(botocore.exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"))
    with pytest.raises(CredentialsError, match="no credentials for") as caught:
        ask()
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.why


@pytest.mark.parametrize("ask", SOURCES, ids=["S3", "Route 53", "STS"])
def test_what_a_proxy_says_in_the_place_of_an_api_is_no_answer(
    ask: Callable[[], str], refuse: Callable[[Exception], None]
) -> None:
    refuse(botocore.parsers.ResponseParserError("not well-formed (invalid token)"))
    with pytest.raises(UnreachableError, match="does not answer"):
        ask()


def test_a_missing_right_on_a_bucket_is_told_by_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan must not pass a bucket over that it may not list, as it does where the store can't be reached. A migration
    asks again, for rights that come a little after the keys."""
    answer = {"Error": {"Code": "AccessDenied", "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    error = botocore.exceptions.ClientError(answer, "ListObjectsV2")  # type: ignore[arg-type]

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(object_access, "client", refuse)
    with pytest.raises(MeshError) as caught:
        object_access.content_summary(deployment().object_stores[0])
    assert type(caught.value) is MeshError
    with pytest.raises(CredentialsError), listing.translate_errors(_access()):
        raise error


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
        endpoint_records.hosted_zone_id("example.com", "")

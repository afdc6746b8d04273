"""Errors of botocore as ours: the one mapping for S3 stores, Route 53 and STS, as meshctl asks them. PURE.

Called by `object_access`, `endpoint_records`, `location`, `meshctl.eks_token` and `meshctl.objects.listing`. What the
engine's plugins are told arrives as text, which `failures` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import botocore.exceptions
import botocore.parsers

from meshctl.clients import certificates
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError

_NO_ANSWER: Final = (  # the last is what a proxy says in the API's place
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.MetadataRetrievalError,
    botocore.parsers.ResponseParserError,
)
_NO_CREDENTIALS: Final = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
)
_BUSY_STATUS: Final = (429, 500, 502, 503, 504)
_BUSY: Final = (
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled"),
    *("TooManyRequestsException", "SlowDown", "PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException"),
    *("InternalError", "InternalFailure", "ServiceUnavailable"),
)
# of keys that are no longer valid, or never were
KEYS_REFUSED: Final = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidClientTokenId", "InvalidAccessKeyId"),
    *("SignatureDoesNotMatch", "AuthFailure"),
)
# of valid keys without the right
_DENIED: Final = ("AccessDenied", "AccessDeniedException", "403")


@dataclass(frozen=True)
class AwsRequest:
    """What was asked, in the words of its errors.

    `name`: "Route 53", "s3://weights". `profile`: the AWS profile that has the credentials, "" for the default one;
    None where keys were handed over, and nothing is read on this machine. `hint`: what to do about a refusal. `denied`:
    the error where a right is missing. `failure`: the error for every other answer.
    """

    name: str
    profile: str | None
    hint: str
    denied: type[MeshError] = MeshError
    failure: type[MeshError] = MeshError


@contextmanager
def translate_errors(request: AwsRequest) -> Iterator[None]:
    """botocore's errors as ours. Raises: CredentialsError, UnreachableError, BusyError, or what `asked` says."""
    try:
        yield
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, *_NO_ANSWER) as error:
        raise ours(request, error) from error


def ours(request: AwsRequest, error: Exception) -> MeshError:
    """Raises: CredentialsError where a certificate was refused."""
    if isinstance(error, _NO_CREDENTIALS):
        return no_credentials(request, why=str(error))
    if isinstance(error, _NO_ANSWER):
        certificates.refuse(request.name, error)
        return UnreachableError(
            f"{request.name} does not answer", why=str(error), hint="check the endpoint and the network"
        )
    if isinstance(error, botocore.exceptions.IncompleteReadError):
        return UnreachableError(f"{request.name} broke off an answer", why=str(error), hint="check the network")
    if isinstance(error, botocore.exceptions.ClientError):
        return _of_answer(request, error)
    if request.profile is None:
        return request.failure(f"{request.name}: {error}", hint=request.hint)
    return CredentialsError(  # of what a profile names: a program, a session, a role
        f"the credentials for {request.name} can't be used",
        why=str(error),
        hint="renew them (for example `aws sso login`), or check the profile",
    )


def _of_answer(request: AwsRequest, error: botocore.exceptions.ClientError) -> MeshError:
    code = error.response["Error"]["Code"]
    if is_busy(error):
        return BusyError(f"{request.name}: {error}", why=f"[{code}]", hint="run the command again a little later")
    if code in KEYS_REFUSED:
        return CredentialsError(f"{request.name} refused the keys", why=f"[{code}] {error}", hint=request.hint)
    if code in _DENIED:
        return request.denied(f"{request.name} refused", why=f"[{code}] {error}", hint=request.hint)
    return request.failure(f"{request.name}: {error}", why=f"[{code}]", hint=request.hint)


def is_busy(error: botocore.exceptions.ClientError) -> bool:
    """Whether an AWS API says "not now": it throttles, or the fault is its own."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return error.response["Error"]["Code"] in _BUSY or status in _BUSY_STATUS


def no_credentials(
    request: AwsRequest, *, why: str = "neither the environment, nor the credentials file, nor an instance role has any"
) -> CredentialsError:
    where = f'the AWS profile "{request.profile}"' if request.profile else "the default AWS profile"
    return CredentialsError(
        f"no credentials for {request.name} in {where}",
        why=why,
        hint="add the profile to ~/.aws/credentials, or run `aws configure`",
    )

"""Runs one `Call` of a row: renders its parameters, retries what passes by itself, maps errors. Called by `crud`. EDGE.

`call_error` is the one place where botocore's exceptions become `ProviderError`.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jmespath  # type: ignore[import-untyped]
from botocore import exceptions
from botocore.parsers import ResponseParserError
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

from providers.aws.rows_engine.row import Call, Context, Param
from providers.plugin.provider import ProviderError
from providers.plugin.values import UNKNOWN, contains_unknown

NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.CredentialRetrievalError,
)
EXPIRED = (exceptions.UnauthorizedSSOTokenError, exceptions.SSOTokenLoadError, exceptions.TokenRetrievalError)
EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "TooManyRequestsException",
    "SlowDown",
    "PriorRequestNotComplete",
}
UNREACHABLE = "Unreachable"
NO_RIGHT = ("AccessDenied*", "UnauthorizedOperation")
UNCERTAIN = ("InternalError", "InternalFailure", "ServiceUnavailable*", "Unavailable", "ServerException")
CALL_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError)  # all that a call raises


class Clients(Protocol):
    """Where clients come from. `model` needs no credentials and makes no call."""

    @property
    def region(self) -> str: ...
    def client(self, service: str, *, retries: bool = True) -> Any: ...
    def model(self, service: str) -> Any: ...


class Cancelled(ProviderError):  # noqa: N818 (a state more than an error)
    """The user interrupted a wait."""

    def __init__(self, message: str) -> None:
        super().__init__("Interrupted", message)


def call_error(error: Exception, operation: str) -> ProviderError:
    """Our error for one of botocore's. The code is the API's own, or NoCredentials, ExpiredToken, Unreachable,
    InvalidInput.
    """
    if isinstance(error, exceptions.ClientError):
        details = error.response.get("Error", {})
        code = str(details.get("Code", "Unknown"))
        message = str(details.get("Message", "") or code)
        return ProviderError("ExpiredToken" if code in EXPIRED_CODES else code, f"{operation}: {message}")
    if isinstance(error, EXPIRED):
        return ProviderError("ExpiredToken", f"{operation}: {error}")
    if isinstance(error, NO_CREDENTIALS):
        return ProviderError("NoCredentials", f"{operation}: {error}")
    if isinstance(error, exceptions.NoRegionError):
        return ProviderError("NoRegion", f"{operation}: {error}")
    if isinstance(error, exceptions.ParamValidationError):
        return ProviderError("InvalidInput", f"{operation}: {error}")
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | ResponseParserError):
        return ProviderError(UNREACHABLE, f"{operation}: {error}")
    return ProviderError(type(error).__name__, f"{operation}: {error}")


def matches(error: ProviderError, codes: tuple[str, ...]) -> bool:
    """Whether the error is one of `codes`: `Code`, or `Code:part of the message`; a `*` in a code stands for any
    letters.
    """
    for code in codes:
        name, _, part = code.partition(":")
        pattern = re.escape(name).replace(r"\*", ".*")
        if re.fullmatch(pattern, error.code) and part.lower() in error.message.lower():
            return True
    return False


def may_have_happened(error: ProviderError) -> bool:
    """Whether a create that failed may have taken effect, or was throttled. Not when no connection was made."""
    if error.code == UNREACHABLE:
        return "Could not connect" not in error.message
    return error.code in THROTTLED or matches(error, UNCERTAIN)


def search(expression: str, context: Context) -> Any:
    """A JMESPath over the context. Whatever can't be computed from unknown values is unknown."""
    try:
        return jmespath.search(expression, context)
    except JMESPathError:
        if contains_unknown(dict(context)):
            return UNKNOWN
        raise


def fill(path: str, context: Context) -> str:
    """`${expression}` -> the value as a JMESPath raw string, quoted so that no value can end it."""

    def quoted(match: re.Match[str]) -> str:
        text = str(search(match[1], context))
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return re.sub(r"\$\{(.+?)\}", quoted, path)


def evaluate(param: Param, context: Context) -> Any:
    if isinstance(param, str):
        return search(param, context)
    try:
        return param(context)
    except (TypeError, AttributeError, KeyError, IndexError):
        if contains_unknown(dict(context)):
            return UNKNOWN
        raise


def render(call: Call, shape: Any, context: Context) -> dict[str, Any]:
    """The parameters of a call. Objects given where the API wants JSON text (policies) are written as text."""
    members = shape.members if shape is not None else {}
    params: dict[str, Any] = {}
    if call.forward:
        params = {key: value for key, value in context["inputs"].items() if key in members and key != "Tags"}
    for name, param in call.params.items():
        value = evaluate(param, context)
        if value is not None:
            params[name] = value
    return {name: _as_text(members.get(name), value) for name, value in params.items() if value is not None}


def _as_text(shape: Any, value: Any) -> Any:
    if shape is not None and shape.type_name == "string" and isinstance(value, dict | list):
        if contains_unknown(value):
            return UNKNOWN
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return value


def plain(value: Any) -> Any:
    """An answer as property values: times as ISO 8601 text, bytes as base64."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


class Caller:
    """Runs calls of one service until they succeed, fail for good, or the user interrupts.

    `deadline`: a monotonic time after which no call is made again, whatever its row's patience (the resource's
    `customTimeouts`), or None.
    """

    def __init__(
        self,
        clients: Clients,
        cancelled: threading.Event,
        say: Callable[[str], None],
        deadline: float | None = None,
    ) -> None:
        self.clients = clients
        self.cancelled = cancelled
        self.say = say
        self.deadline = deadline

    def run(self, service: str, call: Call, context: Context, *, retries: bool = True) -> Any:
        """The answer's `path`, plain.

        Raises:
            ProviderError: what the API said, or Cancelled.
        """
        if call.when and not evaluate(call.when, context):
            return None
        deadline = min(time.monotonic() + call.patience_s, math.inf if self.deadline is None else self.deadline)
        delay_s = 0.5
        while True:
            try:
                return self._once(service, call, context, retries=retries)
            except ProviderError as error:
                if matches(error, call.tolerate):
                    return {}
                throttled = error.code in THROTTLED
                if not (throttled or matches(error, call.transient)) or time.monotonic() + delay_s > deadline:
                    raise
                self.say(f"{error.message}; trying again")
            self.pause(delay_s, call.operation)
            delay_s = min(delay_s * 1.7, 10)

    def _once(self, service: str, call: Call, context: Context, *, retries: bool) -> Any:
        operation = self.clients.model(service).operation_model(call.operation)
        params = render(call, operation.input_shape, context)
        try:
            client = self.clients.client(service, retries=retries)
            answer = self._send(client, call, params)
        except CALL_ERRORS as error:
            raise call_error(error, call.operation) from error
        response = plain(answer)
        failed = jmespath.search(call.failed, response) if call.failed else None
        if failed:
            raise ProviderError(failed.get("Code", "Failed"), f"{call.operation}: {failed.get('Message', 'failed')}")
        return jmespath.search(fill(call.path, context), response) if call.path else response

    @staticmethod
    def _send(client: Any, call: Call, params: dict[str, Any]) -> Any:
        method = next(key for key, name in client.meta.method_to_api_mapping.items() if name == call.operation)
        if call.paginate and client.can_paginate(method):
            return client.get_paginator(method).paginate(**params).build_full_result()
        return getattr(client, method)(**params)

    def pause(self, seconds: float, what: str) -> None:
        if self.cancelled.wait(seconds):
            raise Cancelled(f"interrupted while waiting for {what}")

"""Errors of the lab's AWS API, written the way each service's protocol wants them. PURE.

Raised by the services and by the layer in front; `server` turns them into answers. The serializers are moto's.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.model import OperationModel
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from werkzeug.wrappers import Response

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.rules import Rule

# Where a service's model names no HTTP status (EC2, IAM, S3: "Common errors" of each API reference).
STATUSES = {
    "AccessDenied": 403,
    "AuthFailure": 401,
    "ExpiredToken": 403,
    "ExpiredTokenException": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InvalidAccessKeyId": 403,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
    "TooManyRequestsException": 429,
    "UnauthorizedOperation": 403,
    "UnrecognizedClientException": 403,
}


class ApiError(Exception):
    """What the API refuses, and by which rule. `fields` are further members of the modelled error (`clusterName`)."""

    def __init__(self, code: str, message: str, *, status: int = 0, rule: Rule | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.rule = rule
        self.__dict__.update(fields)


def response(call: Call, error: ApiError) -> Response:
    """The error as this call's protocol writes it: botocore raises ClientError with `error.code`."""
    model = call.model
    if model is None:
        body = {"__type": error.code, "message": error.message}
        return _with_status(Response(json.dumps(body), content_type="application/json"), error, 400)
    operation = model.operation_model(call.operation) if call.operation else OperationModel({}, model)
    protocol = determine_request_protocol(model, call.request.content_type)
    serialized = get_serializer_class(model.service_name, protocol)(operation).serialize(error)
    answer = Response(serialized["body"], headers=dict(serialized["headers"]))
    answer.headers.setdefault("x-amzn-requestid", call.id)
    return _with_status(answer, error, serialized["status_code"])


def _with_status(answer: Response, error: ApiError, otherwise: int) -> Response:
    answer.status_code = error.status or STATUSES.get(error.code, otherwise)
    return answer

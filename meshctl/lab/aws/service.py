"""A service out of botocore's model: requests to Python methods and answers back, for any of AWS's protocols. EDGE.

The lab's own services (`eks`, `fsx`, `ec2`) derive from `Service`: an operation `CreateCluster` is the method
`create_cluster(call, given) -> answer`, both in the API's own shapes. Routers, parsers and serializers are moto's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from botocore import xform_name
from botocore.validate import ParamValidator
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from werkzeug.wrappers import Response

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError

Operation = Callable[[Call, dict[str, Any]], Any]


class Service:
    """`name`: botocore's name of the service. `invalid`: its error code for input that the model doesn't allow.
    `replaces_moto`: moto answers none of the service's operations, not even those that are missing here.
    """

    name: ClassVar[str]
    replaces_moto: ClassVar[bool] = True
    invalid: ClassVar[str] = "ValidationException"

    def handles(self, call: Call) -> bool:
        """Whether this service has the call's operation; the others are moto's."""
        return bool(call.operation) and self._method(call) is not None

    def before(self, call: Call) -> None:
        """Looked at before moto answers a call that this service leaves to it. Raises: ApiError to refuse it."""

    def respond(self, call: Call) -> Response:
        """Raises: ApiError."""
        operation, method = call.routed[0], self._method(call)
        if operation is None or method is None:
            raise ApiError("UnsupportedOperation", f"the lab's {self.name} has no {call.operation or 'such'} operation")
        result = method(call, self.given(call))
        protocol = determine_request_protocol(call.model, call.request.content_type)
        serialized = get_serializer_class(self.name, protocol)(operation).serialize(result)
        headers = {"x-amzn-requestid": call.id, **serialized["headers"]}
        return Response(serialized["body"], status=serialized["status_code"], headers=headers)

    def _method(self, call: Call) -> Operation | None:
        method: Operation | None = getattr(self, xform_name(call.operation), None)
        return method

    def given(self, call: Call) -> dict[str, Any]:
        """The call's input. Raises: ApiError when the model doesn't allow it."""
        operation = call.routed[0]
        given = parsed(call)
        if operation.input_shape is None:
            return given
        report = ParamValidator().validate(given, operation.input_shape)
        if report.has_errors():
            raise ApiError(self.invalid, report.generate_report())
        return given


def parsed(call: Call) -> dict[str, Any]:
    """The input of an operation of the service's model, unchecked."""
    operation, names = call.routed
    if operation is None or operation.input_shape is None:
        return {}
    request = call.request
    given: dict[str, Any] = PROTOCOL_PARSERS[determine_request_protocol(call.model, request.content_type)](
        operation
    ).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": call.body,
            "url_path": request.path,
            "url_params": names,
        }
    )
    return given

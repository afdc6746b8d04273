"""Asks a gRPC server for its health, as the kubelet's grpc probe does: `grpc.health.v1.Health/Check` without TLS. EDGE.

Called by `health_checks`, and by the lab in the place of a kubelet. The two messages have one field each, so they are
written and read here instead of depending on grpcio-health-checking.
Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from typing import Any, Final

import grpc

METHOD: Final = "/grpc.health.v1.Health/Check"
SERVING: Final = "SERVING"
_STATUSES: Final = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")  # by number
_SERVICE_TAG: Final = 0x0A  # field 1 of HealthCheckRequest, a text
_STATUS_TAG: Final = 0x08  # field 1 of HealthCheckResponse, a varint
_LONGEST_REASON: Final = 200  # characters
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    # otherwise a server that was not there is not tried again before a pause that all channels to it share
    ("grpc.use_local_subchannel_pool", 1),
)


def check(target: str, *, timeout_s: float, authority: str = "", service: str = "") -> str:
    """What the server at `target` (address:port) says of itself, or of one of its services: SERVING, another status, or
    why there is none."""
    options: list[tuple[str, Any]] = [*_OPTIONS]
    if authority:
        options.append(("grpc.default_authority", authority))
    with grpc.insecure_channel(target, options=options) as channel:
        try:
            response: bytes = channel.unary_unary(METHOD)(request_of(service), timeout=timeout_s)
        except grpc.RpcError as error:
            return _reason(error)
    return status_of(response)


def request_of(service: str) -> bytes:
    """A HealthCheckRequest; without a service, for the whole server. A name has less than 128 bytes."""
    name = service.encode()
    return bytes((_SERVICE_TAG, len(name))) + name if name else b""


def status_of(response: bytes) -> str:
    """The status in a HealthCheckResponse; protobuf leaves out the one with the number 0."""
    number = response[1] if len(response) > 1 and response[0] == _STATUS_TAG else 0
    return _STATUSES[number] if number < len(_STATUSES) else f"status {number}"


def _reason(error: Any) -> str:
    code = error.code()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "UNIMPLEMENTED: the server has no grpc.health.v1.Health"
    return f"{code.name}: {' '.join(str(error.details() or '').split())[:_LONGEST_REASON]}"

"""`health` of a workload: its default values, what is refused, and what to write instead. PURE.

Used by `meshctl.model.mesh` (the section's types), `meshctl.model.files.references` (keys that must go together) and
`meshctl.resolve`, which decides the protocol that is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from meshctl.model.files import units

Protocol = Literal["http", "https", "grpc", "tcp"]

STARTUP_S: Final = 1800  # how long a start may take, unless the mesh says otherwise
_LONGEST_STARTUP_S: Final = 24 * 3600
_EXAMPLES: Final = "2h or 90m"
_HTTP: Final = ("http", "https")  # the protocols that have paths


def protocol_of(protocol: Protocol | None, path: str | None) -> Protocol:
    """The protocol by which a workload is asked. Without a path there is nothing to ask by HTTP, so that an accepted
    connection counts."""
    if path:
        return protocol or "http"
    return "grpc" if protocol == "grpc" else "tcp"


def _startup_s(value: object) -> int:
    """`2h` -> 7200, at most a day."""
    if not isinstance(value, str):
        units.parse(value, {}, _EXAMPLES)  # raises the error, with examples that fit
    try:
        seconds = units.seconds(value)
    except ValueError as error:
        raise ValueError(str(error).replace("120s or 5m", _EXAMPLES)) from None
    if seconds > _LONGEST_STARTUP_S:
        raise ValueError(f'"{value}" is more than a start may take: at most 24h')
    return seconds


Startup = Annotated[int, *units.duration(_startup_s, "2h")]


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f'"{text}" does not begin with "/"; write it like /health')
    return text


UrlPath = Annotated[str, AfterValidator(_path), WithJsonSchema({"type": "string", "pattern": "^/"})]


def _port_of(value: object) -> str:
    """The port that a Kubernetes probe names, for an example in a message."""
    port = value.get("port") if isinstance(value, dict) else value
    return port if isinstance(port, str) and port.isprintable() and port else "NAME"


def _http_get(value: object) -> str:
    path = value.get("path") if isinstance(value, dict) else None
    scheme = str(value.get("scheme", "")) if isinstance(value, dict) else ""
    shown = path if isinstance(path, str) and path.startswith("/") and path.isprintable() else "/health"
    protocol = ", protocol: https" if scheme.upper() == "HTTPS" else ""
    return f"write {{port: {_port_of(value)}, path: {shown}{protocol}}}"


def _of_protocol(name: str) -> Callable[[object], str]:
    with_path = ", path: /health" if name in _HTTP else ""
    return lambda value: f"write {{port: {_port_of(value)}{with_path}, protocol: {name}}}"


def _of_startup(_value: object) -> str:
    return "meshctl sets the times between checks itself; `startup: 2h` says how long a start may take"


def _of_live(_value: object) -> str:
    return "`live: /PATH` is the path that says whether to start the container again"


def _of_ready(_value: object) -> str:
    return "`path: /PATH` is the path that says whether requests may come"


def _of_command(_value: object) -> str:
    return "a command can't be asked for health; name a port: {port: NAME}, with `path` if it speaks HTTP"


# Keys that users of Kubernetes, Docker and others try, and what to write instead of them.
_FOREIGN: Final[Mapping[str, Callable[[object], str]]] = {
    **{name: _of_protocol(name) for name in (*_HTTP, "grpc", "tcp")},
    "httpGet": _http_get,
    "tcpSocket": lambda value: f"write {{port: {_port_of(value)}}}",
    "scheme": lambda value: f"write `protocol: {str(value).lower() if str(value).lower() in _HTTP else 'https'}`",
    **dict.fromkeys(("exec", "command", "test", "cmd"), _of_command),
    **dict.fromkeys(("liveness", "livenessProbe", "alive"), _of_live),
    **dict.fromkeys(("readiness", "readinessProbe", "ready"), _of_ready),
    **dict.fromkeys(
        (
            *("startupProbe", "initialDelaySeconds", "failureThreshold", "successThreshold", "periodSeconds"),
            *("timeoutSeconds", "interval", "retries", "timeout", "start_period", "startPeriod"),
        ),
        _of_startup,
    ),
}


def _form(value: object) -> object:
    """A section in the form of other tools is refused with one line, instead of one for each key."""
    if isinstance(value, str):
        example = f"port: NAME, path: {value}" if value.startswith("/") else f"port: {value or 'NAME'}"
        raise ValueError(f'expected a mapping, got "{value}"; write {{{example}}}')
    if not isinstance(value, dict):
        return value
    foreign = [f'unknown key "{key}"; {_FOREIGN[key](inner)}' for key, inner in value.items() if key in _FOREIGN]
    if foreign:
        raise ValueError("; ".join(foreign))
    return value


HealthForm = BeforeValidator(_form)


def problems(health: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys of the section that don't go together: the key, and the message. Anything of the wrong shape is passed over,
    since validation reports it."""
    protocol = health.get("protocol")
    for key in ("path", "live"):
        if key in health and protocol == "grpc":
            yield key, f'"{key}" is only for http and https: by gRPC the standard health service is asked; leave it out'
        elif key in health and protocol == "tcp":
            yield key, f'"{key}" is only for http and https: with tcp a connection counts; leave it or the protocol out'
    if "live" in health and "path" not in health and protocol in (None, *_HTTP):
        yield "live", 'needs a "path" beside it, which says when requests may come'
    elif "path" not in health and protocol in _HTTP:
        yield "protocol", f'"protocol: {protocol}" needs a "path"; for a connection leave the protocol out'


def resolved(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a section, without those that are left out, as a deployment keeps them."""
    protocol = cast("Protocol | None", given.get("protocol"))
    return {**given, "protocol": protocol_of(protocol, given.get("path"))}

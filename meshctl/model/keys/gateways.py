"""`routes` and `tls` of an endpoint: their values, what must go together, the names of the gateway that carries them.
PURE.

A load balancer passes TCP on. Paths are told apart, and TLS is ended, by pods of a proxy of the mesh's own: the
endpoint's gateway. `meshctl.model.mesh` has the keys, `meshctl.model.files.references` calls `problems`, and
`meshctl.resolve.work.gateways` makes the gateway a workload. See ADR 0040.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from meshctl.model.files.file_problems import Problem

CONFIG: Final = "/etc/meshctl-gateway/nginx.conf"
OWN_PATHS: Final = "/.meshctl/"  # the gateway answers paths below this one by itself
_SEGMENT: Final = r"[A-Za-z0-9._~@:+-]+"
_ROUTE: Final = rf"^/({_SEGMENT}(/{_SEGMENT})*/?)?$"
_TARGET: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?$"
_JOBS: Final = ("training", "batch")


def name_of(endpoint: str) -> str:
    """The name of the endpoint's gateway, as a workload and in Kubernetes."""
    return f"{endpoint}-gateway"


def needs_gateway(endpoint: Mapping[str, Any]) -> bool:
    """Whether the endpoint, as the file has it, asks for more than a load balancer does."""
    return endpoint.get("routes") is not None or endpoint.get("tls") is not None


def leads_to(endpoint: Mapping[str, Any], workload: str) -> bool:
    """Whether requests for the endpoint, as the file has it, come to the workload."""
    routed = {split(target)[0] for _, target in targets(endpoint.get("routes"))}
    return endpoint.get("workload") == workload or workload in routed


def normal(path: str) -> str:
    """The path without a slash at its end: `/a` and `/a/` are one route."""
    return path.rstrip("/") or "/"


def split(target: str) -> tuple[str, str]:
    """`embed/http` -> the workload and its port."""
    workload, _, port = target.partition("/")
    return workload, port


def targets(routes: object) -> list[tuple[str, str]]:
    """The routes of the file, as (path, target) pairs. What does not have the form of a route is left out."""
    entries = routes.items() if isinstance(routes, dict) else ()
    return [(str(path), target) for path, target in entries if isinstance(target, str) and "/" in target]


def _route_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f'"{text}" does not begin with "/"; write it like /v1/embeddings')
    if not re.fullmatch(_ROUTE, text) or {".", ".."} & set(text.split("/")):
        raise ValueError(f'"{text}" is not the beginning of a path like /v1/embeddings: letters, digits and ._~@:+-')
    if f"{text}/".startswith(OWN_PATHS):
        raise ValueError(f'"{text}" is where the gateway itself answers; choose another path')
    return text


def _route_target(text: str) -> str:
    if not re.fullmatch(_TARGET, text):
        raise ValueError(f'"{text}" is not a workload and a port of it; write it like chat/http')
    return text


def _tls(value: object) -> object:
    if value is True:
        return {}
    if value is False:
        raise ValueError("without TLS leave this key out")
    if isinstance(value, str) or value in ({}, None):
        raise ValueError("write {secret: NAME}, or true for a certificate of the platform")
    return value


RoutePath = Annotated[str, AfterValidator(_route_path), Field(json_schema_extra={"pattern": _ROUTE})]
RouteTarget = Annotated[str, AfterValidator(_route_target), Field(json_schema_extra={"pattern": _TARGET})]
TlsForm = BeforeValidator(_tls)


def problems(endpoint: dict[str, Any], workloads: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not go together in one endpoint. The paths are within it; names that are not there are found by
    `references`."""
    routes = endpoint.get("routes")
    if routes is None:
        for key in ("workload", "port"):
            if key not in endpoint:
                yield (), f'the required key "{key}" is missing; or write `routes: {{/: NAME/PORT}}`'
        yield from _grpc_problems(endpoint, workloads)
        return
    for key in ("workload", "port"):
        if key in endpoint:
            yield (
                (key,),
                "an endpoint has either `routes`, or `workload` and `port`; write it as the route `/: NAME/PORT`",
            )
    if not isinstance(routes, dict) or not routes:
        yield ("routes",), "no routes: write {/: NAME/PORT}"
        return
    first: dict[str, str] = {}
    for path in map(str, routes):
        other = first.setdefault(normal(path), path)
        if other != path:
            yield ("routes", path), f"{other} has the same requests; remove one of the two"
    for path, target in targets(routes):
        yield from _target_problems(path, target, workloads)


def _target_problems(path: str, target: str, workloads: Mapping[str, Any]) -> Iterator[Problem]:
    name, port = split(target)
    workload = workloads.get(name)
    if not isinstance(workload, dict):
        return
    if workload.get("kind") in _JOBS:
        yield ("routes", path), f'"{name}" is a {workload["kind"]} job, which answers no requests; use `kind: service`'
    elif _speaks_grpc(workload, port):
        yield ("routes", path), _NO_GRPC.format(name=name, port=port)


def _grpc_problems(endpoint: dict[str, Any], workloads: Mapping[str, Any]) -> Iterator[Problem]:
    name, port = str(endpoint.get("workload")), str(endpoint.get("port"))
    workload = workloads.get(name)
    if "tls" in endpoint and isinstance(workload, dict) and _speaks_grpc(workload, port):
        yield ("tls",), _NO_GRPC.format(name=name, port=port)


_NO_GRPC: Final = (
    "{name} speaks gRPC on its port {port}, which a gateway does not carry in this version; give it an endpoint with"
    " `workload` and `port` alone, and end TLS in the workload"
)


def _speaks_grpc(workload: dict[str, Any], port: str) -> bool:
    """Whether the port speaks gRPC. The mesh says so only of the port that is asked for health."""
    health = workload.get("health")
    return isinstance(health, dict) and health.get("protocol") == "grpc" and health.get("port") == port

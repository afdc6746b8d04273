"""The gateways of endpoints with `routes` or `tls`, as workloads, and the endpoints that lead to them. PURE.

TLS is ended by the gateway's pods; or by the load balancer, where the platform makes the certificate for that (ADR
0046): then the pods get HTTP.

Called by `meshctl.resolve`. A gateway is a workload like those of the mesh: what is true of them (security, roll-outs,
disruption budget, secrets, `status`, `restart`, `migrate`) is true of it. See ADR 0040.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from meshctl.model import mesh as mesh_model
from meshctl.model import served_apis
from meshctl.model.deployment import Certificate, Endpoint, EndpointCertificate, Gap, Health, Workload
from meshctl.model.environment import Dns, PlatformEnvironment
from meshctl.model.keys import gateways as gateway_words
from meshctl.model.keys import scaling
from meshctl.model.observed import Facts
from meshctl.model.pods import object_names
from meshctl.platforms import registry
from meshctl.platforms.interface import BalancerTls
from meshctl.resolve.work import nginx
from meshctl.resolve.work.workloads import sleeps, with_overrides

_CONFIG: Final = gateway_words.CONFIG
_REPLICAS: Final = 2
_CPU: Final = 0.25
_MEMORY_GIB: Final = 0.25
_STARTUP_S: Final = 300
_HTTP: Final = ("http", 8080, 80)  # the port's name, the pods' port, the load balancer's
_HTTPS: Final = ("https", 8443, 443)
_BEHIND_TLS: Final = ("http", 8080, 443)  # the load balancer ends TLS
_REDIRECT: Final = ("redirect", 8081)  # from HTTP to HTTPS


def endpoints(mesh: mesh_model.Mesh, environment: PlatformEnvironment, dns: Dns | None) -> tuple[Endpoint, ...]:
    """Every endpoint of the mesh; one with a gateway leads to that. `dns`: where certificates are proven."""
    return tuple(_endpoint(name, endpoint, environment, dns) for name, endpoint in mesh.endpoints.items())


def _endpoint(name: str, endpoint: mesh_model.Endpoint, environment: PlatformEnvironment, dns: Dns | None) -> Endpoint:
    made = Endpoint(
        name=name,
        host=endpoint.host,
        workload=endpoint.workload or "",
        port=endpoint.port or "",
        access=endpoint.access or "",
        cidrs=endpoint.cidrs or (),
    )
    if not _needs_gateway(endpoint):
        return made
    port, _, listens = _port(endpoint, environment)
    redirect = _REDIRECT[0] if endpoint.tls is not None else ""
    changes = {"workload": gateway_words.name_of(name), "port": port, "listens": listens, "redirect": redirect}
    if _is_issued(endpoint) and _balancer_tls(environment) is not None and dns is not None:
        made = made.model_copy(update={"certificate": EndpointCertificate(zone=dns.zone, profile=dns.profile or "")})
    return made.model_copy(update={**changes, "paths": tuple(_routes(endpoint))})


def workloads(mesh: mesh_model.Mesh, environment: PlatformEnvironment) -> tuple[Workload, ...]:
    """The gateways. They come after the workloads that they lead to."""
    return tuple(
        with_overrides(_gateway(mesh, name, endpoint, environment), environment)
        for name, endpoint in mesh.endpoints.items()
        if _needs_gateway(endpoint)
    )


def gaps(mesh: mesh_model.Mesh, environment: PlatformEnvironment, facts: Facts | None) -> Iterator[Gap]:
    """Certificates that nobody here makes. Without a DNS zone, in which hosts are proven, no endpoint can be had."""
    tls = _balancer_tls(environment)
    for name, endpoint in mesh.endpoints.items():
        if not _is_issued(endpoint):
            continue
        best, hint = _why_no_certificate(environment, facts), _hint(name, environment)
        if tls is not None:
            best, hint = _too_long(endpoint.host, tls), f"choose a shorter host; or write {_own_certificate(name)}"
        if best:
            wanted = f"a certificate for {endpoint.host}, made by the platform"
            yield Gap(subject=f"endpoint/{name}", wanted=wanted, best=best, hint=hint)


def _balancer_tls(environment: PlatformEnvironment) -> BalancerTls | None:
    return registry.platform(environment.provider).load_balancers.tls


def _too_long(host: str, tls: BalancerTls) -> str:
    if len(host) <= tls.longest_host:
        return ""
    return f"certificates for hosts of at most {tls.longest_host} characters, and this one has {len(host)}"


def _why_no_certificate(environment: PlatformEnvironment, facts: Facts | None) -> str:
    issuer = environment.certificate_issuer
    if issuer is None:
        return f"on {environment.provider} certificates are not made in this version"
    if not issuer:
        return "environments.yaml names nobody who makes certificates"
    if facts is not None and facts.serves(served_apis.CERTIFICATE) is False:
        return "the cluster does not serve cert-manager.io/v1"
    return ""


def _own_certificate(name: str) -> str:
    return f"`tls: {{secret: NAME}}` in endpoints.{name}, with a certificate and its key as the value of that secret"


def _hint(name: str, environment: PlatformEnvironment) -> str:
    own = _own_certificate(name)
    if environment.certificate_issuer is None:
        return f"write {own}; or end TLS in the workload"
    return (
        "install cert-manager (https://cert-manager.io) with a ClusterIssuer that answers by DNS, and name that in"
        f" environments.yaml: `certificates: {{clusterIssuer: letsencrypt}}`; or write {own}"
    )


def _is_issued(endpoint: mesh_model.Endpoint) -> bool:
    return endpoint.tls is not None and endpoint.tls.secret is None


def _needs_gateway(endpoint: mesh_model.Endpoint) -> bool:
    return endpoint.routes is not None or endpoint.tls is not None


def _tls(endpoint: mesh_model.Endpoint, environment: PlatformEnvironment) -> nginx.Tls:
    """Who ends TLS, and with which certificate."""
    if endpoint.tls is None:
        return ""
    if endpoint.tls.secret is not None:
        return "fixed"
    return "renewed" if _balancer_tls(environment) is None else "before"


def _port(endpoint: mesh_model.Endpoint, environment: PlatformEnvironment) -> tuple[str, int, int]:
    return {"": _HTTP, "before": _BEHIND_TLS}.get(_tls(endpoint, environment), _HTTPS)


def _protocol(port: str) -> Literal["http", "https"]:
    return "https" if port == _HTTPS[0] else "http"


def _routes(endpoint: mesh_model.Endpoint) -> dict[str, str]:
    """The routes, the one of all other requests first."""
    routes = endpoint.routes or {"/": f"{endpoint.workload}/{endpoint.port}"}
    return dict(sorted(routes.items(), key=lambda route: (len(route[0]), route[0])))


def _gateway(
    mesh: mesh_model.Mesh, name: str, endpoint: mesh_model.Endpoint, environment: PlatformEnvironment
) -> Workload:
    routes = _routes(endpoint)
    targets = [gateway_words.split(target) for target in routes.values()]
    port, number, _ = _port(endpoint, environment)
    tls = _tls(endpoint, environment)
    secret = endpoint.tls.secret if endpoint.tls is not None else None
    urls = {path: _url(mesh, target) for path, target in routes.items()}
    redirect = dict([_REDIRECT]) if tls else {}
    redirect_port, wakers = _REDIRECT[1] if tls else 0, _wakers(mesh, routes)
    settings = nginx.Settings(number, urls, tls, redirect_port=redirect_port, wakers=wakers)
    issued = Certificate(host=endpoint.host, issuer=environment.certificate_issuer or "") if tls == "renewed" else None
    return Workload(
        name=gateway_words.name_of(name),
        kind="service",
        pool=mesh.workloads[targets[0][0]].pool,  # beside what it leads to: there is always a node
        replicas=_REPLICAS,
        image=nginx.IMAGE,
        command=("nginx",),
        args=("-c", _CONFIG, "-g", "daemon off;"),
        files={_CONFIG: nginx.config(settings)},
        secret_files={nginx.CERTIFICATE: secret} if secret else {},
        certificate=issued,
        cpu=_CPU,
        memory_gib=_MEMORY_GIB,
        ports={port: number, **redirect},
        health=Health(path=nginx.HEALTH_PATH, port=port, protocol=_protocol(port), startup_s=_STARTUP_S),
        forwards_to=tuple(dict.fromkeys(workload for workload, _ in targets)),
    )


def _wakers(mesh: mesh_model.Mesh, routes: Mapping[str, str]) -> dict[str, str]:
    """By the URL of a workload that may have no replicas: what holds its requests."""
    names = {target: gateway_words.split(target)[0] for target in routes.values()}
    return {
        _url(mesh, target): f"{object_names.scaler(name)}:{scaling.WAKE_PORT}"
        for target, name in names.items()
        if sleeps(mesh.workloads[name])
    }


def redirects(workload: Workload) -> bool:
    """Whether it is a gateway that sends clients from HTTP to HTTPS."""
    return _CONFIG in workload.files and workload.ports.get(_REDIRECT[0]) == _REDIRECT[1]


def without_redirect(gateway: Workload) -> Workload:
    """The same gateway as it was before it did."""
    config = gateway.files[_CONFIG].replace(nginx.redirecting(_REDIRECT[1]), "")
    ports = {name: number for name, number in gateway.ports.items() if name != _REDIRECT[0]}
    return gateway.model_copy(update={"files": {**gateway.files, _CONFIG: config}, "ports": ports})


def _url(mesh: mesh_model.Mesh, target: str) -> str:
    """Where the workload's Service answers. Its protocol is known where its health is asked for on that port."""
    name, port = gateway_words.split(target)
    workload = mesh.workloads[name]
    health = workload.health
    is_https = health is not None and health.port == port and health.protocol == "https"
    return f"{'https' if is_https else 'http'}://{name}:{workload.ports[port]}"

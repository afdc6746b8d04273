"""What the configuration of a gateway has beside its routes while its workload is expanded by it. PURE.

Called where files become ConfigMaps. The file of `resolve.work.nginx` is the same with and without a share, so that a
share ends as it began. See ADR 0061.

A share is given out by turns, request by request: nginx's smooth weighted round robin, over a zone that both of its
processes share. An `upstream` has servers of one protocol, and the pods speak HTTP where the other environment's load
balancer speaks HTTPS. So the other environment is a server of the gateway's own, at the loopback of its pod, which
passes on by TLS. That one also decides what becomes of a request that did not arrive. None runs twice: one that was
never sent, or of which the other gateway says so (421, RFC 9110, 15.5.20), goes to the pods here; any other is lost.

Of each request it writes to the container's log where it went, which `status` counts: nginx itself has no counters of
its servers but in its commercial edition. See ADR 0080.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from meshctl.model.deployment import Elsewhere, Workload
from meshctl.model.dns_splits import WHOLE
from meshctl.model.keys import gateway_shares, gateways

REACHED_PATH: Final = f"{gateways.OWN_PATHS}elsewhere"  # answers as the other environment's gateway does for its health
CONNECT_S: Final = 2
FAILURES: Final = 3  # of connections to an address, within LEFT_S: then no request tries that one for LEFT_S
LEFT_S: Final = 10
# Of Debian, which the image is made from. Certificates of a private authority are not trusted.
_TRUSTED: Final = "/etc/ssl/certs/ca-certificates.crt"
_FIRST_PORT: Final = 9080
_LOG: Final = "access_log /dev/stdout share if=$share_side;"
_UNSENT: Final = 'map "$http_meshctl_share $upstream_bytes_sent" $may_have_run { default 1; "~^1 [-0, :]*$" 0; }'
_NOT_RUN: Final = 'map "$upstream_status;$upstream_bytes_sent" $may_have_run { default 1; "~421;" 0; "~;[-0, :]*$" 0; }'


def files(workload: Workload) -> Mapping[str, str]:
    """The files of its pods: path -> text."""
    text = workload.files.get(gateways.CONFIG, "")
    if not text or not (workload.elsewhere or workload.says_unsent):
        return workload.files
    if workload.elsewhere is not None:
        text = _leading_elsewhere(text, gateway_shares.pod_urls(workload), workload.elsewhere)
    if workload.says_unsent:
        text = _saying_unsent(text)
    return {**workload.files, gateways.CONFIG: text}


def _saying_unsent(text: str) -> str:
    """Answers to the other environment's gateway alone. A client who asks by himself gets the 502 that he knows."""
    lines = (
        "error_page 502 504 = @unsent;",
        "location @unsent {",
        "  if ($may_have_run) {",
        "    return 502;",
        "  }",
        "  return 421;",
        "}",
    )
    server = "  server {\n"
    return text.replace(server, f"  {_UNSENT}\n{server}{_indented(lines)}", 1)


def _leading_elsewhere(text: str, pod_urls: Sequence[str], elsewhere: Elsewhere) -> str:
    urls = tuple(dict.fromkeys(pod_urls))
    for number, url in enumerate(urls):
        text = text.replace(f"proxy_pass {url};", f"proxy_pass http://shared-{number};")
    blocks = [f"  {_NOT_RUN}\n", *_upstreams(urls, elsewhere)]
    blocks += [_server(_FIRST_PORT + number, url, elsewhere) for number, url in enumerate(urls)]
    server = "  server {\n"
    counting = _counting(len(urls), elsewhere) if elsewhere.is_counted else ""  # a format is known from there on
    own = [*_log(elsewhere), *_reached(elsewhere)]
    text = text.replace(server, f"{counting}{server}{_indented(own)}", 1)
    return text.removesuffix("}\n") + "".join(blocks) + "}\n"


def _counting(urls: int, elsewhere: Elsewhere) -> str:
    """What is written of a request, by the server that was asked last; "" of those that no server was asked for. What
    went to a server of the gateway's own, that one writes, which knows where it went from there."""
    own = "|".join(str(_FIRST_PORT + number) for number in range(urls))
    others = "|".join(re.escape(_authority(address, elsewhere.port)) for address in elsewhere.addresses)
    line = gateway_shares.request_line(elsewhere.weight, "$share_side")
    side = _block(
        "map $upstream_addr $share_side",
        f"default {gateway_shares.HERE};",
        '"" "";',
        f'"~(^|[ ,])127[.]0[.]0[.]1:({own})$" "";',
        f'"~(^|[ ,])({others})$" {gateway_shares.ELSEWHERE};',
    )
    return f"{side}  log_format share '{line}';\n"


def _log(elsewhere: Elsewhere) -> Iterator[str]:
    if elsewhere.is_counted:
        yield _LOG


def _upstreams(urls: tuple[str, ...], elsewhere: Elsewhere) -> Iterator[str]:
    """The pods are always asked: a connection that the Service refuses costs nothing, and a pod that ends with its
    requests must not lead all of the others away. Beside a single server nginx would not count its failures, so there
    is one more, which never gets a request (nginx.org, ngx_http_upstream_module, `max_fails`)."""
    for number, url in enumerate(urls):
        pods = url.removeprefix("http://")
        yield _block(
            f"upstream shared-{number}",
            f"zone shared-{number} 64k;",
            f"server {pods} weight={WHOLE - elsewhere.weight} max_fails=0;",
            f"server 127.0.0.1:{_FIRST_PORT + number} weight={elsewhere.weight} max_fails=0;",
        )
    balancers = [
        f"server {_authority(address, elsewhere.port)} max_fails={FAILURES} fail_timeout={LEFT_S}s;"
        for address in elsewhere.addresses
    ]
    yield _block("upstream elsewhere", "zone elsewhere 64k;", *balancers, "server 127.0.0.1:9 down;")


def _server(port: int, url: str, elsewhere: Elsewhere) -> str:
    """Bodies are read whole first: only then a request can go elsewhere than it was to go. A load balancer may have an
    address for each zone: all of them together have as long as one (nginx.org, ngx_http_proxy_module,
    `proxy_next_upstream_timeout`: no further one is asked after that)."""
    return _block(
        "server",
        f"listen 127.0.0.1:{port};",
        *_log(elsewhere),
        f"proxy_connect_timeout {CONNECT_S}s;",
        f"proxy_next_upstream_timeout {CONNECT_S}s;",
        "proxy_request_buffering on;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $http_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $connection_upgrade;",
        "proxy_set_header Meshctl-Share 1;",
        "proxy_intercept_errors on;",
        "error_page 421 502 504 = @here;",
        "location / {",
        *(f"  {line}" for line in _passed(elsewhere, "")),
        "}",
        "location @here {",
        "  if ($may_have_run) {",
        "    return 502;",
        "  }",
        f"  proxy_pass {url};",
        "}",
    )


def _reached(elsewhere: Elsewhere) -> list[str]:
    """Whether the other environment's gateway is reached from here, its certificate verified, is seen only from here:
    asked by meshctl once the gateway has a share."""
    passed = [*_passed(elsewhere, f"{gateways.OWN_PATHS}health"), *["access_log off;"] * elsewhere.is_counted]
    return [f"location = {REACHED_PATH} {{", *(f"  {line}" for line in passed), "}"]


def _passed(elsewhere: Elsewhere, path: str) -> Iterator[str]:
    if elsewhere.certified_host:
        yield f"proxy_ssl_name {elsewhere.certified_host};"
        yield "proxy_ssl_server_name on;"
        yield "proxy_ssl_verify on;"
        yield "proxy_ssl_verify_depth 4;"
        yield f"proxy_ssl_trusted_certificate {_TRUSTED};"
    yield f"proxy_pass {'https' if elsewhere.certified_host else 'http'}://elsewhere{path};"


def _authority(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"


def _block(head: str, *lines: str) -> str:
    return f"  {head} {{\n{_indented(lines)}  }}\n"


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)

"""The configuration of a gateway, for nginx. PURE.

Called by `gateways`. `meshctl.lab.images.nginx_rules` reads the same text in the lab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from meshctl.model.keys import gateways
from meshctl.model.pods import pod_files

IMAGE: Final = "nginxinc/nginx-unprivileged:1.28.0"
CERTIFICATE: Final = "/run/meshctl-gateway/tls.pem"  # the chain and the key: nginx takes both from one file
ISSUED: Final = pod_files.CERTIFICATE_FOLDER
HEALTH_PATH: Final = f"{gateways.OWN_PATHS}health"
READ_S: Final = 3600  # between two pieces of an answer; a request as a whole may take as long as it likes


# Who ends TLS: nobody; nginx, with a certificate that stays as long as the pod, or with one that may be renewed at any
# time; or the load balancer before it
Tls = Literal["", "fixed", "renewed", "before"]


@dataclass(frozen=True)
class Settings:
    """`routes`: the beginning of a path -> the URL of a Service. `redirect_port`: where requests by HTTP are sent to
    HTTPS; 0 for nowhere. `wakers`: the URL of a Service that may have no pods -> what holds requests until it has some
    (`templates/scaler/waker.py`), as `name:port`."""

    port: int
    routes: Mapping[str, str]
    tls: Tls = ""
    redirect_port: int = 0
    wakers: Mapping[str, str] = field(default_factory=dict)


_HEADERS: Final = (
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection $connection_upgrade;",
)
_NEWLINE: Final = "\n  "
# Two processes, as `auto` would start one for each of a node's many cores. What it writes goes to /tmp, and its log to
# the container's. Bodies pass as they come, both ways: a stream of events is no good in pieces of a buffer.
_BEFORE: Final = f"""\
worker_processes 2;
error_log stderr warn;
pid /tmp/nginx.pid;
events {{
  worker_connections 8192;
}}
http {{
  access_log off;
  server_tokens off;
  client_body_temp_path /tmp/client_body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  client_max_body_size 0;
  client_body_timeout {READ_S}s;
  send_timeout {READ_S}s;
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_request_buffering off;
  proxy_connect_timeout 10s;
  proxy_read_timeout {READ_S}s;
  proxy_send_timeout {READ_S}s;
  {_NEWLINE.join(_HEADERS)}
  map $http_upgrade $connection_upgrade {{
    default upgrade;
    '' '';
  }}
"""
# nginx reads a file whose name is a variable for each connection, and so has a renewed certificate without a restart
# (nginx.org, ngx_http_ssl_module, `ssl_certificate`).
_RENEWED: Final = f"""\
  map $ssl_server_name $certificate {{
    default {ISSUED}/tls.crt;
  }}
  map $ssl_server_name $certificate_key {{
    default {ISSUED}/tls.key;
  }}
"""
# Of a request that no pod has answered: whether one may have got a part of it. What was sent is listed try by try, that
# to the waker, too; the last one counts. It is another from try to try, hence `volatile`.
_MAY_HAVE_IT: Final = """\
  map $upstream_bytes_sent $pod_may_have_it {
    volatile;
    default 1;
    "~(^| )[-0]$" 0;
  }
"""
_LATER: Final = "@later"  # where what holds requests is away itself: it is started anew
RETRY_S: Final = 10  # as `templates/scaler/waker.py` has it


def config(settings: Settings) -> str:
    """The text of nginx.conf."""
    lines = [*_listening(settings), *_location(f"= {HEALTH_PATH}", 'return 200 "ready\\n";')]
    woken = {url: number for number, url in enumerate(settings.wakers)}
    for path, url in settings.routes.items():
        passed = _passed_or_held(woken[url]) if url in woken else (f"proxy_pass {url};",)
        for match in _matches(path):
            lines += _location(match, *passed)
    for number, waker in enumerate(settings.wakers.values()):
        lines += _location(f"@again-{number}", *_passed_or_held(number))
        lines += _location(f"@held-{number}", *_to_waker(number, waker))
    if woken:
        lines += _location(_LATER, f"add_header Retry-After {RETRY_S} always;", 'return 503 "no pod yet\\n";')
    before = _BEFORE + (_RENEWED if settings.tls == "renewed" else "")
    before += _MAY_HAVE_IT if woken else ""
    before += "".join(_woken(number, url) for url, number in woken.items())
    redirect = redirecting(settings.redirect_port) if settings.redirect_port else ""
    text = f"{before}  server {{\n" + "".join(f"    {line}\n" for line in lines) + f"  }}\n{redirect}}}\n"
    if settings.tls == "before":  # a load balancer that passes on TCP adds no header
        text = text.replace("X-Forwarded-Proto $scheme;", "X-Forwarded-Proto https;")
    return text


def _woken(number: int, url: str) -> str:
    """Always asked, whatever came of the request before: a Service without pods refuses at once."""
    return f"""\
  upstream woken-{number} {{
    server {url.removeprefix("http://")} max_fails=0;
  }}
"""


def _passed_or_held(number: int) -> tuple[str, ...]:
    """Bodies are read whole first: only then a request that was held can be sent to the pod. None runs twice: nginx
    itself asks no other server, and `@held` keeps only a request of which nothing has left."""
    return (
        "proxy_request_buffering on;",
        "proxy_next_upstream off;",
        "recursive_error_pages on;",
        f"error_page 502 504 = @held-{number};",
        f"proxy_pass http://woken-{number};",
    )


def _to_waker(number: int, waker: str) -> tuple[str, ...]:
    """What holds a request names the location from which it goes on (`X-Accel-Redirect`): a named one keeps method and
    body, and nginx goes to ten of them for one request (ngx_http_core_module, "internal"), two for each try. Headers of
    a location stand in place of the others. An answer with a text of its own has no `error_page`."""
    return (
        "if ($pod_may_have_it) {",
        '  return 502 "bad gateway\\n";',
        "}",
        "proxy_request_buffering on;",
        "proxy_next_upstream off;",
        "recursive_error_pages on;",
        f"error_page 502 504 = {_LATER};",
        *_HEADERS,
        f"proxy_set_header Meshctl-Again @again-{number};",
        f"proxy_pass http://{waker};",
    )


def redirecting(port: int) -> str:
    """The server that sends clients to HTTPS, with the method and the body that they came with (RFC 9110, 15.4.9)."""
    return f"""\
  server {{
    listen {port};
    location / {{
      return 308 https://$host$request_uri;
    }}
  }}
"""


def _listening(settings: Settings) -> Iterator[str]:
    if settings.tls in ("", "before"):
        yield f"listen {settings.port};"
        return
    yield f"listen {settings.port} ssl;"
    yield "http2 on;"
    is_renewed = settings.tls == "renewed"
    yield f"ssl_certificate {'$certificate' if is_renewed else CERTIFICATE};"
    yield f"ssl_certificate_key {'$certificate_key' if is_renewed else CERTIFICATE};"
    yield "ssl_protocols TLSv1.2 TLSv1.3;"


def _matches(path: str) -> tuple[str, ...]:
    """`/v1` has the requests of `/v1` and `/v1/…`, and not those of `/v1x`. nginx takes the longest that fits."""
    whole = gateways.normal(path)
    return ("/",) if whole == "/" else (f"= {whole}", f"{whole}/")


def _location(match: str, *directives: str) -> Iterator[str]:
    yield f"location {match} {{"
    for directive in directives:
        yield f"  {directive}"
    yield "}"

"""What an nginx.conf that meshctl renders says about requests: servers, locations, upstreams. PURE.

Called by `gateway`, which does it. It knows the directives of `meshctl.resolve.work.nginx` that say where requests go,
and those of `meshctl.render.controllers.gateway_shares`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

_TOKEN: Final = re.compile(r"""\s+|#[^\n]*|("(?:\\.|[^"])*"|'(?:\\.|[^'])*'|[{};]|[^\s{};]+)""")


@dataclass(frozen=True)
class Directive:
    words: tuple[str, ...]
    block: tuple[Directive, ...] = ()

    def all(self, name: str) -> Iterator[Directive]:
        """Those of that name anywhere inside."""
        for each in self.block:
            if each.words[0] == name:
                yield each
            yield from each.all(name)

    def value(self, name: str) -> str:
        """The first value of the first directive of that name; "" without one."""
        return next((each.words[1] for each in self.all(name)), "")


def parse(text: str) -> Directive:
    """The whole file as one block. Raises: ValueError where braces don't match."""
    tokens = [match[1] for match in _TOKEN.finditer(text) if match[1]]
    block, rest = _block(tokens)
    if rest:
        raise ValueError('unexpected "}"')
    return Directive(("main",), block)


def _block(tokens: list[str]) -> tuple[tuple[Directive, ...], list[str]]:
    directives: list[Directive] = []
    words: list[str] = []
    while tokens and tokens[0] != "}":
        part, tokens = tokens[0], tokens[1:]
        if part == ";":
            directives.append(Directive(tuple(words)))
            words = []
        elif part == "{":
            inner, tokens = _block(tokens)
            if tokens[:1] != ["}"]:
                raise ValueError('unexpected end of file, expecting "}"')
            directives.append(Directive(tuple(words), inner))
            words, tokens = [], tokens[1:]
        else:
            words.append(part.strip("\"'") if part[0] in "\"'" else part)
    if words:
        raise ValueError(f'directive "{words[0]}" is not terminated by ";"')
    return tuple(directives), tokens


@dataclass(frozen=True)
class Log:
    """An `access_log` whose condition is a `map` of the servers that were asked for a request. `choices`: text or "~"
    with a regular expression -> what is written in place of `variable`; "" for no line."""

    form: str
    variable: str
    choices: tuple[tuple[str, str], ...]
    default: str

    def line(self, servers: Sequence[str]) -> str:
        """ "" where the request is not written. `servers`: addresses and ports of those that were asked."""
        addresses = ", ".join(servers)
        chosen = (value for key, value in self.choices if _is_chosen(key, addresses))
        side = next(chosen, self.default)
        return self.form.replace(self.variable, side) if side else ""


def _is_chosen(key: str, value: str) -> bool:
    return bool(re.search(key[1:], value)) if key.startswith("~") else key == value


@dataclass(frozen=True)
class Rules:
    """What the gateway does: `exact` and `prefixes` are locations by their paths. `redirect`: those of the port from
    which clients are sent elsewhere, if there is one."""

    port: int
    certificate: str
    key: str
    exact: dict[str, Directive]
    prefixes: dict[str, Directive]
    set_headers: dict[str, str]
    redirect: Rules | None = None
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    inner: dict[str, Rules] = field(default_factory=dict)  # by address and port, those at the pod's own loopback
    connect_s: float = 10.0  # how long a server may take to take a connection
    next_s: float = 0.0  # after this long no further server is asked; 0: no limit
    errors: tuple[str, ...] = ()  # `error_page`: statuses, and last the location that answers instead
    log: Log | None = None

    def location(self, path: str) -> Directive | None:
        """As nginx chooses: an exact one, or else the longest beginning."""
        if path in self.exact:
            return self.exact[path]
        longest = max((prefix for prefix in self.prefixes if path.startswith(prefix)), key=len, default=None)
        return self.prefixes[longest] if longest is not None else None


def rules(text: str) -> Rules:
    """Of the file's first server. Those at the pod's own loopback are asked by it; another one redirects.

    Raises: ValueError where the file is no nginx.conf.
    """
    config = parse(text)
    (http,) = config.all("http")
    first, *more = (each for each in http.block if each.words[0] == "server")
    inner = {each.value("listen"): each for each in more if ":" in each.value("listen")}
    redirects = [each for each in more if ":" not in each.value("listen")]
    upstreams = {each.words[1]: _upstream(each) for each in http.all("upstream")}
    return replace(
        _of_server(config, http, first),
        redirect=_of_server(config, http, redirects[0]) if redirects else None,
        upstreams=upstreams,
        inner={at: replace(_of_server(config, http, each), upstreams=upstreams) for at, each in inner.items()},
    )


def _upstream(block: Directive) -> Upstream:
    return Upstream([Server.of(each.words[1:]) for each in block.all("server") if "down" not in each.words])


def _of_server(config: Directive, http: Directive, server: Directive) -> Rules:
    (listen,) = server.all("listen")
    locations = list(server.all("location"))
    is_tls = "ssl" in listen.words
    own = [each for each in server.block if each.words[0] == "proxy_set_header"]
    headers = own or [each for each in http.block if each.words[0] == "proxy_set_header"]
    return Rules(
        log=_log(http, server),
        errors=next((each.words[1:] for each in server.block if each.words[0] == "error_page"), ()),
        connect_s=_own_seconds(server, "proxy_connect_timeout", 10.0),
        next_s=_own_seconds(server, "proxy_next_upstream_timeout", 0.0),
        port=int(listen.words[1].rpartition(":")[2]),
        certificate=_file(config, "ssl_certificate") if is_tls else "",
        key=_file(config, "ssl_certificate_key"),
        exact={each.words[2]: each for each in locations if each.words[1] == "="},
        prefixes={each.words[1]: each for each in locations if each.words[1] != "="},
        set_headers={each.words[1]: each.words[2] for each in headers},
    )


def _log(http: Directive, server: Directive) -> Log | None:
    own = next((each.words for each in server.block if each.words[0] == "access_log"), ())
    if len(own) < 4:
        return None
    _, _, name, condition = own
    variable = condition.removeprefix("if=")
    (form,) = (each.words[2] for each in http.all("log_format") if each.words[1] == name)
    (choices,) = (each for each in http.all("map") if each.words[2] == variable)
    pairs = tuple((each.words[0], each.words[1]) for each in choices.block if each.words[0] != "default")
    return Log(form, variable, pairs, choices.value("default"))


def _own_seconds(server: Directive, name: str, default: float) -> float:
    """Of a directive of the server itself, not of its locations."""
    return next((float(each.words[1].removesuffix("s")) for each in server.block if each.words[0] == name), default)


def _file(config: Directive, name: str) -> str:
    """A file, or what a `map` without choices has for the variable that stands for it."""
    value = config.value(name)
    if not value.startswith("$"):
        return value
    (chosen,) = (each for each in config.all("map") if each.words[2] == value)
    return chosen.value("default")


@dataclass
class Server:
    """One server of an upstream. `failures`: in a row; `left_until`: on the loop's clock."""

    address: str
    weight: int
    max_fails: int
    fail_timeout_s: float
    turn: int = 0
    failures: int = 0
    left_until: float = 0.0

    @classmethod
    def of(cls, words: tuple[str, ...]) -> Server:
        given = dict(word.split("=") for word in words[1:] if "=" in word)
        timeout_s = float(given.get("fail_timeout", "10s").removesuffix("s"))
        return cls(words[0], int(given.get("weight", 1)), int(given.get("max_fails", 1)), timeout_s)


@dataclass
class Upstream:
    servers: list[Server]

    def in_turn(self, now: float) -> Iterator[Server]:
        """The one whose turn it is by nginx's smooth weighted round robin, then the others."""
        candidates = [each for each in self.servers if each.left_until <= now]
        while candidates:
            for each in candidates:
                each.turn += each.weight
            chosen = max(candidates, key=lambda each: each.turn)
            chosen.turn -= sum(each.weight for each in candidates)
            yield chosen
            candidates = [each for each in candidates if each is not chosen]

    @staticmethod
    def note(server: Server, now: float, *, connected: bool) -> None:
        server.failures = 0 if connected else server.failures + 1
        if server.max_fails and server.failures >= server.max_fails:
            server.left_until = now + server.fail_timeout_s

"""Steady request load on an endpoint, its name resolved as a client would: through DNS, again after the TTL. EDGE.

    python -m meshctl.lab.load --url http://chat.example.com/v1/completions --rate 50 --seconds 10 --dns 127.0.0.1:PORT

Used by tests and the demo to see whether a cutover loses requests: nothing is retried, every failure counts, and is
kept with its kind, its moment and where it went (`load_failures`). An answer that comes as a stream must have its end.
Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx2 as httpx

from meshctl.lab import limits
from meshctl.lab.load_failures import Failure, Stalls, kind_of, timed_out

BODY = {"model": "default", "prompt": "hello", "max_tokens": 8}
TIMEOUT_S = 35.0
DNS_S = 10.0  # as resolv.conf(5) has it where nothing is set: two attempts of five seconds
HEARTBEAT_S = 0.1
PORTS = {"http": 80, "https": 443}


@dataclass
class Result:
    """`errors`: what went wrong -> how often; `by_environment`: which environment answered -> how often.

    `unsent`: those that this client was too slow for; they are no part of `failed` and `errors`. `failures` has both.
    """

    requests: int = 0
    failed: int = 0
    unsent: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    by_environment: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class Load:
    """Open-loop load: `rate` requests per second whether or not earlier ones have been answered.

    `dns_server`: "address:port", "" for the machine's own resolver. `keep_alive` reuses connections to the address that
    the name has now. `authority`: a file with the certificates that may have signed the server's. `counted_as`: what an
    answer counts as in `by_environment`, with more of it than who gave it; ValueError for what is no answer. `start`
    returns at once, `stop` waits for what is in flight.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        dns_server: str = "",
        keep_alive: bool = False,
        body: dict[str, Any] | None = None,
        authority: str = "",
        counted_as: Callable[[httpx.Response], str] | None = None,
    ) -> None:
        self.url = urlsplit(url)
        self.verify = ssl.create_default_context(cafile=authority) if authority else True
        self.rate = rate
        self.dns_server = dns_server
        self.keep_alive = keep_alive
        self.counted_as = counted_as or environment_of
        self.body = json.dumps(BODY if body is None else body).encode()
        self.failures: list[Failure] = []
        self.stalls = Stalls()
        self.environments: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.requests = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> Load:
        self.thread.start()
        return self

    def stop(self) -> Result:
        self.stopping.set()
        self.thread.join(2 * TIMEOUT_S)
        return self.result()

    def result(self) -> Result:
        """What has happened so far."""
        times = sorted(self.latencies)
        percentiles = {
            name: round(times[int(part * (len(times) - 1))] * 1000, 1) for name, part in PERCENTILES if times
        }
        errors = Counter(each.kind for each in self.failures if not each.unsent)
        failed = errors.total()
        return Result(
            requests=self.requests,
            failed=failed,
            unsent=len(self.failures) - failed,
            errors=dict(errors),
            by_environment=dict(self.environments),
            latency_ms=percentiles,
            failures=list(self.failures),
        )

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if not self.dns_server:
            resolver = dns.asyncresolver.Resolver()
        else:
            address, _, port = self.dns_server.rpartition(":")
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = [address]
            resolver.port = int(port)
        resolver.cache = dns.resolver.Cache()  # keeps an answer for the smallest TTL of its chain
        resolver.lifetime = DNS_S
        return resolver

    async def _run(self) -> None:
        resolver = self._resolver()
        limits = httpx.Limits(max_keepalive_connections=100 if self.keep_alive else 0, max_connections=None)
        tasks: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        heartbeat = asyncio.ensure_future(self._heartbeat())
        async with httpx.AsyncClient(limits=limits, timeout=None, trust_env=False, verify=self.verify) as client:
            while not self.stopping.is_set():
                task = asyncio.ensure_future(self._once(client, resolver))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self.requests += 1
                await asyncio.sleep(max(0.0, begun + self.requests / self.rate - time.monotonic()))
            await asyncio.gather(*tasks)
        heartbeat.cancel()

    async def _heartbeat(self) -> None:
        """Notes when this process was not given the time to run."""
        while True:
            wanted = time.monotonic() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)
            self.stalls.add(wanted, time.monotonic())

    async def _once(self, client: httpx.AsyncClient, resolver: dns.asyncresolver.Resolver) -> None:
        begun = time.monotonic()
        address = ""
        try:
            answer = await resolver.resolve(self.url.hostname or "", "A")
            address = f"{answer[0].to_text()}:{self.url.port or PORTS[self.url.scheme]}"
            headers = {"Host": self.url.netloc, "Content-Type": "application/json"}
            url = self.url._replace(netloc=address).geturl()
            async with asyncio.timeout(TIMEOUT_S):
                name = {"sni_hostname": self.url.hostname or ""}  # what the certificate must be for
                response = await client.post(url, content=self.body, headers=headers, extensions=name)
            if response.status_code >= 400:
                self._failed(begun, address, f"HTTP {response.status_code}", response.text[:200])
            else:
                self.environments[self.counted_as(response)] += 1
        except (httpx.HTTPError, dns.exception.DNSException, OSError, TimeoutError, ValueError) as error:
            self._failed(begun, address, kind_of(error), repr(error)[:200], timed_out=timed_out(error))
        self.latencies.append(time.monotonic() - begun)

    def _failed(self, begun: float, address: str, kind: str, detail: str, *, timed_out: bool = False) -> None:
        now = time.monotonic()
        stalled_s = self.stalls.within(begun, now)
        self.failures.append(Failure(kind, time.time(), now - begun, address, detail, stalled_s, timed_out))


def environment_of(response: httpx.Response) -> str:
    """Which environment answered. Raises: ValueError for what is no answer, or a stream that has no end."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        return str(response.json().get("environment", ""))
    *parts, last = [each.removeprefix("data: ") for each in response.text.strip().split("\n\n")]
    if last != "[DONE]" or not parts:
        raise ValueError(f"a stream of {len(parts)} parts without an end")
    return str(json.loads(parts[0]).get("environment", ""))


PERCENTILES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--dns", default="")
    parser.add_argument("--keep-alive", action="store_true")
    options = parser.parse_args()
    limits.raise_open_files()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # either way the account is given
        signal.signal(number, lambda *_: ended.set())
    load = Load(options.url, rate=options.rate, dns_server=options.dns, keep_alive=options.keep_alive).start()
    ended.wait(options.seconds)
    result = load.stop()
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())

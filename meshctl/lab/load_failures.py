"""Why a request of the load failed: its kind, when, and whether the client itself was too slow. PURE.

Called by `load` for every failed request; `account` is what the demo prints of them. A request counts as unsent, apart
from the failed ones, only when a time limit ended it of which the client's own process stood still for half or more:
then nobody else had the time to answer.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import dns.exception
import dns.resolver
import httpx2 as httpx

_BY_NUMBER = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EADDRNOTAVAIL: "no free port at the client",
    errno.EMFILE: "too many open files at the client",
}
_TIME_LIMITS: dict[type[Exception], str] = {
    dns.exception.Timeout: "DNS: no answer in time",
    TimeoutError: "no answer in time",
}
_OTHERS: dict[type[Exception], str] = {
    dns.resolver.NXDOMAIN: "DNS: no such name",
    dns.resolver.NoAnswer: "DNS: no address",
    httpx.RemoteProtocolError: "connection closed without an answer",
    httpx.ReadError: "connection reset",
    httpx.ConnectError: "no connection",
    ValueError: "answer is no JSON",
}


@dataclass(frozen=True)
class Failure:
    """`at`: when it failed, in seconds since 1970. `address`: where it went, "" when the name was not resolved.

    `stalled_s`: how much of `took_s` the client's process did not run.
    """

    kind: str
    at: float
    took_s: float
    address: str = ""
    detail: str = ""
    stalled_s: float = 0.0
    timed_out: bool = False

    @property
    def sent_at(self) -> float:
        return self.at - self.took_s

    @property
    def unsent(self) -> bool:
        """Whether the client alone is to blame."""
        return self.timed_out and self.stalled_s >= self.took_s / 2


def kind_of(error: BaseException) -> str:
    """What a person calls this error."""
    for kinds in (_TIME_LIMITS, _OTHERS):
        if type(error) is dns.resolver.NoNameservers:
            return _refusal(error)
        kind = next((text for each, text in kinds.items() if isinstance(error, each)), "")
        number = _number(error)
        if kind:
            return _BY_NUMBER.get(number, kind)
    return _BY_NUMBER.get(_number(error), type(error).__name__)


def timed_out(error: BaseException) -> bool:
    return isinstance(error, tuple(_TIME_LIMITS))


def _number(error: BaseException | None) -> int:
    """The system's error number at the bottom of a chain of exceptions; 0 without one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0


def _refusal(error: dns.resolver.NoNameservers) -> str:
    """The server's own word where it said one: SERVFAIL, REFUSED."""
    words = [str(each[3]) for each in error.kwargs.get("errors", [])]
    return f"DNS: {words[-1]}" if words else "DNS: no server"


class Stalls:
    """When the client's process did not run although it wanted to: (from, to) in the clock of `add`'s caller."""

    def __init__(self, least_s: float = 0.1) -> None:
        self.least_s = least_s
        self.spans: list[tuple[float, float]] = []

    def add(self, wanted: float, got: float) -> None:
        """It should have run at `wanted` and ran at `got`."""
        if got - wanted >= self.least_s:
            self.spans.append((wanted, got))

    def within(self, start: float, end: float) -> float:
        """Seconds of all stalls between two moments."""
        return sum(max(0.0, min(end, to) - max(start, since)) for since, to in self.spans)


@dataclass(frozen=True)
class Moment:
    """Something that ended `at` (seconds since 1970): a step of the migration."""

    at: float
    name: str


def account(failures: Sequence[Failure], moments: Iterable[Moment]) -> Iterator[str]:
    """Lines that say how many failed, how, when in the course of `moments`, and where they had gone."""
    ordered = sorted(moments, key=lambda moment: moment.at)
    groups: dict[tuple[str, str, Moment | None], list[Failure]] = {}
    for failure in sorted(failures, key=lambda each: each.at):
        before = [moment for moment in ordered if moment.at <= failure.sent_at]
        groups.setdefault((failure.kind, failure.address, before[-1] if before else None), []).append(failure)
    for (kind, address, moment), group in groups.items():
        where = f" at {address}" if address else ""
        span_s = group[-1].at - group[0].at
        took_s = max(each.took_s for each in group)
        when = _when(group, moment)
        yield f"{len(group)} x {kind}{where}, {when}, within {span_s:.1f} s; the longest took {took_s:.1f} s"
        for detail, count in Counter(each.detail for each in group if each.detail).most_common(2):
            yield f"    {count} x {detail}"


def _when(group: Sequence[Failure], moment: Moment | None) -> str:
    if moment is None:
        return "sent before the first step was done"
    after = [each.sent_at - moment.at for each in group]
    return f"sent after {moment.name!r} was done ({min(after):.0f} to {max(after):.0f} s)"

"""What nccl-tests and rccl-tests print (`all_reduce_perf` and its siblings). PURE.

Bus bandwidth is what can be compared between numbers of ranks: algbw * 2(n-1)/n for an all-reduce
(github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md). By that factor an all-reduce is told from a reduce, which adds up as
well. With `NCCL_DEBUG=INFO` the output says over which network: a fall
back to TCP gives no error, only a twentieth of the bandwidth, so it is a warning of the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshctl.measure.foreign import refused
from meshctl.measure.results import Result, Taken

PROGRAM: Final = "nccl-tests"

# size count type redop root, then time algbw busbw #wrong twice; `all_gather_perf` has no redop, older versions no root
_ROW: Final = re.compile(
    r"^\s*(?P<size>\d+)\s+(?P<count>\d+)\s+(?P<type>\w+)\s+(?:(?P<op>[a-z]+)\s+)?(?:-?\d+\s+)?"
    r"(?P<out>[\d.]+\s+[\d.]+\s+[\d.]+\s+\S+)(?:\s+(?P<inside>[\d.]+\s+[\d.]+\s+[\d.]+\s+\S+))?\s*$"
)
_AVERAGE: Final = re.compile(r"Avg bus bandwidth\s*:\s*([\d.]+)")
_WRONG: Final = re.compile(r"Out of bounds values\s*:\s*(\d+)\s+(\w+)")
_RANK: Final = re.compile(r"#\s+Rank\s+(\d+)\s+.*?\bon\s+(\S+)\s+device\s+\d+\s+\[[^\]]*\]\s+(.+)")
_COUNTED: Final = re.compile(r"^# (\d+) ranks on (\d+) hosts: (.+)$", re.MULTILINE)  # by `render.benchmark_scripts`
_NETWORK: Final = re.compile(r"Using network (\S+)")
_SOCKET: Final = re.compile(r"NET/Socket : Using \[\d+\]([^:\s]+)")
_VERSION: Final = re.compile(r"\b([NR]CCL) version ([\w.+-]+)")
_PROGRAM: Final = re.compile(
    r"\b(all_reduce|reduce|reduce_scatter|all_gather|broadcast|alltoall|sendrecv|gather|scatter|hypercube)_perf\b"
)
_LIMIT: Final = 2.0  # of 2(n-1)/n, for any number of ranks
_ROUNDING: Final = 0.005  # both bandwidths are printed with two decimals
_ALL_REDUCE: Final = "all_reduce"

ALL_REDUCE: Final = "all-reduce bus bandwidth"


@dataclass(frozen=True, slots=True)
class _Row:
    size_bytes: int
    operation: str
    algbw: float
    busbw: float
    wrong: str

    @property
    def adds_up(self) -> bool:
        """As a reduce and a reduce-scatter do, too: their factors are 1 and (n-1)/n."""
        return self.operation == "sum"

    def may_be_all_reduce(self, ranks: int) -> bool:
        """By the factor of so many ranks, 0 = not known; of small sizes rounding leaves little that could say it."""
        if not self.adds_up or not ranks:
            return self.adds_up and self.busbw >= self.algbw
        factor = 2 * (ranks - 1) / ranks
        return abs(self.busbw - factor * self.algbw) <= 1.01 * _ROUNDING * (1 + factor)


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """One result for each message size, of the better of out-of-place and in-place, in GB/s of bus bandwidth.

    Raises: ForeignOutputError where no row of results is in it.
    """
    rows = [row for line in text.splitlines() if (row := _row(line))]
    if not rows:
        raise refused(PROGRAM, "it has no row of sizes and bandwidths; the run may have failed before it measured")
    ranks, models, hosts = _ranks(text, rows)
    collective = _collective(text, rows, ranks)
    setting = {"ranks": str(ranks)} if ranks else {}
    if hosts:
        setting["hosts"] = str(hosts)
    network = _network(text)
    if network:
        setting["network"] = network
    warnings = (*_warnings(text, rows), *_fall_back(text, network, hosts), *_unnamed(rows, collective, ranks))
    versions = dict(_VERSION.findall(text)[:1])
    if models:
        setting["accelerator"] = models
    return tuple(
        Result(
            what="fabric",
            metric=ALL_REDUCE if collective == _ALL_REDUCE and row.may_be_all_reduce(ranks) else "bus bandwidth",
            value=row.busbw,
            unit="GB/s",
            taken=taken,
            setting={"size_bytes": str(row.size_bytes), **setting},
            versions=versions,
            warnings=warnings,
        )
        for row in rows
    )


def _row(line: str) -> _Row | None:
    """The better half of a line, out-of-place or in-place: NCCL runs either in a training job."""
    match = _ROW.match(_without_prefix(line))
    if match is None:
        return None
    halves = [half.split() for half in (match["out"], match["inside"]) if half]
    _, algbw, busbw, wrong = max(halves, key=lambda half: float(half[2]))
    return _Row(int(match["size"]), match["op"] or "", float(algbw), float(busbw), wrong)


def _without_prefix(line: str) -> str:
    """Without what mpirun and kubectl put before each line: `[1,0]<stdout>:`, `pod-0: `."""
    return re.sub(r"^\s*(\[\d+,\d+\]<\w+>:|[\w./-]*[a-z][\w./-]*:)\s?", "", line)


def _ranks(text: str, rows: list[_Row]) -> tuple[int, str, int]:
    """The number of ranks, their accelerators, and on how many hosts, 0 where not known.

    `meshctl bench` leaves their numbers instead of their list. Elsewhere the list is often cut; the ratio of the two
    bandwidths of an all-reduce, 2(n-1)/n, says the number too.
    """
    counted = _COUNTED.search(text)
    if counted is not None:
        return int(counted[1]), counted[3], int(counted[2])
    listed = _RANK.findall(text)
    hosts = {host for _, host, _ in listed}
    models = sorted({model.strip() for _, _, model in listed})
    count = max((int(rank) + 1 for rank, _, _ in listed), default=0)
    if count and len({rank for rank, _, _ in listed}) == count:
        return count, ", ".join(models), len(hosts)
    return max(_ranks_by_ratio(rows), count), ", ".join(models), 0


def _ranks_by_ratio(rows: list[_Row]) -> int:
    """Of the row in which rounding counts least."""
    best = _best(rows)
    ratio = best.busbw / best.algbw if best.algbw and _is_only_an_all_reduce(best) else _LIMIT
    return round(2 / (_LIMIT - ratio)) if ratio < _LIMIT else 0


def _best(rows: list[_Row]) -> _Row:
    return max(rows, key=lambda row: row.algbw)


def _is_only_an_all_reduce(row: _Row) -> bool:
    """No other collective has a bus bandwidth that is larger than the other one; with two ranks they are the same."""
    return row.adds_up and row.busbw > row.algbw


def _collective(text: str, rows: list[_Row], ranks: int) -> str:
    """By the program's name, where the output has one, or by the ratio of its bandwidths; "" where neither says it."""
    named = set(_PROGRAM.findall(text))
    if len(named) == 1:
        return str(named.pop())
    best = _best(rows)
    return _ALL_REDUCE if _is_only_an_all_reduce(best) and best.may_be_all_reduce(ranks) else ""


def _unnamed(rows: list[_Row], collective: str, ranks: int) -> Iterator[str]:
    """Others than those that add up say by their operation that they are no all-reduce."""
    if not collective and _best(rows).adds_up:
        count = f" of {ranks} ranks" if ranks else ""
        reason = f"the ratio of its bandwidths is not that of an all-reduce{count} alone"
        yield f"which collective it measured is not known: {reason}"


def _network(text: str) -> str:
    """ "Socket", "IB", "Libfabric" and the like; "" where the log does not say it."""
    return ", ".join(sorted(set(_NETWORK.findall(text))))


def _fall_back(text: str, network: str, hosts: int) -> Iterator[str]:
    """Inside one host the network isn't used, so there it says nothing."""
    if "Socket" not in network or hosts == 1:
        return
    interfaces = ", ".join(sorted(set(_SOCKET.findall(text)))) or "an interface that the log does not name"
    yield f"NCCL fell back to TCP sockets over {interfaces}: the fabric's adapters were not used"


def _warnings(text: str, rows: list[_Row]) -> Iterator[str]:
    wrong = _WRONG.search(text)
    counts_wrong = "#wrong" in text  # older versions print the largest error instead, which is never 0
    if (wrong and wrong[2] != "OK") or (counts_wrong and any(row.wrong not in ("0", "N/A") for row in rows)):
        yield "the reduced values were wrong: memory, links or driver are broken"
    if not _AVERAGE.search(text):
        yield "the output ends before its summary: the run was cut off"

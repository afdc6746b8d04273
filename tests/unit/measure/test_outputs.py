from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.errors import ForeignOutputError
from meshctl.measure import outputs
from meshctl.measure.results import Result, Taken

RECORDED = Path(__file__).parent / "recorded"
FILES = sorted(path.name for path in RECORDED.iterdir() if path.suffix in (".txt", ".json"))


def read(name: str) -> tuple[Result, ...]:
    text = (RECORDED / name).read_text(encoding="utf-8")
    return outputs.read(text, Taken(machine="p4d.24xlarge", date="2026-11-29", source=name))


def by_metric(name: str) -> dict[str, Result]:
    return {result.metric: result for result in read(name)}


def test_every_recorded_file_says_where_it_is_from() -> None:
    sources = (RECORDED / "SOURCES.md").read_text(encoding="utf-8")
    assert [name for name in FILES if name not in sources] == []


def test_the_better_half_of_each_row_is_the_bus_bandwidth() -> None:
    sizes = {result.setting["size_bytes"]: result.value for result in read("nccl-coreweave-h100.txt")}
    assert sizes == {
        "536870912": 356.60,
        "1073741824": 365.90,
        "2147483648": 380.73,
        "4294967296": 383.23,
        "8589934592": 386.56,
    }


def table(algbw: float, busbw: float, *, ranks: int, program: str = "") -> str:
    """What a program of nccl-tests prints that adds up. `ranks`: that it lists; `program`: by which it names itself."""
    listed = "".join(
        f"#  Rank {rank:2} Group  0 Pid 7 on node-{rank // 8} device {rank % 8} [0x10] NVIDIA H100\n"
        for rank in range(ranks)
    )
    head = f"# Collective test starting: {program}\n" if program else ""
    row = f"1073741824 268435456 float sum -1 100.0 {algbw:.2f} {busbw:.2f} 0"
    return f"{head}{listed}# algbw busbw #wrong\n{row}\n# Avg bus bandwidth    : {busbw}\n"


UNNAMED = "which collective it measured is not known: "


@pytest.mark.parametrize(
    ("text", "metric", "warning"),
    [
        (table(200.0, 375.0, ranks=16), "all-reduce bus bandwidth", ""),
        (table(0.02, 0.04, ranks=16), "all-reduce bus bandwidth", ""),
        (table(200.0, 375.0, ranks=0), "all-reduce bus bandwidth", ""),
        (table(200.0, 200.0, ranks=16), "bus bandwidth", UNNAMED),
        (table(200.0, 300.0, ranks=16), "bus bandwidth", UNNAMED),
        (table(200.0, 187.5, ranks=16), "bus bandwidth", UNNAMED),
        (table(200.0, 200.0, ranks=0), "bus bandwidth", UNNAMED),
        (table(200.0, 200.0, ranks=2), "bus bandwidth", UNNAMED),
        (table(200.0, 200.0, ranks=2, program="all_reduce_perf"), "all-reduce bus bandwidth", ""),
        (table(200.0, 200.0, ranks=2, program="reduce_perf"), "bus bandwidth", ""),
        (table(200.0, 187.5, ranks=16, program="reduce_scatter_perf"), "bus bandwidth", ""),
    ],
    ids=lambda value: "" if "\n" in value else value,
)
def test_an_all_reduce_is_told_by_its_ranks_and_the_ratio_of_its_bandwidths(
    text: str, metric: str, warning: str
) -> None:
    """`reduce_perf` adds up as well, and has one bandwidth for both."""
    (result,) = outputs.read(text, Taken(machine="", date="", source=""))
    assert result.metric == metric
    assert [each[: len(UNNAMED)] for each in result.warnings] == ([warning] if warning else [])


def test_two_runs_in_one_file_keep_their_collectives() -> None:
    text = table(200.0, 375.0, ranks=16) + table(190.0, 178.13, ranks=0).partition("#wrong\n")[2]
    results = outputs.read(text, Taken(machine="", date="", source=""))
    assert [each.metric for each in results] == ["all-reduce bus bandwidth", "bus bandwidth"]


@pytest.mark.parametrize(
    ("name", "ranks"),
    [("nccl-coreweave-h100.txt", "96"), ("nccl-coreweave-gb200-nvl72.txt", "72"), ("nccl-tcp.txt", "16")],
)
def test_ranks_are_known_where_the_list_of_them_is_cut(name: str, ranks: str) -> None:
    assert {result.setting["ranks"] for result in read(name)} == {ranks}


def test_a_whole_run_has_no_warning() -> None:
    assert {result.warnings for result in read("nccl-coreweave-h100.txt")} == {()}


def test_a_fall_back_to_tcp_is_a_warning() -> None:
    result = read("nccl-tcp.txt")[-1]
    assert (result.value, result.setting["network"], result.versions) == (4.13, "Socket", {"NCCL": "2.22.3+cuda12.6"})
    assert result.warnings == ("NCCL fell back to TCP sockets over eth0: the fabric's adapters were not used",)


def test_sockets_inside_one_host_say_nothing() -> None:
    table = "\n   1048576   262144   float   sum   -1   35.2   29.8   44.7   0   35.0   30.0   45.0   0\n"
    text = (RECORDED / "rccl-one-host.txt").read_text(encoding="utf-8") + "# algbw busbw" + table
    (result,) = outputs.read(text, Taken(machine="", date="", source=""))
    assert (result.setting["hosts"], result.setting["network"], result.setting["ranks"]) == ("1", "Socket", "4")
    assert result.warnings == ("the output ends before its summary: the run was cut off",)


def test_the_largest_error_of_older_versions_is_no_wrong_value() -> None:
    result = read("nccl-efa-older.txt")[-1]
    assert result.value == 6.90
    assert not any("wrong" in warning for warning in result.warnings)


def test_wrong_values_are_a_warning() -> None:
    text = (RECORDED / "nccl-coreweave-h100.txt").read_text(encoding="utf-8")
    text = text.replace("Out of bounds values : 0 OK", "Out of bounds values : 3 FAILED")
    result = outputs.read(text, Taken(machine="", date="", source=""))[0]
    assert result.warnings == ("the reduced values were wrong: memory, links or driver are broken",)


def test_prefixes_of_mpirun_are_no_part_of_a_row() -> None:
    results = read("nccl-mpirun-prefix.txt")
    assert [(result.metric, result.value) for result in results] == [("bus bandwidth", 1.62), ("bus bandwidth", 2.31)]


def test_fio_gives_decimal_megabytes_and_milliseconds() -> None:
    results = by_metric("fio-read.json")
    assert results["read throughput"].value == pytest.approx(424.740, abs=0.001)
    assert results["read latency"].percentiles["p99"] == pytest.approx(results["read latency"].value, rel=100)
    assert results["read throughput"].versions == {"fio": "3.33"}
    assert results["read throughput"].setting["bs"] == "1M"


def test_a_slow_folder_shows() -> None:
    assert by_metric("fio-limited-write.json")["write throughput"].value == pytest.approx(21.143, abs=0.001)


def test_a_failed_job_of_fio_is_an_error() -> None:
    text = (RECORDED / "fio-read.json").read_text(encoding="utf-8").replace('"error" : 0', '"error" : 28')
    with pytest.raises(ForeignOutputError, match="no output of fio"):
        outputs.read(text, Taken(machine="", date="", source=""))


SERVING = {
    "vllm-bench-serve.json": (6582.87, 32.42, 9626.13, 12666.73),
    "aiperf.json": (2483.2, 9.7, 120.5, 250.0),
    "aiperf-smollm2.json": (7.643292474655074, 0.46795668212173924, 2102.509091, 3952.9154384600006),
    "inference-perf-stage.json": (1.0476521171951891, 0.16762433875123026, 34083.2892275827, 57366.436906069684),
    "guidellm.json": (51.3, 0.2, 12262.48, 16000.0),
    "inference-perf.json": (500.5, 1.96, 120.0, 250.0),
}


@pytest.mark.parametrize("name", SERVING)
def test_all_load_generators_give_the_same_units(name: str) -> None:
    results = by_metric(name)
    tokens, requests, ttft_ms, p99_ms = SERVING[name]
    assert results["output tokens"].value == tokens
    assert results["requests"].value == requests
    assert results["time to first token"].value == pytest.approx(ttft_ms)
    assert results["time to first token"].percentiles["p99"] == pytest.approx(p99_ms)
    assert {result.unit for result in results.values()} == {"tokens/s", "1/s", "ms"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("inference-perf-stage.json", "no"), ("aiperf-smollm2.json", None), ("vllm-bench-serve.json", None)],
)
def test_an_open_loop_says_whether_its_rate_was_kept(name: str, said: str | None) -> None:
    """The server took 72 seconds for the requests of 12; the two others were sent as fast as answers came."""
    assert {result.setting.get("kept_rate") for result in by_metric(name).values()} == {said}


def test_seconds_of_guidellm_are_milliseconds() -> None:
    assert by_metric("guidellm.json")["request latency"].value == pytest.approx(32400)


def test_failed_requests_are_a_warning() -> None:
    warning = "3 of 100 requests failed; the numbers are of the others"
    assert by_metric("aiperf.json")["output tokens"].warnings == (warning,)


def test_a_generator_that_is_too_slow_says_so() -> None:
    warnings = by_metric("inference-perf.json")["requests"].warnings
    assert "the generator sent 2.0 of 4.0 requests/s: it was the bottleneck" in warnings


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_is_an_error_or_warns(name: str) -> None:
    """At whatever place: a run that was killed must not look like one that ended."""
    text = (RECORDED / name).read_text(encoding="utf-8")
    text = (text.rpartition("# Avg")[0] or text).rstrip()
    silent = [length for length in range(0, len(text), max(1, len(text) // 40)) if is_silent(text[:length])]
    assert silent == []


def is_silent(text: str) -> bool:
    """Whether it is read without an error, and without a warning."""
    try:
        return any(not result.warnings for result in outputs.read(text, Taken(machine="", date="", source="cut")))
    except ForeignOutputError:
        return False


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
@pytest.mark.parametrize("strange", [None, "x", [], {}, -1, True, [None]])
def test_any_other_value_is_read_or_one_error(name: str, strange: object) -> None:
    document = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    for changed in with_each_value_as(document, strange):
        is_silent(json.dumps(changed))


def with_each_value_as(value: Any, strange: object) -> Iterator[Any]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        copy = value.copy()
        for changed in (strange, *with_each_value_as(inner, strange)):
            copy[key] = changed
            yield copy


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "hello", '{"fio version": 3, "jobs": 7}', "\x00" * 40])
def test_foreign_text_is_one_error(text: str) -> None:
    with pytest.raises(ForeignOutputError):
        outputs.read(text, Taken(machine="", date="", source="x"))

from __future__ import annotations

import json

import pytest

from meshctl.errors import NewerVersionError, UnreadableError
from meshctl.measure import results
from meshctl.measure.results import Result, Taken

RESULT = Result(
    what="fabric",
    metric="all-reduce bus bandwidth",
    value=387.0,
    unit="GB/s",
    taken=Taken(machine="gd-8xh100ib-i128", date="2026-11-29T12:00:00Z", source="job bench-fabric"),
    percentiles={"p50": 380.0},
    setting={"ranks": "96"},
    versions={"NCCL": "2.27.5"},
    warnings=("the run was cut off",),
)


def test_what_is_written_is_read_again() -> None:
    text = json.dumps(results.document([RESULT]))
    assert results.from_text(text, where="results.json") == (RESULT,)


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(NewerVersionError, match=r"results\.json"):
        results.from_text(json.dumps({"schema": results.SCHEMA + 1, "results": []}), where="results.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 1, "results": [{"what": "fabric"}]}',
        json.dumps(results.document([RESULT])).replace("387.0", "NaN"),
        json.dumps(results.document([RESULT])).replace('"metric"', '"metrics"'),
    ],
)
def test_anything_else_is_one_error(text: str) -> None:
    with pytest.raises(UnreadableError, match=r"results\.json"):
        results.from_text(text, where="results.json")

from __future__ import annotations

from itertools import pairwise

import pytest

from meshctl.bench import load
from meshctl.bench.load import Plan, Server
from meshctl.errors import UnreachableError
from meshctl.measure.load import Answer, percentile, summarize
from meshctl.measure.results import Result, Taken
from tests.unit.bench.model_server import WEIGHTS, Cut, Writer, serving

PLAN = Plan(rate=40, duration_s=0.5, input_tokens=8, output_tokens=5, limit_s=20)
TAKEN = Taken(machine="p5.48xlarge", date="2026-11-29", source="test")


def by_metric(answers: list[Answer], duration_s: float) -> dict[str, Result]:
    rows = summarize(answers, duration_s=duration_s, due_s=PLAN.duration_s, setting={}, versions={}, taken=TAKEN)
    return {row.metric: row for row in rows}


def test_a_real_server_is_measured() -> None:
    with serving(Writer(WEIGHTS)) as server:
        model = load.model_of(server)
        answers, duration_s = load.run(server, model, PLAN)
    results = by_metric(answers, duration_s)
    assert len(answers) == len(list(load.arrivals(PLAN)))
    assert {answer.tokens for answer in answers} == {5}
    assert results["output tokens"].value == pytest.approx(5 * len(answers) / duration_s)
    assert results["output tokens"].warnings == ()
    first = results["time to first token"].percentiles
    assert 0 < first["p50"] <= first["p90"] <= first["p95"] <= first["p99"]
    assert first["p50"] <= results["request latency"].percentiles["p50"]


def test_answers_that_are_cut_off_are_failures() -> None:
    with serving(Cut(WEIGHTS)) as server:
        answers, duration_s = load.run(server, "tiny", PLAN)
    results = by_metric(answers, duration_s)
    assert results["requests"].value == 0
    assert (
        f"{len(answers)} of {len(answers)} requests failed; the numbers are of the others"
        in results["requests"].warnings
    )
    assert "no request was answered" in results["requests"].warnings
    assert "request latency" not in results


def test_a_server_that_loads_its_weights_refuses_by_status() -> None:
    with serving(None) as server:
        answers, _ = load.run(server, "tiny", PLAN)
    assert {answer.failure for answer in answers} == {"status 503"}


def test_a_server_that_is_gone_is_a_failure_of_each_request() -> None:
    with serving(Writer(WEIGHTS)) as server:
        gone = Server(server.url, server.host)
    answers, _ = load.run(gone, "tiny", PLAN)
    assert {answer.failure for answer in answers} == {"no whole answer: the connection was refused, cut or timed out"}
    with pytest.raises(UnreachableError, match=r"chat\.example\.com:80 does not say which model it serves"):
        load.model_of(gone)


def test_arrivals_do_not_wait_for_answers_and_are_the_same_for_one_seed() -> None:
    plan = Plan(rate=50, duration_s=20, input_tokens=1, output_tokens=1)
    moments = list(load.arrivals(plan))
    assert moments == list(load.arrivals(plan))
    assert moments[0] == 0
    assert moments[-1] < 20
    assert len(moments) == pytest.approx(1000, rel=0.15)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert len({round(gap, 6) for gap in gaps}) > 900


def test_no_two_prompts_are_the_same() -> None:
    prompts = {load._request("tiny", PLAN, number)["messages"][0]["content"] for number in range(50)}
    assert len(prompts) == 50


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([7.0], 99) == 7


def test_failures_are_counted_by_their_kind() -> None:
    answers = [Answer(failure="status 503")] * 3 + [Answer(first_token_s=0.1, end_s=0.5, tokens=5)]
    row = by_metric(answers, 2.0)["output tokens"]
    assert row.value == 2.5
    assert row.warnings == ("3 of 4 requests failed; the numbers are of the others", "3 x status 503")
    assert by_metric(answers, 2.0)["inter-token latency"].value == pytest.approx(100)


@pytest.mark.parametrize(
    ("latencies_s", "is_kept"),
    [
        ([2.0] * 40, True),
        ([0.5 * number for number in range(40)], False),  # each waits for those before it: half as fast as the rate
        ([], False),
    ],
    ids=["each as fast as the first", "a queue", "none"],
)
def test_a_queue_shows_that_the_rate_was_not_kept(latencies_s: list[float], is_kept: bool) -> None:
    """40 requests, one each half second."""
    due = [0.5 * number for number in range(40)]
    answers = [Answer(first_token_s=0.1, end_s=latency, tokens=8) for latency in latencies_s]
    last_s = max((moment + latency for moment, latency in zip(due, latencies_s, strict=False)), default=20.0)
    rows = summarize(answers, duration_s=last_s, due_s=20.0, setting={"rate": "2"}, versions={}, taken=TAKEN)
    assert {row.setting["kept_rate"] for row in rows} == {"yes" if is_kept else "no"}


def test_a_run_with_failures_has_not_kept_its_rate() -> None:
    answers = [Answer(first_token_s=0.1, end_s=1.0, tokens=8)] * 39 + [Answer(failure="status 503")]
    rows = summarize(answers, duration_s=21.0, due_s=20.0, setting={"rate": "2"}, versions={}, taken=TAKEN)
    assert {row.setting["kept_rate"] for row in rows} == {"no"}

"""Accuracy and latency as they were measured, beside the cost."""

from __future__ import annotations

import dataclasses

import pytest

from meshctl.advise import comparison, human, page
from meshctl.advise.comparison import Expectations
from meshctl.advise.figures import WorkloadAdvice
from meshctl.catalog import load_catalog
from meshctl.measure import rag
from meshctl.measure.rag import Question, Reply
from meshctl.measure.results import Origin, Result, Taken
from tests.golden_files import Golden
from tests.unit.advise.situations import EXAMPLE, MODELS, ROOT, advised, case, measured, of, recorded

RAG = ROOT / "examples" / "rag"
IMAGE = "ghcr.io/meshctl/rag:0.2"
QUESTIONS = tuple(Question(ask=f"Question {number}?", document=f"{number}.md") for number in range(4))
RIGHT = tuple(
    Reply(passages=((each.document, "..."),), cited=(each.document,), answer_s=0.5 + number / 4)
    for number, each in enumerate(QUESTIONS)
)
SERVED = {"subject": "workload/docs-llm", "model": "Qwen/Qwen2.5-7B-Instruct", "tokens": "512/128", "rate": "2"}


def asked(
    *replies: Reply, date: str = "2026-11-28", image: str = IMAGE, origin: Origin = "measured"
) -> tuple[Result, ...]:
    """As `bench --what rag` writes it."""
    return rag.summarize(
        QUESTIONS,
        replies,
        setting={"subject": "workload/docs", "passages": "5"},
        versions={"meshctl": "0.1", "image": image},
        taken=Taken(machine="g6.4xlarge", date=date, source="meshctl bench through docs.example.com", origin=origin),
    )


def served(machine: str = "g6.4xlarge") -> tuple[Result, ...]:
    rows = measured("vllm-bench-serve.json", SERVED)
    return tuple(dataclasses.replace(each, taken=dataclasses.replace(each.taken, machine=machine)) for each in rows)


def docs(*results: Result) -> WorkloadAdvice:
    return of(advised(case(folder=RAG), results=results), "docs")


def test_an_api_that_answers_from_documents_is_told_by_accuracy_latency_and_cost() -> None:
    one_wrong = (Reply(passages=(("3.md", "..."),), cited=(), answer_s=1.0), *RIGHT[1:])
    made = docs(*asked(*RIGHT, date="2026-11-27"), *asked(*one_wrong))
    assert {each.metric: each.value for each in made.accuracy} == {rag.HIT: 75.0, rag.FIRST: 75.0, rag.CITED: 75.0}
    (latency,) = made.latencies
    assert (latency.metric, latency.unit, sorted(latency.percentiles)) == (rag.LATENCY, "ms", ["p50", "p90", "p99"])
    assert latency.source == "4 questions, meshctl bench through docs.example.com, 2026-11-28"
    assert made.usd_per_hour == pytest.approx(2 * 1.3232)
    assert made.figures == ()


def test_what_was_not_asked_yet_says_how_to_ask() -> None:
    """The other programs of the blueprint are not asked from outside."""
    made = advised(case(folder=RAG))
    assert [each.workload for each in made.workloads] == ["docs-llm", "docs"]
    assert made.left_out == ("docs-embed", "docs-rerank", "docs-store", "docs-ingest")
    assert of(made, "docs").why.endswith(
        ": `meshctl bench aws-east --what rag --questions FILE --workload docs` asks it"
    )


def test_failed_questions_are_a_note() -> None:
    assert "4 x status 502" in docs(*asked(*[Reply(failure="status 502")] * 4)).notes[1]


def test_a_recording_and_a_run_on_another_machine_are_no_accuracy_of_here() -> None:
    elsewhere = tuple(
        dataclasses.replace(each, taken=dataclasses.replace(each.taken, machine="p5.48xlarge"))
        for each in asked(*RIGHT)
    )
    replayed = asked(*RIGHT, origin="replayed")
    made = docs(*elsewhere, *replayed)
    assert (made.accuracy, made.latencies) == ((), ())
    assert made.notes[-1] == (
        "replayed: hit rate 100 % of workload/docs (meshctl bench through docs.example.com, 2026-11-28)"
    )


def test_another_image_than_the_one_that_was_measured_is_named() -> None:
    assert not [note for note in docs(*asked(*RIGHT)).notes if "image" in note]
    (note,) = (note for note in docs(*asked(*RIGHT, image="ghcr.io/meshctl/rag:0.1")).notes if "image" in note)
    assert note == (
        "meshctl bench through docs.example.com, 2026-11-28 was measured with image ghcr.io/meshctl/rag:0.1, now"
        f" {IMAGE}: measure again"
    )
    older = (dataclasses.replace(each, versions={"image": "vllm/vllm-openai:v0.10.0"}) for each in served())
    notes = of(advised(case(folder=RAG), results=tuple(older)), "docs-llm").notes
    assert any("measured with image vllm/vllm-openai:v0.10.0, now vllm/vllm-openai:v0.11.0" in note for note in notes)


def test_results_of_another_image_are_marked_where_all_are_shown() -> None:
    expected = {"aws-east": Expectations(deployment=case(folder=RAG).deployment, catalog=load_catalog())}
    older = asked(*RIGHT, image="ghcr.io/meshctl/rag:0.1")
    shown = comparison.text(comparison.rows({"aws-east": older}, expected))
    assert f"measured with image ghcr.io/meshctl/rag:0.1, now {IMAGE}: measure again" in shown
    assert "measure again" not in comparison.text(comparison.rows({"aws-east": asked(*RIGHT)}, expected))
    replayed = asked(*RIGHT, image="ghcr.io/meshctl/rag:0.1", origin="replayed")
    assert "measure again" not in comparison.text(comparison.rows({"aws-east": replayed}, expected))


def test_the_latency_of_a_server_is_shown_with_its_load_beside_the_inferred_one() -> None:
    made = of(advised(case(folder=RAG), "docs-llm=llama-3.1-8b", results=served()), "docs-llm")
    assert made.latencies[0].metric == "time to first token"
    assert made.latencies[0].source == "2 requests/s, 512 tokens in, 128 out, vllm-bench-serve.json, 2026-11-29"
    assert made.first_token_s is not None
    assert of(advised(case(folder=RAG), results=served("p5.48xlarge")), "docs-llm").latencies == ()


def test_of_a_sweep_the_highest_rate_counts() -> None:
    rows = [
        dataclasses.replace(each, setting={**each.setting, "rate": rate}) for rate in ("10", "9") for each in served()
    ]
    (first, *_) = of(advised(case(folder=RAG), results=tuple(rows)), "docs-llm").latencies
    assert first.source.startswith("10 requests/s")


def test_a_replayed_fall_back_to_tcp_is_a_note() -> None:
    """What a gate keeps where there is no GPU."""
    results = recorded("nccl-tcp.txt", ranks="32", subject="pool/train")
    (note,) = (
        each for each in of(advised(case(folder=EXAMPLE), *MODELS, results=results), "pretrain").notes if "TCP" in each
    )
    assert note.startswith(
        "replayed: all-reduce bus bandwidth 4.13 GB/s of pool/train (nccl-tcp.txt, 2026-11-29); NCCL fell"
    )


def test_cost_latency_and_accuracy_stand_side_by_side(golden: Golden) -> None:
    made = advised(case(folder=RAG), "docs-llm=llama-3.1-8b", results=(*served(), *asked(*RIGHT)))
    golden("advise/rag.txt", human.text(made))
    golden("advise/rag.html", page.text(made))
    golden.json("advise/rag.json", human.document(made))

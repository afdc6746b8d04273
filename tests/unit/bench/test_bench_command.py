"""`meshctl bench` as a user runs it; results are files in the folder of the state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import meshctl
from tests.golden_files import Golden
from tests.unit.advise.situations import MODELS, RECORDED


def read(folder: Path, name: str, subject: str, *more: str) -> str:
    result = meshctl(
        "bench",
        "aws-east",
        "--from",
        str(RECORDED / name),
        "--of",
        subject,
        "--date",
        "2026-11-29",
        *more,
        folder=folder,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_outputs_are_read_kept_and_shown(folder: Path, golden: Golden) -> None:
    read(folder, "nccl-coreweave-h100.txt", "pool/train", "--replayed", "--machine", "gd-8xh100ib-i128")
    read(folder, "nccl-tcp.txt", "pool/train", "--replayed", "--machine", "p4d.24xlarge")
    read(folder, "fio-read.json", "storage/shared")
    read(folder, "vllm-bench-serve.json", "workload/chat", "--replayed")
    golden("bench/show.txt", meshctl("bench", "aws-east", "--show", folder=folder).stdout)
    document = json.loads(meshctl("bench", "aws-east", "--show", "--output", "json", folder=folder).stdout)
    assert document["environment"] == "aws-east"
    verdicts = {
        row["result"]["setting"].get("size_bytes"): row["verdict"]
        for row in document["results"]
        if row["result"]["taken"]["machine"] == "gd-8xh100ib-i128"
    }
    assert verdicts["8589934592"] == "as expected"
    assert verdicts["2147483648"] == "no expectation known"


def test_a_client_that_gets_less_than_its_share_of_what_was_bought_is_below(folder: Path) -> None:
    """The mesh buys 1.2 GB/s, and FSx sells 2.3 GB/s for the size; four nodes mount it. The folder takes 21 MB/s."""
    text = read(folder, "fio-limited-write.json", "storage/shared")
    assert "  aws-east     21.1 MB/s; below\n" in text
    share = "the share of one of 4 nodes in 2,344 MB/s: fsx-lustre: 500 MB/s per TiB of 4800 GiB"
    assert f"expected at least 527: {share}" in text
    recording = (RECORDED / "fio-limited-write.json").read_text()
    (folder / "fast.json").write_text(recording.replace('"bw_bytes" : 21143', '"bw_bytes" : 614300'))
    text = read(folder, str(folder / "fast.json"), "storage/shared")
    assert "614 MB/s; as expected\n" in text
    (folder / "small.json").write_text(recording.replace('"bs" : "1M"', '"bs" : "4k"'))
    text = read(folder, str(folder / "small.json"), "storage/shared")
    assert "  aws-east     21.1 MB/s; no expectation known\n" in text
    assert "why: its blocks are small, in random order or not recorded" in text


def test_each_job_of_a_file_is_shown(folder: Path) -> None:
    """The last one of the same options was shown in the place of all."""
    document = json.loads((RECORDED / "fio-limited-write.json").read_text())
    (job,) = document["jobs"]
    slow = {**job, "jobname": "slow", "write": {**job["write"], "bw_bytes": 5_000_000}}
    (folder / "two.json").write_text(json.dumps({**document, "jobs": [job, slow]}))
    text = read(folder, str(folder / "two.json"), "storage/shared")
    assert "  aws-east     21.1 MB/s; " in text
    assert "  aws-east     5 MB/s; " in text
    assert " job slow, rw write" in text


RUN = """{{"model_id": "{model}", "num_prompts": 1000, "completed": 1000, "request_throughput": 10.0,
"total_input_tokens": {input_tokens}e3, "total_output_tokens": {output_tokens}e3, "output_throughput": {rate},
"mean_ttft_ms": 90.0, "median_ttft_ms": 90.0}}"""


@pytest.mark.parametrize(
    ("model", "lengths", "rate", "verdict", "basis"),
    [
        # a replica is expected to give about 17,000, and two of them run
        ("nvidia/Llama-3.3-70B-Instruct-FP8", (1000, 1000), 20000, "below", "2 x a replica at full load, by"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", (1000, 1000), 34000, "as expected", "2 x a replica at full load, by"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", (8000, 1000), 40000, "above", "2 x a replica at full load, by"),
        ("meta-llama/Llama-3.1-8B-Instruct", (1000, 1000), 40000, "below", "2 x a replica at full load, by"),
        ("acme/unknown", (1000, 1000), 40000, "no expectation known", 'nothing is known of a model "acme/unknown"'),
        ("", (1000, 1000), 40000, "no expectation known", "the run does not say which model answered"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", (0, 0), 40000, "no expectation known", "how many tokens"),
    ],
    ids=str,
)
def test_a_run_is_held_against_the_band_of_its_own_model_and_tokens_and_of_all_replicas(
    folder: Path, model: str, lengths: tuple[int, int], rate: float, verdict: str, basis: str
) -> None:
    text = RUN.format(model=model, input_tokens=lengths[0], output_tokens=lengths[1], rate=rate)
    (folder / "run.json").write_text(text)
    shown = read(folder, str(folder / "run.json"), "workload/chat")
    block = shown.split("workload/chat: output tokens\n")[1].split("\n\n")[0]
    assert f"tokens/s; {verdict}\n" in block
    assert basis in block


def test_a_gpu_hour_costs_more_where_less_is_delivered(folder: Path) -> None:
    """Two replicas are expected to give 25,337 tokens/s at least; eight H100 cost 55.04 USD an hour."""
    text = RUN.format(model="nvidia/Llama-3.3-70B-Instruct-FP8", input_tokens=1000, output_tokens=1000, rate=15000)
    (folder / "run.json").write_text(text)
    shown = read(folder, str(folder / "run.json"), "workload/chat")
    assert "11.62 USD per GPU-hour delivered: 6.88 USD, and 59% of what is expected at least" in shown
    recording = read(folder, str(folder / "run.json"), "workload/chat", "--replayed")
    assert "GPU-hour" not in recording


def test_of_a_run_on_another_machine_or_in_another_place_nothing_is_expected(folder: Path) -> None:
    assert "why: it is a recording of another place" in read(
        folder, "vllm-bench-serve.json", "workload/chat", "--replayed"
    )
    text = read(folder, "vllm-bench-serve.json", "workload/chat", "--machine", "p4d.24xlarge")
    assert "why: the run is of another machine than its p5.48xlarge" in text


def test_results_are_files_beside_the_state(folder: Path) -> None:
    read(folder, "fio-read.json", "storage/shared")
    read(folder, "fio-read.json", "storage/shared")
    files = sorted((folder / ".meshctl" / "state" / "bench" / "llm-prod" / "aws-east").iterdir())
    assert len(files) == 2
    assert {json.loads(file.read_text())["schema"] for file in files} == {1}


def test_advise_uses_what_was_measured(folder: Path) -> None:
    read(folder, "fio-limited-write.json", "storage/checkpoints")
    options = [word for model in MODELS for word in ("--model", model)]
    text = meshctl("advise", "aws-east", *options, folder=folder).stdout
    assert "11,687 s, checkpoint written: 988 GB; write measured by one client" in text


def test_nothing_is_made_where_nothing_was_measured(folder: Path) -> None:
    assert meshctl("bench", "aws-east", "--show", folder=folder).stdout == "nothing was measured yet\n"
    assert meshctl("advise", "aws-east", folder=folder).returncode == 0
    assert not (folder / ".meshctl").exists()


def test_environments_are_compared(folder: Path) -> None:
    read(folder, "vllm-bench-serve.json", "workload/chat")
    meshctl("bench", "cw", "--from", str(RECORDED / "vllm-bench-serve.json"), "--of", "workload/chat", folder=folder)
    text = meshctl("bench", "cw", "--show", folder=folder).stdout
    block = text.split("workload/chat: output tokens\n")[1]
    assert "  aws-east     6,583 tokens/s" in block
    assert "4.65 USD per million output tokens" in block
    assert "  cw           6,583 tokens/s" in block
    assert "4.16 USD per million output tokens" in block


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--what", "serve", "--show"), 64, "--what, --from and --show can't be combined"),
        (("--what", "serve,coffee"), 64, 'nothing named "coffee"'),
        (("--what", "storage", "--size", "1TiB"), 64, "64 GiB at most"),
        (("--what", "storage", "--size", "much"), 64, "write it as in --size 1GiB"),
        (("--what", "storage", "--seconds", "0"), 64, "no length of a run"),
        (("--what", "rag"), 64, "--questions FILE"),
        (("--what", "fabric", "--diagnose", "2"), 64, "--what gpu --diagnose 2"),
        (("--what", "rag", "--questions", "mesh.yaml"), 65, "mesh.yaml holds no questions"),
        (("--what", "coffee"), 64, 'nothing named "coffee"'),
        (("--what", "serve", "--rate", "0"), 64, "is no load"),
        (("--what", "serve", "--seconds", "3600"), 64, "no length of a run"),
        (("--what", "serve", "--rate", "900", "--seconds", "100"), 64, "at most 600 s and 10000 requests"),
        (("--from", "mesh.yaml"), 64, "--from needs --of: what was measured"),
        (("--from", "mesh.yaml", "--of", "storage/shard"), 64, 'did you mean "storage/shared"'),
        (("--from", "mesh.yaml", "--of", "storage/shared"), 65, "mesh.yaml is no output of a benchmark"),
        (("--from", "gone.txt", "--of", "storage/shared"), 1, "gone.txt can't be read"),
        (("--from", "mesh.yaml", "--of", "storage/shared", "--date", "today"), 64, "is no date"),
    ],
    ids=str,
)
def test_a_mistake_is_named_and_nothing_is_kept(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = meshctl("bench", "aws-east", *arguments, folder=folder)
    assert result.returncode == code
    assert message in result.stderr
    assert not (folder / ".meshctl" / "state" / "bench").exists()


def test_damaged_results_are_named(folder: Path) -> None:
    read(folder, "fio-read.json", "storage/shared")
    (file,) = (folder / ".meshctl" / "state" / "bench" / "llm-prod" / "aws-east").iterdir()
    file.write_text("{", encoding="utf-8")
    result = meshctl("bench", "aws-east", "--show", folder=folder)
    assert result.returncode == 1
    assert file.name in result.stderr


def test_no_result_hides_one_of_another_machine_origin_or_version(folder: Path) -> None:
    read(folder, "nccl-coreweave-h100.txt", "pool/train", "--machine", "gd-8xh100ib-i128")
    here = meshctl("bench", "aws-east", "--show", folder=folder).stdout
    read(folder, "nccl-coreweave-h100.txt", "pool/train", "--machine", "p4d.24xlarge", "--replayed")
    read(folder, "nccl-coreweave-h100.txt", "pool/train", "--machine", "gd-8xh100ib-i128", "--replayed")
    both = meshctl("bench", "aws-east", "--show", folder=folder).stdout
    assert both.count(", gd-8xh100ib-i128") == 2 * here.count(", gd-8xh100ib-i128")
    assert both.count(", p4d.24xlarge") == here.count(", gd-8xh100ib-i128")


@pytest.mark.parametrize(
    ("sent", "answered", "verdict"),
    [("10.0", 9.8, "no expectation known"), ("10.0", 5.0, "below"), ("inf", 10.0, "below")],
    ids=["kept", "fell behind", "all at once"],
)
def test_a_server_that_keeps_up_with_the_rate_is_not_below(
    folder: Path, sent: str, answered: float, verdict: str
) -> None:
    """10 requests/s of 1,000 tokens each: two replicas could give more than 25,000 tokens/s."""
    text = RUN.format(
        model="nvidia/Llama-3.3-70B-Instruct-FP8", input_tokens=1000, output_tokens=1000, rate=answered * 1000
    ).replace('"request_throughput": 10.0', f'"request_throughput": {answered}, "request_rate": "{sent}"')
    (folder / "run.json").write_text(text)
    shown = read(folder, str(folder / "run.json"), "workload/chat")
    block = shown.split("workload/chat: output tokens\n")[1].split("\n\n")[0]
    assert f"tokens/s; {verdict}\n" in block
    assert ("not at full load" in block, "GPU-hour delivered" in block) == (verdict != "below", verdict == "below")

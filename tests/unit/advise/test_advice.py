from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from meshctl.advise import comparison, facts
from meshctl.advise.figures import Change, smallest_first
from meshctl.bench import fabric as bench_fabric
from meshctl.bench import storage as bench_storage
from meshctl.catalog import load_catalog
from meshctl.errors import UsageError
from tests.unit.advise.situations import EXAMPLE, MODELS, Case, advised, case, deployment, measured, of, recorded

MESH = (EXAMPLE / "mesh.yaml").read_text(encoding="utf-8")


def test_a_published_setting_is_predicted_as_it_was_measured() -> None:
    """2 x H100 in FP8, 2,209 tokens/s for each: the mesh has 8, so the weights are split further."""
    chat = of(advised(case(), *MODELS), "chat")
    compute, fabric, storage = chat.figures
    assert compute.value is not None
    assert compute.low is not None
    assert compute.low < 8 * 2209
    assert fabric.basis == "not used: a replica runs inside one node"
    assert storage.basis.startswith("no expectation known for storage weights")
    assert chat.bottleneck == "compute"
    assert chat.usd_per_hour == pytest.approx(110.08)
    assert chat.usd_per_million_tokens == pytest.approx(110.08 / (2 * compute.value * 3600) * 1e6)


def test_changes_come_with_their_price_the_smallest_first() -> None:
    changes = of(advised(case(), "chat=llama-3.3-70b"), "chat").changes
    assert [(each.what, each.usd_per_hour) for each in changes] == [
        ("weights in FP8", 0),
        ("one more replica on 1 more node", 55.10),  # with the volume of its pod
        ("B200 instead of H100 (p6-b200.48xlarge)", pytest.approx(117.79, abs=0.01)),
    ]
    assert all(each.gain > 0 for each in changes)


def test_a_change_without_a_known_price_comes_last() -> None:
    def change(what: str, usd: float | None) -> Change:
        return Change(what=what, effect="", gain=1, usd_per_hour=usd, how="")

    ordered = smallest_first([change("unknown", None), change("dear", 9.0), change("free", 0.0)])
    assert [each.what for each in ordered] == ["free", "dear", "unknown"]


def test_a_model_that_does_not_fit_has_no_prediction(tmp_path: Path) -> None:
    mesh = MESH.replace("resources: {accelerators: 8, cpu: 64, memory: 512GiB}", "resources: {accelerators: 1}")
    chat = of(advised(case(mesh=mesh, folder=tmp_path), "chat=llama-3.3-70b"), "chat")
    assert chat.figures[0].value is None
    assert chat.why.startswith("it does not fit: 142 GB of weights and one sequence for each of 1 GPU")
    assert chat.changes == ()


def test_nothing_is_said_of_an_unknown_model() -> None:
    chat = of(advised(case()), "chat")
    assert chat.why == 'nothing is known of its model "/models/llama"; say --model chat=NAME or params=…'
    assert {figure.value for figure in chat.figures} == {None}


def test_the_arguments_of_a_server_name_its_model(tmp_path: Path) -> None:
    mesh = MESH.replace(
        "args: [--model, /models/llama,", "args: [--model, /models/x, --served-model-name, acme/Llama-3.3-70B-FP8,"
    )
    chat = of(advised(case(mesh=mesh, folder=tmp_path)), "chat")
    assert "llama-3.3-70b (by its --served-model-name) at 1 bytes per weight" in chat.setting


def test_an_all_reduce_of_other_numbers_of_nodes_says_nothing() -> None:
    fabric = of(advised(case(), *MODELS), "pretrain").figures[1]
    assert fabric.value is None
    assert fabric.basis.startswith("no expectation known for 4 nodes of p5.48xlarge (published only for 2 nodes")


def two_nodes(folder: Path) -> str:
    return MESH.replace("    nodes: 4\n", "    nodes: 2\n").replace("    nodes: 4   ", "    nodes: 2   ")


def test_the_published_bus_bandwidth_of_the_same_nodes_is_used(tmp_path: Path) -> None:
    pretrain = of(advised(case(mesh=two_nodes(tmp_path), folder=tmp_path), *MODELS), "pretrain")
    fabric = pretrain.figures[1]
    assert fabric.value == pytest.approx(2 * 15 / 16 * 2 * 70.6e9 / 487e9)
    assert "awsome-distributed-training" in fabric.basis
    assert pretrain.bottleneck == "compute"
    assert pretrain.changes[0].what == "one more node"


def test_a_fall_back_to_tcp_is_the_bottleneck_and_is_named(tmp_path: Path) -> None:
    """The run has 4.13 GB/s, and says why."""
    results = measured("nccl-tcp.txt", ranks="16", subject="pool/train")
    deployed = case(mesh=two_nodes(tmp_path), folder=tmp_path)
    pretrain = of(advised(deployed, MODELS[0], "pretrain=llama-3.3-70b,tokensPerStep=1e6", results=results), "pretrain")
    fabric = pretrain.figures[1]
    assert fabric.value == pytest.approx(64.1, abs=0.1)
    assert "4.13 GB/s measured here: nccl-tcp.txt, 2026-11-29" in fabric.basis
    assert pretrain.notes[0] == "NCCL fell back to TCP sockets over eth0: the fabric's adapters were not used"
    mended = pretrain.changes[0]
    assert mended.what == "the fabric at the 437 GB/s of its machines, instead of 4.08"
    assert mended.usd_per_hour == 0
    assert "fabrics.backend.expect: 0.8" in mended.how


def test_a_nominal_bandwidth_is_no_change_that_can_be_had() -> None:
    """Four nodes of p5.48xlarge are not published; 3,200 Gbps of each are on paper."""
    results = measured("nccl-tcp.txt", ranks="32", subject="pool/train")
    pretrain = of(advised(case(), *MODELS, results=results), "pretrain")
    assert not [change.what for change in pretrain.changes if "GB/s of its machines" in change.what]


def test_a_gang_in_a_larger_pool_is_held_against_what_its_own_ranks_can_reach(tmp_path: Path) -> None:
    """Two of four nodes: 437 GB/s are published of two, and nothing of four."""
    mesh = MESH.replace("    nodes: 4                                             #", "    nodes: 2  #")
    deployed = case(mesh=mesh, folder=tmp_path)
    assert (deployed.deployment.pool("train").nodes, deployed.deployment.workload("pretrain").replicas) == (4, 2)
    results = measured("nccl-tcp.txt", ranks="16", subject="pool/train")
    pretrain = of(advised(deployed, MODELS[0], "pretrain=llama-3.3-70b,tokensPerStep=1e6", results=results), "pretrain")
    assert pretrain.changes[0].what == "the fabric at the 437 GB/s of its machines, instead of 4.08"


def test_two_nodes_of_a_rack_are_not_told_of_the_bandwidth_of_eighteen() -> None:
    """847 GB/s are published of 72 ranks, and nothing of eight."""
    example = case("cw")
    of_rack = {"machine": "gb200-4x", "nodes": 18, "gpus_per_node": 4}
    pools = tuple(
        pool.model_copy(update=of_rack) if pool.name == "train" else pool for pool in example.deployment.pools
    )
    gang = example.deployment.workload("pretrain").model_copy(update={"replicas": 2, "accelerators": 4})
    deployed = example.deployment.model_copy(update={"pools": pools, "workloads": (gang,)})
    results = tuple(
        dataclasses.replace(each, value=240.0, taken=dataclasses.replace(each.taken, machine="gb200-4x"))
        for each in measured("nccl-tcp.txt", ranks="8", size_bytes="8589934592", subject="pool/train")
    )
    pretrain = of(advised(Case(example.declared, deployed), MODELS[1], results=results), "pretrain")
    assert "240 GB/s measured here: nccl-tcp.txt" in pretrain.figures[1].basis
    assert not [change for change in pretrain.changes if "GB/s of its machines" in change.what]
    assert not [note for note in pretrain.notes if "847" in note]


def test_a_fall_back_to_tcp_is_named_for_a_gang_of_another_size(tmp_path: Path) -> None:
    """`bench` takes all nodes of a pool: what is wrong with its fabric is wrong for the gang as well."""
    mesh = MESH.replace("    nodes: 4                                             #", "    nodes: 3  #")
    results = measured("nccl-tcp.txt", ranks="16", subject="pool/train")
    pretrain = of(advised(case(mesh=mesh, folder=tmp_path), *MODELS, results=results), "pretrain")
    assert pretrain.figures[1].value is None
    assert pretrain.notes[0] == "NCCL fell back to TCP sockets over eth0: the fabric's adapters were not used"
    assert pretrain.notes[1].startswith("16 ranks of pool train were measured to get 4.08 of 437 GB/s (nccl-tcp.txt,")
    assert pretrain.notes[1].endswith(": look for the reason before this gang of 24")


def test_a_gang_of_one_node_uses_no_fabric(tmp_path: Path) -> None:
    mesh = MESH.replace("    nodes: 4                                             #", "    nodes: 1  #")
    results = measured("nccl-tcp.txt", ranks="32", subject="pool/train")
    notes = of(advised(case(mesh=mesh, folder=tmp_path), *MODELS, results=results), "pretrain").notes
    assert not [note for note in notes if "TCP" in note or "ranks" in note]


def test_a_measured_bandwidth_is_held_against_what_was_published_for_its_own_size(tmp_path: Path) -> None:
    """For p5.48xlarge 1 GiB was published and 2 GiB was not; gradients of 141 GB are nearest to 16 GiB."""
    deployed = case(mesh=two_nodes(tmp_path), folder=tmp_path)
    results = measured("nccl-tcp.txt", ranks="16", subject="pool/train")
    gibibyte = tuple(each for each in results if each.setting["size_bytes"] == str(2**30))
    fabric = of(advised(deployed, *MODELS, results=gibibyte), "pretrain").figures[1]
    assert "4.08 GB/s measured here, 1% of the 437 published for its size (" in fabric.basis
    assert "published" not in of(advised(deployed, *MODELS, results=results), "pretrain").figures[1].basis


def test_recordings_and_other_machines_were_not_measured_here(tmp_path: Path) -> None:
    deployed = case(mesh=two_nodes(tmp_path), folder=tmp_path)
    recordings = recorded("nccl-tcp.txt", ranks="16", subject="pool/train")
    elsewhere = tuple(
        dataclasses.replace(each, taken=dataclasses.replace(each.taken, machine="p4d.24xlarge"))
        for each in measured("nccl-tcp.txt", ranks="16", subject="pool/train")
    )
    disk = recorded("fio-limited-write.json", subject="storage/checkpoints")
    pretrain = of(advised(deployed, *MODELS, results=(*recordings, *elsewhere, *disk)), "pretrain")
    assert pretrain.figures[1].basis.startswith("141 GB; 487 GB/s published")
    assert all(note.startswith("replayed: ") for note in pretrain.notes if "TCP" in note)
    assert pretrain.figures[2].value is None


def test_results_of_another_number_of_ranks_are_left_alone() -> None:
    results = measured("nccl-coreweave-h100.txt", subject="pool/train")
    assert of(advised(case(), *MODELS, results=results), "pretrain").figures[1].value is None


def test_a_slow_disk_is_the_bottleneck() -> None:
    """A folder that gives each of four nodes 5 MB/s, measured by fio on one of them."""
    results = measured("fio-limited-write.json", value=5.0, subject="storage/checkpoints")
    pretrain = of(advised(case(), *MODELS, results=results), "pretrain")
    storage = pretrain.figures[2]
    assert storage.value == pytest.approx(14 * 70.6e9 / 20e6, rel=0.001)
    assert "write measured by one client (5 MB/s: fio-limited-write.json, 2026-11-29), 4 nodes as fast" in storage.basis
    assert pretrain.bottleneck == "storage"


def test_a_file_system_that_gives_less_than_was_bought_is_to_be_mended_and_not_bought_again(tmp_path: Path) -> None:
    mesh = MESH.replace("checkpoint: {storage: checkpoints,", "checkpoint: {storage: shared,")
    results = measured("fio-limited-write.json", value=5.0, subject="storage/shared")
    pretrain = of(advised(case(mesh=mesh, folder=tmp_path), *MODELS, results=results), "pretrain")
    assert pretrain.bottleneck == "storage"
    (change,) = pretrain.changes
    assert change.what == "what was bought of storage shared, of which 4 nodes get 1%"
    assert change.usd_per_hour == 0
    assert change.effect == "the same in 422 instead of 49,420 s"


def test_the_fastest_job_of_the_newest_date_is_the_rate_of_a_client() -> None:
    """A file of fio may have many jobs, of which the first is often the one with small blocks."""
    small, large = (measured("fio-limited-write.json", value=rate, subject="storage/checkpoints") for rate in (5, 50))
    older = tuple(
        dataclasses.replace(each, value=500.0, taken=dataclasses.replace(each.taken, date="2026-10-01"))
        for each in small
    )
    pretrain = of(advised(case(), *MODELS, results=(*small, *large, *older)), "pretrain")
    assert pretrain.figures[2].value == pytest.approx(14 * 70.6e9 / 200e6, rel=0.001)


def test_clients_get_no_more_together_than_was_bought(tmp_path: Path) -> None:
    mesh = MESH.replace("checkpoint: {storage: checkpoints,", "checkpoint: {storage: shared,")
    results = measured("fio-limited-write.json", value=25000.0, subject="storage/shared")
    storage = of(advised(case(mesh=mesh, folder=tmp_path), *MODELS, results=results), "pretrain").figures[2]
    assert storage.value == pytest.approx(14 * 70.6e9 / 2343.75e6, rel=0.001)
    assert "(25,000 MB/s: " in storage.basis
    assert "but no more than was bought: fsx-lustre: 500 MB/s per TiB of 4800 GiB" in storage.basis


RUN = {"subject": "workload/chat", "model": "meta-llama/Llama-3.3-70B-Instruct-FP8"}
RUN |= {"input_tokens": "1002", "output_tokens": "991"}


def test_a_measured_server_that_is_too_slow_is_named() -> None:
    """Both replicas together gave 6,583."""
    results = measured("vllm-bench-serve.json", RUN)
    chat = of(advised(case(), *MODELS, results=results), "chat")
    assert chat.figures[0].measured == 6582.87 / 2
    assert chat.notes[0].startswith(
        "measured 3,291 tokens/s (6,583 of 2 replicas together, vllm-bench-serve.json, 2026-11-29), less than"
    )


def test_a_run_may_say_how_many_replicas_it_had() -> None:
    four = measured("vllm-bench-serve.json", RUN, replicas="4")
    assert of(advised(case(), *MODELS, results=four), "chat").figures[0].measured == 6582.87 / 4
    unknown = measured("vllm-bench-serve.json", RUN, replicas="2 to 6")
    assert of(advised(case(), *MODELS, results=unknown), "chat").figures[0].measured is None


def test_where_load_moves_replicas_a_run_is_expected_between_the_least_and_the_most() -> None:
    expected = {"aws-east": comparison.Expectations(deployment=deployment(), catalog=load_catalog())}
    rows = {
        count: comparison.rows({"aws-east": measured("vllm-bench-serve.json", RUN, replicas=count)[:1]}, expected)[0]
        for count in ("1", "2 to 6", "0")
    }
    low, high = rows["1"].low, rows["1"].high
    assert low is not None
    assert high is not None
    assert rows["2 to 6"].low == pytest.approx(2 * low)
    assert rows["2 to 6"].high == pytest.approx(6 * high)
    assert rows["2 to 6"].basis.startswith("2 to 6 x a replica at full load, by the formula")
    assert (rows["0"].verdict, rows["0"].basis) == ("no expectation known", "none of its replicas runs")


@pytest.mark.parametrize(
    "setting",
    [
        {"model": "meta-llama/Llama-3.1-8B-Instruct"},
        {"model": "acme/unknown"},
        {"model": ""},
        {"input_tokens": "230"},
        {"output_tokens": ""},
        {"tokens": "128/128"},
    ],
    ids=str,
)
def test_a_run_of_another_setting_is_not_shown_beside_a_prediction(setting: dict[str, str]) -> None:
    results = measured("vllm-bench-serve.json", {**RUN, **setting})
    assert of(advised(case(), *MODELS, results=results), "chat").figures[0].measured is None


def test_a_recorded_run_is_not_shown_beside_a_prediction() -> None:
    results = recorded("vllm-bench-serve.json", RUN)
    assert of(advised(case(), *MODELS, results=results), "chat").figures[0].measured is None


def test_a_server_may_have_a_name_of_its_own_for_its_model() -> None:
    """The example's arguments name a folder, /models/llama, and so its server does."""
    results = measured("vllm-bench-serve.json", {**RUN, "model": "/models/llama"})
    assert of(advised(case(), *MODELS, results=results), "chat").figures[0].measured is not None


def test_what_is_unknown_can_be_measured_by_a_command_that_runs() -> None:
    """`bench` writes to what some workload writes to, and not to a bucket with weights that is only read."""
    example = case()
    made = advised(example, *MODELS)
    _, fabric, checkpoints = of(made, "pretrain").figures
    assert checkpoints.basis == (
        "no expectation known for storage checkpoints; `meshctl bench aws-east --what storage --of storage/checkpoints`"
        " measures it"
    )
    assert bench_storage.runs(example.deployment, "storage/checkpoints", bench_storage.checked_size(1, 10))
    assert fabric.basis.endswith("`meshctl bench aws-east --what fabric --of pool/train` measures it")
    assert bench_fabric.runs(example.deployment, "pool/train")
    assert of(made, "chat").figures[2].basis == (
        "no expectation known for storage weights; `meshctl bench aws-east --from FILE --of storage/weights` reads what"
        " fio has measured on its mount"
    )
    with pytest.raises(UsageError, match="can't be measured"):
        bench_storage.runs(example.deployment, "storage/weights", bench_storage.checked_size(1, 10))


def test_a_gang_smaller_than_its_pool_is_measured_with_as_many_nodes(tmp_path: Path) -> None:
    mesh = MESH.replace("    nodes: 4                                             #", "    nodes: 3  #")
    basis = of(advised(case(mesh=mesh, folder=tmp_path), *MODELS), "pretrain").figures[1].basis
    assert basis.endswith("`meshctl bench aws-east --what fabric --of pool/train --nodes 3` measures it")


def test_a_mixture_of_experts_says_that_its_error_is_larger() -> None:
    chat = of(advised(case(), "chat=gpt-oss-120b"), "chat")
    assert chat.figures[0].value is not None
    assert "error -35 % to +53 %" in chat.figures[0].basis
    assert chat.notes == ("a mixture of experts: the error is larger, see docs/advise.md",)


def test_a_state_that_is_too_large_is_named() -> None:
    pretrain = of(advised(case(), "pretrain=llama-3.1-405b"), "pretrain")
    assert pretrain.notes[0] == "its state of 6,494 GB is more than the 2,560 GB of all its accelerators"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chat", "names no model"),
        ("chat=", "names no model"),
        ("chat=llama-9-1b", "nothing is known of a model"),
        ("chat=params=-1", "no number above 0"),
        ("chat=params=many", "no number above 0"),
        ("chat=parms=7e9", 'has no "parms"; did you mean "params"'),
        ("chat=params=nan", "no number above 0"),
        ("chot=llama-3.3-70b", 'no workload "chot" with accelerators; did you mean "chat"'),
        ("console=llama-3.3-70b", 'no workload "console" with accelerators'),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        advised(case(), text)


def test_numbers_of_a_model_that_nobody_knows() -> None:
    chat = of(advised(case(), "chat=params=70.6e9,bytes=1,kvBytes=1,layers=80,kvHeads=8,headDim=128"), "chat")
    known = of(advised(case(), MODELS[0]), "chat")
    assert chat.figures[0].value == known.figures[0].value


def test_without_the_size_of_its_cache_nothing_is_predicted() -> None:
    chat = of(advised(case(), "chat=params=7e9"), "chat")
    assert chat.why == "the size of its key-value cache is not known: say layers=…,kvHeads=…,headDim=…"


def test_names_and_numbers_may_be_given_together() -> None:
    assert facts.parse("chat=llama-3.3-70b,bytes=0.5") == ("chat", facts.Given("llama-3.3-70b", {"bytes": 0.5}))

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from meshctl.advise import advice, facts
from meshctl.advise.figures import Change, smallest_first
from meshctl.catalog import load_catalog
from meshctl.errors import UsageError
from tests.unit.advise.situations import EXAMPLE, MODELS, advised, deployment, of, recorded

MESH = (EXAMPLE / "mesh.yaml").read_text(encoding="utf-8")


def test_a_published_setting_is_predicted_as_it_was_measured() -> None:
    """2 x H100 in FP8, 2,209 tokens/s for each: the mesh has 8, so the weights are split further."""
    chat = of(advised(deployment(), *MODELS), "chat")
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
    changes = of(advised(deployment(), "chat=llama-3.3-70b"), "chat").changes
    assert [(each.what, each.usd_per_hour) for each in changes] == [
        ("weights in FP8", 0),
        ("one more replica on 1 more node", 55.04),
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
    chat = of(advised(deployment(mesh=mesh, folder=tmp_path), "chat=llama-3.3-70b"), "chat")
    assert chat.figures[0].value is None
    assert chat.why.startswith("it does not fit: 142 GB of weights and one sequence for each of 1 GPU")
    assert chat.changes == ()


def test_nothing_is_said_of_an_unknown_model() -> None:
    chat = of(advised(deployment()), "chat")
    assert chat.why == 'nothing is known of its model "/models/llama"; say --model chat=NAME or params=…'
    assert {figure.value for figure in chat.figures} == {None}


def test_the_arguments_of_a_server_name_its_model(tmp_path: Path) -> None:
    mesh = MESH.replace(
        "args: [--model, /models/llama,", "args: [--model, /models/x, --served-model-name, acme/Llama-3.3-70B-FP8,"
    )
    chat = of(advised(deployment(mesh=mesh, folder=tmp_path)), "chat")
    assert "llama-3.3-70b (by its --served-model-name) at 1 bytes per weight" in chat.setting


def test_an_all_reduce_of_other_numbers_of_nodes_says_nothing() -> None:
    fabric = of(advised(deployment(), *MODELS), "pretrain").figures[1]
    assert fabric.value is None
    assert fabric.basis.startswith("no expectation known for 4 nodes of p5.48xlarge (published only with 2 nodes")


def two_nodes(folder: Path) -> str:
    return MESH.replace("    nodes: 4\n", "    nodes: 2\n").replace("    nodes: 4   ", "    nodes: 2   ")


def test_the_published_bus_bandwidth_of_the_same_nodes_is_used(tmp_path: Path) -> None:
    pretrain = of(advised(deployment(mesh=two_nodes(tmp_path), folder=tmp_path), *MODELS), "pretrain")
    fabric = pretrain.figures[1]
    assert fabric.value == pytest.approx(2 * 15 / 16 * 2 * 70.6e9 / 487e9)
    assert "awsome-distributed-training" in fabric.basis
    assert pretrain.bottleneck == "compute"
    assert pretrain.changes[0].what == "one more node"


def test_a_fall_back_to_tcp_is_the_bottleneck_and_is_named(tmp_path: Path) -> None:
    """The recorded run has 4.13 GB/s, and says why."""
    results = recorded("nccl-tcp.txt", ranks="16", subject="pool/train")
    deployed = deployment(mesh=two_nodes(tmp_path), folder=tmp_path)
    pretrain = of(advised(deployed, MODELS[0], "pretrain=llama-3.3-70b,tokensPerStep=1e6", results=results), "pretrain")
    fabric = pretrain.figures[1]
    assert fabric.value == pytest.approx(64.1, abs=0.1)
    assert "4.13 GB/s measured here, 1% of the 487 published" in fabric.basis
    assert "replayed" in fabric.basis
    assert pretrain.notes[0] == "NCCL fell back to TCP sockets over eth0: the fabric's adapters were not used"


def test_results_of_another_number_of_ranks_are_left_alone() -> None:
    results = recorded("nccl-coreweave-h100.txt", subject="pool/train")
    assert of(advised(deployment(), *MODELS, results=results), "pretrain").figures[1].value is None


def test_a_slow_disk_is_the_bottleneck() -> None:
    """A folder that takes 21 MB/s, measured by fio."""
    results = recorded("fio-limited-write.json", subject="storage/checkpoints")
    pretrain = of(advised(deployment(), *MODELS, results=results), "pretrain")
    storage = pretrain.figures[2]
    assert storage.value == pytest.approx(14 * 70.6e9 / 21.143e6, rel=0.001)
    assert pretrain.bottleneck == "storage"


@pytest.mark.parametrize("has_price", [True, False])
def test_faster_storage_has_its_price_where_the_catalog_has_both(tmp_path: Path, has_price: bool) -> None:
    mesh = MESH.replace("checkpoint: {storage: checkpoints,", "checkpoint: {storage: shared,")
    mesh = mesh.replace("size: 4800GiB, throughput: 1.2GB/s, ephemeral: true", "size: 1200GiB, throughput: 0.1GB/s")
    deployed = deployment(mesh=mesh, folder=tmp_path)
    (system,) = deployed.file_systems
    assert system.per_unit_throughput == 125
    row = next(each for each in load_catalog().storage["aws"] if each.service.endswith("-125"))
    double = dataclasses.replace(row, service=row.service.replace("125", "250"), usd_per_gb_month=1.0)
    rows = (row, double) if has_price else (row,)
    catalog = dataclasses.replace(load_catalog(), storage={"aws": rows})
    slow = dataclasses.replace(recorded("fio-limited-write.json")[0], setting={"subject": "storage/shared"})
    made = advice.of_environment(deployed, catalog, (slow,), dict(map(facts.parse, MODELS)), (1000, 1000))
    change = next(each for each in of(made, "pretrain").changes if each.what.startswith("twice the throughput"))
    more_usd = (system.price.usd_per_hour or 0) * (1.0 / 0.145 - 1)
    assert change.usd_per_hour == (pytest.approx(more_usd, abs=1e-3) if has_price else None)


def test_a_measured_server_that_is_too_slow_is_named() -> None:
    results = recorded("vllm-bench-serve.json", subject="workload/chat")
    chat = of(advised(deployment(), *MODELS, results=results), "chat")
    assert chat.figures[0].measured == 6582.87
    assert chat.notes[0].startswith("measured 6,583 tokens/s (vllm-bench-serve.json, 2026-11-29, replayed), less than")


def test_a_mixture_of_experts_says_that_its_error_is_larger() -> None:
    chat = of(advised(deployment(), "chat=gpt-oss-120b"), "chat")
    assert chat.figures[0].value is not None
    assert "error -35 % to +53 %" in chat.figures[0].basis
    assert chat.notes == ("a mixture of experts: the error is larger, see docs/advise.md",)


def test_a_state_that_is_too_large_is_named() -> None:
    pretrain = of(advised(deployment(), "pretrain=llama-3.1-405b"), "pretrain")
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
        advised(deployment(), text)


def test_numbers_of_a_model_that_nobody_knows() -> None:
    chat = of(advised(deployment(), "chat=params=70.6e9,bytes=1,kvBytes=1,layers=80,kvHeads=8,headDim=128"), "chat")
    known = of(advised(deployment(), MODELS[0]), "chat")
    assert chat.figures[0].value == known.figures[0].value


def test_without_the_size_of_its_cache_nothing_is_predicted() -> None:
    chat = of(advised(deployment(), "chat=params=7e9"), "chat")
    assert chat.why == "the size of its key-value cache is not known: say layers=…,kvHeads=…,headDim=…"


def test_names_and_numbers_may_be_given_together() -> None:
    assert facts.parse("chat=llama-3.3-70b,bytes=0.5") == ("chat", facts.Given("llama-3.3-70b", {"bytes": 0.5}))

from __future__ import annotations

import dataclasses

import pytest

from meshctl.advise import formulas
from meshctl.advise.formulas import DoesNotFit, Load, Throughput
from meshctl.catalog import load_catalog, measured, models, speeds
from meshctl.catalog.measured import Serving
from meshctl.catalog.speeds import Accelerator

WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}


def load_of(row: Serving) -> Load:
    """The published runs keep the cache in FP8."""
    model = models.by_name(row.model)
    assert model is not None
    weight_bytes = model.weight_bytes if model.weight_bytes < 1 else WEIGHT_BYTES[row.precision]
    return Load(
        model=model,
        precision=row.precision,
        weight_bytes=weight_bytes,
        kv_bytes=1,
        gpus=row.gpus,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )


def accelerator(name: str, memory_gb: float) -> Accelerator:
    row = speeds.of_model(name, memory_gb)
    assert row is not None
    return row


def points() -> list[Serving]:
    return [row for row in measured.servings() if not row.incomparable]


def name_of(row: Serving) -> str:
    return f"{row.model} {row.precision} on {row.gpus} x {row.accelerator}, {row.input_tokens}/{row.output_tokens}"


@pytest.mark.parametrize("row", points(), ids=name_of)
def test_every_published_point_is_within_the_band_of_its_prediction(row: Serving) -> None:
    predicted = formulas.throughput(load_of(row), accelerator(row.accelerator, row.memory_gb))
    assert isinstance(predicted, Throughput)
    assert row.tokens_per_s is not None
    ratio = row.tokens_per_s / predicted.tokens_per_s
    assert predicted.band.low <= ratio <= predicted.band.high


def test_points_that_are_not_predicted_say_why() -> None:
    left_out = [row for row in measured.servings() if row.incomparable]
    assert len(left_out) == 4
    assert len(points()) == 20
    assert all(row.tokens_per_s is None for row in left_out)


def test_the_band_is_no_wider_than_the_points_need() -> None:
    """A band that holds whatever happens would say nothing. The points are those that the formula was fitted to: this
    shows that they still fit, and not how well another setting is predicted."""
    for is_mixture in (False, True):
        ratios = []
        for row in points():
            load = load_of(row)
            predicted = formulas.throughput(load, accelerator(row.accelerator, row.memory_gb))
            assert isinstance(predicted, Throughput)
            if load.model.is_mixture is is_mixture:
                ratios.append((row.tokens_per_s or 0) / predicted.tokens_per_s)
        band = formulas.MIXTURE_BAND if is_mixture else formulas.DENSE_BAND
        assert 0.95 * band.high < max(ratios) <= band.high
        assert band.low <= min(ratios) < 1.05 * band.low


def test_the_key_value_cache_of_llama_70b() -> None:
    load = load_of(points()[0])
    assert formulas.kv_bytes_per_token(load) == 160 * 1024
    assert formulas.kv_bytes_per_token(dataclasses.replace(load, kv_bytes=2)) == 320 * 1024


def test_a_model_that_is_too_large_does_not_fit() -> None:
    load = dataclasses.replace(load_of(points()[0]), gpus=1, weight_bytes=2, precision="bf16")
    predicted = formulas.throughput(load, accelerator("H100", 80))
    assert isinstance(predicted, DoesNotFit)
    assert predicted.needed_bytes > 141e9
    assert predicted.usable_bytes == pytest.approx(72e9)


@pytest.mark.parametrize(
    ("ranks", "bus_gbps", "seconds"), [(16, 487, 0.54), (96, 386.56, 0.717), (16, 78.3, 3.35)], ids=str
)
def test_gradients_of_a_70b_model(ranks: int, bus_gbps: float, seconds: float) -> None:
    size_bytes = formulas.gradient_bytes(70e9)
    assert formulas.all_reduce_s(size_bytes, ranks, bus_gbps * 1e9) == pytest.approx(seconds, rel=0.01)


# the time that nccl-tests has printed for the size, in microseconds
PRINTED_US = {(96, 536870912): 2979.7, (96, 1073741824): 5808.0, (96, 8589934592): 43980, (72, 8589934592): 20006}
PRINTED_US |= {(144, 8589934592): 21493, (1440, 8589934592): 44930}


@pytest.mark.parametrize(("run", "microseconds"), PRINTED_US.items(), ids=str)
def test_the_time_of_an_all_reduce_is_the_printed_one(run: tuple[int, int], microseconds: float) -> None:
    ranks, size_bytes = run
    row = next(each for each in measured.all_reduces() if (each.ranks, each.size_bytes) == run)
    seconds = formulas.all_reduce_s(size_bytes, ranks, row.bytes_per_s)
    assert seconds * 1e6 == pytest.approx(microseconds, rel=0.002)


def test_a_checkpoint_of_a_70b_model() -> None:
    size_bytes = formulas.checkpoint_bytes(70e9)
    assert size_bytes == pytest.approx(0.98e12)
    assert formulas.transfer_s(912e9, 11.6 * 2**30, 8, 8.9 * 2**30) == pytest.approx(73, rel=0.01)
    assert formulas.transfer_s(912e9, 11.6 * 2**30, 1, 8.9 * 2**30) == pytest.approx(95, rel=0.01)


def test_young_has_the_interval() -> None:
    assert formulas.checkpoint_interval_s(72, 3600 * 4) == pytest.approx(1440)


def test_a_million_tokens_of_a_p5() -> None:
    assert formulas.usd_per_million_tokens(55.04, 8 * 2209) == pytest.approx(0.87, abs=0.005)


@pytest.mark.parametrize(
    ("spelled", "memory_gb", "model"),
    [
        ("NVIDIA-H100-80GB-HBM3", 79.6, "H100"),
        ("NVIDIA L40S", 48, "L40S"),
        ("L40", 48, "L40"),
        ("GB200", 186, "GB200"),
        ("RTX PRO 6000 Blackwell SE", 96, "RTX PRO 6000 Blackwell SE"),
    ],
)
def test_an_accelerator_is_known_by_its_words(spelled: str, memory_gb: float, model: str) -> None:
    assert accelerator(spelled, memory_gb).model == model


def test_memory_tells_accelerators_of_one_name() -> None:
    assert accelerator("A100", 40).memory_bytes_per_s == 1555e9
    assert accelerator("NVIDIA-A100-SXM4-80GB", 80).memory_bytes_per_s == 2039e9
    assert speeds.of_model("Vera Rubin", 288) is None


@pytest.mark.parametrize(
    ("spelled", "memory_gb", "model", "memory_gbps", "bf16_tflops"),
    [
        ("NVIDIA-H100-PCIe", 80, "H100 PCIe", 2039, 756),
        ("NVIDIA-H100-NVL", 94, "H100 NVL", 3938, 835),
        ("NVIDIA-H200-NVL", 141, "H200 NVL", 4800, 835),
        ("NVIDIA-A100-PCIE-40GB", 40, "A100 PCIe", 1555, 312),
        ("NVIDIA-A100-80GB-PCIe", 80, "A100 PCIe", 1935, 312),
        ("NVIDIA-H100-80GB-HBM3", 80, "H100", 3350, 989),
    ],
)
def test_cards_are_not_the_modules_of_their_name(
    spelled: str, memory_gb: float, model: str, memory_gbps: float, bf16_tflops: float
) -> None:
    row = accelerator(spelled, memory_gb)
    assert (row.model, row.memory_bytes_per_s, row.flops["bf16"]) == (model, memory_gbps * 1e9, bf16_tflops * 1e12)


@pytest.mark.parametrize("spelled", ["NVIDIA-B200-PCIe", "NVIDIA H200 PCIe", "A100 NVL"])
def test_of_a_card_without_a_row_nothing_is_known(spelled: str) -> None:
    assert speeds.of_model(spelled, 141) is None


def test_every_row_is_of_a_machine_or_accelerator_that_the_catalog_has() -> None:
    catalog = load_catalog()
    machines = {machine.name for rows in catalog.machines.values() for machine in rows}
    accelerators = {machine.gpu_model for rows in catalog.machines.values() for machine in rows}
    assert {row.machine for row in measured.all_reduces()} <= machines
    cards = {"H100 PCIe", "H100 NVL", "H200 NVL", "A100 PCIe"}  # only nodes that are given have them
    assert {row.model for row in speeds.accelerators()} - cards <= accelerators
    assert {row.accelerator for row in measured.servings()} <= accelerators


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-V3-671B", "deepseek-r1"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("acme/Llama-3.3-70B-Instruct-8bit", "llama-3.3-70b"),
    ],
)
def test_a_model_is_known_by_a_part_of_its_name(name: str, known: str) -> None:
    model = models.by_name(name)
    assert model is not None
    assert model.name == known


@pytest.mark.parametrize(
    "name",
    [
        "acme/secret-9b",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
        "acme/Llama-3.1-8B-distilled-from-Llama-3.1-405B",
        "acme/Llama-3.1-8B-draft-of-Llama-3.1-405B",
        "acme/deepseek-r1-qwen-1.5b",
    ],
)
def test_of_other_models_nothing_is_known(name: str) -> None:
    """A model that learned from a larger one has that one's name in its own, and not its size."""
    assert models.by_name(name) is None

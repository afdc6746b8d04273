"""How fast accelerators, fabric and storage let a model be served and trained, each formula with its error. PURE.

Called by `inference` and `training`. Units are bytes, seconds and tokens; rates are per second. The serving formula was
fitted to the published points that tests/unit/advise/test_formulas.py holds it against (meshctl/catalog/measured.yaml):
that shows that it still fits them, and proves nothing of other settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from meshctl.catalog.models import Model
from meshctl.catalog.speeds import Accelerator

# Of the sum of both times. Dense: twelve points of H100, H200, B200, GB200 and RTX PRO 6000 need 0.51 to 0.76.
# Mixtures of experts: eight points of GPT-OSS and DeepSeek R1 need 0.15 to 0.36, as experts are not all busy and
# tokens are exchanged between GPUs, which the formula does not have.
_DENSE: Final = 0.57
_MIXTURE: Final = 0.235
_USABLE_MEMORY: Final = 0.9  # what model servers take by default (vLLM, --gpu-memory-utilization)
_PREFILL_SHARE: Final = 0.4  # of the dense FLOPS, while a prompt is read
_DECODE_SHARE: Final = 0.6  # of the memory bandwidth, while one sequence is written
TRAINING_SHARE: Final = 0.4  # of the dense FLOPS; "The Llama 3 Herd of Models", table 4: 38 to 43 % with BF16


@dataclass(frozen=True, slots=True)
class Band:
    """How far a measurement may be from a prediction of 1: from `low` to `high`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low - 1:+.0%} to {self.high - 1:+.0%}".replace("%", " %")


# what the fitted points need, both ends rounded outwards
DENSE_BAND: Final = Band(0.88, 1.34)
MIXTURE_BAND: Final = Band(0.65, 1.53)
TRAINING_BAND: Final = Band(0.75, 1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A model as it is served. `gpus`: over which its weights are split; `weight_bytes`, `kv_bytes`: per parameter, and
    per number of the key-value cache; `input_tokens`, `output_tokens`: of one request."""

    model: Model
    precision: str
    weight_bytes: float
    kv_bytes: float
    gpus: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Output tokens per second and GPU at full load. `memory_limit`, `compute_limit`: what either alone would allow.
    `sequences`: that fit into the memory of all GPUs of a replica."""

    tokens_per_s: float
    memory_limit: float
    compute_limit: float
    sequences: float
    band: Band

    @property
    def bottleneck(self) -> str:
        return "memory bandwidth" if self.memory_limit < self.compute_limit else "compute"


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """`needed_bytes` of weights and one sequence, of the memory that a server can use on each GPU."""

    needed_bytes: float
    usable_bytes: float


def kv_bytes_per_token(load: Load) -> float:
    """160 KiB for Llama 70B at FP8: 2 * 80 layers * 8 heads * 128 numbers."""
    return load.model.kv_values * load.kv_bytes


def throughput(load: Load, accelerator: Accelerator) -> Throughput | DoesNotFit:
    """The time of memory and the time of compute, one after the other, and a constant share of that.

    B = (0.9 memory - P b / gpus) / (kv / gpus * (isl + osl)) sequences fit. Memory alone allows
    M = B / gpus / ((P b / gpus + B kv / gpus (isl + osl / 2)) / bandwidth) tokens/s for each GPU, compute alone
    C = FLOPS / (2 P_active (isl + osl) / osl). The prediction is share / (1/M + 1/C).

    Raises: KeyError where the accelerator has no such precision; see `Accelerator.flops`.
    """
    weights = load.model.params * load.weight_bytes / load.gpus
    kv = kv_bytes_per_token(load) / load.gpus
    tokens = load.input_tokens + load.output_tokens
    usable = _USABLE_MEMORY * accelerator.memory_bytes
    sequences = (usable - weights) / (kv * tokens)
    if sequences < 1:
        return DoesNotFit(weights + kv * tokens, usable)
    step_s = (weights + sequences * kv * (load.input_tokens + load.output_tokens / 2)) / accelerator.memory_bytes_per_s
    memory_limit = sequences / load.gpus / step_s
    operations = 2 * load.model.active * tokens / load.output_tokens
    compute_limit = accelerator.flops[load.precision] / operations
    share, band = (_MIXTURE, MIXTURE_BAND) if load.model.is_mixture else (_DENSE, DENSE_BAND)
    return Throughput(
        tokens_per_s=share / (1 / memory_limit + 1 / compute_limit),
        memory_limit=memory_limit,
        compute_limit=compute_limit,
        sequences=sequences,
        band=band,
    )


def first_token_s(load: Load, accelerator: Accelerator) -> float:
    """Without other load; inferred, not checked against measurements."""
    operations = 2 * load.model.active * load.input_tokens
    return operations / (load.gpus * accelerator.flops[load.precision] * _PREFILL_SHARE)


def token_s(load: Load, accelerator: Accelerator) -> float:
    """Of one sequence alone; inferred, not checked against measurements."""
    bytes_read = load.model.active * load.weight_bytes / load.gpus
    return bytes_read / (accelerator.memory_bytes_per_s * _DECODE_SHARE)


def all_reduce_s(size_bytes: float, ranks: int, bus_bytes_per_s: float) -> float:
    """2 (n-1)/n * S / busbw, by the definition of bus bandwidth (nccl-tests, doc/PERFORMANCE.md)."""
    return 2 * (ranks - 1) / ranks * size_bytes / bus_bytes_per_s


def gradient_bytes(params: float) -> float:
    """In 16 bit, as they are exchanged once a step."""
    return 2 * params


def checkpoint_bytes(params: float) -> float:
    """With Adam: 2 bytes of weights, 4 of the master copy, 8 of moments; some leave the 16 bit weights out (12)."""
    return 14 * params


def transfer_s(size_bytes: float, store_bytes_per_s: float, nodes: int, node_bytes_per_s: float) -> float:
    """Between a store and nodes that share the work: the slower side decides."""
    return size_bytes / min(store_bytes_per_s, nodes * node_bytes_per_s)


def checkpoint_interval_s(write_s: float, failure_s: float) -> float:
    """Young's: sqrt(2 * time of a checkpoint * mean time between failures)."""
    return math.sqrt(2 * write_s * failure_s)


def training_step_s(active: float, tokens: float, gpus: int, flops: float) -> float:
    """Six operations for each parameter and token: forward and backward."""
    return 6 * active * tokens / (gpus * flops * TRAINING_SHARE)


def usd_per_million_tokens(usd_per_hour: float, tokens_per_s: float) -> float:
    """At full load; divide by the share of the time that there is load."""
    return usd_per_hour / (tokens_per_s * 3600) * 1e6

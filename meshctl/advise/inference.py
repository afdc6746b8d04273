"""Three numbers for a model server, its bottleneck, and what helps. PURE. Called by `advice`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from meshctl.advise import edits, formulas, observed, other_machine, runs, storage
from meshctl.advise.edits import Edit
from meshctl.advise.facts import ModelFacts
from meshctl.advise.figures import Change, Figure, WorkloadAdvice, smallest_first
from meshctl.advise.formulas import DoesNotFit, Load, Throughput
from meshctl.advise.situation import Situation, best_of_newest, origin
from meshctl.catalog.speeds import Accelerator
from meshctl.measure import serving
from meshctl.model.mesh import Mesh
from meshctl.words import pluralize

_TOKENS: Final = "output tokens of a replica at full load"
_WEIGHTS: Final = "weights loaded at the start of a replica"
_PRECISIONS: Final = ("fp4", "fp8", "bf16")
_SIXTEEN_BIT: Final = 2


@dataclass(frozen=True, slots=True)
class _Prediction:
    load: Load
    accelerator: Accelerator
    throughput: Throughput

    @property
    def replica(self) -> float:
        """Output tokens per second."""
        return self.throughput.tokens_per_s * self.load.gpus


def advice(situation: Situation, facts: ModelFacts | str) -> WorkloadAdvice:
    """`facts`: what is known of the model, or why nothing is."""
    workload, pool = situation.workload, situation.pool
    predicted = _predicted(situation, facts)
    unpredicted = WorkloadAdvice(
        workload=workload.name,
        workload_kind=workload.kind,
        pool=pool.name,
        machine=pool.machine,
        setting=_setting(situation, facts),
        figures=(_compute(situation, facts, predicted), _fabric(situation), _storage(situation, facts)),
        bottleneck="",
        why=str(predicted),
        usd_per_hour=situation.usd_per_hour,
        latencies=observed.latencies(situation),
        notes=tuple(observed.other_images(situation)),
    )
    return unpredicted if isinstance(predicted, str) else _with_prediction(unpredicted, situation, predicted)


def _with_prediction(advice: WorkloadAdvice, situation: Situation, predicted: _Prediction) -> WorkloadAdvice:
    throughput, usd = predicted.throughput, situation.usd_per_hour
    whole = predicted.replica * situation.workload.at_least
    return replace(
        advice,
        bottleneck=throughput.bottleneck,
        why=_why(throughput),
        changes=smallest_first(list(_changes(situation, predicted))),
        useless=tuple(_useless(situation)),
        usd_per_million_tokens=formulas.usd_per_million_tokens(usd, whole) if usd is not None and whole else None,
        first_token_s=formulas.first_token_s(predicted.load, predicted.accelerator),
        token_s=formulas.token_s(predicted.load, predicted.accelerator),
        limits=_limits(predicted),
        notes=(*_notes(advice.figures, predicted), *advice.notes),
    )


def _predicted(situation: Situation, facts: ModelFacts | str) -> _Prediction | str:
    """Or why there is none, in words."""
    if isinstance(facts, str):
        return facts
    accelerator = situation.accelerator
    if accelerator is None:
        part = f" (slices {situation.pool.share})" if situation.pool.share else ""
        return f"memory bandwidth and FLOPS of {situation.pool.gpu_model or 'its accelerators'}{part} are not known"
    return _with(_load(situation, facts), accelerator)


def _load(situation: Situation, facts: ModelFacts) -> Load:
    return Load(
        model=facts.model,
        precision=facts.precision,
        weight_bytes=facts.weight_bytes,
        kv_bytes=facts.kv_bytes,
        gpus=situation.gpus,
        input_tokens=situation.input_tokens,
        output_tokens=situation.output_tokens,
    )


def _with(load: Load, accelerator: Accelerator) -> _Prediction | str:
    computing = _computing(load, accelerator)
    if not load.model.kv_values:
        return "the size of its key-value cache is not known: say layers=…,kvHeads=…,headDim=…"
    if not computing.precision:
        return f"the FLOPS of {accelerator.model} with {load.precision} weights are not known"
    throughput = formulas.throughput(computing, accelerator)
    if isinstance(throughput, DoesNotFit):
        return (
            f"it does not fit: {throughput.needed_bytes / 1e9:.0f} GB of weights and one sequence for each of"
            f" {pluralize(load.gpus, 'GPU')}, of which a server can use {throughput.usable_bytes / 1e9:.0f} GB"
        )
    return _Prediction(computing, accelerator, throughput)


def _computing(load: Load, accelerator: Accelerator) -> Load:
    """In the precision that the accelerator computes such weights in: the next wider one, as kernels unpack them."""
    order = _PRECISIONS[_PRECISIONS.index(load.precision) :]
    return replace(load, precision=next((each for each in order if each in accelerator.flops), ""))


def _setting(situation: Situation, facts: ModelFacts | str) -> str:
    """What the numbers hold for."""
    workload, pool = situation.workload, situation.pool
    where = f"{pluralize(workload.at_least, 'replica')} of {workload.accelerators} x {pool.gpu_model}"
    if workload.is_grouped:
        where += f" on {workload.nodes_per_replica} nodes each"
    if isinstance(facts, str):
        return where
    tokens = f"{situation.input_tokens} tokens in, {situation.output_tokens} out"
    return f"{where}, {facts.model.name} (by {facts.said_by}) at {facts.weight_bytes:g} bytes per weight, {tokens}"


def _compute(situation: Situation, facts: ModelFacts | str, predicted: _Prediction | str) -> Figure:
    beside = _measured(situation, facts)
    if isinstance(predicted, str):
        return Figure(kind="compute", metric=_TOKENS, unit="tokens/s", basis=predicted, **beside)
    throughput, accelerator = predicted.throughput, predicted.accelerator
    limits = f"{throughput.memory_limit:.0f} by memory and {throughput.compute_limit:.0f} by compute for each GPU"
    return Figure(
        kind="compute",
        metric=_TOKENS,
        unit="tokens/s",
        value=predicted.replica,
        low=predicted.replica * throughput.band.low,
        high=predicted.replica * throughput.band.high,
        basis=f"{limits}, error {throughput.band}; {accelerator.model}: {_source(accelerator)}",
        **beside,
    )


def _measured(situation: Situation, facts: ModelFacts | str) -> dict[str, Any]:
    """A run of the same model and tokens on the same machine. It goes through the endpoint, and so to all replicas;
    where load moves their number, the part of one is not known."""
    if isinstance(facts, str):
        return {}
    workload = situation.workload
    result = best_of_newest(
        row
        for row in situation.measured(serving.OUTPUT, f"workload/{workload.name}")
        if runs.is_of(row, workload, facts.model)
        and runs.has_tokens(row, (situation.input_tokens, situation.output_tokens))
    )
    least, most = runs.replicas(result, workload) if result is not None else (0, 0)
    if result is None or least != most or not least:
        return {}
    together = f"{result.value:,.0f} of {least} replicas together, " if least > 1 else ""
    return {"measured": result.value / least, "measured_source": f"{together}{origin(result)}"}


def _source(accelerator: Accelerator) -> str:
    doubt = "" if accelerator.verified else ", from memory"
    return f"{accelerator.source}, {accelerator.date}{doubt}"


def _fabric(situation: Situation) -> Figure:
    if not situation.workload.is_grouped:
        basis = "not used: a replica runs inside one node"
    else:
        basis = "no expectation known for a replica that is split over nodes; the numbers above leave it out"
    return Figure(kind="fabric", metric="traffic between nodes", unit="s", basis=basis)


def _storage(situation: Situation, facts: ModelFacts | str) -> Figure:
    """The time until a new replica has its weights, which is what scaling out and a restart wait for."""
    mount = _weights_mount(situation)
    rate = storage.rate(situation, mount, "read") if mount else None
    if isinstance(facts, str):
        return Figure(kind="storage", metric=_WEIGHTS, unit="s", basis=facts)
    if rate is None:
        basis = storage.unknown(situation, mount) if mount else "its weights are not on storage of the mesh"
        return Figure(kind="storage", metric=_WEIGHTS, unit="s", basis=basis)
    size_bytes = facts.model.params * facts.weight_bytes
    nodes, per_node = situation.nodes, situation.node_bytes_per_s
    seconds = formulas.transfer_s(size_bytes, rate.bytes_per_s, nodes, per_node or rate.bytes_per_s)
    return Figure(
        kind="storage", metric=_WEIGHTS, unit="s", value=seconds, basis=f"{size_bytes / 1e9:.0f} GB; {rate.basis}"
    )


def _weights_mount(situation: Situation) -> str:
    """The storage that it reads and doesn't write: by that a server's weights differ from its caches."""
    read_only = (mount.storage for mount in situation.workload.mounts if mount.read_only)
    return next(read_only, "")


def _why(throughput: Throughput) -> str:
    """Both count, as their times add up; so what either would give is said as well."""
    memory_s, compute_s = 1 / throughput.memory_limit, 1 / throughput.compute_limit
    doubled = {
        name: (memory_s + compute_s) / (memory_s + compute_s - part / 2) - 1
        for name, part in (("FLOPS", compute_s), ("memory bandwidth", memory_s))
    }
    gains = ", ".join(f"twice the {name} {gain:+.0%}" for name, gain in doubled.items())
    share = max(memory_s, compute_s) / (memory_s + compute_s)
    return f"{share:.0%} of the time; {gains}; {throughput.sequences:.0f} sequences fit into its memory"


def _changes(situation: Situation, predicted: _Prediction) -> Iterator[Change]:
    quantized = _quantized(situation, predicted)
    if quantized is not None:
        yield quantized
    if situation.declared is None:
        return
    more = _one_more_replica(situation, situation.declared.mesh, predicted)
    if more is not None:
        yield more
    other = other_machine.cheaper(situation, predicted.replica, partial(_replica_on, predicted.load))
    if other is not None:
        yield other


def _effect(now: float, then: float) -> str:
    return f"{now:,.0f} -> {then:,.0f} tokens/s"


def _quantized(situation: Situation, predicted: _Prediction) -> Change | None:
    """Weights of half the size, where they are not quantized yet and the accelerator computes with 8 bit."""
    if predicted.load.weight_bytes < _SIXTEEN_BIT or "fp8" not in predicted.accelerator.flops:
        return None
    smaller = _with(replace(predicted.load, weight_bytes=1, precision="fp8"), predicted.accelerator)
    if isinstance(smaller, str):
        return None
    replicas = situation.workload.at_least
    return Change(
        what="weights in FP8",
        effect=_effect(predicted.replica * replicas, smaller.replica * replicas),
        gain=smaller.replica / predicted.replica - 1,
        usd_per_hour=0,
        how="a model that was published in FP8, or the server's option (vLLM: --quantization fp8)",
        caution="compare its answers first",
    )


def _one_more_replica(situation: Situation, mesh: Mesh, predicted: _Prediction) -> Change | None:
    """On free accelerators, or on more nodes: one more than these need where its other resources have no room. None
    where no such nodes can be added."""
    pool = situation.pool
    missing = max(situation.gpus - situation.free_accelerators(), 0)
    least = math.ceil(missing / pool.gpus_per_node) if pool.gpus_per_node else 0
    written = {nodes: _replica_edits(situation, mesh, nodes) for nodes in (least, least + 1)}
    if not situation.makes_nodes:
        per_node = situation.pool.node_usd_per_hour
        usd = 0.0 if not least else None if per_node is None else round(least * per_node, 2)
        return _replica_change(situation, predicted, least, usd, written[least])
    for nodes, edits_of_nodes in written.items():
        changed = situation.with_edits(edits_of_nodes)
        if changed is not None:
            usd = situation.more_usd_per_hour(changed)
            return _replica_change(situation, predicted, nodes, usd, edits_of_nodes)
    return None


def _replica_edits(situation: Situation, mesh: Mesh, nodes: int) -> tuple[Edit, ...]:
    """`nodes`: more than now."""
    workload, pool = situation.workload, situation.pool
    replicas = edits.replicas(mesh, workload.name, workload.at_least + 1)
    return (replicas, edits.pool_nodes(mesh, pool.name, pool.nodes + nodes)) if nodes else (replicas,)


def _replica_change(
    situation: Situation, predicted: _Prediction, nodes: int, usd_per_hour: float | None, written: tuple[Edit, ...]
) -> Change:
    replicas = situation.workload.at_least
    return Change(
        what="one more replica" + (f" on {pluralize(nodes, 'more node')}" if nodes else " on free accelerators"),
        effect=_effect(predicted.replica * replicas, predicted.replica * (replicas + 1)),
        gain=1 / replicas if replicas else 1,
        usd_per_hour=usd_per_hour,
        how=edits.lines(written),
        plan="in place",
    )


def _replica_on(load: Load, accelerator: Accelerator) -> float | None:
    """Output tokens per second on another accelerator: as the weights are, not as this one computes them."""
    elsewhere = _with(replace(load, precision=_precision(load.weight_bytes)), accelerator)
    return None if isinstance(elsewhere, str) else elsewhere.replica


def _precision(weight_bytes: float) -> str:
    return "bf16" if weight_bytes >= _SIXTEEN_BIT else "fp8" if weight_bytes >= 1 else "fp4"


def _useless(situation: Situation) -> Iterator[str]:
    if not situation.workload.is_grouped:
        yield "a faster fabric: a replica runs inside one node and does not use it"
    yield "faster storage: it shortens the start of a replica, and nothing after that"


def _limits(predicted: _Prediction) -> tuple[tuple[str, float], ...]:
    """Of a replica, in tokens per second."""
    gpus, throughput = predicted.load.gpus, predicted.throughput
    return (("memory alone", throughput.memory_limit * gpus), ("compute alone", throughput.compute_limit * gpus))


def _notes(figures: tuple[Figure, ...], predicted: _Prediction) -> tuple[str, ...]:
    below = [
        f"measured {figure.measured:,.0f} {figure.unit} ({figure.measured_source}), less than is expected:"
        " look for small batches, a short queue, or another setting than the one assumed"
        for figure in figures
        if figure.is_below
    ]
    mixture = ["a mixture of experts: the error is larger, see docs/advise.md"]
    return (*below, *(mixture if predicted.load.model.is_mixture else []))

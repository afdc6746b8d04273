"""Three numbers for a gang, its bottleneck, and what helps. PURE. Called by `advice`.

Compute and the exchange of gradients are added up, as if nothing of them overlapped; trainers hide a part of the second
behind the first, so that a bottleneck of the fabric is the worst case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshctl.advise import edits, formulas, storage
from meshctl.advise.facts import ModelFacts
from meshctl.advise.figures import Change, Figure, WorkloadAdvice, smallest_first
from meshctl.advise.situation import Situation, origin
from meshctl.catalog import measured
from meshctl.measure import nccl
from meshctl.measure.results import Result
from meshctl.model.deployment import Pool
from meshctl.model.mesh import Mesh
from meshctl.resolve.placement import fabric_expectation
from meshctl.words import pluralize

_COMPUTE: Final = "computing of one step"
_ALL_REDUCE: Final = "gradients exchanged in one step"
_CHECKPOINT: Final = "checkpoint written"

# 419 unexpected interruptions in 54 days on 16,384 GPUs: Meta's paper "The Llama 3 Herd of Models", as reported by
# datacenterdynamics.com (read 2026-11-30)
_GPU_HOURS_BETWEEN_FAILURES: Final = 50_000
_STATE_BYTES: Final = 16  # per parameter with Adam: weights and gradients in 16 bit, master copy, two moments
_LONG: Final = 0.05  # a checkpoint that takes more of the time than this is the bottleneck


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds; None where not known. `interval_s`: the best one between two checkpoints."""

    compute_s: float | None
    all_reduce_s: float | None
    write_s: float | None
    interval_s: float | None

    @property
    def write_share(self) -> float:
        """Of all time."""
        return self.write_s / (self.interval_s + self.write_s) if self.write_s and self.interval_s else 0.0

    @property
    def bottleneck(self) -> str:
        if self.write_share > _LONG:
            return "storage"
        if self.compute_s is None or self.all_reduce_s is None:
            return ""
        return "fabric" if self.all_reduce_s > self.compute_s else "compute"


def advice(situation: Situation, facts: ModelFacts | str) -> WorkloadAdvice:
    """`facts`: what is known of the model, or why nothing is."""
    workload, pool = situation.workload, situation.pool
    figures = (_compute(situation, facts), _fabric(situation, facts), _storage(situation, facts))
    times = _times(situation, *figures)
    return WorkloadAdvice(
        workload=workload.name,
        workload_kind=workload.kind,
        pool=pool.name,
        machine=pool.machine,
        setting=_setting(situation, facts),
        figures=figures,
        bottleneck=times.bottleneck,
        why=_why(times) if not isinstance(facts, str) else facts,
        changes=smallest_first(list(_changes(situation, times))),
        useless=tuple(_useless(situation, times)),
        usd_per_hour=situation.usd_per_hour,
        limits=tuple(
            (name, seconds)
            for name, seconds in (("computing", times.compute_s), ("exchanging gradients", times.all_reduce_s))
            if seconds is not None
        ),
        notes=tuple(_notes(situation, facts, times)),
    )


def _setting(situation: Situation, facts: ModelFacts | str) -> str:
    workload, pool = situation.workload, situation.pool
    where = f"{pluralize(workload.replicas, 'node')} with {workload.accelerators} x {pool.gpu_model}"
    return where if isinstance(facts, str) else f"{where}, {facts.model.name} (by {facts.said_by}), BF16 with Adam"


def _compute(situation: Situation, facts: ModelFacts | str) -> Figure:
    accelerator = situation.accelerator
    if isinstance(facts, str):
        basis = facts
    elif accelerator is None or "bf16" not in accelerator.flops:
        basis = f"the FLOPS of {situation.pool.gpu_model or 'its accelerators'} are not known"
    elif not facts.step_tokens:
        basis = f"the tokens of one step are not known: say --model {situation.workload.name}=…,tokensPerStep=4e6"
    else:
        seconds = formulas.training_step_s(
            facts.model.active, facts.step_tokens, situation.gpus, accelerator.flops["bf16"]
        )
        band = formulas.TRAINING_BAND
        share = f"{formulas.TRAINING_SHARE:.0%} of the dense FLOPS"
        return Figure(
            kind="compute",
            metric=_COMPUTE,
            unit="s",
            value=seconds,
            low=seconds * band.low,
            high=seconds * band.high,
            basis=f"{facts.step_tokens:.3g} tokens at {share}, error {band}; {accelerator.source}, {accelerator.date}",
        )
    return Figure(kind="compute", metric=_COMPUTE, unit="s", basis=basis)


def _fabric(situation: Situation, facts: ModelFacts | str) -> Figure:
    if isinstance(facts, str):
        return Figure(kind="fabric", metric=_ALL_REDUCE, unit="s", basis=facts)
    if situation.nodes < 2:
        basis = "not used: the gang is one node"
        return Figure(kind="fabric", metric=_ALL_REDUCE, unit="s", basis=basis)
    size_bytes = formulas.gradient_bytes(facts.model.params)
    measured_here = _measured_here(situation)
    expected = _published(situation, size_bytes)
    if measured_here is not None:
        rate = measured_here.value * 1e9
        basis = (
            f"{measured_here.value:.4g} GB/s measured here{_ratio(situation, measured_here)}: {origin(measured_here)}"
        )
    elif expected is not None:
        rate = expected.bytes_per_s
        size = f"{expected.size_bytes / 2**30:.3g} GiB"
        basis = f"{rate / 1e9:.4g} GB/s published for {size} on {expected.nodes} nodes: {expected.source}"
    else:
        return Figure(kind="fabric", metric=_ALL_REDUCE, unit="s", basis=_not_measured(situation))
    seconds = formulas.all_reduce_s(size_bytes, situation.gpus, rate)
    return Figure(
        kind="fabric", metric=_ALL_REDUCE, unit="s", value=seconds, basis=f"{size_bytes / 1e9:.0f} GB; {basis}"
    )


def _measured_here(situation: Situation) -> Result | None:
    return _newest(_all_reduces_here(situation))


def _newest(rows: list[Result]) -> Result | None:
    """With the largest size, of the newest date."""
    return max(rows, key=lambda row: (row.taken.date, int(row.setting.get("size_bytes", "0"))), default=None)


def _all_reduces_here(situation: Situation) -> list[Result]:
    """By as many ranks as the gang has: other numbers of ranks say nothing of it."""
    return [row for row in _all_reduces_of_pool(situation) if row.setting.get("ranks") == str(situation.gpus)]


def _all_reduces_of_pool(situation: Situation) -> list[Result]:
    """By any number of ranks: `bench` takes all nodes of a pool."""
    subject = f"pool/{situation.pool.name}"
    return [
        row
        for row in situation.results
        if row.metric == nccl.ALL_REDUCE
        and situation.is_measured_here(row)
        and row.setting.get("subject", subject) == subject
    ]


def _published(situation: Situation, size_bytes: float) -> measured.AllReduce | None:
    """For the same machine, nodes and ranks."""
    row = measured.all_reduce(situation.pool.machine, situation.nodes, size_bytes, _nvlink(situation))
    return row if row is not None and row.ranks == situation.gpus else None


def _nvlink(situation: Situation) -> str:
    return situation.pool.fabric.nvlink if situation.pool.fabric is not None else ""


def _ratio(situation: Situation, measured_here: Result) -> str:
    """To what was published for the same size; "" where nothing was."""
    size = measured_here.setting.get("size_bytes", "")
    row = _published(situation, int(size)) if size.isdecimal() else None
    if row is None or row.size_bytes != int(size):
        return ""
    share = measured_here.value * 1e9 / row.bytes_per_s
    return f", {share:.0%} of the {row.bytes_per_s / 1e9:.4g} published for its size ({row.source})"


def _not_measured(situation: Situation) -> str:
    pool, environment = situation.pool, situation.deployment.environment
    counts = measured.nodes_measured(pool.machine, _nvlink(situation))
    others = f" (published only for {', '.join(map(str, counts))} nodes, which can't be compared)" if counts else ""
    some = "" if situation.nodes == pool.nodes else f" --nodes {situation.nodes}"
    command = (
        f"`meshctl bench {environment} --what fabric --of pool/{pool.name}{some}` measures it"
        if situation.nodes <= pool.nodes and fabric_expectation.is_measurable(pool)
        else f"`meshctl bench {environment} --from FILE --of pool/{pool.name}` reads what nccl-tests print on so many"
    )
    return f"no expectation known for {situation.nodes} nodes of {pool.machine}{others}; {command}"


def _storage(situation: Situation, facts: ModelFacts | str) -> Figure:
    checkpoint = situation.workload.checkpoint
    if checkpoint is None:
        return Figure(kind="storage", metric=_CHECKPOINT, unit="s", basis="not used: it keeps no checkpoint")
    if isinstance(facts, str):
        return Figure(kind="storage", metric=_CHECKPOINT, unit="s", basis=facts)
    rate = storage.rate(situation, checkpoint.storage, "write")
    if rate is None:
        unknown = storage.unknown(situation, checkpoint.storage)
        return Figure(kind="storage", metric=_CHECKPOINT, unit="s", basis=unknown)
    size_bytes = formulas.checkpoint_bytes(facts.model.params)
    per_node = situation.node_bytes_per_s or rate.bytes_per_s
    seconds = formulas.transfer_s(size_bytes, rate.bytes_per_s, situation.nodes, per_node)
    return Figure(
        kind="storage", metric=_CHECKPOINT, unit="s", value=seconds, basis=f"{size_bytes / 1e9:.0f} GB; {rate.basis}"
    )


def _times(situation: Situation, compute: Figure, fabric: Figure, written: Figure) -> _Times:
    unused = fabric.basis.startswith("not used")
    failure_s = _GPU_HOURS_BETWEEN_FAILURES / situation.gpus * 3600 if situation.gpus else 0
    interval_s = formulas.checkpoint_interval_s(written.value, failure_s) if written.value and failure_s else None
    return _Times(compute.value, 0.0 if unused else fabric.value, written.value, interval_s)


def _why(times: _Times) -> str:
    if times.bottleneck == "storage":
        return f"writing checkpoints takes {times.write_share:.0%} of all time, even at the best interval"
    if times.compute_s is not None and times.all_reduce_s is not None:
        whole = times.compute_s + times.all_reduce_s
        return f"of a step, computing takes {times.compute_s / whole:.0%} where nothing overlaps"
    return "computing and fabric can't be compared while one of them is not known"


def _changes(situation: Situation, times: _Times) -> Iterator[Change]:
    checkpoint = situation.workload.checkpoint
    if times.bottleneck == "storage" and checkpoint is not None and times.write_s is not None:
        change = storage.repaired(situation, checkpoint.storage, "write", times.write_s) or storage.faster(
            situation, checkpoint.storage, times.write_s, times.write_share
        )
        yield change or _storage_that_suffices(situation, checkpoint.storage, times)
    if times.all_reduce_s and times.compute_s is not None:
        yield from _repaired_fabric(situation, times.all_reduce_s, times.compute_s)
    if times.bottleneck == "compute" and times.compute_s is not None and situation.declared is not None:
        larger = _one_more_node(situation, situation.declared.mesh, times.compute_s)
        if larger is not None:
            yield larger
    if times.bottleneck == "fabric" and times.all_reduce_s is not None and times.compute_s is not None:
        yield _rarer_exchange(times.all_reduce_s, times.compute_s)


def _storage_that_suffices(situation: Situation, name: str, times: _Times) -> Change:
    """How fast it has to be, where the mesh can't ask this one for more: the share of a checkpoint that takes w, at its
    best interval sqrt(2 w F), is about sqrt(w / 2 F), and so below the limit for
    w < 2 F limit^2."""
    failure_s = _GPU_HOURS_BETWEEN_FAILURES / situation.gpus * 3600
    enough_s = 2 * failure_s * _LONG**2
    written_bytes = (times.write_s or 0) * _rate_of(situation, name)
    return Change(
        what=f"storage for checkpoints that takes {written_bytes / enough_s / 1e6:,.0f} MB/s",
        effect=f"a checkpoint in {enough_s:,.0f} instead of {times.write_s:,.0f} s, {_LONG:.0%} of the time",
        gain=times.write_share - _LONG,
        usd_per_hour=None,
        how=f"another storage or storage class than that of {name}; the mesh can't buy more of this one",
    )


def _rate_of(situation: Situation, name: str) -> float:
    rate = storage.rate(situation, name, "write")
    return rate.bytes_per_s if rate is not None else 0.0


def _one_more_node(situation: Situation, mesh: Mesh, compute_s: float) -> Change | None:
    """None where the platform has no such pool: racks are sold whole."""
    workload, pool = situation.workload, situation.pool
    written = (
        edits.gang_nodes(mesh, workload.name, workload.replicas + 1),
        edits.pool_nodes(mesh, pool.name, pool.nodes + 1),
    )
    per_node, changed = situation.pool.node_usd_per_hour, situation.with_edits(written)
    if situation.makes_nodes and changed is None:
        return None
    usd = situation.more_usd_per_hour(changed) if changed is not None else per_node
    then_s = compute_s * workload.replicas / (workload.replicas + 1)
    return Change(
        what="one more node",
        effect=f"computing in {then_s:.3g} instead of {compute_s:.3g} s",
        gain=1 / workload.replicas,
        usd_per_hour=round(usd, 2) if usd is not None else None,
        how=edits.lines(written),
        plan="the gang starts anew from its last checkpoint",
    )


def _repaired_fabric(situation: Situation, all_reduce_s: float, compute_s: float) -> Iterator[Change]:
    """Where it was measured to give less than its machines can: there is nothing to buy."""
    fabric, verdict = situation.pool.fabric, _verdict(situation)
    if fabric is None or verdict is None or verdict.share >= storage.TOLERATED:
        return
    now, then = all_reduce_s + compute_s, all_reduce_s * verdict.share + compute_s
    yield Change(
        what=f"the fabric at the {verdict.expected.gbytes_per_s:.4g} GB/s of its machines, instead of"
        f" {verdict.gbytes_per_s:.4g}",
        effect=f"{now:.3g} -> {then:.3g} s for a step",
        gain=now / then - 1,
        usd_per_hour=0,
        how=f"nothing to buy: the adapters and drivers of its nodes; with fabrics.{fabric.name}.expect: 0.8 `up` starts"
        " nothing on such nodes",
    )


def _verdict(situation: Situation) -> fabric_expectation.Verdict | None:
    """Of the newest measurement by as many ranks as the gang has."""
    return _verdict_on(situation.pool, _all_reduces_here(situation), situation.gpus)


def _verdict_on(pool: Pool, rows: list[Result], ranks: int) -> fabric_expectation.Verdict | None:
    """Of the newest of `rows`, held against what as many nodes can give as so many ranks fill; None where there is
    none, or nobody has published its sizes: of a nominal bandwidth it is not known how much can be reached."""
    nodes, left = divmod(ranks, pool.gpus_per_node or 1)
    newest = _newest(rows)
    if newest is None or left:
        return None
    rates = {
        int(row.setting["size_bytes"]): row.value
        for row in rows
        if row.taken == newest.taken and row.setting.get("size_bytes", "").isdecimal()
    }
    verdict = fabric_expectation.verdict(pool.model_copy(update={"nodes": nodes}), rates)
    return verdict if verdict is not None and verdict.expected.is_published else None


def _rarer_exchange(all_reduce_s: float, compute_s: float) -> Change:
    now, then = all_reduce_s + compute_s, all_reduce_s / 2 + compute_s
    return Change(
        what="gradients of two batches before each exchange",
        effect=f"{now:.3g} -> {then:.3g} s for the same tokens",
        gain=now / then - 1,
        usd_per_hour=0,
        how="the trainer's gradient accumulation, with twice the tokens per step",
        caution="a larger batch may need another learning rate",
    )


def _useless(situation: Situation, times: _Times) -> Iterator[str]:
    if not times.bottleneck:
        return
    if times.bottleneck != "storage" and times.write_s is not None:
        yield f"faster storage: checkpoints take {times.write_share:.1%} of the time at the best interval"
    verdict = _verdict(situation)
    is_broken = verdict is not None and verdict.share < storage.TOLERATED
    if times.bottleneck != "fabric" and times.all_reduce_s and not is_broken:
        yield "a faster fabric: it is not what a step waits for"
    if times.bottleneck == "fabric":
        yield "accelerators with more FLOPS: they would wait for the fabric"


def _notes(situation: Situation, facts: ModelFacts | str, times: _Times) -> Iterator[str]:
    if situation.nodes > 1:
        yield from _notes_on_fabric(situation)
    accelerator = situation.accelerator
    if not isinstance(facts, str) and accelerator is not None:
        state, memory = _STATE_BYTES * facts.model.params, situation.gpus * accelerator.memory_bytes
        if state > memory:
            yield f"its state of {state / 1e9:,.0f} GB is more than the {memory / 1e9:,.0f} GB of all its accelerators"
    if times.interval_s is not None:
        hours = _GPU_HOURS_BETWEEN_FAILURES / situation.gpus
        yield (
            f"best interval between checkpoints: {_duration(times.interval_s)}, where {situation.gpus} GPUs run"
            f" {hours:,.0f} h between failures"
        )


def _notes_on_fabric(situation: Situation) -> Iterator[str]:
    """The newest run in the pool, which may have had other ranks than the gang: what is wrong with its fabric is wrong
    for the gang as well."""
    pool, rows = situation.pool, _all_reduces_of_pool(situation)
    newest = _newest(rows)
    if newest is None:
        return
    yield from newest.warnings
    ranks = newest.setting.get("ranks", "")
    if not ranks.isdecimal() or ranks == str(situation.gpus):
        return
    of_ranks = [row for row in rows if row.setting.get("ranks") == ranks]
    verdict = _verdict_on(pool, of_ranks, int(ranks))
    if verdict is not None and verdict.share < storage.TOLERATED:
        yield (
            f"{ranks} ranks of pool {pool.name} were measured to get {verdict.gbytes_per_s:.4g} of"
            f" {verdict.expected.gbytes_per_s:.4g} GB/s ({origin(newest)}; {verdict.expected.basis}): look for the"
            f" reason before this gang of {situation.gpus}"
        )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} h"

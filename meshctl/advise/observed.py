"""What was measured of a workload: how right its answers are, and how fast they come. PURE.

Called by `inference` and `answers`, and by `advice` for recordings. Nothing here is predicted: no formula knows whether
an answer is right, or what a queue adds to it. A number is shown with the setting that it holds for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshctl.advise import runs
from meshctl.advise.figures import Measured
from meshctl.advise.human import amount
from meshctl.advise.situation import Situation, origin
from meshctl.measure import gemm, nccl, rag, serving
from meshctl.measure.results import Result

_LATENCY: Final = (serving.TTFT, serving.ITL, serving.LATENCY, rag.LATENCY)
_RATES: Final = (nccl.ALL_REDUCE, serving.OUTPUT, gemm.PRODUCT, "read throughput", "write throughput", rag.HIT)


def accuracy(situation: Situation) -> tuple[Measured, ...]:
    """Of questions whose answers somebody knows, in percent: the newest run."""
    return _newest(situation, _shares(situation))


def _shares(situation: Situation) -> tuple[str, ...]:
    """The metrics of accuracy that were measured for the workload, in the order of `bench`."""
    subject = f"workload/{situation.workload.name}"
    rows = (row for row in situation.results if row.what == "rag" and row.unit == "%")
    return tuple(dict.fromkeys(row.metric for row in rows if row.setting.get("subject") == subject))


def latencies(situation: Situation) -> tuple[Measured, ...]:
    """The newest run; of a sweep over rates the step with the highest."""
    return _newest(situation, _LATENCY)


def other_images(situation: Situation) -> Iterator[str]:
    """Notes on newest runs that another image has answered than the one that the mesh has now."""
    rows = (_last(situation, name) for name in (serving.OUTPUT, *_shares(situation), *_LATENCY))
    changed = (row for row in rows if row is not None and runs.other_image(row, situation.workload))
    yield from dict.fromkeys(f"{origin(row)} was {runs.other_image(row, situation.workload)}" for row in changed)


def recordings(situation: Situation) -> Iterator[str]:
    """Notes on what was replayed for the workload, its pool and its storage: a recording of another place counts for
    nothing here, and what is wrong in it is worth a look."""
    workload = situation.workload
    storages = {mount.storage for mount in workload.mounts}
    storages |= {workload.checkpoint.storage} if workload.checkpoint is not None else set()
    subjects = {f"workload/{workload.name}", f"pool/{workload.pool}", *(f"storage/{name}" for name in storages)}
    rows = [
        row
        for row in situation.results
        if row.taken.origin == "replayed"
        and row.setting.get("subject", "") in subjects
        and (row.metric in _RATES or row.warnings)
    ]
    last = {(row.setting["subject"], row.metric): row for row in sorted(rows, key=_order)}
    for (subject, metric), row in sorted(last.items()):
        warnings = "".join(f"; {warning}" for warning in row.warnings)
        yield f"replayed: {metric} {amount(row.value)} {row.unit} of {subject} ({origin(row)}){warnings}"


def _newest(situation: Situation, metrics: Iterable[str]) -> tuple[Measured, ...]:
    rows = (_last(situation, metric) for metric in metrics)
    return tuple(_measured(row) for row in rows if row is not None)


def _last(situation: Situation, metric: str) -> Result | None:
    rows = situation.measured(metric, f"workload/{situation.workload.name}")
    return max(rows, key=_order, default=None)


def _order(result: Result) -> tuple[str, float, int]:
    rate, size = result.setting.get("rate", ""), result.setting.get("size_bytes", "")
    return result.taken.date, float(rate) if _is_number(rate) else 0.0, int(size) if size.isdecimal() else 0


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _measured(result: Result) -> Measured:
    setting = ", ".join(words for words in (runs.load_words(result), origin(result)) if words)
    return Measured(
        metric=result.metric,
        value=result.value,
        unit=result.unit,
        percentiles=dict(result.percentiles),
        source=setting,
        warnings=result.warnings,
    )

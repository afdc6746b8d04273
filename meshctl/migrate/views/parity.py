"""The table that compares the target with the source at the end of a migration. PURE.

Made from the plan and the journal; shown by `migrations show` as text and JSON. Machine types and fabrics have
different names on different platforms: their rows show both values, and `same` is None unless they are equal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from meshctl.migrate.journal.history import History
from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.keys import scaling


@dataclass(frozen=True)
class ParityRow:
    """`same` is None if the values differ only because the platforms use different names."""

    subject: str
    what: str
    source: str
    target: str
    same: bool | None


def parity(history: History) -> tuple[ParityRow, ...]:
    """Rows for workloads, pools and storage, in this order. A store has rows after it was compared."""
    source, target = history.plan.source, history.plan.target
    return (*_workloads(source, target), *_pools(source, target), *_storage(history))


def _workloads(source: Deployment, target: Deployment) -> list[ParityRow]:
    rows = []
    by_name = {w.name: w for w in target.workloads}
    for old in source.workloads:
        if old.name not in by_name:  # of an expansion, whose target has one workload
            continue
        new = by_name[old.name]
        rows.append(_row(f"workload/{old.name}", "image", old.image, new.image))
        rows.append(_row(f"workload/{old.name}", "pods", _pods(old), _pods(new)))
    return rows


def _pods(workload: Workload) -> str:
    return scaling.words(workload.replicas * workload.nodes_per_replica, workload.most_pods)


def _pools(source: Deployment, target: Deployment) -> list[ParityRow]:
    rows = []
    by_name = {p.name: p for p in target.pools}
    for old in source.pools:
        if old.name in by_name:
            new = by_name[old.name]
            rows.append(_row(f"pool/{old.name}", "accelerators", _accelerators(old), _accelerators(new)))
            rows.append(_equivalent(f"pool/{old.name}", "machine", old.machine, new.machine))
            rows.append(_equivalent(f"pool/{old.name}", "fabric", _fabric(old), _fabric(new)))
    return rows


def _storage(history: History) -> list[ParityRow]:
    rows = []
    for move in history.plan.moves:
        record = history.done.get(f"verify/{move.store}")
        if record is None or "source" not in record.data:
            continue
        source, target = record.data["source"], record.data["target"]
        for what, key in (("objects", "objects"), ("bytes", "total_bytes"), ("checksum", "digest")):
            rows.append(_row(f"storage/{move.store}", what, str(source[key]), str(target[key])))
    return rows


def _row(subject: str, what: str, source: str, target: str) -> ParityRow:
    return ParityRow(subject, what, source, target, source == target)


def _equivalent(subject: str, what: str, source: str, target: str) -> ParityRow:
    """A row whose values have different names on different platforms: other names may mean the same thing."""
    return ParityRow(subject, what, source, target, source == target or None)


def _accelerators(pool: Pool) -> str:
    what = f"{pool.share} of {pool.gpu_model}" if pool.share else pool.gpu_model
    return f"{pool.nodes} nodes, {pool.gpus_per_node} {what} each" if pool.gpus_per_node else "none"


def _fabric(pool: Pool) -> str:
    return f"{pool.fabric.kind} {pool.fabric.bandwidth_gbps:g} Gbit/s" if pool.fabric else "none"


def parity_document(rows: tuple[ParityRow, ...]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def parity_text(rows: tuple[ParityRow, ...]) -> str:
    """One aligned line for each row, with shortened checksums."""
    signs = {True: "=", False: "DIFFERS", None: "~"}
    cells = [
        (f"{row.subject} {row.what}", _short(row.what, row.source), signs[row.same], _short(row.what, row.target))
        for row in rows
    ]
    widths = [max((len(cell[column]) for cell in cells), default=0) for column in range(3)]
    return "".join(
        f"  {subject:<{widths[0]}}  {source:<{widths[1]}}  {sign:<{widths[2]}}  {target}\n"
        for subject, source, sign, target in cells
    )


def _short(what: str, value: str) -> str:
    return value[:16] if what == "checksum" else value

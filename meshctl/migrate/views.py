"""Plans and migrations as text and as JSON documents. PURE; golden-tested.

Used by `cli.migrate`, which adds the `"meshctl": 1` of every document.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from meshctl.migrate.history import History
from meshctl.migrate.outline import forward, not_returned, outline
from meshctl.migrate.parity import parity, parity_document, parity_text
from meshctl.migrate.plan import MigrationPlan, StoreMove, span_text
from meshctl.migrate.progress import size_text
from meshctl.words import counted


def plan_document(plan: MigrationPlan) -> dict[str, Any]:
    """`migrate --dry-run --output json`. `minutes` and USD are estimates; null = unknown."""
    source, target = plan.source, plan.target
    return {
        "mesh": source.mesh,
        "source": source.environment,
        "target": target.environment,
        "steps": [{"phase": s.phase, "step": s.name, "title": s.title} for s in forward(plan)],
        "data": [move.model_dump(mode="json") for move in plan.moves],
        "stays": list(plan.stays),
        "workloads": {
            "stopped_at_source_first": list(plan.stopped),
            "started_warm": list(plan.warm),
            "kept_paused": sorted(plan.idle),
            "not_run_again": sorted(plan.finished),
        },
        "endpoints": [{"name": e.name, "host": e.host} for e in plan.endpoints],
        "costs": [cost.model_dump(mode="json") for cost in plan.costs],
        "notes": list(plan.notes),
    }


def plan_text(plan: MigrationPlan) -> str:
    """`migrate --dry-run`: what moves, what it costs, then every step."""
    source, target = plan.source.environment, plan.target.environment
    lines = [f"{plan.source.mesh}: {source} -> {target}", "", "data"]
    lines += [line for move in plan.moves for line in _move_lines(move)] or ["  none"]
    lines += [f"  {text}: not moved" for text in plan.stays]
    lines += ["", "workloads"]
    lines += [f"  {name}: stopped at {source} before it starts at {target}" for name in plan.stopped]
    both = sorted(plan.running - set(plan.stopped))
    lines += [f"  {name}: runs in both until `finish`{_warm(plan, name)}" for name in both]
    lines += [f"  {name}: stays paused" for name in sorted(plan.idle - plan.finished.keys())]
    lines += [f"  {name}: finished at {ended_in}, is not run again" for name, ended_in in plan.finished.items()]
    lines += ["", "costs"]
    lines += [f"  {cost.subject}: {_usd(cost.usd)} {cost.what}\n    from: {cost.source}" for cost in plan.costs]
    lines += ["", "steps"]
    width = max(len(step.name) for step in forward(plan))
    lines += [f"  {step.name:<{width}}  {step.title}" for step in forward(plan)]
    lines += [f"  then {target} serves, and {source} waits for `meshctl migrations finish` or `… rollback`"]
    lines += ["", *(f"note: {note}" for note in plan.notes)] if plan.notes else []
    return "\n".join(lines) + "\n"


def _warm(plan: MigrationPlan, name: str) -> str:
    return ", started warm" if name in plan.warm else ""


def _move_lines(move: StoreMove) -> list[str]:
    there = f", {counted(move.target_objects, 'object')} there already" if move.target_objects else ""
    return [
        f"  {move.store}: {move.source_url} -> {move.target_url}",
        f"    {counted(move.objects, 'object')}, {size_text(move.total_bytes)}{there}",
        f"    about {span_text(move.minutes)} ({move.minutes_source})",
        f"    egress {_usd(move.egress_usd)} ({move.egress_source})",
    ]


def _usd(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.2f} USD"


def summary_document(migration: str, history: History) -> dict[str, Any]:
    """One row of `migrations list`."""
    return {
        "id": migration,
        "source": history.plan.source.environment,
        "target": history.plan.target.environment,
        "state": history.state,
        "step": next_step(history),
        "begun": _utc(history.records[0].at),
    }


def next_step(history: History) -> str:
    """The first step that isn't done; "" when the direction has come to its end."""
    if history.outcome:
        return ""
    return next((step.name for step in outline(history) if step.name not in history.done), "")


def list_text(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "no migrations\n"
    width = max(len(row["id"]) for row in rows)
    lines = [
        f"{row['id']:<{width}}  {row['source']} -> {row['target']}  {row['state']}{_at(row['step'])}" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _at(step: str) -> str:
    return f", next {step}" if step else ""


def detail_document(migration: str, history: History) -> dict[str, Any]:
    """`migrations show --output json`."""
    failed = history.failed
    return {
        **summary_document(migration, history),
        "steps": [
            {"step": s.name, "title": s.title, "done": s.name in history.done, "left": _kept(history, s.name)}
            for s in outline(history)
        ],
        "failed": None if failed is None else {"step": failed.step, **failed.data},
        "source_lost": history.source_lost,
        "target_lost": history.target_lost,
        "parity": parity_document(parity(history)),
    }


def _kept(history: History, step: str) -> dict[str, Any]:
    record = history.done.get(step)
    return dict(record.data) if record is not None else {}


def detail_text(migration: str, history: History) -> str:
    """`migrations show`."""
    source, target = history.plan.source.environment, history.plan.target.environment
    lines = [f"{migration}: {source} -> {target}, {history.state}, begun {_utc(history.records[0].at)}"]
    steps = outline(history)
    width = max((len(step.name) for step in steps), default=0)
    lines += ["  nothing was begun that must be undone"] if not steps else []  # a rollback before anything ran
    for step in steps:
        record = history.done.get(step.name)
        state = _utc(record.at) if record else "begun" if step.name == history.open_intent else "-"
        lines.append(f"  {state:<20}  {step.name:<{width}}  {step.title}")
    if history.failed is not None:
        lines.append(f"failed: {history.failed.step}: {history.failed.data.get('what', '')}")
        lines += [f"  why: {why}" for why in (history.failed.data.get("why"),) if why]
    lines += [f"given up: {lost}" for lost in (_given_up(history),) if lost]
    lines += [f"hint: {hint}" for hint in (_hint(migration, history),) if hint]
    compared = "source and target, before the way back" if history.direction == "rollback" else "source and target"
    return "\n".join(lines) + f"\n{compared}\n{parity_text(parity(history))}"


def _hint(migration: str, history: History) -> str:
    if history.outcome:
        return _left(history)
    if history.state == "waiting":
        return f"`meshctl migrations finish {migration}` retires the source, `… rollback {migration}` goes back"
    return f"`meshctl migrations resume {migration}` goes on"


def _left(history: History) -> str:
    """What a closed migration leaves behind, and how to be rid of it."""
    source, target = history.plan.source.environment, history.plan.target.environment
    retired = history.done.get("finish/source")
    if retired is not None and retired.data.get("data_kept") and history.plan.moves:
        what = "what is left of its object storage" if history.deletion_begun else "its object storage"
        return f"{source} keeps {what}: `meshctl destroy {source} --allow-data-loss` deletes it"
    if history.target_lost:
        gone = "`--forget-cluster` if its cluster is gone"
        return f"what is left of {target}, `meshctl destroy {target}` takes down; with {gone}"
    if history.outcome == "rolled-back" and history.began("provision/target"):
        if "rollback/destroy" in history.done:
            return f"{target} keeps its object storage: `meshctl destroy {target} --allow-data-loss` deletes it"
        return f"{target} is still up, its workloads paused: `meshctl destroy {target}` takes it down"
    return ""


def _given_up(history: History) -> str:
    if not history.target_lost:
        return ""
    stores = not_returned(history)
    target = history.plan.target.environment
    return f"{target}, with what was written there to {', '.join(stores)}" if stores else target


def source_lost_warning(history: History) -> str:
    """What `resume --source-lost` has confirmed by name."""
    source = history.plan.source.environment
    return f"{source} is given up with what it wrote since it was copied, and what still runs there is not stopped"


def target_lost_warning(history: History) -> str:
    """What `rollback --target-lost` has confirmed by name."""
    target, stores = history.plan.target.environment, not_returned(history)
    text = f"{target} is given up, and what still runs there is not stopped"
    if not stores:
        return text
    text += f"; what was written there to {', '.join(stores)} since the data was copied is not brought back"
    if history.began(*(f"rollback/sync.{store}" for store in stores)):
        text += ", but for what a copy back that was cut off has brought already"
    return text


def finish_question(history: History) -> str:
    """What a `finish` that keeps the source's data asks."""
    source = history.plan.source.environment
    if history.source_lost:
        return f"end the migration ({source} was given up: nothing of it is destroyed)?"
    if history.deletion_begun:
        return f"destroy {source} (what is left of its data is kept; `--delete-source-data` was begun before)?"
    return f"destroy {source} (its data is kept)?"


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

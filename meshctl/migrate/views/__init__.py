"""Plans and migrations as text and as JSON documents. PURE; golden-tested.

Used by `cli.migrate`, which adds the `"meshctl": 1` of every document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshctl.migrate.journal.activity import Activity, MigrationStatus, UnreadableMigration, next_commands, state_text
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.order.step_plan import forward, step_plan, stores_not_copied_back
from meshctl.migrate.views.copies import copied_at, copied_text
from meshctl.migrate.views.downtime import downtime_document, downtime_lines
from meshctl.migrate.views.parity import parity, parity_document, parity_text
from meshctl.migrate.views.plan_lines import cost_lines, index_lines, move_lines, step_lines
from meshctl.migrate.views.summary import done_document, summary_lines, utc
from meshctl.model.dns_splits import WHOLE
from meshctl.printable import one_line


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
        "indexes": [index.model_dump(mode="json") for index in plan.indexes],
        "workloads": {
            "stopped_at_source_first": list(plan.stopped),
            "started_warm": list(plan.warm),
            "kept_paused": sorted(plan.idle),
            "not_run_again": sorted(plan.finished),
        },
        "endpoints": [{"name": e.name, "host": e.host} for e in plan.endpoints],
        "costs": [cost.model_dump(mode="json") for cost in plan.costs],
        **downtime_document(plan),
        "notes": list(plan.notes),
    }


def plan_text(plan: MigrationPlan) -> str:
    """`migrate --dry-run`: what moves, what it costs, then every step."""
    source, target = plan.source.environment, plan.target.environment
    lines = [f"{plan.source.mesh}: {source} -> {target}", "", "data"]
    lines += [line for move in plan.moves for line in move_lines(move)] or ["  none"]
    lines += [f"  {text}: not moved" for text in plan.stays]
    lines += ["", "indexes"] if plan.indexes else []
    lines += [line for index in plan.indexes for line in index_lines(index, plan)]
    lines += ["", "workloads"]
    lines += [f"  {name}: is stopped at {source} before it starts at {target}" for name in plan.stopped]
    both = sorted(plan.running - set(plan.stopped))
    lines += [f"  {name}: runs in both until `finish`{_warm(plan, name)}" for name in both]
    lines += [f"  {name}: stays paused" for name in sorted(plan.idle - plan.finished.keys())]
    lines += [f"  {name}: has finished at {ended_in} and is not run again" for name, ended_in in plan.finished.items()]
    lines += ["", "downtime", *downtime_lines(plan)]
    lines += ["", "costs", *cost_lines(plan), "", "steps", *step_lines(forward(plan))]
    lines += [f"  then {target} serves; {source} is kept until `meshctl migrations finish` or `… rollback`"]
    lines += ["", *(f"note: {note}" for note in plan.notes)] if plan.notes else []
    return "\n".join(map(one_line, lines)) + "\n"


def _warm(plan: MigrationPlan, name: str) -> str:
    return ", started warm" if name in plan.warm else ""


_NOBODY = Activity()


def summary_document(migration: str, history: History, activity: Activity = _NOBODY) -> dict[str, Any]:
    """One row of `migrations list`. `state` is how far it is, `active` whether a run works on it now."""
    return {
        "id": migration,
        "source": history.plan.source.environment,
        "target": history.plan.target.environment,
        "state": history.state,
        "step": next_step(history),
        "begun": utc(history.records[0].at),
        **(_NOBODY if history.outcome else activity).document(),
        "next": [command for command, _ in next_commands(migration, history, activity)],
    }


def row_document(row: MigrationStatus | UnreadableMigration) -> dict[str, Any]:
    """One row of `migrations list`. If the journal can't be read, it has an `error`, and the rest is empty."""
    if isinstance(row, MigrationStatus):
        return summary_document(*row)
    unknown = dict.fromkeys(("source", "target", "begun", "active", "worked_on_by"))
    return {"id": row.migration, **unknown, "state": "unknown", "step": "", "next": [], "error": row.text}


def next_step(history: History) -> str:
    """The first step that is not done; "" if all are."""
    if history.outcome:
        return ""
    return next((step.name for step in step_plan(history) if step.name not in history.done), "")


def list_text(rows: Sequence[MigrationStatus | UnreadableMigration]) -> str:
    """`migrations list`: one line for each migration, and the next commands for the open one."""
    if not rows:
        return "no migrations\n"
    width = max(len(row.migration) for row in rows)
    lines = [f"{row.migration:<{width}}  {_row_text(row)}" for row in rows]
    still_open = [row for row in rows if isinstance(row, MigrationStatus) and not row.history.outcome]
    lines += [line for row in still_open[-1:] for line in _next_lines(*row)]  # an older one goes on as the newest
    return "\n".join(map(one_line, lines)) + "\n"


def _row_text(row: MigrationStatus | UnreadableMigration) -> str:
    return (
        f"{_ends(row.history)}  {_state_and_step(*row)}" if isinstance(row, MigrationStatus) else f"unknown: {row.text}"
    )


def _ends(history: History) -> str:
    return f"{history.plan.source.environment} -> {history.plan.target.environment}"


def _state_and_step(_migration: str, history: History, activity: Activity) -> str:
    step = next_step(history)
    copied = copied_text(history) if history.state == "waiting" else ""
    return state_text(history, activity) + (f", next {step}" if step else "") + (f"; {copied}" if copied else "")


def detail_document(migration: str, history: History, activity: Activity = _NOBODY) -> dict[str, Any]:
    """`migrations show --output json`."""
    failed = history.failed
    return {
        **summary_document(migration, history, activity),
        "steps": [
            {
                "step": s.name,
                "title": s.title,
                "done": s.name in history.done,
                "done_at": history.done[s.name].at if s.name in history.done else None,
                "left": _result(history, s.name),
            }
            for s in step_plan(history)
        ],
        "failed": None if failed is None else {"step": failed.step, **failed.data},
        "source_lost": history.source_lost,
        "target_lost": history.target_lost,
        "parity": parity_document(parity(history)),
        "summary": done_document(history),
        **({"expansion": _expansion(history)} if history.share is not None else {}),
    }


def _expansion(history: History) -> dict[str, Any]:
    """The workload, and the weights that were chosen last, of 255. `written`: whether the records have them. `copied`:
    when the last complete copy of each store began."""
    source, target = history.plan.source.environment, history.plan.target.environment
    weight = history.share.weight if history.share is not None else 0
    return {
        "workload": history.share.workload if history.share is not None else "",
        "by": history.share.by if history.share is not None else "",
        "weights": {source: WHOLE - weight, target: weight},
        "written": history.state == "waiting" and not history.round_is_open,
        "copied": {store: utc(at) for store, at in sorted(copied_at(history).items())},
    }


def _result(history: History, step: str) -> dict[str, Any]:
    """The data of the step's `done` record without `etags`, which has an entry for each object."""
    record = history.done.get(step)
    data = record.data if record is not None else {}
    return {key: value for key, value in data.items() if key != "etags"}


def detail_text(migration: str, history: History, activity: Activity = _NOBODY) -> str:
    """`migrations show`."""
    begun = utc(history.records[0].at)
    lines = [f"{migration}: {_ends(history)}, {state_text(history, activity)}, begun {begun}"]
    steps = step_plan(history)
    width = max((len(step.name) for step in steps), default=0)
    lines += ["  there is nothing to undo"] if not steps else []  # a rollback before anything has begun
    for step in steps:
        record = history.done.get(step.name)
        state = utc(record.at) if record else "begun" if step.name == history.open_intent else "-"
        lines.append(f"  {state:<20}  {step.name:<{width}}  {step.title}")
    if history.failed is not None:
        lines.append(f"failed: {history.failed.step}: {history.failed.data.get('what', '')}")
        lines += [f"  why: {why}" for why in (history.failed.data.get("why"),) if why]
    lines += [f"given up: {lost}" for lost in (_given_up(history),) if lost]
    return "\n".join(map(one_line, lines)) + f"\n{_end_text(migration, history, activity)}"


def run_text(migration: str, history: History, activity: Activity = _NOBODY) -> str:
    """The end of a run. The steps were already reported as they ran; the next commands come last."""
    copied = copied_text(history)
    lines = [f"{migration}: {_ends(history)}, {state_text(history, activity)}", *([copied] if copied else [])]
    lines += [f"given up: {lost}" for lost in (_given_up(history),) if lost]
    return "\n".join(map(one_line, lines)) + f"\n{_end_text(migration, history, activity)}"


def _end_text(migration: str, history: History, activity: Activity) -> str:
    """Source and target side by side, the summary, and the next commands."""
    compared = "source and target before the rollback" if history.direction == "rollback" else "source and target"
    done = summary_lines(history)
    lines = ["summary", *(f"  {line}" for line in done)] if done else []
    leftover = _leftover(history) if history.outcome else ""
    lines += [f"hint: {leftover}"] if leftover else []
    lines += _next_lines(migration, history, activity)
    return f"{compared}\n{parity_text(parity(history))}" + "".join(f"{one_line(line)}\n" for line in lines)


def _next_lines(migration: str, history: History, activity: Activity) -> list[str]:
    commands = next_commands(migration, history, activity)
    if not commands:
        return []
    width = max(len(command) for command, _ in commands)
    head = "next:" if activity.owner is None else "next, if that run is gone for good:"
    return [head, *(f"  {command:<{width}}  {effect}" for command, effect in commands)]


def _leftover(history: History) -> str:
    """What still exists after a closed migration, and the command that removes it."""
    source, target = history.plan.source.environment, history.plan.target.environment
    destroyed = history.done.get("finish/source")
    if destroyed is not None and destroyed.data.get("data_kept") and history.plan.moves:
        what_stays = "the rest of its object storage" if history.deletion_begun else "its object storage"
        return f"{source} keeps {what_stays}: `meshctl destroy {source} --allow-data-loss` deletes it"
    if history.target_lost:
        return f"`meshctl destroy {target}` removes the rest of {target}; add `--forget-cluster` if its cluster is gone"
    if history.outcome == "rolled-back" and history.began("provision/target"):
        if "rollback/destroy" in history.done:
            return f"{target} keeps its object storage: `meshctl destroy {target} --allow-data-loss` deletes it"
        return f"{target} is still up with its workloads paused: `meshctl destroy {target}` removes it"
    return ""


def _given_up(history: History) -> str:
    if not history.target_lost:
        return ""
    stores = stores_not_copied_back(history)
    target = history.plan.target.environment
    return f"{target}, with the data written there to {', '.join(stores)}" if stores else target


def source_lost_warning(history: History) -> str:
    """What the user confirms with the source's name before `resume --source-lost`."""
    source = history.plan.source.environment
    return f"{source} is given up with the data written there since the last copy; pods that still run are not stopped"


def target_lost_warning(history: History) -> str:
    """What the user confirms with the target's name before `rollback --target-lost`."""
    target, stores = history.plan.target.environment, stores_not_copied_back(history)
    text = f"{target} is given up; pods that still run there are not stopped"
    if not stores:
        return text
    text += f"; data written there to {', '.join(stores)} since the last copy is not copied back"
    if history.began(*(f"rollback/sync.{store}" for store in stores)):
        text += ", except for what an interrupted copy has already copied back"
    return text


def finish_question(history: History) -> str:
    """The question of a `finish` that keeps the source's object storage."""
    source = history.plan.source.environment
    if history.source_lost:
        return f"end the migration ({source} was given up, so nothing of it is destroyed)?"
    if history.deletion_begun:
        return f"destroy {source} (the rest of its buckets is kept; `--delete-source-data` has already begun)?"
    kept_stores = ", ".join(move.store for move in history.plan.moves)
    return f"destroy {source} (its buckets are kept: {kept_stores})?" if kept_stores else f"destroy {source}?"

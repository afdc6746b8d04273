"""A shift as text and as JSON. PURE. Called by the CLI."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from meshctl.model.deployment import utc_text
from meshctl.printable import one_line
from meshctl.shift.history import History
from meshctl.shift.planning.gangs import Resized
from meshctl.shift.planning.plan import Disturbed, ShiftPlan
from meshctl.words import pluralize

_EFFECTS = {
    "moves": "{pods} evicted",
    "restarts": "all of its pods stop and start again together on other nodes",
    "shrinks": "stops at its checkpoint and goes on with {nodes} of its {before} nodes until they are back",
    "waits": "stops at its checkpoint and waits until the nodes are back",
}


def plan_document(plan: ShiftPlan) -> dict[str, Any]:
    return {
        "environment": plan.environment,
        "from": plan.giving,
        "to": plan.taking,
        "nodes": list(plan.nodes),
        "disturbs": [_disturbed_document(each, plan) for each in plan.disturbed],
        "longest_end_s": plan.end_limit_s,
        "gains": _gains(plan),
        "until": time_text(plan.until_s) if plan.until_s else None,
        "until_time": timestamp(plan.until_s),
    }


def _disturbed_document(disturbed: Disturbed, plan: ShiftPlan) -> dict[str, Any]:
    resized = _resized(disturbed, plan)
    size = {"nodes_before": resized.before, "nodes": resized.nodes} if resized is not None else {}
    return {**disturbed.model_dump(), "without_room": disturbed.without_room, **size}


def _resized(disturbed: Disturbed, plan: ShiftPlan) -> Resized | None:
    name = disturbed.owner.rpartition("/")[2]
    return next((each for each in plan.resized if each.workload == name), None)


def _gains(plan: ShiftPlan) -> dict[str, Any]:
    return {
        "nodes": len(plan.nodes),
        "accelerators": plan.accelerators * len(plan.nodes),
        "model": plan.gpu_model,
        "pods_waiting": plan.taking_pods_waiting,
        "market": plan.market,
        "ends": plan.ends or None,
    }


def plan_text(plan: ShiftPlan) -> str:
    """What it does, disturbs and gains."""
    nodes = ", ".join(plan.nodes)
    lines = [f"shift {pluralize(len(plan.nodes), 'node')} of {plan.environment} from {plan.giving} to {plan.taking}"]
    lines += [f"  nodes     {nodes}", *_disturbed_lines(plan)]
    devices = plan.accelerators * len(plan.nodes)
    hardware = f", {devices} x {plan.gpu_model or 'GPU'}" if devices else ""
    waiting = pluralize(plan.taking_pods_waiting, "pod") if plan.taking_pods_waiting else "no pod"
    verb = "wait" if plan.taking_pods_waiting > 1 else "waits"
    lines.append(
        f"  gains     {pluralize(len(plan.nodes), 'node')}{hardware} for {plan.taking}; {waiting} {verb} there"
    )
    lines.append(f"  takes     at most {plan.end_limit_s} s until the nodes are empty, then the new pods start")
    lines += [f"  but       {text}" for text in _bounds(plan)]
    if plan.pods_of_others:
        lines.append(f"  stays     {pluralize(plan.pods_of_others, 'pod')} of others on these nodes")
    lines.append(f"  ends      {_end(plan)}")
    return "\n".join(map(one_line, lines)) + "\n"


def _bounds(plan: ShiftPlan) -> list[str]:
    """What ends the nodes for the pool that gets them, other than the undo."""
    texts = ["they are spot nodes, which the platform may take back at any time"] if plan.market == "spot" else []
    if plan.ends:
        before = " before the shift is over" if plan.until_s and plan.ends < (timestamp(plan.until_s) or "") else ""
        texts.append(f"their reservation ends at {utc_text(plan.ends)}{before}, and they with it")
    return texts


def _disturbed_lines(plan: ShiftPlan) -> list[str]:
    if not plan.disturbed:
        return ["  disturbs  nothing: no pod of the mesh runs there"]
    return [f"  disturbs  {_disturbed(each, plan)}" for each in plan.disturbed]


def _disturbed(each: Disturbed, plan: ShiftPlan) -> str:
    resized = _resized(each, plan)
    size = {"nodes": resized.nodes, "before": resized.before} if resized is not None else {}
    effect = _EFFECTS[each.effect].format(pods=pluralize(each.pods, "pod"), **size)
    if each.without_room:
        effect += f", {each.without_room} of them without room on the other nodes of {plan.giving}"
    return f"{each.owner}: {effect}, within {each.grace_s} s"


def _end(plan: ShiftPlan) -> str:
    undo = f"`meshctl shift {plan.environment} --undo`"
    if not plan.until_s:
        return f"with {undo}"
    commands = f"the next `meshctl up` or `meshctl shift` of {plan.environment}"
    return f"at {time_text(plan.until_s)}: {commands} then undoes it first"


def time_text(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def timestamp(seconds: float) -> str | None:
    """In RFC 3339, in UTC; None for 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None


def end_document(history: History) -> dict[str, Any]:
    return {**plan_document(history.plan), "state": history.state, "late": history.late}


def end_text(history: History) -> str:
    plan = history.plan
    nodes, is_one = ", ".join(plan.nodes), len(plan.nodes) == 1
    if history.state == "undone":
        return f"{nodes} of {plan.environment} {'is' if is_one else 'are'} back in pool {plan.giving}\n"
    return f"{nodes} of {plan.environment} {'serves' if is_one else 'serve'} pool {plan.taking}; it ends {_end(plan)}\n"


def status_lines(histories: Iterable[tuple[History, str]], now: float) -> list[str]:
    """One line for each shift with its state in words, for `status` and for the notes of `plan` and `up`."""
    lines = []
    for history, state in histories:
        plan = history.plan
        its = "waits for its" if len(plan.waiting) == 1 else "wait for their"
        waiting = f"; {', '.join(plan.waiting)} {its} nodes" if plan.waiting else ""
        for each in plan.resized:
            waiting += f"; {each.workload} runs on {each.nodes} instead of {each.before} nodes"
        due = f"; until {time_text(plan.until_s)}{' (over)' if plan.until_s <= now else ''}" if plan.until_s else ""
        undo = f"; `meshctl shift {plan.environment} --undo` gives them back" if state == "in force" else ""
        work = "works" if len(plan.nodes) == 1 else "work"
        nodes = f"{', '.join(plan.nodes)} of pool {plan.giving} {work} for pool {plan.taking}"
        lines.append(f"shift: {nodes}: {state}{waiting}{due}{undo}")
    return lines

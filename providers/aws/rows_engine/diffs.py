"""The difference that the engine shows, and its replacements. Called by `crud`. PURE."""

from __future__ import annotations

import jmespath  # type: ignore[import-untyped]

from meshwire.marks import UNFINISHED
from providers.aws.rows_engine.compare import changes, observed, same
from providers.aws.rows_engine.row import Row
from providers.plugin.provider import Diff, Kind
from providers.plugin.values import UNKNOWN, Properties


def changed_inputs(row: Row, old_inputs: Properties, old_outputs: Properties, news: Properties) -> list[str]:
    """Names of the inputs that differ, in a stable order.

    An input that is new to the program but describes what is already there isn't a change (imported resources start
    so).
    """
    names = []
    for name in sorted({*old_inputs, *news}):
        old, new = old_inputs.get(name), news.get(name)
        if same(old, new):
            continue
        if name not in old_inputs and new is not UNKNOWN and _already(row, name, old_outputs, new):
            continue
        names.append(name)
    return names


def _already(row: Row, name: str, outputs: Properties, wanted: object) -> bool:
    described = jmespath.search(row.observe[name], outputs) if name in row.observe else outputs.get(name)
    return described is not None and same(observed(described, wanted), wanted)


def diff(row: Row, *, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Diff:
    """What an update would change; a broken resource is always replaced.

    Ignored changes never arrive here: the engine puts the old value in the inputs before it asks.
    """
    if is_broken(row, old_outputs):
        state = row.ready.state if row.ready else ""
        return Diff(
            changes=True,
            replaces=(state,),
            detailed={state: Kind.UPDATE_REPLACE},
            delete_before_replace=row.delete_first,
            input_diff=False,
        )
    names = changed_inputs(row, old_inputs, old_outputs, news)
    detailed: dict[str, Kind] = {}
    for name in names:
        detailed |= _detail(row, name, old_inputs, news)
    if old_outputs.get(UNFINISHED):
        detailed[UNFINISHED] = Kind.DELETE
    replaces = tuple(name for name in names if _replaces(detailed, name))
    return Diff(
        changes=bool(detailed),
        replaces=replaces,
        detailed=detailed,
        delete_before_replace=bool(replaces) and row.delete_first,
    )


def is_broken(row: Row, outputs: Properties) -> bool:
    if not row.broken or row.ready is None:
        return False
    state = jmespath.search(row.ready.state, outputs)
    return str(state).lower() in {broken.lower() for broken in row.broken}


def _detail(row: Row, name: str, old_inputs: Properties, news: Properties) -> dict[str, Kind]:
    if name not in old_inputs:
        kinds = {name: Kind.ADD}
    elif name not in news:
        kinds = {name: Kind.DELETE}
    else:
        kinds = changes(old_inputs[name], news[name], (name,)) or {name: Kind.UPDATE}
    return {path: kind.replacing() if _is_fixed(row, name, path) else kind for path, kind in kinds.items()}


def _is_fixed(row: Row, name: str, path: str) -> bool:
    return name not in row.changeable or any(path == fixed or path.startswith(f"{fixed}.") for fixed in row.fixed)


def _replaces(detailed: dict[str, Kind], name: str) -> bool:
    return any(
        path.split(".")[0].split("[")[0] == name and kind.value.endswith("_REPLACE") for path, kind in detailed.items()
    )

"""Objects that a stack may share with others: one that exists already is used as it is, and is never deleted. PURE.

Called by `crud` and `adopt` for rows with `Adopt.common`. The mark FOUND among a resource's outputs says that a create
found an existing object.
"""

from __future__ import annotations

from meshwire.marks import FOUND
from providers.aws.rows_engine.row import Row
from providers.plugin.values import Properties


def is_common(row: Row, inputs: Properties) -> bool:
    """Whether others ask for an equal object, so that one which is there may be theirs."""
    return row.adopt.common is not None and row.adopt.common(inputs)


def kept_inputs(row: Row, inputs: Properties) -> frozenset[str]:
    """The inputs that stay as whoever made the object has them."""
    return frozenset(row.adopt.as_found) if is_common(row, inputs) else frozenset()


def marked(row: Row, inputs: Properties, outputs: Properties) -> Properties:
    """The outputs of an object that a create has found."""
    return outputs | {FOUND: True} if is_common(row, inputs) else outputs


def mark_of(outputs: Properties) -> Properties:
    """The mark, to be taken over into later outputs."""
    return {FOUND: True} if outputs.get(FOUND) else {}


def as_declared(row: Row, now: Properties, inputs: Properties) -> Properties:
    """The inputs that the object has now, where what whoever made it decides counts as it is declared."""
    declared = {name: inputs[name] for name in kept_inputs(row, inputs) if name in inputs and name in now}
    return {**now, **declared}

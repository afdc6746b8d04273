"""Every API operation that a row may call. PURE.

Called by `meshctl.platforms.aws.iam.iam_policy`, which makes rights of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from providers.aws.rows_engine.row import Call, Row


def operations(row: Row) -> frozenset[str]:
    """Of create, read, update, delete, waits and tags, by the names of the API ("CreateVpc"). A run needs all of
    them."""
    return frozenset((*_calls(row), *row.hook_operations))


def optional_operations(row: Row) -> Iterator[tuple[str, str]]:
    """Those without whose rights a run goes on, with their service: what other services count (`Count`), and what the
    row's functions ask."""
    polls = (row.created, row.ready, row.gone, *(setting.wait for setting in row.settings))
    counts = (poll.count for poll in polls if poll is not None and poll.count is not None)
    yield from ((count.service, count.operation) for count in counts)
    yield from ((row.service, operation) for operation in row.optional_operations)


def _calls(value: Any) -> Iterator[str]:
    if isinstance(value, Call):
        yield value.operation
    if isinstance(value, tuple):
        for each in value:
            yield from _calls(each)
    elif isinstance(value, Mapping):
        yield from _calls(tuple(value.values()))
    elif is_dataclass(value):
        for field in fields(value):
            yield from _calls(getattr(value, field.name))

"""Values that go one way, since the API refuses the way back (the size of a Lustre file system, a cluster's
authentication mode), or nobody wants it (the release of the nodes' image). Where somebody else has taken such a value
further than the program, it stays. PURE.

`declared` is for what was read, so that it is no drift; `as_far` is for what is to be applied, so that nothing is sent
which the API would refuse. Called by the provider's check and by `crud`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.aws.rows_engine.row import OneWay, Row
from providers.plugin.values import Properties

Rank = tuple[float, ...]
# 2.15; an image's 1.35.0-20261101; an add-on's v1.12.4-eksbuild.1
_VERSION = re.compile(r"v?\d+(\.\d+)*(-(eksbuild\.)?\d+)?")


def as_far(row: Row, wanted: Properties, live: Properties) -> Properties:
    """`wanted`, with the live value where that is further along. `live`: inputs as they are now, or were last known."""
    for rule in row.one_way:
        now = _value(live, rule.path)
        if _is_further(rule, now, _value(wanted, rule.path)):
            wanted = _with_value(wanted, rule.path, now)
    return wanted


def declared(row: Row, live: Properties, inputs: Properties) -> Properties:
    """`live`, with the value of `inputs` where the live one is further along."""
    for rule in row.one_way:
        before = _value(inputs, rule.path)
        if _is_further(rule, _value(live, rule.path), before):
            live = _with_value(live, rule.path, before)
    return live


def _is_further(rule: OneWay, one: Any, other: Any) -> bool:
    """False where either is missing, unknown, or of a kind that has no order here."""
    first, second = _rank(rule, one), _rank(rule, other)
    return first is not None and second is not None and first > second


def _rank(rule: OneWay, value: Any) -> Rank | None:
    if rule.order:
        return (rule.order.index(value),) if value in rule.order else None
    if isinstance(value, int | float):
        return (value,)
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        return None
    return tuple(int(number) for number in re.findall(r"\d+", value))


def _value(inputs: Properties, path: str) -> Any:
    value: Any = inputs
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _with_value(inputs: Properties, path: str, value: Any) -> Properties:
    name, _, inner = path.partition(".")
    return {**inputs, name: _with_value(inputs[name], inner, value) if inner else value}

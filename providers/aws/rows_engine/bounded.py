"""Numbers that somebody else moves while an object is up: the size of a node group, which belongs to an autoscaler or
to a person with a console. Called by the provider's check, so that such a move is no difference, and by `crud`, so that
an update sends the live number. PURE.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from providers.aws.rows_engine.row import Bounded, Row
from providers.plugin.values import Properties


def with_live_numbers(row: Row, news: Properties, live: Properties) -> Properties:
    """`news`, in which each bounded number is the live one, brought between the new bounds.

    `live`: inputs as they are now, or as they were last known. A number that is unknown on either side stays as it is
    in `news`.
    """
    for bounded in row.bounded:
        news = _with_live_number(bounded, news, live)
    return news


def _with_live_number(bounded: Bounded, news: Properties, live: Properties) -> Properties:
    new, old = news.get(bounded.input), live.get(bounded.input)
    if not isinstance(new, dict) or not isinstance(old, dict):
        return news
    if bounded.fixed_by and news.get(bounded.fixed_by) is not None:
        return news
    now, low, high = old.get(bounded.number), new.get(bounded.low), new.get(bounded.high)
    if not (_is_number(now) and _is_number(low) and _is_number(high)):
        return news
    return {**news, bounded.input: {**new, bounded.number: min(max(now, low), high)}}


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float)

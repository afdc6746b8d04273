"""How long something took by the clock of a cluster: from when conditions of its objects were met. PURE."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Object = dict[str, Any]


def seconds_between(first: Object, condition: str, second: Object, later_condition: str) -> float:
    """From the moment at which the one object met its condition until the other met its own. Times of a cluster are
    whole seconds."""
    return (_since(second, later_condition) - _since(first, condition)).total_seconds()


def _since(item: Object, condition: str) -> datetime:
    (since,) = [
        each["lastTransitionTime"]
        for each in item["status"]["conditions"]
        if (each["type"], each["status"]) == (condition, "True")
    ]
    return datetime.fromisoformat(since)

"""Filters of the describing operations of EC2, which the lab's own answers obey. PURE.

Source: "List and filter using the CLI and API" of the EC2 user guide: every filter has to match, by one of its values,
in which `*` and `?` stand for other characters.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

from meshctl.lab.aws.errors import ApiError


def filtered(
    descriptions: Iterable[dict[str, Any]], filters: list[dict[str, Any]], names: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Those that match every filter. `names`: filter -> member, a member of a member after a dot (`State.Name`).

    Raises: ApiError for a filter that isn't known.
    """
    for item in descriptions:
        tags = {entry["Key"]: entry["Value"] for entry in item["Tags"]}
        values = {name: [str(_member(item, member))] for name, member in names.items()}
        values |= {"tag-key": list(tags), **{f"tag:{key}": [value] for key, value in tags.items()}}
        if all(_matches(wanted, values) for wanted in filters):
            yield item


def _member(item: dict[str, Any], path: str) -> Any:
    """An empty text where the description has none."""
    value: Any = reduce(lambda owner, name: owner.get(name, {}), path.split("."), item)
    return value if value != {} else ""


def _matches(wanted: dict[str, Any], values: dict[str, list[str]]) -> bool:
    name = wanted.get("Name", "")
    if name not in values and not name.startswith("tag:"):
        raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    live = values.get(name, [])
    return any(fnmatch.fnmatchcase(value, pattern) for value in live for pattern in wanted.get("Values", []))

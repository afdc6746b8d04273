"""Old against new inputs, and described values against inputs. Called by `crud` for diff, read and adoption. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meshwire.marks import OWNER_TAG, REGION_TAG
from providers.plugin.provider import Kind
from providers.plugin.values import UNKNOWN, Path, contains_unknown, path_text


def normal(value: Any) -> Any:
    """The value with JSON text read (policies may be given as text or as an object), so that spelling makes no
    difference.
    """
    if isinstance(value, str) and value[:1] in "{[" and value[-1:] in "}]":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def same(left: Any, right: Any) -> bool:
    return bool(normal(left) == normal(right)) and not contains_unknown(left) and not contains_unknown(right)


def changes(old: Any, new: Any, path: Path) -> dict[str, Kind]:
    """Paths that differ, as deep as both sides are objects or lists of one length."""
    left, right = normal(old), normal(new)
    if same(left, right):
        return {}
    if isinstance(left, Mapping) and isinstance(right, Mapping) and left and right:
        kinds: dict[str, Kind] = {}
        for key in [*left, *(key for key in right if key not in left)]:
            if key not in right:
                kinds[path_text((*path, key))] = Kind.DELETE
            elif key not in left:
                kinds[path_text((*path, key))] = Kind.ADD
            else:
                kinds |= changes(left[key], right[key], (*path, key))
        return kinds
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        kinds = {}
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            kinds |= changes(one, other, (*path, index))
        return kinds
    return {path_text(path): Kind.UPDATE}


def observed(described: Any, wanted: Any) -> Any:
    """`wanted` where the description agrees with it, else what is described. Only what `wanted` names is compared.

    Services add defaults, reorder lists of names and answer policies decoded: none of that is a difference.
    """
    plain, want = normal(described), normal(wanted)
    if isinstance(want, Mapping) and isinstance(plain, Mapping):
        if isinstance(wanted, str):
            return wanted if plain == want else described
        return {key: observed(plain[key], item) if key in plain else item for key, item in want.items()}
    if isinstance(want, list) and isinstance(plain, Sequence) and not isinstance(plain, str):
        return _observed_list(list(plain), want)
    if plain == want or str(plain) == str(want) or wanted is UNKNOWN:
        return wanted
    return described


def _observed_list(described: list[Any], wanted: list[Any]) -> list[Any]:
    if len(described) != len(wanted):
        return described
    if all(isinstance(item, str | int | float) for item in [*described, *wanted]):
        return wanted if sorted(map(str, described)) == sorted(map(str, wanted)) else described
    if _same_items(described, wanted):
        return wanted
    return [observed(one, other) for one, other in zip(described, wanted, strict=True)]


def _same_items(described: list[Any], wanted: list[Any]) -> bool:
    """Whether each wanted item is among the described ones, in any order: services answer tags and rules in theirs."""
    left = list(described)
    for item in wanted:
        match = next((one for one in left if observed(one, item) == item), None)
        if match is None:
            return False
        left.remove(match)
    return True


def merged(described: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The description with the inputs laid over it: what was asked for, as it was asked for, and what AWS adds."""
    result = dict(described)
    for key, value in inputs.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def tag_map(tags: Any) -> dict[str, str]:
    """Tags as {key: value}, from a map or a list of {Key, Value}; AWS's own tags left out."""
    pairs = tags.items() if isinstance(tags, Mapping) else [(tag["Key"], tag.get("Value", "")) for tag in tags or []]
    return {key: value for key, value in pairs if not key.startswith("aws:")}


def observed_tags(described: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The wanted tags as they are now. Tags that others put there (cloud controllers do) aren't ours to judge."""
    return {key: described[key] for key in wanted if key in described and key != OWNER_TAG}


def given_tags(described: Mapping[str, str]) -> dict[str, str]:
    """Without the tags that are the provider's own."""
    return {key: value for key, value in described.items() if key not in (OWNER_TAG, REGION_TAG)}

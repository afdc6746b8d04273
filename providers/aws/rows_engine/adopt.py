"""Tells an object that an interrupted run left behind from someone else's. Called by `crud` around create. EDGE."""

from __future__ import annotations

from typing import Any

from meshwire.marks import OWNER_TAG, REGION_TAG
from providers.aws.rows_engine import shared
from providers.aws.rows_engine.calls import CALL_ERRORS, call_error, matches, search
from providers.aws.rows_engine.compare import same
from providers.aws.rows_engine.diffs import is_broken
from providers.aws.rows_engine.live import Live, find
from providers.aws.rows_engine.row import SEPARATOR
from providers.plugin.provider import ProviderError
from providers.plugin.values import Properties

CONFLICTS = ("AlreadyExists",)  # the code of a conflict where the row names none


def id_of(live: Live, context: dict[str, Any]) -> str:
    """The row's id over the context.

    Raises:
        ProviderError: NoId, the answer lacks it.
    """
    id = search(live.row.id, context)  # noqa: A001
    if not isinstance(id, str) or not id:
        raise ProviderError("NoId", f"{live.row.create.operation}: the answer names no {live.row.id}")
    return id


def ours(live: Live, context: dict[str, Any], other_ids: frozenset[str] = frozenset()) -> str | None:
    """The id of the object that an earlier run made for this very resource, or None.

    `other_ids`: ids of other resources, which are passed over.

    Raises:
        ProviderError: an object of the same name exists and is someone else's.
    """
    adopt = live.row.adopt
    for candidate in _candidates(live, context):
        if candidate is None or live.is_gone(candidate) or _is_replaced(live, candidate):
            continue
        id = str(find(adopt.id, {**context, **candidate}) if adopt.id else id_of(live, context))  # noqa: A001
        if id in other_ids:
            continue
        candidate_context = context | {"id": id, "parts": id.split(SEPARATOR), "outputs": candidate}
        if _owned(live, candidate_context, candidate):
            return id
    return None


def _is_replaced(live: Live, candidate: Any) -> bool:
    """Whether it can't be used any more and is still there only because its successor is made first."""
    return not live.row.delete_first and isinstance(candidate, dict) and is_broken(live.row, candidate)


def _candidates(live: Live, context: dict[str, Any]) -> list[Any]:
    adopt = live.row.adopt
    if adopt.find is None:
        id = id_of(live, context)  # noqa: A001
        return [live.describe(context | {"id": id, "parts": id.split(SEPARATOR)})]
    try:
        candidates = live.run(adopt.find, context)
    except ProviderError as error:
        if matches(error, adopt.taken):
            raise conflict(live, context, error.code) from error
        if matches(error, live.row.not_found):
            return []
        raise
    return candidates if isinstance(candidates, list) else [candidates]


def _owned(live: Live, context: dict[str, Any], candidate: Properties) -> bool:
    """By "tag", others' objects are passed by; by "name" and "same", someone else's object is a conflict."""
    adopt = live.row.adopt
    if adopt.by == "same":
        if _equal(live, context, candidate):
            return True
        raise conflict(live, context, CONFLICTS[0])
    tags = live.tags(context, candidate)
    region = tags.get(REGION_TAG, "")
    if region and live.clients.region and region != live.clients.region:
        # a stack of the same name in another region, whose `up` was no interrupted one of this stack
        raise conflict(live, context, (adopt.exists or CONFLICTS)[0], f"the same resource of a stack in {region}")
    if tags.get(OWNER_TAG) == live.owner:
        return True
    if adopt.by == "tag":
        return False
    if adopt.proof is not None and OWNER_TAG not in tags and _proven(live, context | {"tags": tags}):
        return True
    raise conflict(live, context, (adopt.exists or CONFLICTS)[0], tags.get(OWNER_TAG, ""))


def _proven(live: Live, context: dict[str, Any]) -> bool:
    proof = live.row.adopt.proof
    try:
        return proof is not None and proof(live.clients.client(live.row.service), context)
    except CALL_ERRORS as error:
        raise call_error(error, f"looking at {context['id']}") from error


def _equal(live: Live, context: dict[str, Any], candidate: Properties) -> bool:
    passed_over = {*live.row.opaque, "Tags", *shared.kept_inputs(live.row, context["inputs"])}
    return all(
        same(live.observe(name, candidate, value), value)
        for name, value in context["inputs"].items()
        if name not in passed_over
    )


def conflict(live: Live, context: dict[str, Any], code: str, owner: str = "") -> ProviderError:
    """The error that names what is in the way, and whose it is where that is known."""
    name = context.get("id") or _name(context["inputs"])
    if live.row.adopt.by == "same":
        whose = "has other values"
    else:
        whose = f"belongs to {owner}" if owner else f"carries no {OWNER_TAG} tag of this resource"
    return ProviderError(code, f"{live.noun} {name} exists already and {whose}; import it, or choose another name")


def _name(inputs: Properties) -> str:
    names = [value for key, value in inputs.items() if key.lower().endswith("name") or key in ("Bucket", "Url")]
    return str(names[0]) if names else "with these inputs"

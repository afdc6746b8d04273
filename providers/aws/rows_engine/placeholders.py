"""Ids of resources that an interrupted run had begun to create, and of which nobody knows whether they exist. PURE.

Called by `crud`. `meshctl.engine.pending` puts such an id into the state: UNANSWERED, and behind it the ids of objects
that are known to be others.
"""

# ruff: noqa: A002 (`id` is the protocol's word)

from __future__ import annotations

from meshwire.marks import OTHER_ID, UNANSWERED
from providers.aws.rows_engine.row import Row
from providers.plugin.provider import ProviderError


def is_placeholder(id: str) -> bool:
    return id.split(OTHER_ID)[0] == UNANSWERED


def other_ids(id: str) -> frozenset[str]:
    """The ids of objects that the interrupted run has not made."""
    return frozenset(id.split(OTHER_ID)[1:])


def refuse(id: str, row: Row) -> None:
    """Refuse to change or delete a placeholder: if "not found" counted as "deleted", the real object would stay.

    Raises: ProviderError.
    """
    if is_placeholder(id):
        noun = row.token.rsplit(":", 1)[-1]
        message = f"an interrupted run had begun to create this {noun}, and whether it exists is not known yet"
        raise ProviderError("Unanswered", message)

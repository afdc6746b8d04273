"""Deletes one object, and waits for its end where something may come after it. Called by `provider`. EDGE.

An object with pods is waited for also where it says `pulumi.com/skipAwait`: that is about getting ready. Its successor
has the same name, and can't be made before it is gone.
"""

from __future__ import annotations

from meshwire.marks import GONE_WITH_VOLUME
from providers.kubernetes import objects
from providers.kubernetes.connection import ApiError
from providers.kubernetes.objects import Gvk, Json
from providers.kubernetes.session import Session
from providers.kubernetes.waits import grace
from providers.kubernetes.waits.waiting import CLAIM, POD, Outcome, Status
from providers.plugin.provider import ProviderError


def delete(session: Session, gvk: Gvk, declared: Json, live: Json, *, timeout_s: float, status: Status) -> None:
    """`asked`: the inputs; `timeout_s`: the custom timeout, 0 without one. Raises: ProviderError when it stays."""
    policy = objects.annotation(declared, objects.DELETION_PROPAGATION).capitalize() or "Foreground"
    limit_s = _limit_s(session, gvk, declared, live, timeout_s)  # before the delete: a namespace's pods are listed
    try:
        session.api.delete(gvk, objects.namespace_of(live), objects.name_of(live), propagation=policy)
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if objects.is_true(declared, objects.SKIP_AWAIT) and not grace.has_pods(live):
        return
    outcome = session.waiter.until_gone(gvk, live, timeout_s=limit_s, status=status)
    if gvk == objects.NAMESPACE and not outcome.reasons:
        outcome = session.waiter.until_volumes_gone(objects.name_of(live), timeout_s=limit_s, status=status)
    if gvk == CLAIM and not outcome.reasons and objects.is_true(declared, GONE_WITH_VOLUME):
        place = objects.namespace_of(live), objects.name_of(live)
        outcome = session.waiter.until_volumes_gone(*place, timeout_s=limit_s, status=status)
    _refuse_what_stays(outcome)


def until_predecessor_gone(session: Session, gvk: Gvk, declared: Json, *, status: Status) -> None:
    """For a create that met an object of the same name on its way out: wait as long as that one's delete would.

    Raises: ProviderError when it stays.
    """
    try:
        live = session.api.get(gvk, objects.namespace_of(declared), objects.name_of(declared))
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if objects.metadata(live).get("deletionTimestamp"):
        status("the old object of this name is being deleted")
        limit_s = _limit_s(session, gvk, {}, live, 0)
        _refuse_what_stays(session.waiter.until_gone(gvk, live, timeout_s=limit_s, status=status))


def _limit_s(session: Session, gvk: Gvk, declared: Json, live: Json, timeout_s: float) -> float:
    return grace.deletion_timeout_s(
        timeout_s, declared, _pods_of(session, live) if gvk == objects.NAMESPACE else [live]
    )


def _pods_of(session: Session, namespace: Json) -> list[Json]:
    """The pods of a namespace; none without the right to list them, and the default limit applies."""
    try:
        return session.api.items(POD, objects.name_of(namespace))
    except ApiError:
        return []


def _refuse_what_stays(outcome: Outcome) -> None:
    if outcome.reasons:
        raise ProviderError("", "; ".join(outcome.reasons))

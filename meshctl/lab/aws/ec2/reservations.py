"""Capacity reservations and capacity blocks as time goes by: their state, and whether instances run in them. PURE.

Called by `capacity_blocks` and by the node groups. Sources: EC2 API reference, CapacityReservation; EC2 user guide,
"Capacity Blocks for ML".
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

BLOCK: Final = "capacity-block"
_NOTICE: Final = datetime.timedelta(minutes=30)
_ULTRASERVER_NOTICE: Final = datetime.timedelta(minutes=60)
_ULTRASERVERS: Final = ("p6e-", "trn2u.")


def state_at(reservation: Mapping[str, Any], now: datetime.datetime) -> str:
    """A block's follows the clock, until it is cancelled."""
    state = str(reservation["State"])
    if reservation["ReservationType"] != BLOCK or state == "cancelled":
        return state
    if now < reservation["StartDate"]:
        return "scheduled"
    return "active" if now < reservation["EndDate"] else "expired"


def has_machines(reservation: Mapping[str, Any], now: datetime.datetime) -> bool:
    """Whether instances can run in it: those of a block are ended some time before it."""
    if state_at(reservation, now) != "active":
        return False
    is_ultraserver = reservation["InstanceType"].startswith(_ULTRASERVERS)
    notice = _ULTRASERVER_NOTICE if is_ultraserver else _NOTICE
    return bool(reservation["ReservationType"] != BLOCK or now < reservation["EndDate"] - notice)


def target_of(template: Mapping[str, Any]) -> str:
    """The reservation that a launch template names; "" for none."""
    specification = template.get("CapacityReservationSpecification") or {}
    return str((specification.get("CapacityReservationTarget") or {}).get("CapacityReservationId", ""))

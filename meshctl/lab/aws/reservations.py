"""Capacity reservations and capacity blocks as EC2 keeps them: what is bought, what state it is in by now. PURE.

Called by `ec2` and by the node groups. The state of a block follows from the clock. Sources: EC2 API reference,
DescribeCapacityBlockOfferings, PurchaseCapacityBlock and CapacityReservation; EC2 user guide, "Capacity Blocks for ML".
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

BLOCK: Final = "capacity-block"
_NOTICE: Final = datetime.timedelta(minutes=30)
_ULTRASERVER_NOTICE: Final = datetime.timedelta(minutes=60)
_ULTRASERVERS: Final = ("p6e-", "trn2u.")
_LEAD: Final = datetime.timedelta(minutes=30)


def offering(given: Mapping[str, Any], offering_id: str, zone: str, now: datetime.datetime) -> dict[str, Any]:
    """One that begins when the caller wants it to."""
    start = (given.get("StartDateRange") or now + _LEAD).replace(tzinfo=datetime.UTC)  # moto reads dates without a zone
    hours = given["CapacityDurationHours"]
    return {
        "CapacityBlockOfferingId": offering_id,
        "InstanceType": given["InstanceType"],
        "InstanceCount": given.get("InstanceCount", 1),
        "AvailabilityZone": zone,
        "StartDate": start,
        "EndDate": start + datetime.timedelta(hours=hours),
        "CapacityBlockDurationHours": hours,
        "UpfrontFee": "1000.00",
        "CurrencyCode": "USD",
        "Tenancy": "default",
    }


def block(offered: Mapping[str, Any], platform: str, now: datetime.datetime) -> dict[str, Any]:
    """What makes a reservation of an offering a capacity block."""
    return {
        "InstanceType": offered["InstanceType"],
        "InstancePlatform": platform,
        "AvailabilityZone": offered["AvailabilityZone"],
        "TotalInstanceCount": offered["InstanceCount"],
        "AvailableInstanceCount": offered["InstanceCount"],
        "State": "scheduled",
        "StartDate": offered["StartDate"],
        "EndDate": offered["EndDate"],
        "EndDateType": "limited",
        "InstanceMatchCriteria": "targeted",
        "CreateDate": now,
        "ReservationType": BLOCK,
    }


def by_now(reservation: Mapping[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """The reservation with the state that it is in."""
    if reservation["ReservationType"] != BLOCK or reservation["State"] == "cancelled":
        return dict(reservation)
    if now < reservation["StartDate"]:
        return {**reservation, "State": "scheduled", "AvailableInstanceCount": 0}
    return {**reservation, "State": "active" if now < reservation["EndDate"] else "expired"}


def has_machines(reservation: Mapping[str, Any], now: datetime.datetime) -> bool:
    """Whether instances can run in it: those of a block are ended some time before it."""
    current = by_now(reservation, now)
    if current["State"] != "active":
        return False
    is_ultraserver = current["InstanceType"].startswith(_ULTRASERVERS)
    notice = _ULTRASERVER_NOTICE if is_ultraserver else _NOTICE
    return bool(current["ReservationType"] != BLOCK or now < current["EndDate"] - notice)


def target_of(template: Mapping[str, Any]) -> str:
    """The reservation that a launch template names; "" for none."""
    specification = template.get("CapacityReservationSpecification") or {}
    return str((specification.get("CapacityReservationTarget") or {}).get("CapacityReservationId", ""))

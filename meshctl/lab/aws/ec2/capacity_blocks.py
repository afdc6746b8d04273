"""Capacity blocks of EC2: bought ahead, for a time that begins later and ends. EDGE.

A part of `ec2`, which shows them among the capacity reservations. Source: EC2 API reference,
DescribeCapacityBlockOfferings and PurchaseCapacityBlock; "Capacity Blocks for ML", EC2 user guide.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.ec2 import instance_types
from meshctl.lab.aws.ec2.reservations import BLOCK, state_at
from meshctl.lab.aws.errors import ApiError

_SHORTEST_H: Final = 24  # and a multiple of it
_FEE_USD_PER_HOUR: Final = 31.464  # of a p5.48xlarge, as one example of a price


def state_of(reservation: Mapping[str, Any]) -> str:
    """The state of a reservation now."""
    return state_at(reservation, datetime.now(UTC))


class CapacityBlocks:
    """`reservations`: those of EC2, by region and id."""

    reservations: dict[tuple[str, str], dict[str, Any]]

    def __init__(self) -> None:
        self.block_offerings: dict[str, dict[str, Any]] = {}

    def describe_capacity_block_offerings(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """One for each zone that has the type."""
        hours = given["CapacityDurationHours"]
        if hours < _SHORTEST_H or hours % _SHORTEST_H:
            raise ApiError("InvalidParameterValue", f"The capacity duration {hours} is not a multiple of {_SHORTEST_H}")
        zones = sorted(instance_types.zones_of(call.region, given["InstanceType"]))
        offerings = [_offering(given, zone) for zone in zones]
        self.block_offerings |= {offering["CapacityBlockOfferingId"]: offering for offering in offerings}
        return {"CapacityBlockOfferings": offerings}

    def purchase_capacity_block(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        offering = self.block_offerings.pop(given["CapacityBlockOfferingId"], None)
        if offering is None:
            raise ApiError("InvalidCapacityBlockOfferingId.NotFound", "The capacity block offering does not exist")
        name = f"cr-{secrets.token_hex(8)}0"
        reservation = {
            "CapacityReservationId": name,
            "CapacityReservationArn": f"arn:aws:ec2:{call.region}:{DEFAULT_ACCOUNT_ID}:capacity-reservation/{name}",
            "OwnerId": DEFAULT_ACCOUNT_ID,
            "InstancePlatform": given["InstancePlatform"],
            "TotalInstanceCount": offering["InstanceCount"],
            "AvailableInstanceCount": offering["InstanceCount"],
            **{key: offering[key] for key in ("InstanceType", "AvailabilityZone", "Tenancy", "StartDate", "EndDate")},
            "EbsOptimized": False,
            "EphemeralStorage": False,
            "State": "scheduled",
            "CreateDate": datetime.now(UTC),
            "EndDateType": "limited",
            "InstanceMatchCriteria": "targeted",
            "ReservationType": BLOCK,
        }
        self.reservations[call.region, name] = reservation
        return {"CapacityReservation": {**reservation, "State": state_of(reservation)}}


def _offering(given: dict[str, Any], zone: str) -> dict[str, Any]:
    hours, count = given["CapacityDurationHours"], given.get("InstanceCount", 1)
    begins: datetime | None = given.get("StartDateRange")  # in UTC, which moto's parser does not say
    start = begins.replace(tzinfo=UTC) if begins else datetime.now(UTC) + timedelta(days=1)
    return {
        "CapacityBlockOfferingId": f"cb-{secrets.token_hex(8)}0",
        "InstanceType": given["InstanceType"],
        "AvailabilityZone": zone,
        "InstanceCount": count,
        "StartDate": start,
        "EndDate": start + timedelta(hours=hours),
        "CapacityBlockDurationHours": hours,
        "UpfrontFee": f"{_FEE_USD_PER_HOUR * hours * count:.2f}",
        "CurrencyCode": "USD",
        "Tenancy": "default",
    }

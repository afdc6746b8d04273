"""What EC2 sells, where: instance types by zone, their processors and network cards, from the data that moto carries.

moto's files are dumps of DescribeInstanceTypes and DescribeInstanceTypeOfferings. PURE, but for reading them once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

# Quotas of running instances, in vCPUs, by the beginnings of instance types: "On-Demand Instance quotas" and "Spot
# Instance quotas" of the EC2 instance types guide. A longer beginning goes before a shorter one: `inf` before `i`. None
# of the spot quotas names P6, and Macs run on dedicated hosts alone.
STANDARD = "L-1216C47A"  # A, C, D, H, I, M, R, T, Z
_STANDARD_SPOT = "L-34B43A08"
_ON_DEMAND = {
    **dict.fromkeys("acdhimrtz", STANDARD),
    "inf": "L-1945791B",
    "trn": "L-2C3B7624",
    "dl": "L-6E869C2A",
    "hpc": "L-F7808C92",
    "u": "L-43DA4232",
    "x": "L-7295265B",
    "f": "L-74FC7D96",
    "g": "L-DB2E81BA",
    "vt": "L-DB2E81BA",
    "p": "L-417A185B",
    "mac": "",
}
_SPOT = {
    **dict.fromkeys("acdhimrtz", _STANDARD_SPOT),
    "inf": "L-B5D1601B",
    "trn": "L-6B0D517C",
    "dl": "L-85EED4F7",
    "hpc": "",
    "x": "L-E3A00192",
    "f": "L-88CF9481",
    "g": "L-3819A6DF",
    "vt": "L-3819A6DF",
    "p2": "L-7212CCBC",
    "p3": "L-7212CCBC",
    "p4": "L-7212CCBC",
    "p5": "L-C4BD4855",  # p5e and p5en, too
    "mac": "",
}


def described(instance_type: str) -> dict[str, Any] | None:
    """What DescribeInstanceTypes says; None for a type that does not exist."""
    answer: dict[str, Any] | None = INSTANCE_TYPES.get(instance_type)
    return answer


@cache
def zones_of(region: str, instance_type: str) -> frozenset[str]:
    """The names of the zones in which the region offers the type."""
    offerings = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return frozenset(each["Location"] for each in offerings if each["InstanceType"] == instance_type)


def architectures(instance_type: str) -> list[str]:
    """`x86_64` or `arm64`."""
    details = described(instance_type) or {}
    return list(details.get("ProcessorInfo", {}).get("SupportedArchitectures", []))


def vcpus(instance_type: str) -> int:
    return int((described(instance_type) or {}).get("VCpuInfo", {}).get("DefaultVCpus", 0))


def efa_interfaces(instance_type: str) -> int:
    """How many interfaces of type efa or efa-only the type can have."""
    network = (described(instance_type) or {}).get("NetworkInfo", {})
    return int(network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0))


def network_cards(instance_type: str) -> int:
    return int((described(instance_type) or {}).get("NetworkInfo", {}).get("MaximumNetworkCards", 1))


def vcpu_quota(instance_type: str, *, spot: bool = False) -> str:
    """The code of the quota that running instances of the type count for; "" for none that is known."""
    codes = _SPOT if spot else _ON_DEMAND
    beginnings = [each for each in codes if instance_type.startswith(each)]
    return codes[max(beginnings, key=len)] if beginnings else ""

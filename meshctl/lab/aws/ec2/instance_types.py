"""What EC2 sells, where: instance types by zone, their processors and network cards, from the data that moto carries.

moto's files are dumps of DescribeInstanceTypes and DescribeInstanceTypeOfferings. PURE, but for reading them once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

# Quotas of running instances, in vCPUs, by the first letters of an instance type: "Amazon EC2 On-Demand Instance
# limits" of the EC2 user guide. A longer beginning goes before a shorter one: `inf` before `i`.
_ON_DEMAND = {
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
}
STANDARD = "L-1216C47A"  # A, C, D, H, I, M, R, T, Z
_SPOT = {"L-417A185B": "L-7212CCBC", "L-DB2E81BA": "L-3819A6DF", STANDARD: "L-34B43A08"}
_SPOT_P5 = "L-C4BD4855"  # p5, p5e and p5en: "Spot Instance quotas", EC2 user guide


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
    """The code of the quota that running instances of the type count for."""
    family = instance_type.partition(".")[0]
    begins = sorted((each for each in _ON_DEMAND if family.startswith(each)), key=len)
    on_demand = _ON_DEMAND[begins[-1]] if begins else STANDARD
    if not spot:
        return on_demand
    return _SPOT_P5 if family.startswith("p5") else _SPOT.get(on_demand, on_demand)

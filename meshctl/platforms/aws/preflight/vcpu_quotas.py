"""Which quota of vCPUs counts a running instance, by its type and by how it was bought. PURE.

Called by `change` for nodes that are to be, and by `in_use` for instances that run. Blocks of capacity have quotas of
their own, which are not counted in vCPUs, and are asked about nowhere: a block that was bought is within them.

Sources: "On-Demand Instance quotas" and "Spot Instance quotas" of the EC2 instance types guide, for names and codes.
None of the spot quotas there names P6, and public accounts of it contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STANDARD: Final = "L-1216C47A"
_STANDARD_SPOT: Final = "L-34B43A08"
_STANDARD_FAMILIES: Final = ("a", "c", "d", "h", "i", "m", "r", "t", "z")
# By the beginnings of types; a longer one goes before a shorter one. Macs run on dedicated hosts alone, which have
# quotas of their own.
_ON_DEMAND: Final = {
    **dict.fromkeys(_STANDARD_FAMILIES, STANDARD),
    **dict.fromkeys(("g", "vt"), "L-DB2E81BA"),
    "dl": "L-6E869C2A",
    "f": "L-74FC7D96",
    "hpc": "L-F7808C92",
    "inf": "L-1945791B",
    "mac": "",
    "p": "L-417A185B",
    "trn": "L-2C3B7624",
    "u": "L-43DA4232",
    "x": "L-7295265B",
}
_SPOT: Final = {
    **dict.fromkeys(_STANDARD_FAMILIES, _STANDARD_SPOT),
    **dict.fromkeys(("g", "vt"), "L-3819A6DF"),
    **dict.fromkeys(("p2", "p3", "p4"), "L-7212CCBC"),
    "p5": "L-C4BD4855",
    "dl": "L-85EED4F7",
    "f": "L-88CF9481",
    "hpc": "",
    "inf": "L-B5D1601B",
    "mac": "",
    "trn": "L-6B0D517C",
    "x": "L-E3A00192",
}


def on_demand(machine: str) -> str:
    """The code of the quota of instances on demand, and in reservations on demand; "" for none that is known."""
    return _longest(_ON_DEMAND, machine)


def spot(machine: str) -> str:
    """The code of the quota of spot instances; "" for none that is known."""
    return _longest(_SPOT, machine)


def families(code: str) -> tuple[str, ...]:
    """The beginnings of the types that a quota counts; some types with another quota may begin so as well."""
    tables = (_ON_DEMAND, _SPOT)
    return tuple(sorted(beginning for table in tables for beginning, own in table.items() if own == code))


def _longest(codes: Mapping[str, str], machine: str) -> str:
    beginnings = [each for each in codes if machine.startswith(each)]
    return codes[max(beginnings, key=len)] if beginnings else ""

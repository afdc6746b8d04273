"""Which zone a letter names: every account of AWS has an order of its own. EDGE: it changes moto's tables in place.

Called by `server` once, before the first call. `us-east-1a` of one account is `use1-az6` in another; only the id names
the same place everywhere, and what is offered in a place follows from the id. Source: "Availability Zone IDs for your
AWS resources", AWS RAM user guide.

`account.json` in the lab's folder says which account it is, {"zoneSeed": 7}: each seed has letters of its own, and null
stands for the account that moto's offerings were dumped from. Where it says nothing, an account is chosen and noted
there, one that has control planes of EKS in its first two zones, as the example of meshctl needs.
"""

from __future__ import annotations

import json
import random
import secrets
from collections import defaultdict
from pathlib import Path
from typing import Any

from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from meshctl.lab.aws.ec2 import instance_types
from meshctl.lab.state import ACCOUNT, read_json, write_atomically

_REGION, _FIRST = "us-east-1", ("us-east-1a", "us-east-1b")
WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})  # "VPC and subnet requirements", EKS user guide
BY_LETTER, BY_ID = "availability-zone", "availability-zone-id"
Types = dict[str, frozenset[str]]


def apply(root: Path) -> None:
    """Give each zone its id, and each letter what is offered there."""
    seed = seed_of(root)
    for region, zones in RegionsAndZonesBackend.zones.items():
        by_letter, by_id = _offered(region)
        ids = ids_of_dump(by_letter, by_id)
        if len(ids) != len(zones):
            continue  # moto has no offerings of the region, or of some of its zones alone
        if seed is not None:
            ids = shuffled(ids, f"{seed}/{region}")
        for zone in zones:
            zone.zone_id = ids[zone.name]
        INSTANCE_TYPE_OFFERINGS[BY_LETTER][region] = _offerings(ids, by_id)
    instance_types.zones_of.cache_clear()


def seed_of(root: Path) -> int | None:
    """The seed of the lab's account; None for that of the dump."""
    account = read_json(root / ACCOUNT)
    if "zoneSeed" not in account:
        account["zoneSeed"] = _new_seed()
        write_atomically(root / ACCOUNT, json.dumps(account))
    seed: int | None = account["zoneSeed"]
    return seed


def _new_seed() -> int:
    ids = ids_of_dump(*_offered(_REGION))
    while True:
        seed = secrets.randbelow(1_000_000)
        letters = shuffled(ids, f"{seed}/{_REGION}")
        if letters != ids and not WITHOUT_EKS & {letters[zone] for zone in _FIRST}:
            return seed


def ids_of_dump(by_letter: Types, by_id: Types) -> dict[str, str]:
    """Letter -> id in the account that was dumped: the same types are offered in both. Zones that offer the same can't
    be told apart, nor need they be."""
    free, ids = dict(by_id), {}
    for letter in sorted(by_letter):
        match = next((zone_id for zone_id in sorted(free) if free[zone_id] == by_letter[letter]), None)
        if match is not None:
            ids[letter] = match
            del free[match]
    return ids


def shuffled(ids: dict[str, str], seed: str) -> dict[str, str]:
    """The same zones under other letters, always the same for a seed."""
    values = sorted(ids.values())
    random.Random(seed).shuffle(values)  # noqa: S311 (no secret)
    return dict(zip(sorted(ids), values, strict=True))


def zones_with_eks(region: str) -> list[str]:
    """The names of the zones in which a control plane can have an interface."""
    return [zone.name for zone in RegionsAndZonesBackend.zones.get(region, []) if zone.zone_id not in WITHOUT_EKS]


def _offered(region: str) -> tuple[Types, Types]:
    """What the region offers in its zones, by their letters and by their ids."""
    offerings = INSTANCE_TYPE_OFFERINGS
    return _types(offerings[BY_LETTER].get(region, [])), _types(offerings[BY_ID].get(region, []))


def _types(offerings: list[dict[str, Any]]) -> Types:
    types = defaultdict(set)
    for each in offerings:
        types[each["Location"]].add(each["InstanceType"])
    return {location: frozenset(each) for location, each in types.items()}


def _offerings(ids: dict[str, str], by_id: Types) -> list[dict[str, str]]:
    return [
        {"InstanceType": instance_type, "Location": letter, "LocationType": BY_LETTER}
        for letter, zone_id in ids.items()
        for instance_type in sorted(by_id[zone_id])
    ]

"""Zone letters mean another zone in every account; what is offered follows the zone."""

from __future__ import annotations

from meshctl.lab.aws.zone_letters import ids_of_dump, shuffled

BY_ID = {"use1-az1": frozenset({"p5"}), "use1-az2": frozenset({"p5", "g5"}), "use1-az3": frozenset[str]()}


def test_a_letter_of_the_dump_is_the_zone_that_offers_the_same() -> None:
    by_letter = {"a": frozenset[str](), "b": frozenset({"p5"}), "c": frozenset({"g5", "p5"})}
    assert ids_of_dump(by_letter, BY_ID) == {"a": "use1-az3", "b": "use1-az1", "c": "use1-az2"}


def test_zones_that_offer_the_same_get_an_id_each() -> None:
    same = {"a": frozenset({"p5"}), "b": frozenset({"p5"})}
    assert ids_of_dump(same, {"az2": same["a"], "az1": same["b"]}) == {"a": "az1", "b": "az2"}


def test_a_seed_is_an_account_with_an_order_of_its_own() -> None:
    ids = {letter: f"use1-az{number}" for number, letter in enumerate("abcdef")}
    orders = [tuple(shuffled(ids, f"{seed}/us-east-1").values()) for seed in range(8)]
    assert orders[3] == tuple(shuffled(ids, "3/us-east-1").values())
    assert len(set(orders)) > 1
    assert all(sorted(order) == sorted(ids.values()) for order in orders)

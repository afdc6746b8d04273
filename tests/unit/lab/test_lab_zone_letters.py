"""Zone letters mean another zone in every account; what is offered follows the zone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshctl.lab.aws.ec2 import zone_letters
from meshctl.lab.aws.ec2.zone_letters import ids_of_dump, shuffled
from meshctl.lab.state import ACCOUNT

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


def test_a_new_lab_is_an_account_of_its_own_and_stays_it(tmp_path: Path) -> None:
    seed = zone_letters.seed_of(tmp_path)
    assert json.loads((tmp_path / ACCOUNT).read_text()) == {"zoneSeed": seed}
    assert zone_letters.seed_of(tmp_path) == seed
    seeds = {zone_letters._new_seed() for _ in range(8)}
    assert len(seeds) > 1


def test_a_chosen_account_can_have_the_examples_control_plane() -> None:
    ids = ids_of_dump(*zone_letters._offered("us-east-1"))
    for _ in range(20):
        letters = shuffled(ids, f"{zone_letters._new_seed()}/us-east-1")
        assert letters != ids
        assert "use1-az3" not in (letters["us-east-1a"], letters["us-east-1b"])


@pytest.mark.parametrize(("given", "seed"), [({"zoneSeed": None}, None), ({"zoneSeed": 7, "batchS": 60}, 7)])
def test_an_account_that_is_named_is_taken(given: dict[str, object], seed: int | None, tmp_path: Path) -> None:
    (tmp_path / ACCOUNT).write_text(json.dumps(given))
    assert zone_letters.seed_of(tmp_path) == seed
    assert json.loads((tmp_path / ACCOUNT).read_text()) == given


def test_what_is_said_beside_the_account_stays(tmp_path: Path) -> None:
    (tmp_path / ACCOUNT).write_text('{"batchS": 60}')
    seed = zone_letters.seed_of(tmp_path)
    assert json.loads((tmp_path / ACCOUNT).read_text()) == {"batchS": 60, "zoneSeed": seed}

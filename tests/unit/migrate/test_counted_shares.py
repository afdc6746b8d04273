"""Shares of a gateway that older releases have set, which has it count nothing: they are not changed for that."""

from __future__ import annotations

from meshctl.migrate.planning.gateway_shares import elsewhere
from meshctl.model.deployment import Elsewhere
from tests.unit.migrate.test_expansion_by_gateway import BY_GATEWAY, World, expanded, with_gateway

UNCOUNTED = Elsewhere(
    environment="west", weight=102, addresses=("192.0.2.2",), port=443, certified_host="chat.example.com"
)


def wanted(weight: int, address: str, present: Elsewhere | None) -> Elsewhere:
    west = with_gateway("west")
    (endpoint,) = west.endpoints
    return elsewhere(west, endpoint, weight, [address], present)


def test_the_same_share_given_again_leaves_the_gateway_as_it_is() -> None:
    assert wanted(102, "192.0.2.2", UNCOUNTED) == UNCOUNTED


def test_a_share_that_changes_is_counted_from_then_on() -> None:
    assert wanted(102, "192.0.2.2", None).is_counted
    assert wanted(51, "192.0.2.2", UNCOUNTED) == UNCOUNTED.model_copy(update={"weight": 51, "is_counted": True})
    moved = UNCOUNTED.model_copy(update={"addresses": ("192.0.2.3",), "is_counted": True})
    assert wanted(102, "192.0.2.3", UNCOUNTED) == moved
    assert wanted(102, "192.0.2.3", moved) == moved


def test_an_expansion_of_an_older_release_goes_on_without_new_pods() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    east = gateway.deployments["east"]
    assert east is not None
    as_before = [
        each.model_copy(update={"elsewhere": UNCOUNTED}) if each.elsewhere else each for each in east.workloads
    ]
    gateway.deployments["east"] = east.model_copy(update={"workloads": tuple(as_before)})
    migrations.share_again(migrations.ids()[0], BY_GATEWAY.weight)
    assert gateway.led("chat") == UNCOUNTED
    migrations.share_again(migrations.ids()[0], 51)
    led = gateway.led("chat")
    assert led is not None
    assert led.is_counted

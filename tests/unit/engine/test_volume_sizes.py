"""Which sizes are refused, and which the engine can't give, from the state alone."""

from __future__ import annotations

import pytest

from meshctl.deploy.guards import volume_sizes
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, FileSystem, Price
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.deployments import deployment

LUSTRE = "meshaws:fsx:FileSystem"


def of_size(size_gib: int) -> Deployment:
    price = Price(subject="storage/shared", usd_per_hour=None, source="by hand")
    return deployment(file_systems=(FileSystem(name="shared", service="fsx-lustre", size_gib=size_gib, price=price),))


def state(capacity_gib: int) -> StackState:
    urn = f"urn:pulumi:aws-east::llm-prod::{LUSTRE}::storage/shared:lustre"
    stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:aws-east::llm-prod::pulumi:pulumi:Stack::s"}
    return states.state(stack, {"type": LUSTRE, "urn": urn, "inputs": {"StorageCapacity": capacity_gib}})


def test_a_smaller_lustre_file_system_is_refused() -> None:
    with pytest.raises(UsageError, match="storage/shared has 4800 GiB and can't shrink to 2400 GiB") as refused:
        volume_sizes.check(of_size(2400), state(4800))
    assert "grow but not shrink" in refused.value.hint


@pytest.mark.parametrize("there", [1200, 2400])
def test_a_bigger_one_or_the_same_is_not(there: int) -> None:
    volume_sizes.check(of_size(2400), state(there))
    volume_sizes.check(of_size(2400), states.NOTHING)

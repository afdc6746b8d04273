"""Public bug 15: a refused zone that was mended in the file goes on, and another order of zones changes nothing.

The whole path in memory: the state that a run left, the deployment that the next one makes of the files and the state,
and what the program of that deployment declares. EC2 makes a subnet only where no other has its addresses, and the
engine deletes what the program no longer has after it made what is new.
"""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards import running_pods
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState, as_outputs
from tests.unit.preflight.asking import H100, deployment
from tests.unit.stacks.declared_on_aws import Recorder, declared
from tests.unit.states import state

POOLS = {"train": {"nodes": 2, "accelerator": H100}, "web": {"nodes": 2, "cpu": {"cores": 4}}}
SUBNET = "ec2:Subnet"


def in_zones(*letters: str) -> Deployment:
    return deployment(POOLS, zones=[f"us-east-1{letter}" for letter in letters])


def left_by(program: Recorder, up: Deployment | None, *, with_cluster: bool = False) -> StackState:
    """What a run left that made the network alone, or all."""
    resources = [
        {"urn": f"urn:pulumi:e::m::{program.types[name]}::{name}", "type": program.types[name], "custom": True}
        | {"inputs": inputs, "outputs": {"status": "ACTIVE"}}
        for name, inputs in program.inputs.items()
        if with_cluster or name.startswith("network:")
    ]
    stack: dict[str, Any] = {"urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "type": "pulumi:pulumi:Stack"}
    return state(stack | {"outputs": as_outputs(up) if up is not None else {}}, *resources)


def next_run(wanted: Deployment, before: StackState) -> Recorder:
    return declared(running_pods.with_running_pods(wanted, before))


def addresses(program: Recorder) -> dict[str, str]:
    return {name: inputs["CidrBlock"] for name, inputs in program.of_type(SUBNET).items()}


@pytest.mark.parametrize("has_outputs", [True, False], ids=["failed", "killed"])
def test_case_15_a_zone_that_was_refused_and_mended_in_the_file_goes_on(has_outputs: bool) -> None:
    refused = in_zones("a", "e")
    before = declared(refused)
    after = next_run(in_zones("a", "b"), left_by(before, refused if has_outputs else None))
    made = addresses(after).keys() - addresses(before).keys()
    assert made == {"network:subnet-private-b", "network:subnet-public-b"}
    in_use = set(addresses(before).values())  # the engine deletes what is gone after it made what is new
    assert not {addresses(after)[name] for name in made} & in_use
    staying = addresses(after).keys() & addresses(before).keys()
    assert {name: addresses(after)[name] for name in staying} == {name: addresses(before)[name] for name in staying}


def test_case_15_a_second_zone_that_is_mended_while_the_first_is_still_to_be_deleted() -> None:
    """The run that was to delete the first zone's subnets failed: the deployment has them no more, the state has."""
    first, second = in_zones("a", "e"), in_zones("a", "b")
    made_first = declared(first)
    made_second = next_run(second, left_by(made_first, first))
    both = left_by(made_first, running_pods.with_running_pods(second, left_by(made_first, first)))
    both = both.with_resources((*both.resources, *left_by(made_second, None).resources[1:]))
    third = next_run(in_zones("a", "c"), both)
    in_use = {*addresses(made_first).values(), *addresses(made_second).values()}
    assert not {addresses(third)[name] for name in ("network:subnet-private-c", "network:subnet-public-c")} & in_use


def test_case_15_another_order_of_the_zones_of_what_is_up_declares_the_same() -> None:
    up = in_zones("a", "b", "c")
    before = declared(up)
    after = next_run(in_zones("c", "a", "b"), left_by(before, up, with_cluster=True))
    assert after.inputs == before.inputs

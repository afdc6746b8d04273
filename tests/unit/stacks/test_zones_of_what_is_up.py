"""Public bug 15: a refused zone that was mended in the file goes on, and another order of zones changes nothing.

The whole path in memory: the state that a run left, the deployment that the next one makes of the files and the state,
and what the program of that deployment declares. EC2 makes a subnet only where no other has its addresses, and the
engine deletes what the program no longer has after it made what is new.
"""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.runs import begun_pools
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import STACK_TYPE, StackState, as_outputs
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


def killed_run(wanted: Deployment, before: StackState) -> tuple[StackState, Recorder]:
    """What a run leaves that is killed once its network is there: no outputs but what it had begun with."""
    decided = running_pods.with_running_pods(wanted, before)
    begun = begun_pools.with_decided(before, decided)
    program = declared(decided)
    made = {f"urn:pulumi:e::m::{program.types[name]}::{name}" for name in program.inputs}
    older = [each for each in begun.resources if each.urn not in made]
    return begun.with_resources((*older, *left_by(program, None).resources[1:])), program


OTHER_ADDRESSES = deployment(POOLS, zones=["us-east-1a", "us-east-1b"], network={"cidr": "10.9.0.0/16"})
EDITS = {
    "another zone": (in_zones("a", "b"), in_zones("a", "c")),
    "one more zone": (in_zones("a", "b"), in_zones("a", "b", "c")),
    "other addresses": (in_zones("a", "b"), OTHER_ADDRESSES),
}


@pytest.mark.parametrize(("first", "second"), EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("is_up", [False, True], ids=["first run", "is up"])
def test_subnets_of_a_run_that_was_killed_stay_also_after_an_edit(
    first: Deployment, second: Deployment, is_up: bool
) -> None:
    """Killed, edited, killed again: what is begun with is the second one's, whose subnets the third run keeps."""
    if is_up:
        state_before = left_by(declared(first), first, with_cluster=True)
    else:
        state_before, _ = killed_run(first, StackState())
    twice_killed, program = killed_run(second, state_before)
    assert addresses(next_run(second, twice_killed)) == addresses(program)


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
@pytest.mark.parametrize("second", [in_zones("a", "b", "c"), OTHER_ADDRESSES], ids=["one more zone", "other addresses"])
def test_a_run_that_was_killed_between_the_two_subnets_of_a_zone_goes_on(second: Deployment, is_public: bool) -> None:
    before = left_by(declared(in_zones("a", "b")), in_zones("a", "b"), with_cluster=True)
    killed, program = killed_run(second, before)
    missing = sorted(
        name for name, inputs in program.of_type(SUBNET).items() if inputs["MapPublicIpOnLaunch"] is is_public
    )[-1]
    half_made = killed.with_resources(each for each in killed.resources if each.name != missing)
    assert len(half_made.resources) == len(killed.resources) - 1
    after = addresses(next_run(second, half_made))
    made = {name: cidr for name, cidr in addresses(program).items() if name != missing}
    assert made.items() <= after.items(), "what is made stays"
    assert (after.keys() - made.keys(), len(set(after.values()))) == ({missing}, len(after))


def test_what_a_killed_run_had_begun_with_is_replaced_by_what_the_next_one_decides() -> None:
    """Also where its pools are the same, and also where all of them are there."""
    in_the_first_zone = {"train": {**POOLS["train"], "fabric": "f"}}
    fabrics = {"fabrics": {"f": {"kind": "rdma"}}}
    first = deployment(in_the_first_zone, fabrics, zones=["us-east-1a", "us-east-1b"])
    second = deployment(in_the_first_zone, fabrics, zones=["us-east-1a", "us-east-1c"])
    assert first.pools == second.pools
    once, _ = killed_run(first, StackState())
    all_made = left_by(declared(first), None, with_cluster=True)
    whole = once.with_resources((*once.of_type(STACK_TYPE), *all_made.resources[1:]))
    for left in (once, whole):
        twice, _ = killed_run(second, left)
        assert twice.begun is not None
        assert twice.begun.network == running_pods.with_running_pods(second, left).network
        assert not begun_pools.decides(running_pods.with_running_pods(second, left), twice)

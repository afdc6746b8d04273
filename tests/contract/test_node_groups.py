"""The provider `meshaws` and node groups of EKS: sizes that others change, growth, blocks, updates that run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshwire.marks import UNFINISHED
from providers.aws.rows_engine.calls import Caller
from providers.plugin.provider import Created, ProviderError
from tests.contract.aws_bench import Bench, network


@pytest.fixture
def config_updates(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was sent with each UpdateNodegroupConfig. Moto tells of no update, so each is said to be done."""
    send, sent = Caller._send, []

    def recorded(client: Any, call: Any, params: Any) -> Any:
        if call.operation == "UpdateNodegroupConfig":
            sent.append({key: value for key, value in params.items() if key not in ("clusterName", "nodegroupName")})
        if call.operation == "DescribeUpdate":
            return {"update": {"status": "Successful"}}
        return send(client, call, params)

    monkeypatch.setattr(Caller, "_send", staticmethod(recorded))
    return sent


def node_group(bench: Bench, **scaling: int) -> tuple[dict[str, Any], Created]:
    """A node group with these bounds; its desired size is the smallest, as the stack declares it."""
    names = network(bench)
    role = "arn:aws:iam::123456789012:role/r"
    bench.api("eks").create_cluster(name="c", roleArn=role, resourcesVpcConfig={"subnetIds": [names["subnet"]]})
    wanted = {
        "clusterName": "c",
        "nodegroupName": "web",
        "nodeRole": role,
        "subnets": [names["subnet"]],
        "scalingConfig": {**scaling, "desiredSize": scaling["minSize"]},
        "labels": {"meshctl.dev/pool": "web"},
    }
    return wanted, bench.create("meshaws:eks:Nodegroup", **wanted)


def scale(bench: Bench, desired: int, least: int = 2, most: int = 6) -> None:
    """As an autoscaler does it, or a person with a console."""
    scaling = {"minSize": least, "maxSize": most, "desiredSize": desired}
    bench.api("eks").update_nodegroup_config(clusterName="c", nodegroupName="web", scalingConfig=scaling)


def scaling_of(bench: Bench) -> tuple[int, int, int]:
    found = bench.api("eks").describe_nodegroup(clusterName="c", nodegroupName="web")["nodegroup"]["scalingConfig"]
    return found["minSize"], found["desiredSize"], found["maxSize"]


@pytest.mark.parametrize(
    ("bounds", "desired"),
    [((2, 8), 4), ((5, 8), 5), ((2, 3), 3), ((2, 2), 2), ((1, 6), 4)],
    ids=["more", "raised", "lowered", "fixed", "fewer"],
)
@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.usefixtures("config_updates")
def test_the_size_that_others_gave_a_node_group_stays_within_the_bounds(
    bench: Bench, bounds: tuple[int, int], desired: int, *, refreshed: bool
) -> None:
    """finding A13"""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 4)
    state = bench.read(token, made, **wanted).inputs if refreshed else wanted
    assert state["scalingConfig"]["desiredSize"] == (4 if refreshed else 2)
    assert not bench.diff(token, made, state, wanted).changes  # where nothing was declared anew
    least, most = bounds
    new = wanted | {"scalingConfig": {"minSize": least, "maxSize": most, "desiredSize": least}}
    changed = bench.diff(token, made, state, new).detailed
    assert changed
    assert "scalingConfig.desiredSize" not in changed or not least <= state["scalingConfig"]["desiredSize"] <= most
    outputs = bench.update(token, made, state, new)
    assert scaling_of(bench) == (least, desired, most)
    assert outputs["scalingConfig"]["desiredSize"] == desired
    assert not bench.diff(token, made, bench.read(token, made, **new).inputs, new).changes


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"meshctl.dev/pool": "web", "role": "general"}},
        {"taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}]},
        {"updateConfig": {"maxUnavailable": 2}},
    ],
    ids=["labels", "taints", "updateConfig"],
)
def test_what_is_no_scaling_sends_no_sizes(
    bench: Bench, config_updates: list[dict[str, Any]], change: dict[str, Any]
) -> None:
    """finding A13"""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 4)
    bench.update(token, made, wanted, wanted | change)
    assert [sorted(sent) for sent in config_updates] == [sorted(change)]
    assert scaling_of(bench) == (2, 4, 6)


@pytest.mark.usefixtures("config_updates")
def test_a8_a_node_group_whose_reservation_is_yet_to_begin_is_emptied_and_filled_at_the_start(bench: Bench) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=0, maxSize=6)
    scale(bench, 4, least=0)
    waiting = wanted | {"emptyUntil": "2026-12-02T11:30:00Z"}
    outputs = bench.update(token, made, wanted, waiting)
    assert scaling_of(bench) == (0, 0, 6)
    begun = wanted | {"scalingConfig": {"minSize": 2, "maxSize": 6, "desiredSize": 2}}
    made = Created(made.id, outputs)
    assert not bench.diff(token, made, waiting, begun).replaces
    bench.update(token, made, waiting, begun)
    assert scaling_of(bench) == (2, 2, 6)
    assert not bench.diff(token, made, bench.read(token, made, **begun).inputs, begun).changes


@dataclass
class Updates:
    """EKS with an update that somebody else has begun: it refuses another one until that was looked at twice. Moto has
    neither updates nor UpdateNodegroupVersion. `most`: how many nodes the group can have before it is degraded, and
    `in_service` those that it has, where Auto Scaling may be asked. `notices_after`: how many looks that takes EKS."""

    running: int = 0
    most: int = 99
    in_service: int | None = None
    notices_after: int = 0
    was_short: bool = False
    market: str = "ON_DEMAND"
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, client: Any, call: Any, params: Any) -> Any:
        if call.operation == "ListUpdates":
            return {"updateIds": ["ended", "running"]}
        if call.operation == "DescribeUpdate":
            self.running -= params["updateId"] == "running" and self.running > 0
            is_over = params["updateId"] != "running" or not self.running
            return {"update": {"status": "Successful" if is_over else "InProgress"}}
        if call.operation in ("UpdateNodegroupConfig", "UpdateNodegroupVersion"):
            self.calls.append((call.operation, {key: params[key] for key in params if not key.endswith("Name")}))
            if self.running:
                text = "Nodegroup currently has update in progress"
                raise ClientError({"Error": {"Code": "ResourceInUseException", "Message": text}}, call.operation)
        if call.operation == "UpdateNodegroupVersion":
            return {"update": {"id": "new"}}
        if call.operation == "TagResource":  # moto tags no node groups
            return {}
        if call.operation == "DescribeAutoScalingGroups":
            return self.auto_scaling()
        answer = SEND(client, call, params)
        if call.operation == "DescribeNodegroup":
            is_short = answer["nodegroup"]["scalingConfig"]["desiredSize"] > self.most
            self.notices_after -= is_short and self.notices_after > 0
            self.was_short = self.was_short or (is_short and not self.notices_after)
            status = "UPDATING" if self.running else "DEGRADED" if self.was_short else "ACTIVE"
            health = {"issues": [NO_MACHINES] if self.was_short else []}
            answer["nodegroup"] |= {"capacityType": self.market, "status": status, "health": health}
        return answer

    def auto_scaling(self) -> Any:
        if self.in_service is None:
            text = "User: … is not authorized to perform: autoscaling:DescribeAutoScalingGroups"
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "DescribeAutoScalingGroups")
        return {"AutoScalingGroups": [{"Instances": [{"LifecycleState": "InService"}] * self.in_service}]}


SEND = Caller._send


# As the lab's EKS has it (tests/integration/test_lab_eks_growth.py), which keeps it until the group has grown again.
NO_MACHINES = {
    "code": "AsgInstanceLaunchFailures",
    "message": "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have"
    " sufficient m6i.xlarge capacity in the Availability Zone you requested (us-east-1a). Launching EC2 instance"
    " failed.",
    "resourceIds": ["eks-web-1"],
}


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> Updates:
    made = Updates()
    monkeypatch.setattr(Caller, "_send", staticmethod(made.answer))
    monkeypatch.setattr(Caller, "pause", lambda *_: None)
    return made


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"meshctl.dev/pool": "web", "role": "general"}},
        {"scalingConfig": {"minSize": 3, "maxSize": 9, "desiredSize": 3}},
        {"updateConfig": {"maxUnavailable": 2}},
    ],
    ids=["labels", "scalingConfig", "updateConfig"],
)
@pytest.mark.parametrize("refreshed", [True, False])
def test_finding_a9_a_change_arrives_that_is_made_while_another_update_runs(
    bench: Bench, updates: Updates, change: dict[str, Any], *, refreshed: bool
) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.running = 3
    state = bench.read(token, made, **wanted).inputs if refreshed else wanted
    bench.update(token, made, state, wanted | change)
    [(_, sent)] = updates.calls  # it waited, and was not refused once
    assert list(sent) == list(change)
    live = bench.api("eks").describe_nodegroup(clusterName="c", nodegroupName="web")["nodegroup"]
    assert {name: live[name] for name in change} == change


def test_finding_a9_the_next_run_waits_for_the_update_that_an_interrupted_one_began(
    bench: Bench, updates: Updates
) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.running = 2
    found = bench.read(token, made, **wanted)
    assert found.outputs[UNFINISHED]
    assert bench.diff(token, Created(made.id, found.outputs), wanted, wanted).changes


def test_a8_nodes_of_a_capacity_block_go_before_they_get_another_template(bench: Bench, updates: Updates) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 4)
    updates.market = "CAPACITY_BLOCK"
    bench.update(token, made, wanted, wanted | {"version": "1.99"})
    full, empty = ({"minSize": low, "maxSize": 6, "desiredSize": now} for low, now in ((2, 4), (0, 0)))
    assert updates.calls == [
        ("UpdateNodegroupConfig", {"scalingConfig": empty}),
        ("UpdateNodegroupVersion", {"version": "1.99"}),
        ("UpdateNodegroupConfig", {"scalingConfig": full}),
    ]
    assert scaling_of(bench) == (2, 4, 6)


def test_a8_a_group_that_goes_to_a_block_which_has_not_begun_stays_empty(bench: Bench, updates: Updates) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 4)
    updates.market = "CAPACITY_BLOCK"
    empty = {"minSize": 0, "maxSize": 6, "desiredSize": 0}
    next_block = {"version": "1.99", "scalingConfig": empty, "emptyUntil": "2026-12-02T11:30:00Z"}
    bench.update(token, made, wanted, wanted | next_block)
    assert updates.calls == [
        ("UpdateNodegroupConfig", {"scalingConfig": empty}),
        ("UpdateNodegroupVersion", {"version": "1.99"}),
    ]
    assert scaling_of(bench) == (0, 0, 6)


@pytest.mark.parametrize("unfinished", [True, False])
def test_a8_a_group_whose_block_has_ended_is_emptied_although_it_is_degraded(
    bench: Bench, updates: Updates, *, unfinished: bool
) -> None:
    """Also where an earlier run ended with an error since the nodes were gone."""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.market, updates.most = "CAPACITY_BLOCK", -1
    over = wanted | {
        "scalingConfig": {"minSize": 0, "maxSize": 6, "desiredSize": 0},
        "emptyUntil": "another reservation",
    }
    before = Created(made.id, made.outputs | ({UNFINISHED: True} if unfinished else {}))
    outputs = bench.update(token, before, wanted, over)
    assert scaling_of(bench) == (0, 0, 6)
    assert UNFINISHED not in outputs
    labels = over | {"labels": {"meshctl.dev/pool": "web", "role": "general"}}
    assert bench.update(token, Created(made.id, outputs), over, labels)["labels"]["role"] == "general"


def test_a7_a_group_that_could_not_grow_can_be_made_smaller_again(bench: Bench, updates: Updates) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.most = updates.in_service = 2
    grown = wanted | {"scalingConfig": {"minSize": 4, "maxSize": 6, "desiredSize": 4}}
    with pytest.raises(ProviderError, match=r"DEGRADED: .*InsufficientInstanceCapacity") as refused:
        bench.update(token, made, wanted, grown)
    assert refused.value.code == "AsgInstanceLaunchFailures"
    unfinished = Created(made.id, made.outputs | {UNFINISHED: True})
    smaller = wanted | {"scalingConfig": {"minSize": 2, "maxSize": 2, "desiredSize": 2}}
    outputs = bench.update(token, unfinished, grown, smaller)
    assert (outputs["status"], scaling_of(bench)) == ("DEGRADED", (2, 2, 2))  # until it grows again
    assert UNFINISHED not in outputs
    assert UNFINISHED not in bench.read(token, Created(made.id, outputs), **smaller).outputs
    labels = smaller | {"labels": {"meshctl.dev/pool": "web", "role": "general"}}
    assert bench.update(token, Created(made.id, outputs), smaller, labels)["labels"]["role"] == "general"


def test_a7_a_group_that_eks_calls_active_for_a_while_is_waited_for(bench: Bench, updates: Updates) -> None:
    """The update succeeds at once, and that its machines do not start is told minutes later."""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.most = updates.in_service = 2
    updates.notices_after = 5
    grown = wanted | {"scalingConfig": {"minSize": 4, "maxSize": 6, "desiredSize": 4}}
    with pytest.raises(ProviderError, match="InsufficientInstanceCapacity"):
        bench.update(token, made, wanted, grown)


def test_a7_a_growth_that_did_not_come_to_its_end_goes_on_with_the_next_run(bench: Bench, updates: Updates) -> None:
    """Although the sizes of the group are as they are to be by then."""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    updates.most = updates.in_service = 2
    grown = wanted | {"scalingConfig": {"minSize": 4, "maxSize": 6, "desiredSize": 4}}
    with pytest.raises(ProviderError):
        bench.update(token, made, wanted, grown)
    seen = bench.read(token, made, **grown)
    assert bench.diff(token, Created(made.id, seen.outputs), seen.inputs, grown).changes
    updates.was_short, updates.most, updates.in_service = False, 99, 4
    assert UNFINISHED not in bench.update(token, Created(made.id, seen.outputs), seen.inputs, grown)


@pytest.mark.parametrize("least", [2, 3])
@pytest.mark.parametrize("status", ["ACTIVE", "DEGRADED"])
def test_a13_a_group_that_has_fewer_nodes_than_it_is_to_have_takes_changes(
    bench: Bench, updates: Updates, least: int, status: str
) -> None:
    """Others want it larger than there are machines, or one of its nodes was lost: this run asked for no more."""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=least, maxSize=6)
    updates.in_service = 2
    updates.most = 2 if status == "DEGRADED" else 99
    scale(bench, 5, least=least)
    labels = wanted | {"labels": {"meshctl.dev/pool": "web", "role": "general"}}
    outputs = bench.update(token, made, wanted, labels)
    assert (outputs["labels"]["role"], outputs["status"]) == ("general", status)


def test_a7_a_group_that_has_lost_a_node_since_it_was_up_is_finished(bench: Bench, updates: Updates) -> None:
    """EC2 took a spot node back and has no other: neither `plan` nor `up` has anything to do about it."""
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=4, maxSize=6)
    updates.was_short, updates.in_service = True, 3
    seen = bench.read(token, made, **wanted)
    assert UNFINISHED not in seen.outputs
    assert not bench.diff(token, Created(made.id, seen.outputs), seen.inputs, wanted).changes


def test_a7_without_the_right_to_ask_auto_scaling_the_word_of_eks_counts(bench: Bench, updates: Updates) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    grown = wanted | {"scalingConfig": {"minSize": 4, "maxSize": 6, "desiredSize": 4}}
    assert UNFINISHED not in bench.update(token, made, wanted, grown)
    updates.most = 2
    larger = wanted | {"scalingConfig": {"minSize": 5, "maxSize": 6, "desiredSize": 5}}
    with pytest.raises(ProviderError, match="DEGRADED"):
        bench.update(token, made, grown, larger)


def test_a8_no_node_starts_before_the_group_has_the_template_of_its_next_block(bench: Bench, updates: Updates) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 0, least=0)
    updates.market = "CAPACITY_BLOCK"
    empty = {"minSize": 0, "maxSize": 6, "desiredSize": 0}
    waiting = wanted | {"capacityType": "CAPACITY_BLOCK", "scalingConfig": empty, "emptyUntil": "2026-12-02T11:30:00Z"}
    begun = wanted | {"capacityType": "CAPACITY_BLOCK", "version": "1.99"}
    bench.update(token, made, waiting, begun)
    [_, version, full] = updates.calls
    assert version == ("UpdateNodegroupVersion", {"version": "1.99"})
    assert full == ("UpdateNodegroupConfig", {"scalingConfig": {"minSize": 2, "maxSize": 6, "desiredSize": 2}})
    assert "scalingConfig" not in updates.calls[0][1]


def test_a8_an_update_that_was_interrupted_while_the_group_was_empty_fills_it_again(
    bench: Bench, updates: Updates
) -> None:
    token = "meshaws:eks:Nodegroup"
    wanted, made = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 0, least=0)
    updates.market = "CAPACITY_BLOCK"
    bench.update(token, made, wanted, wanted | {"version": "1.99"})
    assert [operation for operation, _ in updates.calls] == ["UpdateNodegroupVersion", "UpdateNodegroupConfig"]
    assert scaling_of(bench) == (2, 2, 6)


@pytest.mark.usefixtures("config_updates")
def test_a_node_group_of_an_interrupted_run_keeps_the_size_that_it_was_given_since(bench: Bench) -> None:
    wanted, _ = node_group(bench, minSize=2, maxSize=6)
    scale(bench, 4)
    again = bench.create("meshaws:eks:Nodegroup", **wanted)
    assert again.outputs["scalingConfig"]["desiredSize"] == 4
    assert scaling_of(bench) == (2, 4, 6)

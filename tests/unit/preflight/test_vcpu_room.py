"""A quota of vCPUs is of the account: what runs in it already is counted (finding A6)."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.lab.aws.ec2 import instance_types
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.questions import ApiAnswer, InPlace
from meshctl.platforms.aws.preflight import vcpu_quotas
from tests.unit.preflight.asking import H100, MADE, NOTHING, aws, deployment, findings, up_as

P_QUOTA, P5 = "L-417A185B", "p5.48xlarge"
ACCOUNT = "123456789012"
SERVE = {"serve": {"nodes": {"min": 2, "max": 3}, "accelerator": H100}}
CALLER = ApiAnswer({"Arn": f"arn:aws:iam::{ACCOUNT}:user/alice"})


def quota(value: float) -> ApiAnswer:
    return ApiAnswer({"Quota": {"QuotaName": "Running On-Demand P instances", "Value": value}})


def instance(machine: str = P5, *, cores: int = 96, tags: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """As DescribeInstances gives it: 192 vCPUs."""
    described = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    cpus = {"CoreCount": cores, "ThreadsPerCore": 2}
    return {"InstanceId": "i-1", "InstanceType": machine, "CpuOptions": cpus, "Tags": described, **more}


def node(cluster: str, group: str = "serve") -> dict[str, Any]:
    tags = {"eks:cluster-name": cluster, "eks:nodegroup-name": group, f"kubernetes.io/cluster/{cluster}": "owned"}
    return instance(tags=tags)


def running(*instances: dict[str, Any]) -> dict[str, ApiAnswer]:
    """In a reservation of RunInstances each, as EC2 gives them."""
    return {"instances": ApiAnswer({"Reservations": [{"Instances": [each]} for each in instances]})}


def reserved(**changes: Any) -> dict[str, ApiAnswer]:
    described = {
        "CapacityReservationId": "cr-other",
        "OwnerId": ACCOUNT,
        "InstanceType": P5,
        "AvailabilityZone": "us-east-1a",
        "AvailableInstanceCount": 1,
        "InstanceMatchCriteria": "targeted",
    }
    return {"reservations-in-use": ApiAnswer({"CapacityReservations": [described | changes]}), "caller": CALLER}


def gaps(wanted: Deployment, answers: dict[str, ApiAnswer], value: float, in_place: InPlace = NOTHING) -> list[Gap]:
    made = findings(wanted, {**answers, P_QUOTA: quota(value)}, in_place)
    return [gap for gap in made.gaps if gap.subject == f"quota/{P_QUOTA}"]


def test_a6_one_node_of_somebody_else_leaves_too_little_of_a_quota_that_fits() -> None:
    wanted = deployment(SERVE)
    assert gaps(wanted, running(), 384) == []
    [gap] = gaps(wanted, running(node("other-prod")), 384)
    assert gap.wanted == "384 vCPUs of Running On-Demand P instances (pool serve: 2 x 192)"
    assert gap.best == "the account may run 384, and 192 are in use already: EKS cluster other-prod (1 x p5.48xlarge)"
    assert "--quota-code L-417A185B --desired-value 576" in gap.hint
    assert gap.hint.endswith("; or end what nobody needs of that")
    assert gaps(wanted, running(node("other-prod")), 576) == []


def test_a6_the_environments_own_nodes_count_once() -> None:
    """Those of a run that was cut off, of which no output says that they are there; and of a pool that grows."""
    wanted = deployment(SERVE)
    own = node(wanted.cluster.name)
    assert gaps(wanted, running(own, own), 384) == []
    more = deployment({"serve": {"nodes": 3, "accelerator": H100}})
    up = up_as(deployment({"serve": {"nodes": 2, "accelerator": H100}}))
    assert gaps(more, running(own, own), 576, up) == []
    assert len(gaps(more, running(own, own, instance()), 576, up)) == 1
    karpenters = instance(tags={f"kubernetes.io/cluster/{wanted.cluster.name}": "owned"})
    assert gaps(wanted, running(karpenters), 384) == []


def test_a6_nodes_beyond_those_that_are_asked_for_are_left_alone_and_count() -> None:
    """A pool that its autoscaler has made larger, beside one that is new."""
    both = {**SERVE, "train": {"nodes": 1, "accelerator": H100}}
    wanted = deployment(both)
    up = InPlace(deployment(SERVE).pools, MADE)
    own = node(wanted.cluster.name)
    assert gaps(wanted, running(own, own), 576, up) == []
    [gap] = gaps(wanted, running(own, own, own), 576, up)
    assert gap.wanted == "768 vCPUs of Running On-Demand P instances (pool serve: 3 x 192, pool train: 1 x 192)"


def test_nodes_that_the_run_removes_are_not_counted() -> None:
    """One pool shrinks while another one comes; and a rolling update has one node more than the pool may have."""

    def pool(nodes: int) -> dict[str, Any]:
        return {"nodes": nodes, "accelerator": H100}

    wanted = deployment({"a": pool(2), "b": pool(3)})
    up = InPlace(deployment({"a": pool(4)}).pools, MADE)
    own = running(*(node(wanted.cluster.name, "a"),) * 4)
    assert gaps(wanted, own, 5 * 192, up) == []
    [gap] = gaps(wanted, own, 5 * 192 - 1, up)
    assert gap.wanted == "960 vCPUs of Running On-Demand P instances (pool a: 2 x 192, pool b: 3 x 192)"


@pytest.mark.parametrize(
    "other",
    [
        instance(InstanceLifecycle="spot"),  # has a quota of its own
        instance(InstanceLifecycle="capacity-block"),  # none of vCPUs
        instance(Placement={"Tenancy": "host"}),  # of dedicated hosts
        instance("m5.large", cores=1),
        instance("mac2.metal", cores=4),
    ],
    ids=["spot", "block", "dedicated host", "standard", "mac"],
)
def test_a6_what_counts_for_another_quota_is_not_counted(other: dict[str, Any]) -> None:
    assert gaps(deployment(SERVE), running(other), 384) == []


def test_a6_spot_instances_count_for_the_quota_of_spot() -> None:
    wanted = deployment({"serve": {"nodes": 1, "accelerator": H100, "capacity": "spot"}})
    spot = vcpu_quotas.spot(P5)
    answers = {spot: ApiAnswer({"Quota": {"QuotaName": "All P5 Spot Instance Requests", "Value": 192.0}})}
    assert findings(wanted, {**answers, **running(instance())}).gaps == ()
    [gap] = findings(wanted, {**answers, **running(instance(InstanceLifecycle="spot"))}).gaps
    assert gap.best == "the account may run 192, and 192 are in use already: instance i-1 (1 x p5.48xlarge)"


def test_spot_instances_without_a_quota_that_aws_names_are_said_to_be_unasked() -> None:
    wanted = deployment({"serve": {"nodes": 1, "accelerator": {"model": "B200", "count": 8}, "capacity": "spot"}})
    assert not {each.name for each in aws().questions(wanted, NOTHING)} & {"L-417A185B", "L-7212CCBC", "L-C4BD4855"}
    [note] = findings(wanted, {}).notes
    assert note.startswith("pool serve: not checked whether the account may run 1 spot instance of p6-b200.48xlarge")
    assert "(192 vCPUs), as meshctl knows no quota for them" in note
    assert findings(wanted, {}, up_as(wanted)).notes == ()


def test_a6_who_uses_most_is_named_first_and_not_everybody() -> None:
    others = [
        instance(tags={"Name": "build"}),
        *(node("other"),) * 2,
        instance(tags={"aws:autoscaling:groupName": "batch"}),
        instance(InstanceId="i-9"),
    ]
    [gap] = gaps(deployment(SERVE), running(*others), 384)
    assert gap.best.endswith(
        "960 are in use already: EKS cluster other (2 x p5.48xlarge), Auto Scaling group batch (1 x p5.48xlarge),"
        " instance build (1 x p5.48xlarge), and 1 more"
    )


def test_a6_what_is_enough_for_now_beside_the_others_and_not_for_all_nodes_is_a_note() -> None:
    made = findings(deployment(SERVE), {**running(node("other")), P_QUOTA: quota(576)})
    assert made.gaps == ()
    [note] = [each for each in made.notes if P_QUOTA in each]
    assert note.endswith(
        "too few for all nodes that the mesh allows (576) beside the 192 that are in use already:"
        " EKS cluster other (1 x p5.48xlarge)"
    )
    assert findings(deployment(SERVE), {**running(node("other")), P_QUOTA: quota(768)}).notes == ()


def test_a6_a_reservation_counts_also_where_nothing_runs_in_it() -> None:
    wanted = deployment(SERVE)
    [gap] = gaps(wanted, {**running(), **reserved()}, 384)
    assert gap.best.endswith("192 are in use already: free in reservation cr-other (1 x p5.48xlarge)")
    for not_counted in (
        {"ReservationType": "capacity-block"},
        {"OwnerId": "999999999999"},  # shared with this account
        {"AvailableInstanceCount": 0},  # what runs in it is counted by itself
        {"InstanceMatchCriteria": "open"},  # the nodes start in it
        {"InstanceType": "m5.large"},
    ):
        assert gaps(wanted, {**running(), **reserved(**not_counted)}, 384) == [], not_counted
    elsewhere = {"InstanceMatchCriteria": "open", "AvailabilityZone": "us-east-1f"}
    assert len(gaps(wanted, {**running(), **reserved(**elsewhere)}, 384)) == 1


def test_a6_nodes_in_a_reservation_are_not_counted_beside_it() -> None:
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": ["cr-own"]})
    own = {"CapacityReservationId": "cr-own", "AvailableInstanceCount": 2}
    assert gaps(wanted, {**running(), **reserved(**own)}, 384) == []
    assert len(gaps(wanted, {**running(), **reserved(**{**own, "AvailableInstanceCount": 3})}, 384)) == 1


def test_a_reservation_is_not_counted_beside_a_pool_that_moves_into_it() -> None:
    """Its nodes that run outside of the reservation are replaced by those in it."""
    own = {"CapacityReservationId": "cr-own"}
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": ["cr-own"]})
    up = InPlace(deployment({"serve": {"nodes": 1, "accelerator": H100}}).pools, MADE)
    outside, inside = node(wanted.cluster.name), {**node(wanted.cluster.name), **own}
    free = reserved(**own, AvailableInstanceCount=2)
    assert gaps(wanted, {**running(outside, outside), **free}, 384, up) == []
    assert gaps(wanted, {**running(inside), **reserved(**own, AvailableInstanceCount=1)}, 384, up) == []
    assert len(gaps(wanted, {**running(inside), **free}, 384, up)) == 1


def test_only_types_of_the_quotas_that_are_needed_are_asked_about_page_by_page() -> None:
    [question] = [each for each in aws().questions(deployment(SERVE), NOTHING) if each.name == "instances"]
    assert question.arguments["Filters"] == [
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
        {"Name": "instance-type", "Values": ["p*"]},
    ]
    assert question.arguments["PaginationConfig"] == {"PageSize": 1000}


def test_without_the_right_to_see_what_runs_the_quota_alone_is_told() -> None:
    denied = {"instances": ApiAnswer(code="UnauthorizedOperation")}
    assert gaps(deployment(SERVE), denied, 384) == []
    assert len(gaps(deployment(SERVE), denied, 383)) == 1
    assert "AWS was not asked about what the account runs already: it refused the question (UnauthorizedOperation)" in (
        findings(deployment(SERVE), denied).notes
    )


def test_meshctl_and_the_lab_know_the_same_quotas() -> None:
    """The lab has tables of its own, so that a mistake in one of them shows."""
    from meshctl.platforms.aws import _machines

    for machine in _machines():
        assert vcpu_quotas.on_demand(machine.name) == (machine.quota_code or vcpu_quotas.STANDARD)
        assert vcpu_quotas.on_demand(machine.name) == instance_types.vcpu_quota(machine.name)
        assert vcpu_quotas.spot(machine.name) == instance_types.vcpu_quota(machine.name, spot=True)
    for name in ("dl1.24xlarge", "trn1.32xlarge", "inf2.xlarge", "im4gn.large", "mac2.metal", "hpc7a.96xlarge"):
        assert vcpu_quotas.spot(name) == instance_types.vcpu_quota(name, spot=True)
        assert vcpu_quotas.on_demand(name) == instance_types.vcpu_quota(name)
    assert vcpu_quotas.spot("trn1.32xlarge") != vcpu_quotas.spot("t3.large")

"""AWS is asked before anything is made: what it is asked, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.aws import aws_questions
from meshctl.deploy.guards import preflight as guard
from meshctl.deploy.guards.running.pools.pools_in_place import in_place
from meshctl.deploy.guards.running.pools.running_zones import with_running_zones
from meshctl.errors import CredentialsError, InfeasibleError
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.questions import ApiAnswer, Findings, InPlace
from meshctl.model.stack_state import STACK_TYPE
from meshctl.platforms import registry
from meshctl.platforms.interface import Preflight
from meshctl.resolve import report
from tests.unit import states
from tests.unit.resolve.meshes import AWS, CW, resolved

H100 = {"model": "H100", "count": 8}
P_QUOTA, STANDARD, ADDRESSES, VPCS = "L-417A185B", "L-1216C47A", "L-0263D0A3", "L-F678F1CE"
GATEWAYS, CLUSTERS = "L-FE5A380F", "L-1194D53C"
SERVE = {"serve": {"nodes": {"min": 2, "max": 6}, "accelerator": H100}}
WEB = {"web": {"nodes": 2, "cpu": {"cores": 4}}}
RESERVATION = "cr-0123"
RUNNING = {"instances": "describe_instances", "reservations-in-use": "describe_capacity_reservations"}


def deployment(pools: dict[str, Any], **environment: Any) -> Deployment:
    found = resolved(pools, {**AWS, **environment}).deployment
    assert found is not None
    return found


NETWORK = {"meshaws:ec2:Vpc": 1, "meshaws:ec2:Address": 2, "meshaws:ec2:NatGateway": 2, "meshaws:eks:Cluster": 1}


def up_as(deployment: Deployment) -> InPlace:
    """All of it came up."""
    return InPlace(deployment.pools, NETWORK)


def questions(wanted: Deployment, in_place: InPlace = InPlace()) -> dict[str, str]:  # noqa: B008 (frozen)
    """What is asked: the operation by the name of the question."""
    return {each.name: each.operation for each in _aws().questions(wanted, in_place)}


def findings(wanted: Deployment, in_place: InPlace = InPlace(), **answers: ApiAnswer) -> Findings:  # noqa: B008 (frozen)
    return _aws().findings(wanted, in_place, {name.replace("_", "-"): answer for name, answer in answers.items()})


def _aws() -> Preflight:
    aws = registry.platform("aws").preflight
    assert aws is not None
    return aws


def offered(machine: str, *zones: str) -> ApiAnswer:
    offerings = [{"InstanceType": machine, "Location": f"us-east-1{zone}"} for zone in zones]
    return ApiAnswer({"InstanceTypeOfferings": offerings})


def quota(value: float) -> ApiAnswer:
    return ApiAnswer({"Quota": {"QuotaName": "Running On-Demand P instances", "Value": value}})


def reservation(**changes: Any) -> ApiAnswer:
    described = {
        "InstanceType": "p5.48xlarge",
        "AvailabilityZone": "us-east-1b",
        "State": "active",
        "TotalInstanceCount": 2,
    }
    return ApiAnswer({"CapacityReservations": [described | changes]})


def test_a_new_environment_asks_about_all_that_it_takes() -> None:
    assert questions(deployment(SERVE)) == {
        "offerings": "describe_instance_type_offerings",
        P_QUOTA: "get_service_quota",
        **RUNNING,
        "kubernetes-versions": "describe_cluster_versions",
        "addresses": "describe_addresses",
        ADDRESSES: "get_service_quota",
        "vpcs": "describe_vpcs",
        VPCS: "get_service_quota",
        "gateways": "describe_nat_gateways",
        GATEWAYS: "get_service_quota",
        "clusters": "list_clusters",
        CLUSTERS: "get_service_quota",
        "zones": "describe_availability_zones",
        "cluster": "describe_cluster",
        "role-cluster": "get_role",
        "role-nodes": "get_role",
        "caller": "get_caller_identity",
        "dry run vpc": "create_vpc",
        "dry run address": "allocate_address",
        "dry run launch template": "create_launch_template",
        "launch template names": "describe_launch_templates",
        "dry run subnets": "describe_subnets",
    }


def test_a_run_that_adds_nothing_asks_nothing() -> None:
    assert questions(deployment(SERVE), up_as(deployment(SERVE))) == {}
    fewer = {"serve": {"nodes": 1, "accelerator": H100}}
    assert questions(deployment(fewer), up_as(deployment(SERVE))) == {}


def test_a_pool_that_grows_asks_about_its_quota_and_its_subnets() -> None:
    more = {"serve": {"nodes": 4, "accelerator": H100}}
    assert questions(deployment(more), up_as(deployment(SERVE))) == {
        P_QUOTA: "get_service_quota",
        **RUNNING,
        "subnets": "describe_subnets",
        "caller": "get_caller_identity",
    }


def test_a1_a_pool_goes_where_its_machine_is() -> None:
    """A pool that needs one zone goes to another one, and one in all zones leaves some out"""
    made = findings(deployment(SERVE), offerings=offered("p5.48xlarge", "b"))
    assert (made.zones, made.gaps) == ({"serve": ("us-east-1b",)}, ())
    placed = made.placed(deployment(SERVE))
    assert placed.pool("serve").zones == ("us-east-1b",)
    everywhere = findings(deployment(SERVE), offerings=offered("p5.48xlarge", "a", "b"))
    assert (everywhere.zones, everywhere.gaps) == ({}, ())


@pytest.mark.parametrize(
    ("zones", "best", "hint"),
    [
        ("", "us-east-1 does not have it", "another region"),
        ("c", "this account has it in us-east-1c", "add us-east-1c to the environment's `zones`"),
    ],
)
def test_a1_no_zone_of_the_environment_has_the_machine(zones: str, best: str, hint: str) -> None:
    [gap] = findings(deployment(SERVE), offerings=offered("p5.48xlarge", *zones)).gaps
    assert (gap.subject, gap.wanted, gap.best) == ("pool/serve", "p5.48xlarge in us-east-1a or us-east-1b", best)
    assert hint in gap.hint


def test_a6_a_quota_that_is_too_small_names_the_command_that_raises_it() -> None:
    [gap] = findings(deployment(SERVE), L_417A185B=quota(192)).gaps
    assert gap.wanted == "384 vCPUs of Running On-Demand P instances (pool serve: 2 x 192)"
    assert gap.best == "the account may run 192"
    assert "--quota-code L-417A185B --desired-value 384 --region us-east-1" in gap.hint


def test_a6_a_quota_that_is_enough_for_now_only_is_a_note() -> None:
    made = findings(deployment(SERVE), L_417A185B=quota(400))
    assert made.gaps == ()
    assert "is 400 vCPUs: enough for now, and too few for all nodes that the mesh allows (1152)" in made.notes[0]


def test_a6_check_v_says_how_many_vcpus_a_pool_takes() -> None:
    """The hint of a quota that is too small leads there."""
    wanted = deployment({"serve": {"nodes": {"min": 2, "max": 6}, "accelerator": H100}})
    resolution = Resolution(mesh="m", environment="e", deployment=wanted, pools=wanted.pools)
    assert "pool/serve: 384 vCPUs, up to 1152" in "".join(report.human("m", [resolution], count=1, verbose=True))
    assert "vCPUs" not in "".join(report.human("m", [resolution], count=1, verbose=False))


def test_spot_and_blocks_count_elsewhere() -> None:
    spot = {"serve": {"nodes": 1, "accelerator": H100, "capacity": "spot"}}
    assert "L-C4BD4855" in questions(deployment(spot))
    older = {"serve": {"nodes": 1, "accelerator": {"model": "A100", "count": 8}, "capacity": "spot"}}
    assert "L-7212CCBC" in questions(deployment(older))
    block = {"serve": {"nodes": 1, "accelerator": H100, "capacity": "reserved"}}
    asked = questions(deployment(block, capacity={"blocks": [RESERVATION]}))
    assert asked[RESERVATION] == "describe_capacity_reservations"
    assert P_QUOTA not in asked


@pytest.mark.parametrize(
    ("answer", "best"),
    [
        (ApiAnswer(code="InvalidCapacityReservationId.NotFound"), "it does not exist"),
        (ApiAnswer({"CapacityReservations": []}), "it does not exist"),
        (reservation(InstanceType="p4d.24xlarge"), "it is for p4d.24xlarge"),
        (reservation(State="expired"), "it is expired"),
        (reservation(TotalInstanceCount=1), "it has 1"),
        (reservation(AvailabilityZone="us-east-1f"), "no subnet there"),
    ],
)
def test_a8_a_reservation_that_the_pool_can_not_have(answer: ApiAnswer, best: str) -> None:
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": [RESERVATION]})
    [gap] = findings(wanted, cr_0123=answer).gaps
    assert (gap.subject, gap.best) == ("capacity/cr-0123", best)


def test_a8_a_pool_goes_to_the_zone_of_its_reservation() -> None:
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": [RESERVATION]})
    assert findings(wanted, cr_0123=reservation()).zones == {"serve": ("us-east-1b",)}


def test_a6_addresses_and_vpcs_are_counted() -> None:
    used = ApiAnswer({"Addresses": [{}] * 4, "Vpcs": [{}] * 5})
    made = findings(deployment(WEB), addresses=used, vpcs=used, L_0263D0A3=quota(5), L_F678F1CE=quota(5))
    assert [(gap.wanted, gap.best) for gap in made.gaps] == [
        ("2 more Elastic IPs, one for each NAT gateway", "the account has 4 of 5"),
        ("1 more VPCs", "the account has 5 of 5"),
    ]
    room = findings(deployment(WEB), addresses=used, vpcs=used, L_0263D0A3=quota(6), L_F678F1CE=quota(6))
    assert room.gaps == ()


def test_what_an_interrupted_run_has_made_is_not_counted_twice() -> None:
    """Its outputs were never written: only the resources say that it began."""
    begun = InPlace(counts={"meshaws:ec2:Vpc": 1, "meshaws:ec2:Address": 2})
    about_gateways = {"gateways", GATEWAYS}
    about_cluster = {"clusters", CLUSTERS, "cluster", "zones", "kubernetes-versions", "role-cluster", "role-nodes"}
    about_nodes = {"offerings", STANDARD, *RUNNING, "subnets", "launch template names"}
    others = {*about_nodes, "caller", "dry run launch template", "dry run subnets"}
    assert questions(deployment(WEB), begun).keys() == {*about_gateways, *about_cluster, *others}
    used = ApiAnswer({"Addresses": [{}] * 5})
    half = InPlace(counts={"meshaws:ec2:Vpc": 1, "meshaws:ec2:Address": 1})
    [gap] = findings(deployment(WEB), half, addresses=used, L_0263D0A3=quota(5)).gaps
    assert gap.wanted.startswith("1 more Elastic IPs")


def test_a_reservation_that_may_not_be_looked_at_leaves_the_offerings() -> None:
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": [RESERVATION]})
    denied = ApiAnswer(code="UnauthorizedOperation")
    assert findings(wanted, cr_0123=denied, offerings=offered("p5.48xlarge", "b")).zones == {"serve": ("us-east-1b",)}


def test_a_spread_pool_in_fewer_zones_is_counted_again() -> None:
    pools = {"web": {"nodes": 10, "cpu": {"cores": 4}, "fabric": "f"}}
    made = resolved(pools, AWS, fabrics={"f": {"kind": "ethernet", "placement": "spread"}}).deployment
    assert made is not None
    answer = offered(made.pool("web").machine, "b")
    assert [gap.wanted for gap in findings(made, offerings=answer).gaps] == ["10 nodes in a spread placement group"]


def test_a_file_system_in_one_zone_goes_with_its_pool() -> None:
    storage = {"shared": {"kind": "filesystem", "size": "2400GiB", "throughput": "1GB/s"}}
    pools = {"serve": {"nodes": 2, "accelerator": H100, "fabric": "f"}}
    made = resolved(pools, AWS, storage=storage, fabrics={"f": {"kind": "rdma"}}).deployment
    assert made is not None
    assert made.file_systems[0].zone == made.pool("serve").zones[0] == "us-east-1a"
    placed = findings(made, offerings=offered("p5.48xlarge", "b")).placed(made)
    assert placed.file_systems[0].zone == placed.pool("serve").zones[0] == "us-east-1b"


def test_what_may_not_be_asked_is_said() -> None:
    denied = ApiAnswer(code="AccessDeniedException")
    made = findings(deployment(SERVE), L_417A185B=denied, offerings=ApiAnswer(code="UnauthorizedOperation"))
    assert (made.zones, made.gaps) == ({}, ())
    assert made.notes == (
        "AWS was not asked about which zones have which machines: it refused the question (UnauthorizedOperation)",
        "AWS was not asked about the quotas of running instances: it refused the question (AccessDeniedException)",
    )


def test_without_credentials_a_plan_goes_on_and_says_that_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise CredentialsError("no credentials")

    monkeypatch.setattr(aws_questions, "ask", refused)
    made = guard.ask(deployment(SERVE), InPlace())
    assert made.gaps == ()
    assert "no usable credentials" in made.notes[0]


def test_a_platform_without_questions_has_no_findings() -> None:
    existing = resolved(WEB, CW).deployment
    assert existing is not None
    assert guard.ask(existing, InPlace()) == Findings()


def test_gaps_forbid_the_run_before_anything_is_made() -> None:
    wanted = deployment(SERVE)
    made = findings(wanted, L_417A185B=quota(0), offerings=offered("p5.48xlarge"))
    with pytest.raises(InfeasibleError, match=r"pool/serve wants p5\.48xlarge.*\(and 1 more\)") as caught:
        guard.refuse(wanted, made)
    assert len(caught.value.gaps) == 2
    guard.refuse(wanted, Findings())


class TestZonesOfWhatIsUp:
    def test_another_order_of_the_zones_changes_nothing(self) -> None:
        """public bug 15: the first zone is where a pool that needs one goes"""
        up = deployment({**SERVE, **WEB})
        turned = deployment({**SERVE, **WEB}, zones=["us-east-1b", "us-east-1a"])
        assert turned.pool("serve").zones != up.pool("serve").zones
        staying = with_running_zones(turned, up, up_as(up))
        assert staying.network == up.network
        assert staying.pools == up.pools

    def test_a_pool_stays_in_the_zones_that_its_machine_was_found_in(self) -> None:
        up = Findings(zones={"web": ("us-east-1b",)}).placed(deployment(WEB))
        assert with_running_zones(deployment(WEB), up, up_as(up)).pool("web").zones == ("us-east-1b",)

    def test_a_pool_that_never_came_up_goes_where_the_file_says(self) -> None:
        up = Findings(zones={"web": ("us-east-1b",)}).placed(deployment(WEB))
        assert with_running_zones(deployment(WEB), up, InPlace()).pool("web").zones == ("us-east-1a", "us-east-1b")

    def test_a_zone_that_is_gone_from_the_file_is_left(self) -> None:
        up = deployment(WEB, zones=["us-east-1a", "us-east-1c"])
        wanted = deployment(WEB)
        assert with_running_zones(wanted, up, up_as(up)).pool("web").zones == ("us-east-1a", "us-east-1b")

    def test_other_machines_go_where_the_file_says(self) -> None:
        up = Findings(zones={"web": ("us-east-1b",)}).placed(deployment(WEB))
        larger = deployment({"web": {"nodes": 2, "cpu": {"cores": 32}}})
        assert with_running_zones(larger, up, up_as(up)).pool("web").zones == ("us-east-1a", "us-east-1b")

    def test_subnets_keep_their_addresses_when_zones_come_and_go(self) -> None:
        up = deployment(WEB, zones=["us-east-1a", "us-east-1b", "us-east-1c"])
        wanted = deployment(WEB, zones=["us-east-1d", "us-east-1b", "us-east-1c"])
        network = with_running_zones(wanted, up, up_as(up)).network
        assert network is not None
        assert up.network is not None
        before = {subnet.name: subnet.cidr for subnet in up.network.subnets}
        after = {subnet.name: subnet.cidr for subnet in network.subnets}
        staying = before.keys() & after.keys()
        assert staying == {"public-b", "private-b", "public-c", "private-c"}
        assert {name: after[name] for name in staying} == {name: before[name] for name in staying}
        # the subnets of zone a go only after those of zone d were made
        assert len({*before.values(), *after.values()}) == len(before) + 2


def test_only_pools_whose_nodes_came_up_are_in_place() -> None:
    up = deployment({**SERVE, **WEB})
    urn = "urn:pulumi:e::m::meshaws:eks:Nodegroup::pool/{}:nodegroup"
    of_stack = {"deployment": up.model_dump(mode="json")}
    groups = [
        {
            "urn": urn.format(name),
            "type": "meshaws:eks:Nodegroup",
            "custom": True,
            "id": name,
            "outputs": {"status": status},
        }
        for name, status in (("serve", "CREATE_FAILED"), ("web", "ACTIVE"))
    ]
    vpc = {"urn": "urn:pulumi:e::m::meshaws:ec2:Vpc::network:vpc", "type": "meshaws:ec2:Vpc", "custom": True, "id": "v"}
    made = in_place(states.state({"urn": "s", "type": STACK_TYPE, "outputs": of_stack}, vpc, *groups))
    assert [pool.name for pool in made.pools] == ["web"]
    assert made.counts["meshaws:ec2:Vpc"] == 1

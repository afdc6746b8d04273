"""What AWS refuses or does not launch, the lab's AWS API refuses, too: each rule by a call over HTTP.

Sources of the rules: the modules `launch_rules`, `quotas` and `instance_types` of `meshctl.lab.aws`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.deploy import live_platform
from meshctl.deploy.guards import preflight
from meshctl.errors import InfeasibleError
from meshctl.lab.aws import quotas as lab_quotas
from meshctl.lab.aws.quotas import CLUSTERS, VPCS
from meshctl.model.deployment import Gap
from meshctl.model.questions import InPlace
from tests.integration.lab_aws_server import KEY, Aws, code_of, make_cluster, make_network
from tests.unit.resolve.meshes import AWS, resolved
from tests.unit.states import state
from tests.waiting import wait_until

P5 = "p5.48xlarge"
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
P_QUOTA = ("ec2", "L-417A185B")


@pytest.fixture(autouse=True)
def quotas(aws: Aws) -> Iterator[None]:
    """As a new account has them, but for the VPCs and those that a test raises. What a test has reserved ends with
    it: reservations count for the quotas."""
    (aws.root / "quotas.json").write_text(json.dumps({VPCS: 1000}))
    yield
    ec2 = aws.client("ec2")
    for each in ec2.describe_capacity_reservations()["CapacityReservations"]:
        ec2.cancel_capacity_reservation(CapacityReservationId=each["CapacityReservationId"])


def raised(aws: Aws, service: str, code: str, value: float) -> None:
    quotas = aws.client("service-quotas")
    quotas.request_service_quota_increase(ServiceCode=service, QuotaCode=code, DesiredValue=value)
    assert quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"] == value


def make(aws: Aws, network: dict[str, Any], name: str = "train", **more: Any) -> None:
    given = {
        "subnets": network["subnets"],
        "scalingConfig": {"minSize": 0, "maxSize": 8, "desiredSize": 2},
        "instanceTypes": ["t3.medium"],
    }
    aws.client("eks").create_nodegroup(clusterName="c1", nodegroupName=name, nodeRole=network["role"], **given | more)


def refusal(aws: Aws, network: dict[str, Any], **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        make(aws, network, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def issue(aws: Aws, name: str = "train") -> tuple[str, str]:
    """Code and text of what kept the node group's instances from launching."""
    eks = aws.client("eks")

    def described() -> dict[str, Any]:
        answer: dict[str, Any] = eks.describe_nodegroup(clusterName="c1", nodegroupName=name)["nodegroup"]
        return answer

    wait_until(lambda: described()["status"] == "CREATE_FAILED")
    first, *more = described()["health"]["issues"]
    if first["code"] == "AsgInstanceLaunchFailures":  # finding A5: they have not joined, either
        more = [each for each in more if each["code"] != "NodeCreationFailure"]
    assert more == []
    return first["code"], first["message"]


def template(aws: Aws, name: str, **data: Any) -> dict[str, str]:
    ec2 = aws.client("ec2")
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    return {"id": made["LaunchTemplateId"], "version": "1"}


def status(aws: Aws, name: str) -> str:
    return str(aws.client("eks").describe_nodegroup(clusterName="c1", nodegroupName=name)["nodegroup"]["status"])


def block(aws: Aws, *, starts_in_h: float, hours: int) -> str:
    """The id of a capacity block of two machines that is bought now."""
    ec2, start = aws.client("ec2"), datetime.now(UTC) + timedelta(hours=starts_in_h)
    wanted = {"InstanceType": P5, "InstanceCount": 2, "CapacityDurationHours": hours, "StartDateRange": start}
    [offered, *_] = ec2.describe_capacity_block_offerings(**wanted)["CapacityBlockOfferings"]
    bought = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offered["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )
    return str(bought["CapacityReservation"]["CapacityReservationId"])


def described_block(aws: Aws, block_id: str) -> dict[str, Any]:
    [described] = aws.client("ec2").describe_capacity_reservations(CapacityReservationIds=[block_id])[
        "CapacityReservations"
    ]
    return dict(described)


def make_in_block(aws: Aws, network: dict[str, Any], name: str, block_id: str, desired: int = 2) -> None:
    data = template(
        aws,
        f"{name}-{block_id}",
        CapacityReservationSpecification={"CapacityReservationTarget": {"CapacityReservationId": block_id}},
        InstanceMarketOptions={"MarketType": "capacity-block"},
        InstanceType=P5,
    )
    zone = described_block(aws, block_id)["AvailabilityZone"]
    subnets = [subnet for subnet, of in zip(network["subnets"], "ab", strict=False) if zone.endswith(of)]
    scaling = {"minSize": 0, "maxSize": 2, "desiredSize": desired}
    more = {"scalingConfig": scaling, "capacityType": "CAPACITY_BLOCK", "subnets": subnets, "instanceTypes": []}
    make(aws, network, name, launchTemplate=data, **more)


class TestAtOnce:
    def test_a_type_that_does_not_exist(self, aws: Aws) -> None:
        code, text = refusal(aws, make_cluster(aws), instanceTypes=["p99.huge"])
        assert (code, text) == (
            "InvalidParameterException",
            "The following supplied instance types do not exist: [p99.huge]",
        )

    def test_a_type_that_one_of_the_zones_does_not_have(self, aws: Aws) -> None:
        """finding A1"""
        code, text = refusal(aws, make_cluster(aws), instanceTypes=["p6-b200.48xlarge"])
        assert code == "InvalidRequestException"
        assert "(p6-b200.48xlarge) is not supported in your requested Availability Zone (us-east-1a)" in text

    @pytest.mark.parametrize("ami", ["AL2023_ARM_64_NVIDIA", "BOTTLEROCKET_ARM_64_NVIDIA"])
    def test_an_image_of_another_architecture(self, aws: Aws, ami: str) -> None:
        code, text = refusal(aws, make_cluster(aws), instanceTypes=[P5], amiType=ami)
        assert (code, text) == (
            "InvalidParameterException",
            f"[{P5}] instance types are not valid for AMI type {ami}",
        )

    def test_what_a_launch_template_of_managed_nodes_can_not_hold(self, aws: Aws) -> None:
        network = make_cluster(aws)
        profile = template(aws, "profile", IamInstanceProfile={"Name": "p"})
        assert refusal(aws, network, launchTemplate=profile)[0] == "InvalidRequestException"
        subnet = template(aws, "subnet", NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": network["subnets"][0]}])
        code, text = refusal(aws, network, launchTemplate=subnet)
        assert (code, text) == (
            "InvalidRequestException",
            "Launch template must not specify SubnetId for managed nodes",
        )

    def test_only_the_market_of_a_capacity_block_may_be_in_a_template(self, aws: Aws) -> None:
        network = make_cluster(aws)
        spot = template(aws, "spot", InstanceMarketOptions={"MarketType": "spot"})
        code, text = refusal(aws, network, launchTemplate=spot)
        assert (code, text) == (
            "InvalidRequestException",
            "Launch template must not specify InstanceMarketOptions for managed nodes",
        )
        block = template(aws, "block", InstanceMarketOptions={"MarketType": "capacity-block"}, InstanceType=P5)
        make(aws, network, instanceTypes=[], launchTemplate=block, capacityType="CAPACITY_BLOCK")

    def test_types_in_the_template_and_in_the_call(self, aws: Aws) -> None:
        both = template(aws, "both", InstanceType="t3.medium")
        code, text = refusal(aws, make_cluster(aws), launchTemplate=both)
        assert (code, text) == (
            "InvalidRequestException",
            "Cannot specify instance types in launch template and API request",
        )

    def test_more_networks_for_an_api_server_than_eks_takes(self, aws: Aws) -> None:
        network = make_cluster(aws)
        networks = [f"203.0.113.{number}/32" for number in range(41)]
        eks = aws.client("eks")
        with pytest.raises(ClientError, match="maximum number of public access CIDRs"):
            eks.create_cluster(
                name="c2",
                roleArn=network["role"],
                resourcesVpcConfig={"subnetIds": network["subnets"], "publicAccessCidrs": networks},
            )
        with pytest.raises(ClientError, match="and 41 were given"):
            eks.update_cluster_config(name="c1", resourcesVpcConfig={"publicAccessCidrs": networks})

    def test_an_unsupported_version_of_kubernetes(self, aws: Aws) -> None:
        network = make_cluster(aws)
        with pytest.raises(ClientError, match=r"unsupported Kubernetes version 1\.99"):
            aws.client("eks").create_cluster(
                name="c2",
                version="1.99",
                roleArn=network["role"],
                resourcesVpcConfig={"subnetIds": network["subnets"]},
            )


class TestLater:
    def test_no_quota_for_accelerated_instances(self, aws: Aws) -> None:
        """finding A6: a new account may run no P instance; a raised quota is counted in vCPUs of all node groups"""
        network = make_cluster(aws)
        make(aws, network, instanceTypes=[P5])
        code, text = issue(aws)
        assert code == "AsgInstanceLaunchFailures"
        assert "VcpuLimitExceeded" in text
        assert "vCPU limit of 0" in text
        raised(aws, *P_QUOTA, 3 * 192)
        make(aws, network, "second", instanceTypes=[P5])
        make(aws, network, "third", instanceTypes=[P5])
        assert "vCPU limit of 576" in issue(aws, "third")[1]
        assert aws.eks_json()["clusters"]["c1"]["nodegroups"]["second"]["desiredSize"] == 2

    def test_no_machines_at_the_moment(self, aws: Aws) -> None:
        """finding A5: EKS has no code of its own for it"""
        network = make_cluster(aws)
        aws.faults({"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "async": True})
        make(aws, network, instanceTypes=[P5])
        code, text = issue(aws)
        assert code == "AsgInstanceLaunchFailures"
        assert "InsufficientInstanceCapacity - We currently do not have sufficient p5.48xlarge capacity" in text

    def test_spot_instances_of_an_account_that_never_had_any(self, aws: Aws) -> None:
        """finding B6"""
        network, iam = make_cluster(aws), aws.client("iam")
        make(aws, network, instanceTypes=["m7i.4xlarge"], capacityType="SPOT")
        code, text = issue(aws)
        assert code == "AsgInstanceLaunchFailures"
        assert "AuthFailure.ServiceLinkedRoleCreationNotPermitted" in text
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
        assert iam.get_role(RoleName="AWSServiceRoleForEC2Spot")["Role"]["Path"].startswith("/aws-service-role/spot")
        make(aws, network, "second", instanceTypes=["m7i.4xlarge"], capacityType="SPOT")
        group = aws.client("eks").describe_nodegroup(clusterName="c1", nodegroupName="second")["nodegroup"]
        assert not group["health"]["issues"]
        iam.delete_role(RoleName="AWSServiceRoleForEC2Spot")

    def test_a_security_group_that_does_not_exist(self, aws: Aws) -> None:
        group = template(aws, "group", SecurityGroupIds=["sg-0123456789abcdef0"])
        make(aws, make_cluster(aws), launchTemplate=group)
        assert issue(aws) == (
            "Ec2SecurityGroupNotFound",
            "The security group 'sg-0123456789abcdef0' does not exist",
        )

    def test_more_efa_interfaces_than_the_machine_has(self, aws: Aws) -> None:
        cards = [{"NetworkCardIndex": card, "DeviceIndex": min(card, 1), "InterfaceType": "efa"} for card in range(2)]
        raised(aws, "ec2", "L-DB2E81BA", 1000)
        make(
            aws,
            make_cluster(aws),
            instanceTypes=["g5.xlarge"],
            launchTemplate=template(aws, "efa", NetworkInterfaces=cards),
        )
        assert issue(aws)[0] == "Ec2LaunchTemplateInvalidConfiguration"

    def test_a_reservation_that_is_unknown_elsewhere_or_too_small(self, aws: Aws) -> None:
        """finding A8"""
        network = make_cluster(aws)

        def group(name: str, reservation: str) -> str:
            target = {"CapacityReservationTarget": {"CapacityReservationId": reservation}}
            data = template(aws, name, CapacityReservationSpecification=target)
            make(aws, network, name, instanceTypes=[P5], launchTemplate=data, subnets=network["subnets"][:1])
            return issue(aws, name)[1]

        assert "does not exist" in group("unknown", "cr-0123456789abcdef0")
        ec2 = aws.client("ec2")

        def reservation(instance_type: str, zone: str, count: int) -> str:
            made = ec2.create_capacity_reservation(
                InstanceType=instance_type, InstancePlatform="Linux/UNIX", AvailabilityZone=zone, InstanceCount=count
            )
            return str(made["CapacityReservation"]["CapacityReservationId"])

        assert "is for p4d.24xlarge in us-east-1a" in group("other", reservation("p4d.24xlarge", "us-east-1a", 2))
        assert "is for p5.48xlarge in us-east-1b" in group("elsewhere", reservation(P5, "us-east-1b", 2))
        assert "ReservationCapacityExceeded" in group("small", reservation(P5, "us-east-1a", 1))
        cancelled = reservation(P5, "us-east-1a", 2)
        ec2.cancel_capacity_reservation(CapacityReservationId=cancelled)
        assert "is cancelled" in group("cancelled", cancelled)

    def test_a_reservation_of_a_placement_group_that_the_template_does_not_name(self, aws: Aws) -> None:
        """finding A8"""
        network, ec2 = make_cluster(aws), aws.client("ec2")
        group = ec2.create_placement_group(GroupName="reserved", Strategy="cluster")["PlacementGroup"]
        made = ec2.create_capacity_reservation(
            InstanceType=P5,
            InstancePlatform="Linux/UNIX",
            AvailabilityZone="us-east-1a",
            InstanceCount=2,
            PlacementGroupArn=group["GroupArn"],
        )["CapacityReservation"]
        assert made["PlacementGroupArn"] == group["GroupArn"]
        target = {"CapacityReservationTarget": {"CapacityReservationId": made["CapacityReservationId"]}}
        without = template(aws, "without", CapacityReservationSpecification=target)
        make(aws, network, instanceTypes=[P5], launchTemplate=without, subnets=network["subnets"][:1])
        assert "created in the placement group 'reserved'" in issue(aws)[1]
        named = template(aws, "named", CapacityReservationSpecification=target, Placement={"GroupName": "reserved"})
        make(aws, network, "other", instanceTypes=[P5], launchTemplate=named, subnets=network["subnets"][:1])
        aws.nodes(c1__other=2)
        wait_until(lambda: status(aws, "other") == "ACTIVE")

    def test_a_capacity_block_has_machines_between_its_start_and_its_end_only(self, aws: Aws) -> None:
        """finding A8: no node before the start, none from 30 minutes before the end, no update of those that are up"""
        network, eks = make_cluster(aws), aws.client("eks")
        later = block(aws, starts_in_h=1, hours=24)
        assert described_block(aws, later)["State"] == "scheduled"
        make_in_block(aws, network, "early", later)
        assert "is scheduled" in issue(aws, "early")[1]
        make_in_block(aws, network, "waits", later, desired=0)
        wait_until(lambda: status(aws, "waits") == "ACTIVE")
        ending = block(aws, starts_in_h=-23.6, hours=24)
        assert described_block(aws, ending)["State"] == "active"
        make_in_block(aws, network, "ending", ending)
        wait_until(lambda: aws.eks_json()["clusters"]["c1"]["nodegroups"]["ending"]["desiredSize"] == 0)
        running = block(aws, starts_in_h=-1, hours=24)
        make_in_block(aws, network, "running", running)
        aws.nodes(c1__running=2)
        wait_until(lambda: status(aws, "running") == "ACTIVE")
        update = eks.update_nodegroup_version(clusterName="c1", nodegroupName="running")["update"]

        def ended() -> dict[str, Any]:
            answer: dict[str, Any] = eks.describe_update(name="c1", updateId=update["id"], nodegroupName="running")
            return dict(answer["update"])

        wait_until(lambda: ended()["status"] == "Failed")
        assert ended()["errors"][0]["errorCode"] == "NodeCreationFailure"

    def test_a_capacity_block_before_it_begins(self, aws: Aws) -> None:
        """finding A8: its nodes can't start yet, and a group without nodes may wait for it"""
        network, ec2 = make_cluster(aws), aws.client("ec2")

        def block(begins: datetime) -> str:
            offered = ec2.describe_capacity_block_offerings(
                InstanceType=P5, InstanceCount=2, StartDateRange=begins, CapacityDurationHours=24
            )["CapacityBlockOfferings"]
            [of_first_zone] = [each for each in offered if each["AvailabilityZone"] == "us-east-1a"]
            offer = of_first_zone["CapacityBlockOfferingId"]
            bought = ec2.purchase_capacity_block(CapacityBlockOfferingId=offer, InstancePlatform="Linux/UNIX")
            return str(bought["CapacityReservation"]["CapacityReservationId"])

        def group(name: str, reservation: str, nodes: int, **more: Any) -> None:
            target = {"CapacityReservationTarget": {"CapacityReservationId": reservation}}
            market = {"InstanceMarketOptions": {"MarketType": "capacity-block"}, "InstanceType": P5}
            data = template(aws, name, CapacityReservationSpecification=target, **(more or market))
            kind = {"instanceTypes": [P5]} if more else {"instanceTypes": [], "capacityType": "CAPACITY_BLOCK"}
            scaling = {"minSize": 0, "maxSize": 2, "desiredSize": nodes}
            subnets = network["subnets"][:1]
            make(aws, network, name, launchTemplate=data, subnets=subnets, scalingConfig=scaling, **kind)

        def issues(name: str) -> Any:
            answer = aws.client("eks").describe_nodegroup(clusterName="c1", nodegroupName=name)["nodegroup"]
            return answer["status"], answer["health"]["issues"]

        now = datetime.now(UTC)
        later, running, over = (block(now + timedelta(hours=hours)) for hours in (24, -1, -25))
        group("later", later, 2)
        assert "InvalidCapacityReservationState" in issue(aws, "later")[1]
        group("over", over, 2)
        assert "is expired" in issue(aws, "over")[1]
        group("other-market", running, 2, EbsOptimized=True)
        assert "market type of the request is not capacity-block" in issue(aws, "other-market")[1]
        group("waiting", later, 0)
        wait_until(lambda: issues("waiting") == ("ACTIVE", []))
        group("running", running, 2)
        assert issues("running") == ("CREATING", [])

    def test_an_efa_interface_on_a_card_that_the_machine_does_not_have(self, aws: Aws) -> None:
        raised(aws, *P_QUOTA, 3 * 192)
        cards = [{"NetworkCardIndex": 32, "DeviceIndex": 1, "InterfaceType": "efa-only"}]
        launch = template(aws, "beyond", NetworkInterfaces=cards)
        make(aws, make_cluster(aws), instanceTypes=[P5], launchTemplate=launch)
        assert issue(aws) == (
            "Ec2LaunchTemplateInvalidConfiguration",
            "Network card index 32 exceeds the limit for p5.48xlarge, which has 32",
        )

    def test_a_control_plane_without_room_in_its_subnets(self, aws: Aws) -> None:
        """finding E: two subnets of /28 with most of their addresses taken"""
        network, ec2, eks = make_network(aws), aws.client("ec2"), aws.client("eks")
        subnets = []
        for number, zone in enumerate("ab"):
            cidr = f"10.0.9.{16 * number}/28"
            made = ec2.create_subnet(VpcId=network["vpc"], CidrBlock=cidr, AvailabilityZone=f"us-east-1{zone}")
            subnets.append(made["Subnet"]["SubnetId"])
        for _ in range(6):
            ec2.create_network_interface(SubnetId=subnets[0])
        eks.create_cluster(name="c1", roleArn=network["role"], resourcesVpcConfig={"subnetIds": subnets})

        def described() -> dict[str, Any]:
            answer: dict[str, Any] = eks.describe_cluster(name="c1")["cluster"]
            return answer

        wait_until(lambda: described()["status"] == "FAILED")
        assert described()["health"]["issues"][0]["code"] == "InsufficientFreeAddresses"

    def test_nodes_of_another_group_take_addresses(self, aws: Aws) -> None:
        """finding B4"""
        network, ec2 = make_cluster(aws), aws.client("ec2")
        small = ec2.create_subnet(VpcId=network["vpc"], CidrBlock="10.0.9.0/28", AvailabilityZone="us-east-1a")
        scaling = {"minSize": 0, "maxSize": 20, "desiredSize": 8}
        raised(aws, "ec2", "L-1216C47A", 1000)
        make(aws, network, "first", subnets=[small["Subnet"]["SubnetId"]], scalingConfig=scaling)
        make(aws, network, "second", subnets=[small["Subnet"]["SubnetId"]], scalingConfig=scaling)
        assert issue(aws, "second")[0] == "InsufficientFreeAddresses"

    def test_too_few_addresses(self, aws: Aws) -> None:
        """finding B4"""
        network, ec2 = make_cluster(aws), aws.client("ec2")
        small = ec2.create_subnet(VpcId=network["vpc"], CidrBlock="10.0.9.0/28", AvailabilityZone="us-east-1a")
        scaling = {"minSize": 0, "maxSize": 20, "desiredSize": 12}
        raised(aws, "ec2", "L-1216C47A", 1000)
        make(aws, network, subnets=[small["Subnet"]["SubnetId"]], scalingConfig=scaling)
        assert issue(aws)[0] == "InsufficientFreeAddresses"

    def test_dns_on_a_cluster_without_a_node_that_takes_it(self, aws: Aws) -> None:
        """finding A11"""
        network, eks = make_cluster(aws), aws.client("eks")
        eks.create_addon(clusterName="c1", addonName="coredns")

        def addon() -> dict[str, Any]:
            answer: dict[str, Any] = eks.describe_addon(clusterName="c1", addonName="coredns")["addon"]
            return answer

        wait_until(lambda: addon()["status"] == "DEGRADED")
        assert addon()["health"]["issues"][0]["code"] == "InsufficientNumberOfReplicas"
        make(aws, network, taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}])
        make(aws, network, "web")
        aws.nodes(c1__train=2)
        wait_until(
            lambda: eks.describe_nodegroup(clusterName="c1", nodegroupName="train")["nodegroup"]["status"] == "ACTIVE"
        )
        assert addon()["status"] == "DEGRADED"
        aws.nodes(c1__train=2, c1__web=2)
        wait_until(lambda: addon()["status"] == "ACTIVE")


def test_an_addon_is_as_healthy_as_its_replicas(aws: Aws) -> None:
    """finding A11: where its Deployment is played, nodes alone say nothing"""
    network, eks = make_cluster(aws), aws.client("eks")
    aws.replicas()
    make(aws, network, "web")
    aws.nodes(c1__web=2)
    eks.create_addon(clusterName="c1", addonName="coredns")
    eks.create_addon(clusterName="c1", addonName="vpc-cni")
    assert aws.eks_json()["clusters"]["c1"]["addons"]["coredns"]["version"] == "v1.12.4-eksbuild.1"

    def addon(name: str = "coredns") -> dict[str, Any]:
        answer: dict[str, Any] = eks.describe_addon(clusterName="c1", addonName=name)["addon"]
        return answer

    aws.replicas(c1__coredns=(1, 2))
    wait_until(lambda: addon()["status"] == "DEGRADED")
    assert addon()["health"]["issues"][0]["code"] == "InsufficientNumberOfReplicas"
    for ready, status in ((2, "ACTIVE"), (0, "DEGRADED")):
        aws.replicas(c1__coredns=(ready, 2))
        wait_until(partial(lambda status: addon()["status"] == status, status))


def test_a_preflight_hears_what_the_account_may_have(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = resolved({"serve": {"nodes": 2, "accelerator": {"model": "H200", "count": 8}}}, AWS).deployment
    assert found is not None
    raised(aws, *P_QUOTA, 192)
    made = preflight.ask(found, InPlace())
    assert made.zones == {"serve": ("us-east-1a",)}  # the other zone of the two has no p5en
    assert [(gap.subject, gap.best) for gap in made.gaps] == [("quota/L-417A185B", "the account may run 192")]
    assert made.notes == ()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
    assert "no usable credentials" in preflight.ask(found, InPlace()).notes[0]


def test_a_preflight_counts_what_there_is_already(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """finding A6"""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    network = make_cluster(aws)
    shared = {"shared": {"kind": "filesystem", "size": "4800GiB", "throughput": "1GB/s"}}
    wanted = resolved({"web": {"nodes": {"min": 1, "max": 460}, "cpu": {"cores": 4}}}, AWS, storage=shared).deployment
    assert wanted is not None
    set_quotas(aws, CLUSTERS=1, LUSTRE_GIB=2400, GATEWAYS=0, ADDRESSES=1000, NODES=450)
    counted = {"L-1194D53C", "L-8F1B9C74", "L-FE5A380F"}
    refused = {gap.subject for gap in preflight.ask(wanted, InPlace()).gaps}
    assert {f"quota/{code}" for code in counted} | {"pool/web"} <= refused
    ec2 = aws.client("ec2")
    set_quotas(aws, CLUSTERS=2, LUSTRE_GIB=4800, GATEWAYS=1, ADDRESSES=1000, NODES=460)
    made = ec2.create_nat_gateway(SubnetId=network["subnets"][0], ConnectivityType="private")["NatGateway"]
    gaps = {gap.subject: gap for gap in preflight.ask(wanted, InPlace()).gaps}
    assert gaps.keys() & {*(f"quota/{code}" for code in counted), "pool/web"} == {"quota/L-FE5A380F"}
    assert gaps["quota/L-FE5A380F"].best == "the account has 1 of 1 there"
    ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
    codes = {gap.subject.removeprefix("quota/") for gap in preflight.ask(wanted, InPlace()).gaps}
    assert not codes & counted


def test_a6_the_quota_of_one_mesh_is_not_enough_for_a_second_one(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone fits. Before, `plan` was clean, and the second one's nodes did not come, 20 minutes into its `up`."""
    as_a_user(aws, monkeypatch)
    first = resolved({"serve": {"nodes": 2, "accelerator": {"model": "H200", "count": 8}}}, AWS).deployment
    assert first is not None
    raised(aws, *P_QUOTA, 384)
    assert preflight.ask(first, InPlace()).gaps == ()
    network = make_cluster(aws)
    make(aws, network, "serve", instanceTypes=["p5en.48xlarge"], subnets=network["subnets"][:1])
    second = preflight.ask(first, InPlace())
    with pytest.raises(InfeasibleError) as refused:
        preflight.refuse(first, second)
    [gap] = refused.value.gaps
    assert isinstance(gap, Gap)
    assert (gap.subject, gap.wanted) == (
        "quota/L-417A185B",
        "384 vCPUs of Running On-Demand P instances (pool serve: 2 x 192)",
    )
    assert gap.best == "the account may run 384, and 384 are in use already: EKS cluster c1 (2 x p5en.48xlarge)"
    assert "--quota-code L-417A185B --desired-value 768" in gap.hint
    own = first.model_copy(update={"cluster": first.cluster.model_copy(update={"name": "c1"})})
    assert [gap.subject for gap in preflight.ask(own, InPlace()).gaps] == ["cluster"], "its own nodes count once"
    make(aws, network, "more", instanceTypes=["p5en.48xlarge"], subnets=network["subnets"][:1])
    assert issue(aws, "more")[1].startswith("Could not launch On-Demand Instances. VcpuLimitExceeded"), (
        "as the twin says"
    )


def test_a_preflight_hears_which_versions_of_kubernetes_there_are(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, only CreateCluster refused them, once the network was there."""
    as_a_user(aws, monkeypatch)
    raised(aws, "ec2", "L-1216C47A", 1000)
    described = aws.client("eks").describe_cluster_versions()["clusterVersions"]
    assert [each["clusterVersion"] for each in described if each["defaultVersion"]] == ["1.35"]
    assert {each["versionStatus"] for each in described} == {"STANDARD_SUPPORT", "EXTENDED_SUPPORT"}
    network, eks = make_network(aws), aws.client("eks")
    given = {"roleArn": network["role"], "resourcesVpcConfig": {"subnetIds": network["subnets"]}}
    for version in ("1.31", "1.99"):
        wanted = resolved(WEB, {**AWS, "kubernetes": {"version": version}}).deployment
        assert wanted is not None
        [gap] = preflight.ask(wanted, InPlace()).gaps
        assert (gap.wanted, gap.best) == (
            f"Kubernetes {version}",
            "EKS has 1.36, 1.35, 1.34, 1.33, 1.32 in us-east-1",
        )
        assert code_of(eks.create_cluster, name="c1", version=version, **given) == "InvalidParameterException"
    past = resolved(WEB, {**AWS, "kubernetes": {"version": "1.32"}}).deployment
    assert past is not None
    made = preflight.ask(past, InPlace())
    assert made.gaps == ()
    assert [note for note in made.notes if note.startswith("Kubernetes 1.32 is past standard support of EKS")]


def test_instances_are_described_page_by_page_with_the_tags_of_their_node_groups(aws: Aws) -> None:
    network, ec2 = make_cluster(aws), aws.client("ec2")
    raised(aws, "ec2", "L-1216C47A", 1000)
    scaling = {"minSize": 0, "maxSize": 20, "desiredSize": 12}
    make(aws, network, "web", scalingConfig=scaling)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    own = ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    try:
        first = ec2.describe_instances(MaxResults=5)
        assert len(instances_of(first)) == 5
        assert first["NextToken"]
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        pages = ec2.get_paginator("describe_instances").paginate(Filters=running, PaginationConfig={"PageSize": 5})
        described = [each for page in pages for each in instances_of(page)]
        assert len(described) == 13 == len({each["InstanceId"] for each in described})
        nodes = [each for each in described if each["InstanceType"] == "t3.medium"]
        tags = {each["Key"]: each["Value"] for each in nodes[0]["Tags"]}
        assert (tags["eks:cluster-name"], tags["eks:nodegroup-name"]) == ("c1", "web")
        assert tags["kubernetes.io/cluster/c1"] == "owned"
        assert {node["SubnetId"] for node in nodes} == set(network["subnets"])
        assert {node["CpuOptions"]["CoreCount"] * node["CpuOptions"]["ThreadsPerCore"] for node in nodes} == {2}
        of_type = [{"Name": "instance-type", "Values": ["m*"]}]
        assert [each["InstanceId"] for each in instances_of(ec2.describe_instances(Filters=of_type))] == [own]
    finally:
        ec2.terminate_instances(InstanceIds=[own])
    assert instances_of(ec2.describe_instances(Filters=[*running, *of_type])) == []


def instances_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for reservation in answer["Reservations"] for each in reservation["Instances"]]


def as_a_user(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """meshctl's own clients ask this API."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def test_c2_a_newer_release_appears_and_is_heard_of(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    make(aws, make_cluster(aws), "web")
    eks = aws.client("eks")
    eks.create_addon(clusterName="c1", addonName="coredns")
    wanted = resolved({"web": {"nodes": {"min": 1, "max": 8}, "cpu": {"cores": 4}}}, AWS).deployment
    assert wanted is not None
    wanted = wanted.model_copy(update={"cluster": wanted.cluster.model_copy(update={"name": "c1"})})
    up = state({"urn": "urn:pulumi:e::m::meshaws:eks:Cluster::cluster:eks", "type": "meshaws:eks:Cluster"})
    before = live_platform.ask(wanted, up)
    assert (before.newer_notes("e"), before.unasked) == ((), ())
    assert before.count_notes(wanted) == ("pool/web: 2 nodes now, 1..8",)
    newer = {"image": "20261120", "addons": {"coredns": "v1.12.9-eksbuild.1"}}
    (aws.root / "releases.json").write_text(json.dumps(newer))
    refreshed = live_platform.ask(wanted, up).refreshed(wanted)
    assert refreshed.pool("web").image_release.endswith(".0-20261120")
    assert refreshed.cluster.addon_versions == {"coredns": "v1.12.9-eksbuild.1"}


def test_elastic_addresses_and_vpcs_of_a_new_account(aws: Aws) -> None:
    """finding A6"""
    ec2 = aws.client("ec2")
    (aws.root / "quotas.json").write_text(f'{{"L-F678F1CE": {len(ec2.describe_vpcs()["Vpcs"]) + 1}}}')
    ec2.create_vpc(CidrBlock="10.1.0.0/16")
    with pytest.raises(ClientError, match="VpcLimitExceeded"):
        ec2.create_vpc(CidrBlock="10.2.0.0/16")
    allocated = [ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(5)]
    with pytest.raises(ClientError, match="AddressLimitExceeded"):
        ec2.allocate_address(Domain="vpc")
    for address in allocated:
        ec2.release_address(AllocationId=address)


def test_more_clusters_than_the_quota(aws: Aws) -> None:
    network = make_cluster(aws)
    (aws.root / "quotas.json").write_text(json.dumps({VPCS: 1000, CLUSTERS: 1}))
    assert (
        code_of(
            aws.client("eks").create_cluster,
            name="c2",
            roleArn=network["role"],
            resourcesVpcConfig={"subnetIds": network["subnets"]},
        )
        == "ResourceLimitExceededException"
    )


def set_quotas(aws: Aws, **values: float) -> None:
    (aws.root / "quotas.json").write_text(json.dumps({VPCS: 1000, **{quota_code(n): v for n, v in values.items()}}))


def quota_code(name: str) -> str:
    return str(getattr(lab_quotas, name))


def test_more_node_groups_and_nodes_than_a_cluster_may_have(aws: Aws) -> None:
    """finding A6"""
    network, eks = make_cluster(aws), aws.client("eks")
    set_quotas(aws, NODE_GROUPS=1, NODES=8)
    code, text = refusal(aws, network, scalingConfig={"minSize": 0, "maxSize": 9, "desiredSize": 0})
    assert (code, text) == (
        "ResourceLimitExceededException",
        "maxSize 9 is more than the 8 nodes that a node group may have",
    )
    make(aws, network, scalingConfig={"minSize": 0, "maxSize": 8, "desiredSize": 0})
    assert refusal(aws, network, name="second")[0] == "ResourceLimitExceededException"
    wait_until(lambda: status(aws, "train") == "ACTIVE")
    group, more = {"clusterName": "c1", "nodegroupName": "train"}, {"maxSize": 9}
    assert code_of(eks.update_nodegroup_config, **group, scalingConfig=more) == "InvalidParameterException"


def test_more_nat_gateways_in_a_zone_than_the_quota(aws: Aws) -> None:
    """finding A6: as many in another zone are no harm, and one that is deleted makes room"""
    ec2, network = aws.client("ec2"), make_network(aws)
    first, second = network["subnets"][:2]
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    described = [each for each in gateways if each["State"] != "deleted"]  # AWS shows those for a while, too
    subnets = {each["SubnetId"]: each["AvailabilityZone"] for each in ec2.describe_subnets()["Subnets"]}
    there = sum(subnets.get(each["SubnetId"]) == subnets[first] for each in described)
    set_quotas(aws, GATEWAYS=there + 1, ADDRESSES=1000)
    made = ec2.create_nat_gateway(SubnetId=first, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    again = {"SubnetId": first, "ConnectivityType": "private"}
    assert code_of(ec2.create_nat_gateway, **again) == "NatGatewayLimitExceeded"
    other = ec2.create_nat_gateway(SubnetId=second, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=made)
    again_made = ec2.create_nat_gateway(**again)["NatGateway"]["NatGatewayId"]
    for gateway in (other, again_made):
        ec2.delete_nat_gateway(NatGatewayId=gateway)


def test_more_lustre_than_the_quota(aws: Aws) -> None:
    """finding A6"""
    fsx, network = aws.client("fsx"), make_network(aws)
    set_quotas(aws, LUSTRE_GIB=2400)
    kind = {"FileSystemType": "LUSTRE", "SubnetIds": network["subnets"][:1]}
    persistent = {"LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125}}
    assert code_of(fsx.create_file_system, **kind, **persistent, StorageCapacity=4800) == "ServiceLimitExceeded"


def test_a_role_takes_no_policies_of_any_length(aws: Aws) -> None:
    """Blanks are not counted, and the policies of a role are counted together."""
    iam = aws.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName="wordy", AssumeRolePolicyDocument=json.dumps(trust))

    def policy(arns: int, **layout: Any) -> str:
        resources = [f"arn:aws:s3:::{number:04}-{'x' * 70}" for number in range(arns)]
        statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resources}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, **layout)

    given = {"RoleName": "wordy", "PolicyName": "buckets"}
    assert code_of(iam.put_role_policy, **given, PolicyDocument=policy(120)) == "LimitExceeded"
    spacious = policy(100, indent=20)
    assert len(spacious) > 10_240
    iam.put_role_policy(**given, PolicyDocument=spacious)
    iam.put_role_policy(**given, PolicyDocument=spacious)
    second = {"RoleName": "wordy", "PolicyName": "more"}
    assert code_of(iam.put_role_policy, **second, PolicyDocument=policy(30)) == "LimitExceeded"


def test_each_refusal_is_logged_with_its_rule_and_the_source_of_it(aws: Aws) -> None:
    network = make_cluster(aws)
    log = aws.root / "log"
    refusal(aws, network, instanceTypes=["p6-b200.48xlarge"])
    make(aws, network, instanceTypes=[P5])
    issue(aws)
    at_once = next(line for line in log.read_text().splitlines() if "rule type-in-zone" in line)
    assert at_once.startswith("refused CreateNodegroup: InvalidRequestException: Your requested instance type")
    assert at_once.endswith("source: eksctl issue 6461; ec2-spot-workshops issue 154)")
    assert "refused CreateNodegroup later: Could not launch On-Demand Instances" in log.read_text()
    with pytest.raises(ClientError):
        aws.client("iam").delete_role(RoleName="role-of-nobody")  # moto's own refusal
    aws.faults({"operation": "CreateAddon", "error": "ThrottlingException"})
    with pytest.raises(ClientError):
        aws.client("eks").create_addon(clusterName="c1", addonName="coredns")
    assert "refused CreateAddon: ThrottlingException: ThrottlingException: on order (rule on-order" in log.read_text()


@pytest.mark.parametrize(
    ("operation", "code"),
    [("CreateAddon", "VcpuLimitExceeded"), ("UpdateNodegroupConfig", "AsgInstanceLaunchFailures")],
)
def test_a_fault_with_a_code_that_eks_does_not_have_is_an_error_of_the_lab(aws: Aws, operation: str, code: str) -> None:
    """finding A5"""
    network, eks = make_cluster(aws), aws.client("eks")
    make(aws, network)
    aws.nodes(c1__train=2)
    wait_until(
        lambda: eks.describe_nodegroup(clusterName="c1", nodegroupName="train")["nodegroup"]["status"] == "ACTIVE"
    )
    aws.faults({"operation": operation, "error": code, "async": True})
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "CreateAddon": (eks.create_addon, {"addonName": "coredns"}),
        "UpdateNodegroupConfig": (
            eks.update_nodegroup_config,
            {"nodegroupName": "train", "labels": {"removeLabels": ["x"]}},
        ),
    }
    call, given = calls[operation]
    with pytest.raises(ClientError, match=f"LabConfigurationError.*{operation} can't end with {code}"):
        call(clusterName="c1", **given)


def test_a_node_group_with_a_code_that_eks_does_not_have_is_not_made(aws: Aws) -> None:
    network, eks = make_cluster(aws), aws.client("eks")
    aws.faults({"operation": "CreateNodegroup", "error": "VcpuLimitExceeded", "async": True})
    assert refusal(aws, network)[0] == "LabConfigurationError"
    assert eks.list_nodegroups(clusterName="c1")["nodegroups"] == []


def test_what_was_made_is_not_seen_for_some_calls(aws: Aws) -> None:
    """Reads that come too early after a create, as the EC2 API's eventual consistency has them."""
    ec2 = aws.client("ec2")
    aws.faults(
        {"operation": "DescribeVpcs", "error": "InvalidVpcID.NotFound", "times": 2, "after": "CreateVpc"},
    )
    ec2.describe_vpcs()
    for _ in range(2):
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        for _ in range(2):
            assert code_of(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"
        assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["VpcId"] == vpc
        ec2.delete_vpc(VpcId=vpc)

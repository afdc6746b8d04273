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

from meshctl.lab.aws.quotas import CLUSTERS, VPCS
from tests.integration.lab_aws_server import (
    P_QUOTA,
    Aws,
    code_of,
    issue,
    make,
    make_cluster,
    make_network,
    quotas_of_a_new_account,
    raised,
    set_quotas,
)
from tests.waiting import wait_until

P5 = "p5.48xlarge"


@pytest.fixture(autouse=True)
def quotas(aws: Aws) -> Iterator[None]:
    yield from quotas_of_a_new_account(aws)


def refusal(aws: Aws, network: dict[str, Any], **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        make(aws, network, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


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

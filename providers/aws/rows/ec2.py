"""EC2: networks; security groups and what launches nodes are in `ec2_compute`. PURE.

EC2 declares no error shapes, so its not-found codes can't be linted; the contract tests prove them. Few of its creates
have an idempotency token: objects are found by our tag, which the create call sets itself.
Source: EC2 API reference, API version 2016-11-15.
"""

from __future__ import annotations

from typing import Any

from meshwire.marks import OWNER_TAG
from providers.aws.rows.leftovers import (
    CLUSTER_GROUPS,
    IDLE_INTERFACES,
    delete_cluster_groups,
    delete_idle_interfaces,
)
from providers.aws.rows_engine.row import Adopt, Call, Poll, Row, Setting, Tags

# What was made a moment ago isn't known everywhere yet ("eventual consistency" in the EC2 API reference).
SEEN_SOON = ("Invalid*.NotFound", "InvalidVpcID.NotFound", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound")
SOON_S = 20.0
IN_USE = ("DependencyViolation", "InvalidPlacementGroup.InUse", "InvalidIPAddress.InUse", "AuthFailure:in use")
IN_USE_S = 300.0
BY_TAG = f"[{{Name: 'tag:{OWNER_TAG}', Values: [owner]}}]"


def tagged(resource_type: str, resources: str = "[id]") -> Tags:
    return Tags(
        create={"TagSpecifications": f"[{{ResourceType: '{resource_type}', Tags: tag_list}}]"},
        put=Call("CreateTags", {"Resources": resources, "Tags": "put_tag_list"}),
        remove=Call("DeleteTags", {"Resources": resources, "Tags": "gone_tag_keys[].{Key: @}"}),
    )


def adopted_by_tag(operation: str, path: str, id: str) -> Adopt:  # noqa: A002
    return Adopt(by="tag", first=True, find=Call(operation, {"Filters": BY_TAG}, path=path, paginate=True), id=id)


def making(operation: str) -> Call:
    return Call(operation, forward=True, transient=SEEN_SOON, patience_s=SOON_S)


def ending(operation: str, parameter: str, value: str = "id") -> Call:
    return Call(operation, {parameter: value}, transient=IN_USE, patience_s=IN_USE_S)


def vpc_attribute(name: str) -> Setting:
    return Setting(
        (name,),
        (Call("ModifyVpcAttribute", {"VpcId": "id", name: f"{{Value: inputs.{name}}}"}),),
        get=Call(
            "DescribeVpcAttribute",
            {"VpcId": "id", "Attribute": f"'{name[0].lower()}{name[1:]}'"},
            path=f"{name}.Value",
        ),
        on_create=True,
    )


VPC = Row(
    "meshaws:ec2:Vpc",
    "ec2",
    "EC2 API CreateVpc",
    create=making("CreateVpc"),
    id="answer.Vpc.VpcId",
    read=Call("DescribeVpcs", {"VpcIds": "[id]"}, path="Vpcs[0]"),
    delete=ending("DeleteVpc", "VpcId"),
    before_delete=(delete_cluster_groups,),
    hook_operations=CLUSTER_GROUPS,
    adopt=adopted_by_tag("DescribeVpcs", "Vpcs", "VpcId"),
    not_found=("InvalidVpcID.NotFound",),
    settings=(vpc_attribute("EnableDnsSupport"), vpc_attribute("EnableDnsHostnames")),
    tags=tagged("vpc"),
    ready=Poll("State", ok=("available",), every_s=2, timeout_s=120),
    delete_first=False,
)

SUBNET = Row(
    "meshaws:ec2:Subnet",
    "ec2",
    "EC2 API CreateSubnet",
    create=making("CreateSubnet"),
    id="answer.Subnet.SubnetId",
    read=Call("DescribeSubnets", {"SubnetIds": "[id]"}, path="Subnets[0]"),
    delete=ending("DeleteSubnet", "SubnetId"),
    before_delete=(delete_idle_interfaces,),
    hook_operations=IDLE_INTERFACES,
    adopt=adopted_by_tag("DescribeSubnets", "Subnets", "SubnetId"),
    not_found=("InvalidSubnetID.NotFound",),
    settings=(
        Setting(
            ("MapPublicIpOnLaunch",),
            (
                Call(
                    "ModifySubnetAttribute",
                    {"SubnetId": "id", "MapPublicIpOnLaunch": "{Value: inputs.MapPublicIpOnLaunch}"},
                ),
            ),
            on_create=True,
        ),
    ),
    tags=tagged("subnet"),
    ready=Poll("State", ok=("available",), every_s=2, timeout_s=120),
    noise=("AvailableIpAddressCount",),
)

INTERNET_GATEWAY = Row(
    "meshaws:ec2:InternetGateway",
    "ec2",
    "EC2 API CreateInternetGateway, AttachInternetGateway",
    create=making("CreateInternetGateway"),
    id="answer.InternetGateway.InternetGatewayId",
    read=Call("DescribeInternetGateways", {"InternetGatewayIds": "[id]"}, path="InternetGateways[0]"),
    delete=ending("DeleteInternetGateway", "InternetGatewayId"),
    adopt=adopted_by_tag("DescribeInternetGateways", "InternetGateways", "InternetGatewayId"),
    not_found=("InvalidInternetGatewayID.NotFound",),
    settings=(
        Setting(
            ("VpcId",),
            (
                Call(
                    "DetachInternetGateway",
                    {"InternetGatewayId": "id", "VpcId": "outputs.Attachments[0].VpcId"},
                    when="outputs.Attachments[0].VpcId",
                    tolerate=("Gateway.NotAttached",),
                    transient=IN_USE,
                ),
                Call(
                    "AttachInternetGateway",
                    {"InternetGatewayId": "id", "VpcId": "inputs.VpcId"},
                    tolerate=("Resource.AlreadyAssociated:same vpc",),
                    transient=SEEN_SOON,
                ),
            ),
            on_create=True,
        ),
    ),
    tags=tagged("internet-gateway"),
    before_delete=(
        Call(
            "DetachInternetGateway",
            {"InternetGatewayId": "id", "VpcId": "outputs.Attachments[0].VpcId"},
            when="outputs.Attachments[0].VpcId",
            tolerate=("Gateway.NotAttached", "InvalidVpcID.NotFound"),
            transient=IN_USE,
            patience_s=IN_USE_S,
        ),
    ),
    observe={"VpcId": "Attachments[0].VpcId"},
)

ADDRESS = Row(
    "meshaws:ec2:Address",
    "ec2",
    "EC2 API AllocateAddress",
    create=making("AllocateAddress"),
    id="answer.AllocationId",
    read=Call("DescribeAddresses", {"AllocationIds": "[id]"}, path="Addresses[0]"),
    delete=ending("ReleaseAddress", "AllocationId"),
    adopt=adopted_by_tag("DescribeAddresses", "Addresses", "AllocationId"),
    not_found=("InvalidAllocationID.NotFound",),
    tags=tagged("elastic-ip"),
    noise=("AssociationId", "InstanceId", "NetworkInterfaceId", "NetworkInterfaceOwnerId", "PrivateIpAddress"),
    delete_first=False,
)

NAT_GATEWAY = Row(
    "meshaws:ec2:NatGateway",
    "ec2",
    "EC2 API CreateNatGateway",
    create=making("CreateNatGateway"),
    id="answer.NatGateway.NatGatewayId",
    read=Call("DescribeNatGateways", {"NatGatewayIds": "[id]"}, path="NatGateways[0]"),
    delete=ending("DeleteNatGateway", "NatGatewayId"),
    adopt=Adopt(
        by="tag",
        first=True,
        find=Call("DescribeNatGateways", {"Filter": BY_TAG}, path="NatGateways", paginate=True),
        id="NatGatewayId",
    ),
    not_found=("NatGatewayNotFound", "InvalidNatGatewayID.NotFound"),
    tags=tagged("natgateway"),
    ready=Poll(
        "State", ok=("available",), fail=("failed",), code="FailureCode", reason="FailureMessage", timeout_s=600
    ),
    gone=Poll("State", ok=("deleted",), fail=("failed",), timeout_s=900),
    broken=("failed",),
    # addresses that others have added to it are secondary, and may come first
    observe={
        "AllocationId": "not_null(NatGatewayAddresses[?IsPrimary] | [0].AllocationId,"
        " NatGatewayAddresses[0].AllocationId)"
    },
)

ROUTE_TABLE = Row(
    "meshaws:ec2:RouteTable",
    "ec2",
    "EC2 API CreateRouteTable",
    create=making("CreateRouteTable"),
    id="answer.RouteTable.RouteTableId",
    read=Call("DescribeRouteTables", {"RouteTableIds": "[id]"}, path="RouteTables[0]"),
    delete=ending("DeleteRouteTable", "RouteTableId"),
    adopt=adopted_by_tag("DescribeRouteTables", "RouteTables", "RouteTableId"),
    not_found=("InvalidRouteTableID.NotFound",),
    tags=tagged("route-table"),
    noise=("Routes", "Associations", "PropagatingVgws"),  # resources of their own
    delete_first=False,
)

ROUTE_TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "NetworkInterfaceId",
    "VpcEndpointId",
)
ROUTE = Row(
    "meshaws:ec2:Route",
    "ec2",
    "EC2 API CreateRoute, ReplaceRoute",
    create=making("CreateRoute"),
    id="join('|', [inputs.RouteTableId, inputs.DestinationCidrBlock])",
    read=Call(
        "DescribeRouteTables",
        {"RouteTableIds": "[parts[0]]"},
        path="RouteTables[0].Routes[?DestinationCidrBlock==${parts[1]}] | [0]",
    ),
    delete=Call("DeleteRoute", {"RouteTableId": "parts[0]", "DestinationCidrBlock": "parts[1]"}),
    adopt=Adopt(by="same", exists=("RouteAlreadyExists",)),
    not_found=("InvalidRouteTableID.NotFound", "InvalidRoute.NotFound"),
    hidden=(
        "DestinationIpv6CidrBlock",
        "DestinationPrefixListId",
        "LocalGatewayId",
        "CarrierGatewayId",
        "CoreNetworkArn",
        "OdbNetworkArn",
        "EgressOnlyInternetGatewayId",
        "InstanceId",
    ),
    required=("RouteTableId", "DestinationCidrBlock"),
    settings=(Setting(ROUTE_TARGETS, (Call("ReplaceRoute", forward=True),)),),
    opaque=("RouteTableId", "VpcEndpointId"),
)

ROUTE_TABLE_ASSOCIATION = Row(
    "meshaws:ec2:RouteTableAssociation",
    "ec2",
    "EC2 API AssociateRouteTable",
    create=making("AssociateRouteTable"),
    id="answer.AssociationId",
    read=Call(
        "DescribeRouteTables",
        {"Filters": "[{Name: 'association.route-table-association-id', Values: [id]}]"},
        path="RouteTables[0].Associations[?RouteTableAssociationId==${id}] | [0]",
    ),
    delete=Call("DisassociateRouteTable", {"AssociationId": "id"}),
    adopt=Adopt(
        by="same",
        exists=("Resource.AlreadyAssociated",),
        find=Call(
            "DescribeRouteTables",
            {"Filters": "[{Name: 'association.subnet-id', Values: [inputs.SubnetId]}]"},
            path="RouteTables[0].Associations[?SubnetId==${inputs.SubnetId}]",
        ),
        id="RouteTableAssociationId",
    ),
    not_found=("InvalidAssociationID.NotFound", "InvalidRouteTableID.NotFound"),
    hidden=("GatewayId", "PublicIpv4Pool"),
    required=("SubnetId",),
)


SUBNET_CIDR_RESERVATION = Row(
    "meshaws:ec2:SubnetCidrReservation",
    "ec2",
    "EC2 API CreateSubnetCidrReservation",
    create=making("CreateSubnetCidrReservation"),
    id="join('|', [inputs.SubnetId, answer.SubnetCidrReservation.SubnetCidrReservationId])",
    read=Call(
        "GetSubnetCidrReservations",
        {"SubnetId": "parts[0]"},
        path="SubnetIpv4CidrReservations[?SubnetCidrReservationId==${parts[1]}] | [0]",
    ),
    delete=Call("DeleteSubnetCidrReservation", {"SubnetCidrReservationId": "parts[1]"}),
    adopt=Adopt(
        by="same",  # two ranges of a subnet can't overlap
        first=True,
        find=Call(
            "GetSubnetCidrReservations",
            {"SubnetId": "inputs.SubnetId"},
            path="SubnetIpv4CidrReservations[?Cidr==${inputs.Cidr}]",
        ),
        id="join('|', [SubnetId, SubnetCidrReservationId])",
    ),
    not_found=("InvalidSubnetCidrReservationID.NotFound", "InvalidSubnetID.NotFound"),
    required=("SubnetId", "Cidr", "ReservationType"),
)


def _added(name: str) -> Any:
    return lambda c: sorted(set(c["inputs"].get(name) or []) - set(c["outputs"].get(name) or [])) or None


def _removed(name: str) -> Any:
    return lambda c: sorted(set(c["outputs"].get(name) or []) - set(c["inputs"].get(name) or [])) or None


VPC_ENDPOINT = Row(
    "meshaws:ec2:VpcEndpoint",
    "ec2",
    "EC2 API CreateVpcEndpoint, ModifyVpcEndpoint",
    create=making("CreateVpcEndpoint"),
    id="answer.VpcEndpoint.VpcEndpointId",
    read=Call("DescribeVpcEndpoints", {"VpcEndpointIds": "[id]"}, path="VpcEndpoints[0]"),
    delete=Call("DeleteVpcEndpoints", {"VpcEndpointIds": "[id]"}, failed="Unsuccessful[0].Error"),
    delete_reads=True,
    adopt=adopted_by_tag("DescribeVpcEndpoints", "VpcEndpoints", "VpcEndpointId"),
    not_found=("InvalidVpcEndpointId.NotFound", "InvalidVpcEndpoint.NotFound"),
    settings=(
        Setting(
            ("RouteTableIds", "SubnetIds", "PolicyDocument", "PrivateDnsEnabled"),
            (
                Call(
                    "ModifyVpcEndpoint",
                    {
                        "VpcEndpointId": "id",
                        "AddRouteTableIds": _added("RouteTableIds"),
                        "RemoveRouteTableIds": _removed("RouteTableIds"),
                        "AddSubnetIds": _added("SubnetIds"),
                        "RemoveSubnetIds": _removed("SubnetIds"),
                        "PolicyDocument": "inputs.PolicyDocument",
                        "PrivateDnsEnabled": "inputs.PrivateDnsEnabled",
                    },
                ),
            ),
        ),
    ),
    required=("VpcId", "ServiceName"),
    tags=tagged("vpc-endpoint"),
    ready=Poll("State", ok=("available", "pendingAcceptance"), fail=("failed", "rejected"), timeout_s=600),
    gone=Poll("State", ok=("deleted",), fail=("failed",), timeout_s=900),
    opaque=("SecurityGroupIds",),
    delete_first=True,
)

ROWS: tuple[Row, ...] = (
    VPC,
    SUBNET,
    SUBNET_CIDR_RESERVATION,
    INTERNET_GATEWAY,
    ADDRESS,
    NAT_GATEWAY,
    ROUTE_TABLE,
    ROUTE,
    ROUTE_TABLE_ASSOCIATION,
    VPC_ENDPOINT,
)

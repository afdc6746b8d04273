"""VPC, public and private subnets, NAT gateways, routes, the S3 gateway endpoint. Called by `program`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import pulumi

from meshctl.model.deployment import AwsNetwork, Deployment, Subnet
from stacks.resources import AwsProvider, AwsResource


@dataclass(frozen=True)
class Network:
    """What the layers above need: ids by subnet name, and the routes that must outlive whatever pulls images, with what
    else must be there before a node takes addresses."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[str, pulumi.Output[str]]
    routes: tuple[pulumi.Resource, ...]
    subnets: tuple[Subnet, ...]

    def private(self, zones: tuple[str, ...] = ()) -> list[pulumi.Output[str]]:
        """Ids of the private subnets of `zones` (of all, when none is named), in zone order."""
        return [self.subnet_ids[s.name] for s in self.subnets if not s.public and (not zones or s.zone in zones)]

    def of_control_plane(self) -> list[pulumi.Output[str]]:
        """Ids of the private subnets of the first two zones: what EKS needs at least, for its own interfaces. Nodes may
        be in any other ("Amazon EKS networking requirements"), also in zones that have no EKS, and zones of a control
        plane can't change (UpdateClusterConfig)."""
        return self.private()[:2]


def name_tags(name: str, **more: str) -> dict[str, str]:
    """Tags with a Name, as the console shows it; a row's `Tags` is a map for every API."""
    return {"Name": name, **more}


def declare_network(deployment: Deployment, network: AwsNetwork, logs: AwsResource, aws: AwsProvider) -> Network:
    """`logs`: the control plane's log group, which outlives the network."""
    prefix = deployment.cluster.name
    vpc_id = _vpc(prefix, network, logs, aws).get("VpcId")
    gateway = _internet_gateway(prefix, vpc_id, aws)
    subnets = {subnet.name: _subnet(prefix, subnet, vpc_id, aws) for subnet in network.subnets}
    ids = {name: subnet.get("SubnetId") for name, subnet in subnets.items()}
    public_table = _route_table("public", prefix, vpc_id, aws)
    public_route = _default_route("public", public_table, {"GatewayId": gateway.get("InternetGatewayId")}, aws)
    associations = [_associate(s.name, ids[s.name], public_table, aws) for s in network.subnets if s.public]
    routes: list[pulumi.Resource] = [public_route, *associations]
    private_tables: list[pulumi.Output[str]] = []
    gateways = _nat_gateways(prefix, network, ids, [public_route, *associations], aws)
    for subnet in (s for s in network.subnets if not s.public):
        nat = gateways.get(subnet.zone) or gateways[network.nat_zones[0]]
        table = _route_table(subnet.name, prefix, vpc_id, aws)
        private_tables.append(table.get("RouteTableId"))
        routes.append(_default_route(subnet.name, table, {"NatGatewayId": nat.get("NatGatewayId")}, aws))
        routes.append(_associate(subnet.name, ids[subnet.name], table, aws))
    _s3_endpoint(deployment, vpc_id, private_tables, aws)
    if deployment.neural_mesh is not None and deployment.neural_mesh.has_address_blocks:
        routes += [_address_blocks(subnet, ids[subnet.name], aws) for subnet in network.subnets if not subnet.public]
    return Network(vpc_id, ids, tuple(routes), network.subnets)


def _vpc(prefix: str, network: AwsNetwork, logs: AwsResource, aws: AwsProvider) -> AwsResource:
    return AwsResource.declare(
        "ec2:Vpc",
        "network:vpc",
        {
            "CidrBlock": network.cidr,
            "EnableDnsSupport": True,
            "EnableDnsHostnames": True,
            "Tags": name_tags(prefix),
        },
        outputs=["VpcId"],
        provider=aws,
        depends_on=[logs],
    )


def _internet_gateway(prefix: str, vpc_id: pulumi.Output[str], aws: AwsProvider) -> AwsResource:
    return AwsResource.declare(
        "ec2:InternetGateway",
        "network:internet-gateway",
        {"VpcId": vpc_id, "Tags": name_tags(prefix)},
        outputs=["InternetGatewayId"],
        provider=aws,
    )


def _subnet(prefix: str, subnet: Subnet, vpc_id: pulumi.Output[str], aws: AwsProvider) -> AwsResource:
    role = "kubernetes.io/role/elb" if subnet.public else "kubernetes.io/role/internal-elb"
    return AwsResource.declare(
        "ec2:Subnet",
        f"network:subnet-{subnet.name}",
        {
            "VpcId": vpc_id,
            "CidrBlock": subnet.cidr,
            "AvailabilityZone": subnet.zone,
            "MapPublicIpOnLaunch": subnet.public,
            "Tags": name_tags(f"{prefix}-{subnet.name}", **{role: "1"}),
        },
        outputs=["SubnetId"],
        provider=aws,
    )


def _address_blocks(subnet: Subnet, subnet_id: pulumi.Output[str], aws: AwsProvider) -> AwsResource:
    """The upper half of a subnet, for blocks of addresses. EC2 gives single ones at random, of which WEKA's interfaces
    take many: soon no block of 16 would be free (`InsufficientCidrBlocks`; "Subnet CIDR reservations", VPC user
    guide)."""
    _, upper = ipaddress.IPv4Network(subnet.cidr).subnets()
    return AwsResource.declare(
        "ec2:SubnetCidrReservation",
        f"network:blocks-{subnet.name}",
        {"SubnetId": subnet_id, "Cidr": str(upper), "ReservationType": "prefix"},
        provider=aws,
    )


def _nat_gateways(
    prefix: str, network: AwsNetwork, ids: dict[str, pulumi.Output[str]], routes: list[AwsResource], aws: AwsProvider
) -> dict[str, AwsResource]:
    """By zone. Each is called after the private subnet of its zone, and stands in the public one."""
    private = {subnet.zone: subnet for subnet in network.subnets if not subnet.public}
    public = {subnet.zone: subnet for subnet in network.subnets if subnet.public}
    return {
        zone: _nat_gateway(prefix, private[zone], ids[public[zone].name], routes, aws) for zone in network.nat_zones
    }


def _nat_gateway(
    prefix: str, subnet: Subnet, public_subnet_id: pulumi.Output[str], routes: list[AwsResource], aws: AwsProvider
) -> AwsResource:
    address = AwsResource.declare(
        "ec2:Address",
        f"network:nat-address-{subnet.name}",
        {"Domain": "vpc", "Tags": name_tags(f"{prefix}-{subnet.name}")},
        outputs=["AllocationId"],
        provider=aws,
    )
    return AwsResource.declare(
        "ec2:NatGateway",
        f"network:nat-{subnet.name}",
        {
            "SubnetId": public_subnet_id,
            "AllocationId": address.get("AllocationId"),
            "Tags": name_tags(f"{prefix}-{subnet.name}"),
        },
        outputs=["NatGatewayId"],
        provider=aws,
        depends_on=routes,
    )


def _s3_endpoint(
    deployment: Deployment, vpc_id: pulumi.Output[str], tables: list[pulumi.Output[str]], aws: AwsProvider
) -> None:
    """Object data then takes neither the NAT gateways nor their price per GB."""
    AwsResource.declare(
        "ec2:VpcEndpoint",
        "network:s3-endpoint",
        {
            "VpcId": vpc_id,
            "ServiceName": f"com.amazonaws.{deployment.region}.s3",
            "VpcEndpointType": "Gateway",
            "RouteTableIds": tables,
            "Tags": name_tags(f"{deployment.cluster.name}-s3"),
        },
        provider=aws,
    )


def _route_table(name: str, prefix: str, vpc_id: pulumi.Output[str], aws: AwsProvider) -> AwsResource:
    return AwsResource.declare(
        "ec2:RouteTable",
        f"network:routes-{name}",
        {"VpcId": vpc_id, "Tags": name_tags(f"{prefix}-{name}")},
        outputs=["RouteTableId"],
        provider=aws,
    )


def _default_route(name: str, table: AwsResource, target: dict[str, Any], aws: AwsProvider) -> AwsResource:
    return AwsResource.declare(
        "ec2:Route",
        f"network:default-route-{name}",
        {"RouteTableId": table.get("RouteTableId"), "DestinationCidrBlock": "0.0.0.0/0", **target},
        provider=aws,
    )


def _associate(name: str, subnet_id: pulumi.Output[str], table: AwsResource, aws: AwsProvider) -> AwsResource:
    return AwsResource.declare(
        "ec2:RouteTableAssociation",
        f"network:route-association-{name}",
        {"SubnetId": subnet_id, "RouteTableId": table.get("RouteTableId")},
        provider=aws,
    )

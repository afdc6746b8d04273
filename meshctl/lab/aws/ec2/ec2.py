"""What moto's EC2 lacks: placement groups, capacity reservations, dependencies that stop a deletion. EDGE.

Called by `server` in front of moto's EC2, whose backend holds the rest of the state, tags of all resources included.
Source: EC2 API reference, API version 2016-11-15; error codes: "Error codes for the Amazon EC2 API".
"""

from __future__ import annotations

import datetime
import secrets
from typing import Any, ClassVar

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.launch_templates import LaunchTemplateBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX, generate_route_id

from meshctl.lab.aws import quotas, rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.ec2.capacity_blocks import CapacityBlocks, state_of
from meshctl.lab.aws.ec2.filters import filtered
from meshctl.lab.aws.ec2.instances import Instances
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.quotas import Quotas
from meshctl.lab.aws.regions import Regions
from meshctl.lab.aws.service import Service

# CreateTags, which is moto's, takes ids that it knows the prefix of.
PREFIXES = {"placement-group": "pg", "capacity-reservation": "cr"}
EC2_RESOURCE_TO_PREFIX.update(PREFIXES)
EC2_PREFIX_TO_RESOURCE.update({prefix: resource for resource, prefix in PREFIXES.items()})
STRATEGIES = ("cluster", "spread", "partition")


_create_launch_template = LaunchTemplateBackend.create_launch_template


def _create_with_data_alone(backend: Any, name: str, description: str, data: dict[str, Any], tags: Any) -> Any:
    """Moto adds the template's own tags to `TagSpecifications` of its data, which says what is tagged at launch; EC2
    doesn't (EC2 API reference, ResponseLaunchTemplateData)."""
    launched = [spec for spec in data.get("TagSpecifications") or () if spec["ResourceType"] != "launch-template"]
    data = (
        {**data, "TagSpecifications": launched}
        if launched
        else {k: v for k, v in data.items() if k != "TagSpecifications"}
    )
    return _create_launch_template(backend, name, description, data, tags)


LaunchTemplateBackend.create_launch_template = _create_with_data_alone


def backend_of(region: str) -> Any:
    """Moto's EC2 of a region."""
    return ec2_backends[DEFAULT_ACCOUNT_ID][region]


def new_id(prefix: str) -> str:
    return f"{prefix}-0{secrets.token_hex(8)}"


class Ec2(CapacityBlocks, Instances, Service):
    name: ClassVar[str] = "ec2"
    invalid: ClassVar[str] = "InvalidParameterValue"
    replaces_moto: ClassVar[bool] = False

    def __init__(self, account: Quotas, regions: Regions) -> None:
        super().__init__()
        self.account = account
        self.regions = regions
        self.placement_groups: dict[tuple[str, str], dict[str, Any]] = {}  # (region, name)
        self.reservations: dict[tuple[str, str], dict[str, Any]] = {}  # (region, id)

    def describe_regions(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {"Regions": self.regions.described(given)}

    # ---- placement groups ------------------------------------------------------------------------------------------

    def create_placement_group(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name, strategy = given.get("GroupName", ""), given.get("Strategy", "cluster")
        if not name:
            raise ApiError("MissingParameter", "The request must contain the parameter groupName")
        if strategy not in STRATEGIES:
            raise ApiError("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
        if (call.region, name) in self.placement_groups:
            raise ApiError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        id = new_id("pg")  # noqa: A001
        group = {
            "GroupName": name,
            "GroupId": id,
            "GroupArn": f"arn:aws:ec2:{call.region}:{DEFAULT_ACCOUNT_ID}:placement-group/{name}",
            "State": "available",
            "Strategy": strategy,
        }
        if strategy == "partition":
            group["PartitionCount"] = given.get("PartitionCount", 2)
        if strategy == "spread":
            group["SpreadLevel"] = given.get("SpreadLevel", "rack")
        self.placement_groups[call.region, name] = group
        tag(call.region, id, given, "placement-group")
        return {"PlacementGroup": tagged(call.region, group, "GroupId")}

    def describe_placement_groups(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        groups_of_region = [group for (region, _), group in self.placement_groups.items() if region == call.region]
        for key, wanted in (("GroupName", given.get("GroupNames")), ("GroupId", given.get("GroupIds"))):
            for unknown in set(wanted or ()) - {group[key] for group in groups_of_region}:
                raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{unknown}' is unknown.")
            groups_of_region = [group for group in groups_of_region if not wanted or group[key] in wanted]
        all_ = [tagged(call.region, group, "GroupId") for group in groups_of_region]
        names = {"group-name": "GroupName", "group-arn": "GroupArn", "state": "State", "strategy": "Strategy"}
        return {"PlacementGroups": list(filtered(all_, given.get("Filters", []), names))}

    def delete_placement_group(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name = given["GroupName"]
        group = self.placement_groups.pop((call.region, name), None)
        if group is None:
            raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        backend_of(call.region).tags.pop(group["GroupId"], None)
        return {}

    # ---- capacity reservations -------------------------------------------------------------------------------------

    def create_capacity_reservation(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        zone = given.get("AvailabilityZone", "")
        if not zone.startswith(call.region):
            raise ApiError("InvalidParameterValue", f"The availability zone '{zone}' is not in {call.region}")
        id = new_id("cr")  # noqa: A001
        reservation = {
            "CapacityReservationId": id,
            "CapacityReservationArn": f"arn:aws:ec2:{call.region}:{DEFAULT_ACCOUNT_ID}:capacity-reservation/{id}",
            "OwnerId": DEFAULT_ACCOUNT_ID,
            "InstanceType": given["InstanceType"],
            "InstancePlatform": given["InstancePlatform"],
            "AvailabilityZone": zone,
            "Tenancy": given.get("Tenancy", "default"),
            "TotalInstanceCount": given["InstanceCount"],
            "AvailableInstanceCount": given["InstanceCount"],
            "EbsOptimized": given.get("EbsOptimized", False),
            "EphemeralStorage": False,
            "State": "active",
            "StartDate": datetime.datetime.now(datetime.UTC),
            "CreateDate": datetime.datetime.now(datetime.UTC),
            "EndDateType": given.get("EndDateType", "unlimited"),
            "InstanceMatchCriteria": given.get("InstanceMatchCriteria", "open"),
            "ReservationType": "default",
            **({"PlacementGroupArn": given["PlacementGroupArn"]} if given.get("PlacementGroupArn") else {}),
        }
        self.reservations[call.region, id] = reservation
        tag(call.region, id, given, "capacity-reservation")
        return {"CapacityReservation": tagged(call.region, reservation, "CapacityReservationId")}

    def describe_capacity_reservations(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = given.get("CapacityReservationIds")
        reservations_of_region = list(self.reservations_of(call.region).values())
        for unknown in set(wanted or ()) - {
            reservation["CapacityReservationId"] for reservation in reservations_of_region
        }:
            raise ApiError(
                "InvalidCapacityReservationId.NotFound", f"The capacity reservation '{unknown}' does not exist"
            )
        all_ = [tagged(call.region, reservation, "CapacityReservationId") for reservation in reservations_of_region]
        if wanted:
            all_ = [reservation for reservation in all_ if reservation["CapacityReservationId"] in wanted]
        names = {"instance-type": "InstanceType", "state": "State", "availability-zone": "AvailabilityZone"}
        return {"CapacityReservations": list(filtered(all_, given.get("Filters", []), names))}

    def reservations_of(self, region: str) -> dict[str, dict[str, Any]]:
        """By id, as they are now."""
        return {
            name: {**reservation, "State": state_of(reservation)}
            for (owner, name), reservation in self.reservations.items()
            if owner == region
        }

    def cancel_capacity_reservation(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        id = given["CapacityReservationId"]  # noqa: A001
        if (call.region, id) not in self.reservations:
            raise ApiError("InvalidCapacityReservationId.NotFound", f"The capacity reservation '{id}' does not exist")
        self.reservations[call.region, id]["State"] = "cancelled"
        return {"Return": True}

    # ---- NAT gateways ----------------------------------------------------------------------------------------------

    def delete_nat_gateway(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """Gives back the gateway's address and interface, which moto keeps."""
        backend, id = backend_of(call.region), given["NatGatewayId"]  # noqa: A001
        gateway = backend.nat_gateways.get(id)
        if gateway is None or gateway.state == "deleted":
            raise ApiError("NatGatewayNotFound", f"The Nat Gateway {id} was not found")
        for address in gateway.address_set:
            if address.get("associationId"):
                backend.disassociate_address(association_id=address["associationId"])
        backend.enis.pop(gateway._eni.id, None)
        gateway.state = "deleted"
        return {"NatGatewayId": id}

    # ---- gateway endpoints -----------------------------------------------------------------------------------------

    def delete_vpc_endpoints(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """Says what isn't there; moto ends the call at a route that is gone."""
        backend, failed = backend_of(call.region), []
        for id in given["VpcEndpointIds"]:  # noqa: A001
            endpoint = backend.vpc_end_points.get(id)
            if endpoint is None or endpoint.state == "deleted":
                error = {"Code": "InvalidVpcEndpoint.NotFound", "Message": f"The VpcEndpoint Id '{id}' does not exist"}
                failed.append({"ResourceId": id, "Error": error})
                continue
            routed = [table for table in endpoint.route_table_ids or [] if _has_route(backend, endpoint, table)]
            endpoint.route_table_ids = routed
            backend.delete_vpc_endpoints([id])
        return {"Unsuccessful": failed}

    # ---- before moto: what stops a deletion, what it would forget ---------------------------------------------------

    def before(self, call: Call) -> None:
        self._check_quota(call)
        guard = GUARDS.get(call.operation)
        if guard is not None:
            guard(backend_of(call.region), self.given(call))

    def _check_quota(self, call: Call) -> None:
        """Raises: ApiError when the account may have no more ("Error codes for the Amazon EC2 API")."""
        backend = backend_of(call.region)
        if call.operation == "AllocateAddress" and len(backend.addresses) >= self.account.value(quotas.ADDRESSES):
            raise ApiError(
                "AddressLimitExceeded",
                "The maximum number of addresses has been reached.",
                rule=rules.ADDRESS_QUOTA,
            )
        if call.operation == "CreateVpc" and len(backend.vpcs) >= self.account.value(quotas.VPCS):
            raise ApiError("VpcLimitExceeded", "The maximum number of VPCs has been reached.", rule=rules.VPC_QUOTA)
        if call.operation == "CreateNatGateway":
            self._check_gateways(backend, self.given(call)["SubnetId"])

    def _check_gateways(self, backend: Any, subnet_id: str) -> None:
        zones = {subnet.id: subnet.availability_zone for by_id in backend.subnets.values() for subnet in by_id.values()}
        others = [gateway.subnet_id for gateway in backend.nat_gateways.values() if gateway.state != "deleted"]
        in_zone = sum(zones.get(each) == zones.get(subnet_id) for each in others)
        if in_zone >= self.account.value(quotas.GATEWAYS):
            raise ApiError(
                "NatGatewayLimitExceeded",
                "The maximum number of NAT Gateways has been reached.",
                rule=rules.GATEWAY_QUOTA,
            )


def tag(region: str, id: str, given: dict[str, Any], resource_type: str) -> None:  # noqa: A002
    """Tags at creation, kept where moto keeps all tags."""
    for specification in given.get("TagSpecifications", []):
        if specification.get("ResourceType") != resource_type:
            raise ApiError(
                "InvalidParameterValue", f"'{specification.get('ResourceType')}' is not a valid taggable resource type"
            )
        backend_of(region).create_tags([id], {item["Key"]: item["Value"] for item in specification.get("Tags", [])})


def tagged(region: str, description: dict[str, Any], key: str) -> dict[str, Any]:
    tags = backend_of(region).tags.get(description[key], {})
    return {**description, "Tags": [{"Key": name, "Value": value} for name, value in tags.items()]}


def _refuse(what: str, id: str) -> None:  # noqa: A002
    raise ApiError(
        "DependencyViolation", f"The {what} '{id}' has dependencies and cannot be deleted.", rule=rules.DEPENDENCY
    )


def _vpc(backend: Any, given: dict[str, Any]) -> None:
    vpc = given["VpcId"]
    gateways = any(gateway.vpc and gateway.vpc.id == vpc for gateway in backend.internet_gateways.values())
    groups = any(group.name != "default" for group in backend.groups.get(vpc, {}).values())
    endpoints = any(
        endpoint.vpc_id == vpc and endpoint.state != "deleted" for endpoint in backend.vpc_end_points.values()
    )
    if gateways or groups or endpoints:
        _refuse("vpc", vpc)


def _subnet(backend: Any, given: dict[str, Any]) -> None:
    subnet = given["SubnetId"]
    if any(eni.subnet.id == subnet for eni in backend.enis.values()):
        _refuse("subnet", subnet)


def _security_group(backend: Any, given: dict[str, Any]) -> None:
    id = given.get("GroupId", "")  # noqa: A001
    if any(group.id == id for eni in backend.enis.values() for group in eni.group_set):
        raise ApiError("DependencyViolation", f"resource {id} has a dependent object", rule=rules.DEPENDENCY)
    for groups in backend.groups.values():
        for group in groups.values():
            both_ways = [*group.ingress_rules, *group.egress_rules]
            source_groups = {(rule.source_group or {}).get("GroupId") for rule in both_ways}
            if group.id != id and id in source_groups:
                raise ApiError("DependencyViolation", f"resource {id} has a dependent object", rule=rules.DEPENDENCY)


def _internet_gateway(backend: Any, given: dict[str, Any]) -> None:
    """A VPC whose NAT gateways hold public addresses can't lose its internet gateway."""
    vpc = given["VpcId"]
    if any(nat.vpc_id == vpc and nat.state != "deleted" for nat in backend.nat_gateways.values()):
        raise ApiError(
            "DependencyViolation", f"Network {vpc} has some mapped public address(es).", rule=rules.DEPENDENCY
        )


def _address(backend: Any, given: dict[str, Any]) -> None:
    for address in backend.addresses:
        if address.allocation_id == given.get("AllocationId") and address.association_id:
            raise ApiError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.", rule=rules.DEPENDENCY)


def _has_route(backend: Any, endpoint: Any, table_id: str) -> bool:
    table = backend.route_tables.get(table_id)
    return table is not None and generate_route_id(table_id, endpoint.destination_prefix_list_id) in table._routes


def _endpoint_routes(backend: Any, given: dict[str, Any]) -> None:
    """A gateway endpoint's routes follow its tables: moto notes the tables only."""
    endpoint = backend.vpc_end_points.get(given["VpcEndpointId"])
    if endpoint is None or not endpoint.destination_prefix_list_id:
        return
    prefixes = {"destination_prefix_list_id": endpoint.destination_prefix_list_id}
    for table in given.get("AddRouteTableIds", []):
        if not _has_route(backend, endpoint, table):
            backend.create_route(table, None, gateway_id=endpoint.id, **prefixes)
    for table in given.get("RemoveRouteTableIds", []):
        if _has_route(backend, endpoint, table):
            backend.delete_route(table, None, **prefixes)


GUARDS = {
    "ModifyVpcEndpoint": _endpoint_routes,
    "DeleteVpc": _vpc,
    "DeleteSubnet": _subnet,
    "DeleteSecurityGroup": _security_group,
    "DetachInternetGateway": _internet_gateway,
    "ReleaseAddress": _address,
}

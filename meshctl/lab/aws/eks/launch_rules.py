"""What EKS refuses of a node group, and why its instances would not launch. PURE.

Called by `nodegroups`. `refuse` raises what CreateNodegroup answers at once; `launch_issue` is what shows in the node
group's health a while later, in EKS's own words and codes (`NodegroupIssueCode` of botocore's model). The
sources stand in `meshctl.lab.aws.rules`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meshctl.lab.aws import rules
from meshctl.lab.aws.ec2 import instance_types, reservations
from meshctl.lab.aws.ec2.reservations import BLOCK
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.rules import Rule

Template = Mapping[str, Any]

_FORBIDDEN = ("IamInstanceProfile", "HibernationOptions")
_EFA_KINDS = ("efa", "efa-only")
_METADATA_HOPS = 2
_ADDED_PAGES = re.compile(r"wanted=\$\(\(\$\(cat \$pages\) \+ (\d+)\)\)")


@dataclass(frozen=True)
class Issue:
    """What node group's health says, and by which rule of the lab."""

    code: str
    message: str
    rule: Rule

    @property
    def described(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class Launch:
    """What a node group wants to launch: `nodes` instances of the first of `types` in `zones`. The others of `types`
    are for where the first is refused (`launches`)."""

    region: str
    types: tuple[str, ...]
    zones: tuple[str, ...]
    nodes: int
    template: Template
    ami_type: str
    spot: bool = False

    @property
    def vcpus(self) -> int:
        return self.nodes * instance_types.vcpus(self.types[0])

    @property
    def is_of_block(self) -> bool:
        return (self.template.get("InstanceMarketOptions") or {}).get("MarketType") == BLOCK

    @property
    def reservation_id(self) -> str:
        return reservations.target_of(self.template)


def refuse(launch: Launch) -> None:
    """Raises: ApiError for what CreateNodegroup refuses at once."""
    unknown = [each for each in launch.types if instance_types.described(each) is None]
    if unknown:
        raise ApiError(
            "InvalidParameterException",
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]",
            rule=rules.TYPE_EXISTS,
        )
    _refuse_zones(launch)
    _refuse_architecture(launch)
    _refuse_template(launch)


def _refuse_zones(launch: Launch) -> None:
    for instance_type in launch.types:
        offered = instance_types.zones_of(launch.region, instance_type)
        missing = sorted(set(launch.zones) - offered)
        if missing:
            choosing = f" or choosing {', '.join(sorted(offered))}" if offered else ""
            raise ApiError(
                "InvalidRequestException",
                f"Your requested instance type ({instance_type}) is not supported in your requested Availability Zone"
                f" ({missing[0]}). Please retry your request by not specifying an Availability Zone{choosing}.",
                rule=rules.TYPE_IN_ZONE,
            )


def _refuse_architecture(launch: Launch) -> None:
    image = "arm64" if "_ARM_64" in launch.ami_type else "x86_64"
    if launch.ami_type == "CUSTOM":
        return
    unfit = [each for each in launch.types if image not in instance_types.architectures(each)]
    if unfit:
        raise ApiError(
            "InvalidParameterException",
            f"[{', '.join(unfit)}] instance types are not valid for AMI type {launch.ami_type}",
            rule=rules.ARCHITECTURE,
        )


def _refuse_template(launch: Launch) -> None:
    interfaces = launch.template.get("NetworkInterfaces") or []
    forbidden = [key for key in _FORBIDDEN if launch.template.get(key)]
    market = launch.template.get("InstanceMarketOptions") or {}
    if market and market.get("MarketType") != BLOCK:
        forbidden.append("InstanceMarketOptions")
    if any(interface.get("SubnetId") for interface in interfaces):
        forbidden.append("SubnetId")
    if forbidden:
        raise ApiError(
            "InvalidRequestException",
            f"Launch template must not specify {', '.join(forbidden)} for managed nodes",
            rule=rules.TEMPLATE_MEMBERS,
        )
    if interfaces and launch.template.get("SecurityGroupIds"):
        raise ApiError(
            "InvalidRequestException",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
            rule=rules.TEMPLATE_GROUPS,
        )


def launch_issue(
    launch: Launch,
    *,
    security_groups: Iterable[str],
    free_addresses: int,
    reservations: Mapping[str, Mapping[str, Any]],
    vcpus_in_use: int,
    vcpu_quota: float,
    has_spot_role: bool,
    machines: int | None = None,
) -> Issue | None:
    """Why the instances will not launch; None where they will.

    `security_groups`: those that exist. `free_addresses`: of the node group's subnets together. `reservations`: of the
    region, by id. `vcpus_in_use`, `vcpu_quota`: of the account, for this kind of instance. `has_spot_role`: whether the
    account has the role with which EC2 starts spot instances. `machines`: how many of the type EC2 has left; None for
    enough.
    """
    unknown = sorted(_groups_of(launch.template) - set(security_groups))
    if unknown:
        return Issue(
            "Ec2SecurityGroupNotFound", f"The security group '{unknown[0]}' does not exist", rules.GROUP_EXISTS
        )
    interfaces = _interface_issue(launch)
    if interfaces is not None:
        return interfaces
    if launch.nodes > free_addresses:
        return Issue(
            "InsufficientFreeAddresses",
            "One or more of the subnets associated with your node group does not have enough available IP addresses"
            " for new nodes",
            rules.FREE_ADDRESSES,
        )
    # a group of no nodes may wait for its block ("Capacity Blocks for ML", EKS user guide)
    if launch.reservation_id and launch.nodes:
        return _reservation_issue(launch, reservations.get(launch.reservation_id))
    if launch.spot and not has_spot_role:
        return could_not_launch(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted - The provided credentials do not have permission to"
            " create the service-linked role for EC2 Spot Instances.",
            rules.SPOT_ROLE,
            spot=True,
        )
    # blocks count for quotas of their own, and none of them is for vCPUs
    if launch.nodes and not launch.is_of_block and launch.vcpus + vcpus_in_use > vcpu_quota:
        return _over_quota(launch, vcpu_quota)
    return None if machines is None or launch.nodes <= machines else no_capacity(launch)


def _over_quota(launch: Launch, vcpu_quota: float) -> Issue:
    return could_not_launch(
        f"VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of {vcpu_quota:g}"
        " allows for the instance bucket that the specified instance type belongs to. Please visit"
        " http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        rules.VCPU_QUOTA,
        spot=launch.spot,
    )


def no_capacity(launch: Launch) -> Issue:
    """EC2 has no machines of the type at the moment."""
    machine, zones = launch.types[0], ", ".join(launch.zones)
    others = sorted(instance_types.zones_of(launch.region, machine) - set(launch.zones))
    choosing = (
        f" You can currently get {machine} capacity by not specifying an Availability Zone in your request or choosing"
        f" {', '.join(others)}."
    )
    return could_not_launch(
        f"InsufficientInstanceCapacity - We currently do not have sufficient {machine} capacity in the Availability"
        f" Zone you requested ({zones}). Our system will be working on provisioning additional capacity."
        f"{choosing if others else ''}",
        rules.CAPACITY,
        spot=launch.spot,
    )


def could_not_launch(reason: str, rule: Rule, *, spot: bool = False) -> Issue:
    kind = "Spot" if spot else "On-Demand"
    text = f"Could not launch {kind} Instances. {reason} Launching EC2 instance failed."
    return Issue("AsgInstanceLaunchFailures", text, rule)


def _interface_issue(launch: Launch) -> Issue | None:
    """More EFA interfaces than the type can have, or a network card that it does not have."""
    instance_type, count = launch.types[0], efa_interfaces(launch.template)
    supported, cards = instance_types.efa_interfaces(instance_type), instance_types.network_cards(instance_type)
    interfaces = launch.template.get("NetworkInterfaces") or []
    beyond = [card for card in (int(each.get("NetworkCardIndex") or 0) for each in interfaces) if card >= cards]
    if count and not supported:
        message = f"EFA interfaces are not supported on {instance_type}"
    elif count > supported:
        message = f"The maximum number of EFA interfaces of {instance_type} is {supported}: {count} were requested"
    elif beyond:
        message = f"Network card index {max(beyond)} exceeds the limit for {instance_type}, which has {cards}"
    else:
        return None
    return Issue("Ec2LaunchTemplateInvalidConfiguration", message, rules.EFA_INTERFACES)


def _reservation_issue(launch: Launch, reservation: Mapping[str, Any] | None) -> Issue | None:
    if reservation is None:
        return could_not_launch(
            "InvalidCapacityReservationId.NotFound - The capacity reservation"
            f" '{launch.reservation_id}' does not exist.",
            rules.RESERVATION,
        )
    name = f"The capacity reservation '{launch.reservation_id}'"
    if (reservation["ReservationType"] == BLOCK) != launch.is_of_block:
        return could_not_launch(
            f"InvalidParameterCombination - {name} is of type {reservation['ReservationType']}, and the market type of"
            f" the request is {'' if launch.is_of_block else 'not '}{BLOCK}.",
            rules.RESERVATION,
        )
    if reservation["State"] != "active":
        return _not_active(reservation, rules.RESERVATION)
    if reservation["InstanceType"] != launch.types[0] or reservation["AvailabilityZone"] not in launch.zones:
        return could_not_launch(
            f"InvalidParameterValue - {name} is for {reservation['InstanceType']} in"
            f" {reservation['AvailabilityZone']}, which does not match the request.",
            rules.RESERVATION,
        )
    group = str(reservation.get("PlacementGroupArn", "")).rpartition("/")[2]
    if group and group != (launch.template.get("Placement") or {}).get("GroupName"):
        return could_not_launch(
            f"InvalidParameterValue - {name} was created in the placement group '{group}', which the request does not"
            " name.",
            rules.RESERVATION_GROUP,
        )
    if reservation["AvailableInstanceCount"] < launch.nodes:
        return could_not_launch(
            "ReservationCapacityExceeded - The requested reservation does not have sufficient compatible and available"
            " capacity for this request.",
            rules.RESERVATION,
        )
    return None


def taken_back(reservation: Mapping[str, Any], now: datetime) -> Issue | None:
    """Why a node group has no instances in its block at the moment; None where it can have them."""
    if reservations.has_machines(reservation, now):
        return None
    state = reservations.state_at(reservation, now)
    return _not_active({**reservation, "State": state}, rules.BLOCK_END)


def _not_active(reservation: Mapping[str, Any], rule: Rule) -> Issue:
    name, state = reservation["CapacityReservationId"], reservation["State"]
    return could_not_launch(f"InvalidCapacityReservationState - The capacity reservation '{name}' is {state}.", rule)


def _groups_of(template: Template) -> set[str]:
    interfaces = template.get("NetworkInterfaces") or []
    of_interfaces = {group for interface in interfaces for group in interface.get("Groups") or []}
    return {*of_interfaces, *(template.get("SecurityGroupIds") or [])}


def huge_pages(template: Template) -> int:
    """How many pages of 2 MiB the template's user data adds to those that a node sets aside. The lab's nodes start
    nothing: it is read from the script, which adds a number to what is there already. moto keeps user data in a type of
    its own, whose text is what was sent."""
    text = base64.b64decode(str(template.get("UserData") or "")).decode(errors="replace")
    if "hugepages-2048kB/nr_hugepages" not in text:
        return 0
    return sum(int(number) for number in _ADDED_PAGES.findall(text))


def metadata_hops(template: Template) -> int:
    """How far an answer of the instance metadata goes: 1 to the node, 2 to its containers. Where a template does not
    say it, as the image has it ("IMDSv2", Amazon Linux 2023 user guide)."""
    return int((template.get("MetadataOptions") or {}).get("HttpPutResponseHopLimit") or _METADATA_HOPS)


def efa_interfaces(template: Template) -> int:
    """How many interfaces of the template are EFA's: the nodes advertise as many."""
    kinds = [interface.get("InterfaceType") for interface in template.get("NetworkInterfaces") or []]
    return sum(kind in _EFA_KINDS for kind in kinds)

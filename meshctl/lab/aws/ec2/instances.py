"""Instances of EC2: those that moto has, and the nodes of node groups, which moto does not know. EDGE.

A part of `ec2`. `eks.nodegroups` says which nodes there are. Source: EC2 API reference, DescribeInstances; for the tags
of nodes, "Tag your Amazon EKS resources", EKS user guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.ec2 import instance_types
from meshctl.lab.aws.ec2.filters import filtered
from meshctl.lab.aws.errors import ApiError

_MOST: Final = 1000  # in one answer
_FILTERS: Final = {
    "availability-zone": "Placement.AvailabilityZone",
    "instance-id": "InstanceId",
    "instance-lifecycle": "InstanceLifecycle",
    "instance-state-name": "State.Name",
    "instance-type": "InstanceType",
    "subnet-id": "SubnetId",
    "tenancy": "Placement.Tenancy",
    "vpc-id": "VpcId",
}


class Instances:
    """`nodes_of`: the nodes of a region's node groups, as EC2 describes instances. The service of EKS sets it."""

    nodes_of: Callable[[str], Iterable[dict[str, Any]]] = staticmethod(lambda _region: ())

    def describe_instances(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        described = [*own(call.region), *self.nodes_of(call.region)]
        wanted = given.get("InstanceIds")
        unknown = sorted(set(wanted or ()) - {each["InstanceId"] for each in described})
        if unknown:
            raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{unknown[0]}' does not exist")
        if wanted:
            described = [each for each in described if each["InstanceId"] in wanted]
        matching = list(filtered(described, given.get("Filters", []), _FILTERS))
        start, most = int(given.get("NextToken") or 0), int(given.get("MaxResults") or _MOST)
        page = {"NextToken": str(start + most)} if start + most < len(matching) else {}
        reservations = [_reservation(each) for each in matching[start : start + most]]
        return {"Reservations": reservations, **page}


def _reservation(instance: dict[str, Any]) -> dict[str, Any]:
    name = instance["InstanceId"].replace("i-", "r-", 1)
    return {"ReservationId": name, "OwnerId": DEFAULT_ACCOUNT_ID, "Groups": [], "Instances": [instance]}


def own(region: str) -> Iterator[dict[str, Any]]:
    """Those that somebody has started by himself."""
    for instance in ec2_backends[DEFAULT_ACCOUNT_ID][region].all_instances():
        tags = [{"Key": each["key"], "Value": each["value"]} for each in instance.get_tags()]
        of_market = {"InstanceLifecycle": instance.lifecycle} if instance.lifecycle else {}
        state = {"Code": instance._state.code, "Name": instance._state.name}
        place = {"AvailabilityZone": instance.placement.zone, "Tenancy": "default"}
        network = {"SubnetId": instance.subnet_id, "VpcId": instance.vpc_id} if instance.subnet_id else {}
        addresses = {"PrivateIpAddress": instance.private_ip} if instance.private_ip else {}
        yield {
            **described(instance.id, instance.instance_type, place, tags),
            "ImageId": instance.image_id,
            "State": state,
            "LaunchTime": instance.launch_time,
            **of_market,
            **network,
            **addresses,
        }


def described(name: str, instance_type: str, placement: dict[str, str], tags: list[dict[str, str]]) -> dict[str, Any]:
    """What all instances have. The vCPUs are those that the type has by itself."""
    cpus = (instance_types.described(instance_type) or {}).get("VCpuInfo", {})
    threads = int(cpus.get("DefaultThreadsPerCore", 1))
    cores = int(cpus.get("DefaultCores", cpus.get("DefaultVCpus", 1) // threads))
    return {
        "InstanceId": name,
        "InstanceType": instance_type,
        "State": {"Code": 16, "Name": "running"},
        "Placement": placement,
        "CpuOptions": {"CoreCount": cores, "ThreadsPerCore": threads},
        "Tags": tags,
    }


def vcpus(instance: dict[str, Any]) -> int:
    options = instance["CpuOptions"]
    return int(options["CoreCount"] * options["ThreadsPerCore"])


def quota(instance: dict[str, Any]) -> str:
    """The code of the quota for which it counts; "" for none: it is of a capacity block, or neither runs nor is about
    to."""
    lifecycle = instance.get("InstanceLifecycle", "")
    if lifecycle not in ("", "spot") or instance["State"]["Name"] not in ("pending", "running"):
        return ""
    return instance_types.vcpu_quota(instance["InstanceType"], spot=lifecycle == "spot")

"""What a call would start, as the policies of account and organization see it: types, tags, settings. EDGE.

Called by `rights` and `guard_rails`. RunInstances says it itself; of CreateNodegroup it is the launch template, which
EKS tries with the caller's rights ("You are not authorized to launch instances with this launch template": eksctl issue
1603, terraform-eks-code issue 13).

Source of resources and keys: Service Authorization Reference, Amazon EC2, RunInstances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError

OPERATIONS: Final = ("CreateNodegroup", "RunInstances")
_KINDS: Final = ("instance", "volume", "network-interface")


@dataclass(frozen=True)
class Launched:
    """`data`: the settings of each instance, as RunInstances has them. `subnet`: "" where the call names none."""

    region: str
    types: tuple[str, ...]
    data: Mapping[str, Any]
    subnet: str = ""

    def resources(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The ARN of each thing that is made or used, with the condition keys that it has."""
        start = f"arn:aws:ec2:{self.region}:{DEFAULT_ACCOUNT_ID}:"
        for each in self.types:
            yield f"{start}instance/*", {"ec2:InstanceType": each, **self._metadata(), **self._tag_keys("instance")}
        for kind in _KINDS[1:]:
            yield f"{start}{kind}/*", {**self._volume(), **self._tag_keys(kind)} if kind == "volume" else {}
        if self.subnet:
            yield f"{start}subnet/{self.subnet}", {}
        if self.data.get("ImageId"):
            yield f"arn:aws:ec2:{self.region}::image/{self.data['ImageId']}", {}

    def tags(self, kind: str) -> dict[str, str]:
        """That a resource of a kind gets."""
        specifications = [each for each in self.data.get("TagSpecifications") or () if each["ResourceType"] == kind]
        return {tag["Key"]: tag["Value"] for each in specifications for tag in each.get("Tags") or ()}

    def _tag_keys(self, kind: str) -> dict[str, str]:
        return {f"aws:RequestTag/{key}": value for key, value in self.tags(kind).items()}

    def _metadata(self) -> dict[str, str]:
        tokens = (self.data.get("MetadataOptions") or {}).get("HttpTokens")
        return {"ec2:MetadataHttpTokens": str(tokens)} if tokens else {}

    def _volume(self) -> dict[str, str]:
        disks = [each.get("Ebs") or {} for each in self.data.get("BlockDeviceMappings") or ()]
        is_encrypted = bool(disks) and all(str(each.get("Encrypted")).lower() == "true" for each in disks)
        return {"ec2:Encrypted": str(is_encrypted).lower()}


def of_call(call: Call, given: Mapping[str, Any]) -> Launched | None:
    """None of a call that starts nothing, and of one whose launch template there is not."""
    if call.operation == "RunInstances":
        return Launched(call.region, (given.get("InstanceType", ""),), given, given.get("SubnetId", ""))
    if call.operation != "CreateNodegroup" or not given.get("launchTemplate"):
        return None
    try:
        data = launch_template(call.region, given["launchTemplate"])[1]
    except ApiError:
        return None  # which the call itself says
    types = given.get("instanceTypes") or [data.get("InstanceType", "")]
    return Launched(call.region, tuple(types), data)


def launch_template(region: str, given: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The template as the node group names it (id, name, version) and its data. Raises: ApiError when there is none."""
    if not given:
        return {}, {}
    for template in ec2_backends[DEFAULT_ACCOUNT_ID][region].launch_templates.values():
        if given.get("id") == template.id or given.get("name") == template.name:
            break
    else:
        raise ApiError("InvalidParameterException", f"Launch template {given.get('id') or given.get('name')} not found")
    number = str(given.get("version") or template.default_version_number)
    if number not in {str(version.number) for version in template.versions}:
        raise ApiError("InvalidParameterException", f"Launch template {template.id} has no version {number}")
    data: dict[str, Any] = next(version.data for version in template.versions if str(version.number) == number)
    return {"id": template.id, "name": template.name, "version": number}, data


def refused() -> ApiError:
    """What EKS says of a launch template with which the caller may start no instances."""
    return ApiError(
        "InvalidRequestException",
        "You are not authorized to launch instances with this launch template. Encoded authorization failure message:"
        " of-the-lab",
        rule=rules.LAUNCH_RIGHTS,
    )

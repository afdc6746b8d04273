"""Amazon FSx: Lustre file systems. Served by `service`; Source: FSx API reference, API version 2018-03-01. EDGE.

A service of the lab's own: moto's knows neither lifecycles nor updates, and describes what isn't there.
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import datetime
import secrets
from typing import Any, ClassVar

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.quotas import LUSTRE_GIB, Quotas
from meshctl.lab.aws.service import Service

SMALLEST_GIB = 1200
LUSTRE_PORT = 988
_PERSISTENT = "PERSISTENT_2"
LUSTRE_DEFAULTS = {"DataCompressionType": "NONE", "CopyTagsToBackups": False, "WeeklyMaintenanceStartTime": "7:05:00"}

# "Your file system creation fails due to misconfigured security group", FSx for Lustre user guide
NO_LUSTRE = (
    "The file system cannot be created because the default security group in the subnet provided or the provided"
    f" security groups do not permit Lustre LNET network traffic on port {LUSTRE_PORT}"
)


class Fsx(Service):
    name: ClassVar[str] = "fsx"
    invalid: ClassVar[str] = "BadRequest"

    def __init__(self, account: Quotas) -> None:
        self.account = account
        self.file_systems: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}

    def create_file_system(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        token = given.get("ClientRequestToken", "")
        if token in self.tokens and self.tokens[token] in self.file_systems:
            return {"FileSystem": self.file_systems[self.tokens[token]]}
        if given["FileSystemType"] != "LUSTRE":
            raise ApiError("BadRequest", "the lab makes file systems of type LUSTRE only")
        if given.get("StorageCapacity", 0) < SMALLEST_GIB:
            raise ApiError("BadRequest", f"Storage capacity must be at least {SMALLEST_GIB} GiB, or a multiple of 2400")
        self._check_quota(call, given.get("LustreConfiguration", {}), given["StorageCapacity"])
        described = _describe(call, given)
        self.file_systems[described["FileSystemId"]] = described
        if token:
            self.tokens[token] = described["FileSystemId"]
        return {"FileSystem": described}

    def _check_quota(self, call: Call, lustre: dict[str, Any], more_gib: int) -> None:
        """Raises: ApiError when the account may have no more of this type."""
        if lustre.get("DeploymentType") != _PERSISTENT:
            return
        counted = (
            each["StorageCapacity"]
            for each in self.file_systems.values()
            if call.region in each["ResourceARN"] and each["LustreConfiguration"].get("DeploymentType") == _PERSISTENT
        )
        used = sum(counted)
        if used + more_gib > self.account.value(LUSTRE_GIB):
            raise ApiError(
                "ServiceLimitExceeded",
                f"You have exceeded the limit of {self.account.value(LUSTRE_GIB):g} GiB of storage capacity",
                Limit="TOTAL_STORAGE",
                rule=rules.LUSTRE_QUOTA,
            )

    def describe_file_systems(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = given.get("FileSystemIds")
        if wanted:
            return {"FileSystems": [self._file_system(id) for id in wanted]}  # noqa: A001
        return {
            "FileSystems": [
                file_system for file_system in self.file_systems.values() if call.region in file_system["ResourceARN"]
            ]
        }

    def delete_file_system(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        file_system = self._file_system(given["FileSystemId"])
        del self.file_systems[file_system["FileSystemId"]]
        return {"FileSystemId": file_system["FileSystemId"], "Lifecycle": "DELETING"}

    def update_file_system(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        file_system = self._file_system(given["FileSystemId"])
        capacity = given.get("StorageCapacity", file_system["StorageCapacity"])
        if "StorageCapacity" in given and capacity <= file_system["StorageCapacity"]:
            raise ApiError("BadRequest", "Storage capacity can only be increased")
        version = given.get("FileSystemTypeVersion")
        if version is not None and _version(version) <= _version(file_system["FileSystemTypeVersion"]):
            raise ApiError(
                "BadRequest", f"Lustre version {version} is not newer than {file_system['FileSystemTypeVersion']}"
            )
        more = capacity - file_system["StorageCapacity"]
        self._check_quota(call, file_system["LustreConfiguration"], more)
        file_system["StorageCapacity"] = capacity
        file_system["FileSystemTypeVersion"] = version or file_system["FileSystemTypeVersion"]
        file_system["LustreConfiguration"] |= given.get("LustreConfiguration", {})
        return {"FileSystem": file_system}

    def tag_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        file_system = self._by_arn(given["ResourceARN"])
        tags = {tag["Key"]: tag["Value"] for tag in [*file_system["Tags"], *given["Tags"]]}
        file_system["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {}

    def untag_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        file_system = self._by_arn(given["ResourceARN"])
        file_system["Tags"] = [tag for tag in file_system["Tags"] if tag["Key"] not in given["TagKeys"]]
        return {}

    def list_tags_for_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": self._by_arn(given["ResourceARN"])["Tags"]}

    def _file_system(self, id: str) -> dict[str, Any]:  # noqa: A002
        if id not in self.file_systems:
            raise ApiError("FileSystemNotFound", f"File system '{id}' does not exist.")
        return self.file_systems[id]

    def _by_arn(self, arn: str) -> dict[str, Any]:
        for file_system in self.file_systems.values():
            if file_system["ResourceARN"] == arn:
                return file_system
        raise ApiError("ResourceNotFound", f"{arn} does not exist", ResourceARN=arn)


def _version(text: str) -> tuple[int, ...]:
    """Of Lustre, like "2.15"."""
    return tuple(int(part) for part in text.split("."))


def _lets_lustre_in(rule: Any) -> bool:
    """Whether a security group's rule (moto's `SecurityGroupRule`) opens the port on which the file servers talk."""
    if rule.ip_protocol == "-1":
        return True
    return rule.ip_protocol == "tcp" and LUSTRE_PORT in range(rule.from_port, rule.to_port + 1)


def _describe(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][call.region]
    subnets = {id: subnet for zone in ec2.subnets.values() for id, subnet in zone.items()}  # noqa: A001
    wanted = given["SubnetIds"]
    if len(wanted) != 1 or wanted[0] not in subnets:
        raise ApiError("InvalidNetworkSettings", f"a Lustre file system has one subnet that exists, not {wanted}")
    for group in given.get("SecurityGroupIds", []):
        security_group = ec2.get_security_group_from_id(group)
        if security_group is None:
            raise ApiError("InvalidNetworkSettings", f"The security group '{group}' does not exist")
        if not any(_lets_lustre_in(rule) for rule in security_group.ingress_rules):
            raise ApiError("InvalidNetworkSettings", NO_LUSTRE)
    id = f"fs-0{secrets.token_hex(8)}"  # noqa: A001
    lustre = {**LUSTRE_DEFAULTS, **given.get("LustreConfiguration", {})}
    lustre.setdefault("DeploymentType", "SCRATCH_1")
    lustre["MountName"] = "fsx" if lustre["DeploymentType"] == "SCRATCH_1" else secrets.token_hex(4)
    return {
        "OwnerId": DEFAULT_ACCOUNT_ID,
        "CreationTime": datetime.datetime.now(datetime.UTC),
        "FileSystemId": id,
        "FileSystemType": "LUSTRE",
        "FileSystemTypeVersion": given.get("FileSystemTypeVersion", "2.15"),
        "Lifecycle": "AVAILABLE",
        "StorageCapacity": given["StorageCapacity"],
        "StorageType": given.get("StorageType", "SSD"),
        "VpcId": subnets[wanted[0]].vpc_id,
        "SubnetIds": wanted,
        "NetworkInterfaceIds": [f"eni-0{secrets.token_hex(8)}"],
        "DNSName": f"{id}.fsx.{call.region}.amazonaws.com",
        "ResourceARN": f"arn:aws:fsx:{call.region}:{DEFAULT_ACCOUNT_ID}:file-system/{id}",
        "Tags": given.get("Tags", []),
        "LustreConfiguration": lustre,
    }

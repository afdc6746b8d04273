"""Asks AWS about file systems that environments.yaml adopts by their ids: EFS, and FSx. EDGE. It only describes.

Called by `project` for the facts that `resolve` is given, and by `deploy.guards.adopted_file_systems`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import botocore.exceptions
from botocore.config import Config

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session
from meshctl.errors import CredentialsError
from meshctl.model.observed import ObservedFileSystem

_NOT_FOUND: Final = ("FileSystemNotFound",)
_HINT: Final = "the credentials need elasticfilesystem:Describe* and fsx:DescribeFileSystems"


def observed(profile: str, region: str, ids: Iterable[str]) -> tuple[ObservedFileSystem, ...]:
    """Those of the file systems that exist, in the order of their ids. Raises: CredentialsError, UnreachableError,
    BusyError, MeshError."""
    systems = (_efs(profile, region, each) or _fsx(profile, region, each) for each in sorted(ids))
    return tuple(system for system in systems if system is not None)


def _efs(profile: str, region: str, id_: str) -> ObservedFileSystem | None:
    with aws_errors.translate_errors(_request("EFS", profile)):
        efs = _client("efs", profile, region)
        described = _one(efs.describe_file_systems, FileSystemId=id_)
        if described is None:
            return None
        targets = efs.get_paginator("describe_mount_targets").paginate(FileSystemId=id_)
        return ObservedFileSystem(
            id=id_,
            service="efs",
            state=described["LifeCycleState"],
            zone=described.get("AvailabilityZoneName") or "",
            mount_targets={
                each["MountTargetId"]: each.get("VpcId", "") for page in targets for each in page["MountTargets"]
            },
        )


def _fsx(profile: str, region: str, id_: str) -> ObservedFileSystem | None:
    with aws_errors.translate_errors(_request("FSx", profile)):
        described = _one(_client("fsx", profile, region).describe_file_systems, FileSystemIds=[id_])
    if described is None:
        return None
    kind = described["FileSystemType"]
    return ObservedFileSystem(
        id=id_,
        service="fsx-lustre" if kind == "LUSTRE" else f"FSx {kind}",
        state=described["Lifecycle"],
        size_gib=described.get("StorageCapacity", 0),
        dns_name=described.get("DNSName", ""),
        mount_name=described.get("LustreConfiguration", {}).get("MountName", ""),
        mount_targets={id_: described.get("VpcId", "")},
    )


def _one(describe: Any, **request: Any) -> dict[str, Any] | None:
    """The one description; None where there is no such file system."""
    try:
        described: list[dict[str, Any]] = describe(**request)["FileSystems"]
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in _NOT_FOUND:
            return None
        raise
    return described[0] if described else None


def _request(service: str, profile: str) -> AwsRequest:
    return AwsRequest(service, profile, _HINT, denied=CredentialsError, failure=CredentialsError)


def _client(service: str, profile: str, region: str) -> Any:
    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
    return aws_session(profile, region).create_client(service, config=config)

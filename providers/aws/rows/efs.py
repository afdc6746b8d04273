"""EFS: file systems and their mount targets. Source: EFS API reference, API version 2015-02-01. PURE."""

from __future__ import annotations

import hashlib
from typing import Any

from providers.aws.rows_engine.row import Adopt, Call, Context, Poll, Row, Setting, Tags


def _creation_token(context: Context) -> Any:
    """One token for one resource: a create whose answer was lost finds the file system that it made."""
    return hashlib.sha256(context["owner"].encode()).hexdigest()[:64]


FILE_SYSTEM = Row(
    "meshaws:efs:FileSystem",
    "efs",
    "EFS API CreateFileSystem",
    create=Call("CreateFileSystem", {"CreationToken": "creation_token"}, forward=True),
    id="answer.FileSystemId",
    read=Call("DescribeFileSystems", {"FileSystemId": "id"}, path="FileSystems[0]"),
    delete=Call("DeleteFileSystem", {"FileSystemId": "id"}, transient=("FileSystemInUse",), patience_s=300),
    adopt=Adopt(
        by="name",
        exists=("FileSystemAlreadyExists",),
        find=Call("DescribeFileSystems", {"CreationToken": "creation_token"}, path="FileSystems"),
        id="FileSystemId",
    ),
    not_found=("FileSystemNotFound",),
    settings=(
        Setting(
            ("ThroughputMode", "ProvisionedThroughputInMibps"),
            (
                Call(
                    "UpdateFileSystem",
                    {
                        "FileSystemId": "id",
                        "ThroughputMode": "inputs.ThroughputMode",
                        "ProvisionedThroughputInMibps": "inputs.ProvisionedThroughputInMibps",
                    },
                ),
            ),
        ),
    ),
    tags=Tags(
        create={"Tags": "tag_list"},
        put=Call("TagResource", {"ResourceId": "id", "Tags": "put_tag_list"}),
        remove=Call("UntagResource", {"ResourceId": "id", "TagKeys": "gone_tag_keys"}),
    ),
    ready=Poll("LifeCycleState", ok=("available",), fail=("error",), every_s=5, timeout_s=600),
    gone=Poll("LifeCycleState", ok=("deleted",), fail=("error",), every_s=5, timeout_s=600),
    derived={"creation_token": _creation_token},
    hidden=("CreationToken",),
    opaque=("Backup",),
    noise=("SizeInBytes", "NumberOfMountTargets"),
    delete_first=False,
)

MOUNT_TARGET = Row(
    "meshaws:efs:MountTarget",
    "efs",
    "EFS API CreateMountTarget",
    create=Call("CreateMountTarget", forward=True, transient=("IncorrectFileSystemLifeCycleState",)),
    id="answer.MountTargetId",
    read=Call("DescribeMountTargets", {"MountTargetId": "id"}, path="MountTargets[0]"),
    delete=Call("DeleteMountTarget", {"MountTargetId": "id"}),
    adopt=Adopt(
        by="same",
        exists=("MountTargetConflict",),
        find=Call(
            "DescribeMountTargets",
            {"FileSystemId": "inputs.FileSystemId"},
            path="MountTargets[?SubnetId==${inputs.SubnetId}]",
        ),
        id="MountTargetId",
    ),
    not_found=("MountTargetNotFound", "FileSystemNotFound"),
    settings=(
        Setting(
            ("SecurityGroups",),
            (
                Call(
                    "ModifyMountTargetSecurityGroups",
                    {"MountTargetId": "id", "SecurityGroups": "inputs.SecurityGroups"},
                ),
            ),
            get=Call("DescribeMountTargetSecurityGroups", {"MountTargetId": "id"}, path="SecurityGroups"),
        ),
    ),
    ready=Poll("LifeCycleState", ok=("available",), fail=("error",), every_s=10, timeout_s=900),
    gone=Poll("LifeCycleState", ok=("deleted",), fail=("error",), every_s=5, timeout_s=600),
)

ROWS: tuple[Row, ...] = (FILE_SYSTEM, MOUNT_TARGET)

"""FSx: file systems (Lustre). Source: FSx API reference, API version 2018-03-01. PURE."""

from __future__ import annotations

from typing import Any

from providers.aws.rows_engine.row import Adopt, Call, Context, OneWay, Poll, Row, Setting, Tags

CHANGEABLE = (
    "WeeklyMaintenanceStartTime",
    "DailyAutomaticBackupStartTime",
    "AutomaticBackupRetentionDays",
    "AutoImportPolicy",
    "DataCompressionType",
    "LogConfiguration",
    "RootSquashConfiguration",
    "PerUnitStorageThroughput",
    "MetadataConfiguration",
    "ThroughputCapacity",
)


def _changed_lustre(context: Context) -> Any:
    """The members that differ; one update takes only what can change."""
    new, old = context["inputs"]["LustreConfiguration"], context["old_inputs"].get("LustreConfiguration") or {}
    return {key: new[key] for key in CHANGEABLE if key in new and new[key] != old.get(key)} or None


FILE_SYSTEM = Row(
    "meshaws:fsx:FileSystem",
    "fsx",
    "FSx API CreateFileSystem",
    # a rule of the security group is seen a moment after it was made
    create=Call("CreateFileSystem", forward=True, transient=("InvalidNetworkSettings:port 988",), patience_s=60),
    id="answer.FileSystem.FileSystemId",
    read=Call("DescribeFileSystems", {"FileSystemIds": "[id]"}, path="FileSystems[0]"),
    delete=Call("DeleteFileSystem", {"FileSystemId": "id"}),
    # The API can't filter by tag; file systems are few.
    adopt=Adopt(
        by="tag",
        first=True,
        find=Call("DescribeFileSystems", path="FileSystems", paginate=True),
        id="FileSystemId",
    ),
    not_found=("FileSystemNotFound",),
    hidden=("WindowsConfiguration", "OntapConfiguration", "OpenZFSConfiguration"),
    settings=(
        Setting(
            ("StorageCapacity",),
            (Call("UpdateFileSystem", {"FileSystemId": "id", "StorageCapacity": "inputs.StorageCapacity"}),),
        ),
        Setting(
            ("FileSystemTypeVersion",),
            (
                Call(
                    "UpdateFileSystem", {"FileSystemId": "id", "FileSystemTypeVersion": "inputs.FileSystemTypeVersion"}
                ),
            ),
        ),
        Setting(
            ("LustreConfiguration",),
            (
                Call(
                    "UpdateFileSystem",
                    {"FileSystemId": "id", "LustreConfiguration": _changed_lustre},
                    when=_changed_lustre,
                ),
            ),
        ),
    ),
    tags=Tags(
        create={"Tags": "tag_list"},
        put=Call("TagResource", {"ResourceARN": "outputs.ResourceARN", "Tags": "put_tag_list"}),
        remove=Call("UntagResource", {"ResourceARN": "outputs.ResourceARN", "TagKeys": "gone_tag_keys"}),
    ),
    ready=Poll(
        "Lifecycle",
        ok=("AVAILABLE",),
        fail=("FAILED", "MISCONFIGURED"),
        reason="FailureDetails.Message",
        every_s=20,
        timeout_s=3600,
    ),
    gone=Poll("Lifecycle", fail=("FAILED",), reason="FailureDetails.Message", every_s=20, timeout_s=3600),
    broken=("FAILED",),
    fixed=tuple(
        f"LustreConfiguration.{name}"
        for name in (
            "DeploymentType",
            "ImportPath",
            "ExportPath",
            "ImportedFileChunkSize",
            "DriveCacheType",
            "CopyTagsToBackups",
            "EfaEnabled",
            "DataReadCacheConfiguration",
        )
    ),
    opaque=("SecurityGroupIds",),
    # UpdateFileSystem takes a greater capacity and a newer version of Lustre, nothing else (FSx API reference)
    one_way=(OneWay("StorageCapacity"), OneWay("FileSystemTypeVersion")),
    noise=("AdministrativeActions",),
    delete_first=False,
)

ROWS: tuple[Row, ...] = (FILE_SYSTEM,)

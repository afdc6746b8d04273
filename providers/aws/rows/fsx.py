"""FSx: file systems (Lustre). Source: FSx API reference, API version 2018-03-01. PURE."""

from __future__ import annotations

from providers.base.row import Adopt, Call, Poll, Row, Setting, Tags

FILE_SYSTEM = Row(
    "meshaws:fsx:FileSystem",
    "fsx",
    "FSx API CreateFileSystem",
    create=Call("CreateFileSystem", forward=True),
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
    opaque=("SecurityGroupIds",),
    noise=("AdministrativeActions",),
    delete_first=False,
)

ROWS: tuple[Row, ...] = (FILE_SYSTEM,)

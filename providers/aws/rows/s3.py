"""S3: buckets with their settings. Source: Amazon S3 API reference, API version 2006-03-01. PURE, but for the hooks
below.

Made for compatible stores too: what the inputs don't name isn't called, and tags that a store lacks are left out. A
bucket can't be tagged by the call that creates it; one that an interrupted run left without tags is ours if the account
owns it and it is empty.
"""

from __future__ import annotations

from typing import Any

from providers.aws.rows_engine.row import Adopt, Call, Context, Param, Row, Setting, Tags
from providers.plugin.provider import ProviderError

NAME: dict[str, Param] = {"Bucket": "id"}
NOT_FOUND = ("NoSuchBucket", "404", "NotFound")
NOT_OFFERED = ("NotImplemented", "MethodNotAllowed", "501")
TAGGING = {"Tagging": "{TagSet: put_tag_list}"}


def _location(context: Context) -> Any:
    """us-east-1 must not be named; every other region must."""
    given = context["inputs"].get("CreateBucketConfiguration")
    region = context["region"]
    return given or ({"LocationConstraint": region} if region not in ("", "us-east-1") else None)


def is_unused(client: Any, context: Context) -> bool:
    """Whether an untagged bucket of this account holds nothing: left behind between its creation and its tags.

    Raises:
        botocore ClientError: the bucket can't be looked into.
    """
    bucket = context["id"]
    if context["tags"] or _versions(client, bucket) or _objects(client, bucket):
        return False
    return any(own["Name"] == bucket for own in client.list_buckets()["Buckets"])


def guard_data(client: Any, context: Context) -> None:
    """Before a bucket goes: with ForceDestroy, deletes all that is in it; without, refuses if anything is.

    Not left to DeleteBucket: SeaweedFS deletes a bucket with all that is in it.

    Raises:
        ProviderError: BucketNotEmpty.
    """
    bucket = context["id"]
    force = context["inputs"].get("ForceDestroy") is True
    try:
        content = _some_content(client, bucket)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in NOT_FOUND:
            return
        raise
    if content and not force:
        raise ProviderError("BucketNotEmpty", f"DeleteBucket: {bucket} holds data, such as {content[0]}")
    while content:
        _delete(client, bucket, content)
        content = _some_content(client, bucket)


def _some_content(client: Any, bucket: str) -> list[dict[str, str]]:
    """Some of what is in the bucket; none only when it is empty."""
    return _versions(client, bucket) or _objects(client, bucket) or _uploads(client, bucket)


def _versions(client: Any, bucket: str) -> list[dict[str, str]]:
    """Up to 1000 versions and delete markers; none where the store has no versions."""
    try:
        page = client.list_object_versions(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in NOT_OFFERED:
            return []
        raise
    versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]


def _objects(client: Any, bucket: str) -> list[dict[str, str]]:
    page = client.list_objects_v2(Bucket=bucket)
    return [{"Key": item["Key"]} for item in page.get("Contents", [])]


def _uploads(client: Any, bucket: str) -> list[dict[str, str]]:
    try:
        page = client.list_multipart_uploads(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in NOT_OFFERED:
            return []
        raise
    return [{"Key": item["Key"], "UploadId": item["UploadId"]} for item in page.get("Uploads", [])]


def _delete(client: Any, bucket: str, content: list[dict[str, str]]) -> None:
    if "UploadId" in content[0]:
        for upload in content:
            client.abort_multipart_upload(Bucket=bucket, **upload)
        return
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": content, "Quiet": True})
    for failed in answer.get("Errors", []):
        raise ProviderError(
            failed.get("Code", "DeleteFailed"), f"DeleteObjects: {failed.get('Message', failed['Key'])}"
        )


def setting(
    name: str, operation: str, member: str, *, get: str, path: str, clear: str = "", unset: str = ""
) -> Setting:
    return Setting(
        (name,),
        (Call(operation, {**NAME, member: f"inputs.{name}"}),),
        clear=Call(clear, NAME) if clear else None,
        get=Call(get, NAME, path=path),
        unset=(unset,) if unset else (),
        on_create=True,
        optional=True,
    )


BUCKET = Row(
    "meshaws:s3:Bucket",
    "s3",
    "S3 API CreateBucket, PutBucketEncryption, PutPublicAccessBlock, PutBucketVersioning,"
    " PutBucketLifecycleConfiguration, PutBucketOwnershipControls",
    create=Call("CreateBucket", {"CreateBucketConfiguration": _location}, forward=True),
    id="inputs.Bucket",
    read=Call("HeadBucket", NAME),
    delete=Call("DeleteBucket", NAME),
    adopt=Adopt(
        by="name",
        first=True,
        exists=("BucketAlreadyOwnedByYou",),
        find=Call("HeadBucket", {"Bucket": "inputs.Bucket"}),
        id="inputs.Bucket",
        proof=is_unused,
        taken=("BucketAlreadyExists", "403", "Forbidden"),
    ),
    not_found=NOT_FOUND,
    extra_inputs=("ForceDestroy",),
    settings=(
        setting(
            "BucketEncryption",
            "PutBucketEncryption",
            "ServerSideEncryptionConfiguration",
            get="GetBucketEncryption",
            path="ServerSideEncryptionConfiguration",
            clear="DeleteBucketEncryption",
            unset="ServerSideEncryptionConfigurationNotFoundError",
        ),
        setting(
            "PublicAccessBlock",
            "PutPublicAccessBlock",
            "PublicAccessBlockConfiguration",
            get="GetPublicAccessBlock",
            path="PublicAccessBlockConfiguration",
            clear="DeletePublicAccessBlock",
            unset="NoSuchPublicAccessBlockConfiguration",
        ),
        setting(
            "Versioning",
            "PutBucketVersioning",
            "VersioningConfiguration",
            get="GetBucketVersioning",
            path="{Status: Status}",
        ),
        setting(
            "LifecycleConfiguration",
            "PutBucketLifecycleConfiguration",
            "LifecycleConfiguration",
            get="GetBucketLifecycleConfiguration",
            path="{Rules: Rules}",
            clear="DeleteBucketLifecycle",
            unset="NoSuchLifecycleConfiguration",
        ),
        setting(
            "OwnershipControls",
            "PutBucketOwnershipControls",
            "OwnershipControls",
            get="GetBucketOwnershipControls",
            path="OwnershipControls",
            clear="DeleteBucketOwnershipControls",
            unset="OwnershipControlsNotFoundError",
        ),
        Setting(("ForceDestroy",), ()),
    ),
    tags=Tags(
        path="TagSet",
        get=Call("GetBucketTagging", NAME, path="TagSet"),
        put=Call("PutBucketTagging", {**NAME, **TAGGING}),
        unset=("NoSuchTagSet", "NoSuchTagSetError"),
        optional=True,
    ),
    before_delete=(guard_data,),
    hook_operations=(
        "ListBuckets",
        "ListObjectVersions",
        "ListObjectsV2",
        "ListMultipartUploads",
        "AbortMultipartUpload",
        "DeleteObjects",
    ),
    opaque=("ForceDestroy", "CreateBucketConfiguration", "ACL", "ObjectOwnership", "ObjectLockEnabledForBucket"),
)

ROWS: tuple[Row, ...] = (BUCKET,)

"""Credentials, endpoint and content summary of object stores, from the operator's machine. EDGE.

Called by `meshctl.deploy` (credentials for pods outside AWS; data protection) and by `meshctl.migrate` (copying).
The endpoint is the environment's or, if the environment sets none, `endpoint_url` of the AWS profile, as for other
tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import botocore.exceptions
import botocore.session

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session, s3_client
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.model.files import addresses
from meshctl.model.files.units import size_text
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import StackState
from meshctl.objects.store import ObjectAccess
from meshctl.platforms import registry
from meshctl.resolve.data import storage
from meshctl.words import pluralize
from meshwire.marks import OWNER_TAG

# error codes of S3 stores without versioning, or without such a listing
_NOT_SUPPORTED = ("NotImplemented", "MethodNotAllowed", "501", "XNotImplemented", "UnsupportedOperation")
# error codes for a bucket that is missing, has no tags, or belongs to someone else
_NO_TAGS = ("NoSuchBucket", "404", "NoSuchTagSet", "NoSuchTagSetError", "AccessDenied", "403")


def access(store: ObjectStore) -> ObjectAccess:
    """Raises: CredentialsError when the profile is unknown or holds no credentials."""
    with _translate_errors(store):
        session = _session(store)
        credentials = session.get_credentials()
        if credentials is None:
            raise aws_errors.no_credentials(_request(store))
        frozen = credentials.get_frozen_credentials()
        s3 = s3_client(session, endpoint=store.endpoint, addressing=store.addressing)
        endpoint = str(s3.meta.endpoint_url)
        return ObjectAccess(
            bucket=store.bucket,
            prefix=store.prefix,
            endpoint="" if ".amazonaws.com" in endpoint else endpoint,
            region=store.region,
            access_key=str(frozen.access_key),
            secret_key=str(frozen.secret_key),
            session_token=frozen.token or "",
            addressing=store.addressing,
        )


def with_saved_names(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the bucket names that are in the state: an existing bucket is never renamed."""
    names = {bucket.urn.rpartition("::")[2]: str(bucket.inputs["Bucket"]) for bucket in state.of_type(BUCKET)}
    stores = tuple(
        store
        if store.is_adopted
        else store.model_copy(update={"bucket": names.get(f"storage/{store.name}:bucket", store.bucket)})
        for store in deployment.object_stores
    )
    return deployment.model_copy(update={"object_stores": stores})


def with_endpoints(deployment: Deployment) -> Deployment:
    """The deployment with the endpoints from the AWS profiles, for stores that have none in environments.yaml.

    Pods can't read the operator's profiles, so they need the endpoint itself. On a platform where pods use no access
    keys, the region determines the endpoint.
    Raises: CredentialsError when a profile does not exist, UsageError when it has no usable endpoint.
    """
    platform = registry.platform(deployment.provider)
    if not platform.objects.has_keys:
        return deployment
    stores = tuple(
        store if store.endpoint else _with_endpoint(store, platform.objects.endpoint_hint)
        for store in deployment.object_stores
    )
    return deployment.model_copy(update={"object_stores": stores})


def _with_endpoint(store: ObjectStore, endpoint_hint: str) -> ObjectStore:
    config = _session(store).get_scoped_config()
    endpoint = str(config.get("endpoint_url") or "").rstrip("/")
    if not endpoint:
        raise UsageError(
            f"the object store of {store.name} has no endpoint",
            why=f'neither `objectStorage.endpoint` nor `endpoint_url` of the AWS profile "{store.profile}" is set',
            hint="; ".join(filter(None, ("set one of them", endpoint_hint))),
        )
    try:
        return storage.at_endpoint(store, addresses.endpoint_url(endpoint))
    except ValueError as error:
        raise UsageError(
            f"the object store of {store.name} has no usable endpoint",
            why=f'`endpoint_url` of the AWS profile "{store.profile}": {error}',
            hint="set it to the store's host and port, like https://s3.example.com",
        ) from None


def client(store: ObjectStore) -> Any:
    """A botocore S3 client for the store."""
    with _translate_errors(store):
        return s3_client(_session(store), endpoint=store.endpoint, addressing=store.addressing)


def content_summary(store: ObjectStore) -> str:
    """The bucket's content in words ("2 objects, 5 old versions, 1.5 GiB"); "" if it is empty or does not exist.

    Old versions are data, because deleted objects can be restored from them. Delete markers and unfinished uploads are
    not data, but a bucket that contains them can't be deleted. Only the first page of the listing is counted.
    """
    with _translate_errors(store):
        s3 = client(store)
        try:
            counts, size, more = _versions(s3, store.bucket) or _objects(s3, store.bucket)
            counts["unfinished upload"] = len(_uploads(s3, store.bucket))
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchBucket", "404"):
                return ""
            raise
    words = [pluralize(count, what) for what, count in counts.items() if count]
    words += [size_text(size)] if size else []
    return f"at least {', '.join(words)}" if more else ", ".join(words)


def owner_urn(store: ObjectStore) -> str:
    """The URN of the bucket's resource, from the bucket's tag; "" if the bucket has no such tag, does not exist, or
    belongs to another account. Raises: CredentialsError, UnreachableError, MeshError."""
    with _translate_errors(store):
        try:
            tags = client(store).get_bucket_tagging(Bucket=store.bucket)["TagSet"]
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in (*_NO_TAGS, *_NOT_SUPPORTED):
                return ""
            raise
    return next((str(tag["Value"]) for tag in tags if tag["Key"] == OWNER_TAG), "")


def _versions(s3: Any, bucket: str) -> tuple[dict[str, int], int, bool] | None:
    """Counts by kind, total bytes, and whether there are more; None if the store does not support versions."""
    try:
        page = s3.list_object_versions(Bucket=bucket)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in _NOT_SUPPORTED:
            return None
        raise
    versions = page.get("Versions", ())
    current = sum(1 for version in versions if version["IsLatest"])
    counts = {
        "object": current,
        "old version": len(versions) - current,
        "delete marker": len(page.get("DeleteMarkers", ())),
    }
    return counts, _bytes(versions), bool(page.get("IsTruncated"))


def _objects(s3: Any, bucket: str) -> tuple[dict[str, int], int, bool]:
    page = s3.list_objects_v2(Bucket=bucket)
    counts = {"object": int(page.get("KeyCount", 0))}
    return counts, _bytes(page.get("Contents", ())), bool(page.get("IsTruncated"))


def _bytes(entries: Iterable[Mapping[str, Any]]) -> int:
    return sum(int(entry.get("Size") or 0) for entry in entries)


def _uploads(s3: Any, bucket: str) -> list[Any]:
    try:
        return list(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in _NOT_SUPPORTED:
            return []
        raise


def _session(store: ObjectStore) -> botocore.session.Session:
    try:
        return aws_session(store.profile, store.region)
    except botocore.exceptions.ProfileNotFound as error:
        raise aws_errors.no_credentials(_request(store), why=str(error)) from error


def _translate_errors(store: ObjectStore) -> AbstractContextManager[None]:
    """Turns botocore's exceptions into ours, with the store's name. Raises: CredentialsError, UnreachableError,
    BusyError, MeshError."""
    return aws_errors.translate_errors(_request(store))


def _request(store: ObjectStore) -> AwsRequest:
    return AwsRequest(
        f"the object store of {store.name}", store.profile, "check the profile's credentials and permissions"
    )

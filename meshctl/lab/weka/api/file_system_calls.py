"""What the REST API does with file systems: made, attached to buckets, limited, downloaded. EDGE: folders and buckets.

Called by `server`. Rules of downloads: docs.weka.io, "Manage Snap-To-Object using the CLI".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from meshctl.lab.weka.api import uploads
from meshctl.lab.weka.api.rest_api import ADMINS, DRIVERS, EVERYBODY, Call, RefusedError, Route
from meshctl.lab.weka.api.system import LOCAL, Bucket, FileSystem, Quota, Snapshot, System, new_uid
from meshctl.lab.weka.api.uploads import Described, ObjectStoreError

Object = dict[str, Any]
ROOT_INODE: Final = "1"
LONGEST_NAME: Final = 32
_PREFIXES: Final = "KMGTPE"
_UNITS: Final[dict[str, int]] = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000 ** (number + 1) for number, prefix in enumerate(_PREFIXES)},
    **{f"{prefix}iB": 1024 ** (number + 1) for number, prefix in enumerate(_PREFIXES)},
}


def described(system: System, each: FileSystem) -> Object:
    attached = [system.buckets[uid] for uid in each.buckets if uid in system.buckets]
    buckets = [{"uid": one.uid, "name": one.name, "mode": "WRITABLE", "state": "ACTIVE"} for one in attached]
    return {
        "uid": each.uid,
        "id": each.uid,
        "name": each.name,
        "group_name": each.group,
        "total_budget": each.total_bytes,
        "ssd_budget": each.ssd_bytes,
        "is_encrypted": each.is_encrypted,
        "is_ready": not each.is_lost,
        "is_creating": False,
        "is_removing": False,
        "status": "UNAVAILABLE" if each.is_lost else "READY",
        "obs_buckets": buckets,
        "object_storages": buckets,
    }


def file_systems(call: Call) -> list[Object]:
    wanted = call.query.get("name")
    visible = call.system.file_systems_in(call.account.organization)
    return [described(call.system, each) for each in visible if wanted in (None, each.name)]


def file_system(call: Call) -> Object:
    return described(call.system, file_system_of(call))


def file_system_of(call: Call, key: str = "uid") -> FileSystem:
    """The file system that the path or the body names, of the caller's organization. Raises: RefusedError."""
    each = call.system.file_systems.get(call.parts.get(key) or str(call.body.get(key, "")))
    if each is None or each.organization != call.account.organization:
        raise RefusedError(404, "Filesystem not found")
    return each


def make(call: Call) -> Object:
    call.need("name", "group_name", "total_capacity")
    system, store = call.system, call.body.get("obs_name")
    buckets = (named_bucket(call, str(store)).uid,) if store else ()
    each = planned(system, call.body, call.account.organization)
    if each.ssd_bytes < each.total_bytes and not buckets:
        raise RefusedError(400, "ssd_capacity below total_capacity needs an object store bucket")
    return described(system, system.change(system.add_file_system(each), buckets=buckets))


def planned(system: System, body: Mapping[str, Any], organization: str) -> FileSystem:
    """A file system as it is asked for. Raises: RefusedError for a name that is taken, no space, no key, and more than
    the organization may have."""
    name, group = str(body["name"]), str(body["group_name"])
    total = bytes_of(body["total_capacity"])
    ssd = bytes_of(body.get("ssd_capacity") or total)
    if len(name) > LONGEST_NAME:
        raise RefusedError(400, f"name: {name} has more than {LONGEST_NAME} characters")
    if system.file_system_named(name, organization):
        raise RefusedError(400, f"Filesystem {name} already exists")
    if group not in system.groups:
        raise RefusedError(400, f"Filesystem group {group} does not exist")
    if ssd > total:
        raise RefusedError(400, "ssd_capacity is more than total_capacity")
    free = system.capacity_bytes - system.provisioned_bytes
    if ssd > free:
        raise RefusedError(400, f"Not enough SSD capacity: {ssd} bytes are asked for, {max(free, 0)} are unprovisioned")
    check_quotas(system, organization, total, ssd)
    encrypted = bool(body.get("encrypted"))
    if encrypted and not system.kms and not body.get("allow_no_kms"):
        raise RefusedError(400, "An encrypted filesystem needs a KMS, and none is configured")
    return FileSystem(new_uid(), name, group, total, ssd, encrypted, organization=organization)


def check_quotas(system: System, name: str, more_total: int, more_ssd: int) -> None:
    """What is allocated counts, not what is written; 0 is no limit (docs.weka.io, "Manage organizations using the
    CLI"). Raises: RefusedError."""
    organization = system.organization_named(name)
    if organization is None:
        return
    own = system.file_systems_in(name)
    total, ssd = sum(each.total_bytes for each in own), sum(each.ssd_bytes for each in own)
    limits = (
        ("total", organization.total_quota, total + more_total),
        ("SSD", organization.ssd_quota, ssd + more_ssd),
    )
    for kind, quota, wanted in limits:
        if quota and wanted > quota:
            raise RefusedError(
                400,
                f"The {kind} quota of organization {name} is exceeded: {wanted} bytes of {quota} would be allocated",
            )


def bytes_of(value: Any) -> int:
    """A capacity as the API takes it: bytes, or with a unit. Raises: RefusedError."""
    matched = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", str(value))
    if matched is None or matched[2] not in _UNITS:
        raise RefusedError(400, f"not a capacity: {value}")
    return int(matched[1]) * _UNITS[matched[2]]


def resize(call: Call) -> Object:
    each = file_system_of(call)
    total = bytes_of(call.body.get("total_capacity") or each.total_bytes)
    ssd = bytes_of(call.body.get("ssd_capacity") or (total if each.ssd_bytes == each.total_bytes else each.ssd_bytes))
    free = call.system.capacity_bytes - call.system.provisioned_bytes
    if ssd - each.ssd_bytes > free:
        raise RefusedError(400, f"Not enough SSD capacity: {max(free, 0)} bytes are unprovisioned")
    check_quotas(call.system, each.organization, total - each.total_bytes, ssd - each.ssd_bytes)
    if ssd < total and not each.buckets:
        raise RefusedError(400, "ssd_capacity below total_capacity needs an object store bucket")
    return described(call.system, call.system.change(each, total_bytes=total, ssd_bytes=ssd))


def remove(call: Call) -> None:
    call.system.remove_file_system(file_system_of(call).uid)


def attach(call: Call) -> None:
    call.need("obs_name")
    each, bucket = file_system_of(call), named_bucket(call, str(call.body["obs_name"]))
    if bucket.uid in each.buckets:
        raise RefusedError(400, f"Object store bucket {bucket.name} is already attached to {each.name}")
    sites = [call.system.buckets[uid].site for uid in each.buckets]
    if bucket.site in sites:
        raise RefusedError(400, f"Filesystem {each.name} has a {bucket.site} object store bucket already")
    call.system.change(each, buckets=(*each.buckets, bucket.uid))


def detach(call: Call) -> str:
    """All data come to the SSD; what was downloaded no longer depends on who uploaded it."""
    each, uid = file_system_of(call), call.parts["obs_uid"]
    if uid not in each.buckets:
        raise RefusedError(404, "Object store bucket is not attached")
    if each.ssd_bytes < each.total_bytes:
        raise RefusedError(400, f"Filesystem {each.name} is tiered: its SSD capacity is less than its total capacity")
    place = call.system.buckets[uid].place
    origin = "" if each.origin.startswith(f"{place}/") else each.origin
    call.system.change(each, buckets=tuple(other for other in each.buckets if other != uid), origin=origin)
    return new_uid()


def named_bucket(call: Call, name: str) -> Bucket:
    """Of the caller's organization. Raises: RefusedError."""
    visible = call.system.buckets_in(call.account.organization)
    bucket = next((each for each in visible if each.name == name), None)
    if bucket is None:
        raise RefusedError(404, f"Object store bucket {name} not found")
    return bucket


def download(call: Call) -> Object:
    """A new file system with what an uploaded snapshot has."""
    call.need("name", "group_name", "total_capacity", "ssd_capacity", "object_storage", "locator")
    system, locator = call.system, str(call.body["locator"])
    bucket = named_bucket(call, str(call.body["object_storage"]))
    uploaded = downloadable(call, bucket, locator)
    each = planned(system, {**call.body, "encrypted": bool(uploaded.kms)}, call.account.organization)
    if each.total_bytes < uploaded.total_bytes:
        raise RefusedError(400, f"total_capacity is less than that of the snapshot ({uploaded.total_bytes})")
    try:
        uploads.download(call.open_bucket(bucket), locator, system.data_of(each), uploaded)
    except ObjectStoreError as error:
        raise RefusedError(400, f"Failed to download: {error}") from error
    made = system.add_file_system(each)
    made = system.change(
        made, buckets=(bucket.uid,), origin=f"{bucket.place}/{locator}", last_downloaded=uploaded.created
    )
    name = str(call.body.get("snapshot_name") or uploaded.name)
    snapshot = Snapshot(new_uid(), name, made.uid, uploaded.created)
    uploads.download(call.open_bucket(bucket), locator, system.data_of_snapshot(snapshot), uploaded)
    system.snapshots[snapshot.uid] = snapshot
    system.save()
    return described(system, made)


def downloadable(call: Call, bucket: Bucket, locator: str) -> Described:
    """What is at the locator, if this cluster may download it. Raises: RefusedError."""
    if bucket.site != LOCAL:
        raise RefusedError(400, f"Object store bucket {bucket.name} is remote: downloads are from a local one only")
    try:
        uploaded = uploads.describe(call.open_bucket(bucket), locator)
    except ObjectStoreError as error:
        raise RefusedError(400, f"No snapshot at {locator}: {error}") from error
    if release(call.system.version) < release(uploaded.version):
        raise RefusedError(
            400, f"The snapshot was uploaded by version {uploaded.version}, this cluster is at {call.system.version}"
        )
    if uploaded.kms and uploaded.kms != call.system.kms:
        raise RefusedError(400, "The snapshot is encrypted with another KMS master key")
    return uploaded


def release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0]))


def inode(call: Call) -> Object:
    file_system_of(call)
    if call.query.get("path", "/") != "/":
        raise RefusedError(404, "Path not found")
    return {"inode_id": ROOT_INODE}


def set_quota(call: Call) -> Object:
    each = file_system_of(call)
    quota = Quota(
        call.parts["inode"],
        bytes_of(call.body.get("hard_limit_bytes") or 0),
        bytes_of(call.body.get("soft_limit_bytes") or 0),
    )
    call.system.quotas[f"{each.uid}/{quota.inode}"] = quota
    call.system.save()
    return described_quota(quota)


def quota_of(call: Call) -> Object:
    quota = call.system.quotas.get(f"{file_system_of(call).uid}/{call.parts['inode']}")
    if quota is None:
        raise RefusedError(404, "Quota not found")
    return described_quota(quota)


def described_quota(quota: Quota) -> Object:
    return {
        "inode_id": quota.inode,
        "hard_limit_bytes": quota.hard_limit_bytes,
        "soft_limit_bytes": quota.soft_limit_bytes,
        "status": "ACTIVE",
    }


ROUTES: Final = (
    Route("POST", "fileSystems/download", ADMINS, download),
    Route("GET", "fileSystems", EVERYBODY, file_systems),
    Route("POST", "fileSystems", DRIVERS, make),
    Route("GET", "fileSystems/{uid}", EVERYBODY, file_system),
    Route("PUT", "fileSystems/{uid}", DRIVERS, resize),
    Route("DELETE", "fileSystems/{uid}", DRIVERS, remove),
    Route("POST", "fileSystems/{uid}/objectStoreBuckets", ADMINS, attach),
    Route("DELETE", "fileSystems/{uid}/objectStoreBuckets/{obs_uid}", ADMINS, detach),
    Route("GET", "fileSystems/{uid}/resolvePath", EVERYBODY, inode),
    Route("GET", "fileSystems/{uid}/quota/{inode}", EVERYBODY, quota_of),
    Route("PUT", "fileSystems/{uid}/quota/{inode}", DRIVERS, set_quota),
)

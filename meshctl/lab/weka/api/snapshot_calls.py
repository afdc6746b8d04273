"""What the REST API does with snapshots: made, uploaded, downloaded, restored, deleted. EDGE: folders and buckets.

Called by `server`. Only read-only snapshots are uploaded; later ones are downloaded in
their order; and who deletes one that was uploaded takes its data away from whoever has downloaded it (docs.weka.io,
"Snap-To-Object").
"""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from typing import Any, Final

from meshctl.lab.weka.api import uploads
from meshctl.lab.weka.api.file_system_calls import downloadable, file_system_of
from meshctl.lab.weka.api.rest_api import ADMINS, DRIVERS, EVERYBODY, Call, RefusedError, Route
from meshctl.lab.weka.api.system import LOCAL, Bucket, Snapshot, System, new_uid, replace_content
from meshctl.lab.weka.api.uploads import Described, ObjectStoreError

Object = dict[str, Any]


def described(system: System, each: Snapshot) -> Object:
    locator = each.locators.get("local") or each.locators.get("remote") or ""
    return {
        "uid": each.uid,
        "id": each.uid,
        "name": each.name,
        "filesystem": system.file_systems[each.file_system].name,
        "filesystemUid": each.file_system,
        "isWritable": each.is_writable,
        "isRemoving": False,
        "creationTime": each.created,
        "accessPoint": each.name,
        "locator": locator,
        "stowStatus": "SYNCHRONIZED" if locator else "NONE",
        "objectProgress": "100%" if locator else "N/A",
        "localStowInfo": _stowed(each, "local"),
        "remoteStowInfo": _stowed(each, "remote"),
    }


def _stowed(each: Snapshot, site: str) -> Object:
    locator = each.locators.get(site, "")
    return {"locator": locator, "stowStatus": "SYNCHRONIZED" if locator else "NONE"}


def snapshots(call: Call) -> list[Object]:
    wanted = call.query.get("filesystem")
    visible = [each for each in call.system.snapshots.values() if _is_visible(call, each)]
    each_described = [described(call.system, each) for each in visible]
    return [each for each in each_described if wanted in (None, each["filesystem"])]


def snapshot(call: Call) -> Object:
    return described(call.system, known_snapshot(call))


def _is_visible(call: Call, each: Snapshot) -> bool:
    return call.system.file_systems[each.file_system].organization == call.account.organization


def known_snapshot(call: Call) -> Snapshot:
    """Of the caller's organization. Raises: RefusedError."""
    each = call.system.snapshots.get(call.parts["uid"])
    if each is None or not _is_visible(call, each):
        raise RefusedError(404, "Snapshot not found")
    return each


def make(call: Call) -> Object:
    call.need("fs_uid", "name")
    of = file_system_of(call, "fs_uid")
    name = str(call.body["name"])
    if any(each.name == name and each.file_system == of.uid for each in call.system.snapshots.values()):
        raise RefusedError(400, f"Snapshot {name} of {of.name} already exists")
    made = Snapshot(new_uid(), name, of.uid, now(), bool(call.body.get("is_writable")))
    shutil.copytree(call.system.data_of(of), call.system.data_of_snapshot(made), symlinks=True)
    return described(call.system, _put(call.system, made))


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _put(system: System, each: Snapshot) -> Snapshot:
    system.snapshots[each.uid] = each
    system.save()
    return each


def upload(call: Call) -> Object:
    """The snapshot goes to the bucket of this site that is attached to its file system; the locator is the answer."""
    each, system = known_snapshot(call), call.system
    if each.is_writable:
        raise RefusedError(400, f"Snapshot {each.name} is writable: only read-only snapshots can be uploaded")
    bucket = _attached(call, each)
    if bucket.site in each.locators:
        return {"extra": None, "locator": each.locators[bucket.site]}
    of = system.file_systems[each.file_system]
    locator = f"{system.guid.partition('-')[0]}/d/s/{len(system.snapshots)}/spec/{each.uid}"
    folder = system.data_of_snapshot(each)
    about = Described(
        name=each.name,
        created=each.created,
        version=system.version,
        kms=system.kms if of.is_encrypted else "",
        guid=system.guid,
        total_bytes=of.total_bytes,
        **uploads.contents(folder),
    )
    try:
        uploads.upload(call.open_bucket(bucket), locator, folder, about)
    except ObjectStoreError as error:
        raise RefusedError(400, f"Failed to upload: {error}") from error
    locators = {**each.locators, bucket.site: locator}
    uploaded_to = {**each.uploaded_to, bucket.site: bucket.uid}
    _put(system, dataclasses.replace(each, locators=locators, uploaded_to=uploaded_to))
    return {"extra": None, "locator": locator}


def _attached(call: Call, each: Snapshot) -> Bucket:
    """The bucket for an upload. Raises: RefusedError where there is none, or more than one and no site is said."""
    of = call.system.file_systems[each.file_system]
    site = str(call.body.get("obs_site", "")).lower()
    attached = [call.system.buckets[uid] for uid in of.buckets]
    fitting = [bucket for bucket in attached if site in ("", bucket.site)]
    if not fitting:
        raise RefusedError(400, f"Filesystem {of.name} has no {site or 'object store'} bucket to upload to")
    if len(fitting) > 1:
        raise RefusedError(400, f"Filesystem {of.name} has local and remote buckets: say which by obs_site")
    return fitting[0]


def download(call: Call) -> Object:
    """A later snapshot of what this file system was downloaded from."""
    call.need("fs_uid", "locator")
    of, system, locator = file_system_of(call, "fs_uid"), call.system, str(call.body["locator"])
    buckets = [system.buckets[uid] for uid in of.buckets if system.buckets[uid].site == LOCAL]
    if not buckets:
        raise RefusedError(400, f"Filesystem {of.name} has no local object store bucket to download from")
    uploaded = downloadable(call, buckets[0], locator)
    if uploaded.guid == system.guid:
        raise RefusedError(400, "The snapshot was uploaded by this cluster")
    if uploaded.created <= of.last_downloaded and not call.body.get("allow_non_chronological"):
        raise RefusedError(400, f"The snapshot is of {uploaded.created}, a later one was downloaded before")
    made = Snapshot(new_uid(), str(call.body.get("name") or uploaded.name), of.uid, uploaded.created)
    try:
        uploads.download(call.open_bucket(buckets[0]), locator, system.data_of_snapshot(made), uploaded)
    except ObjectStoreError as error:
        raise RefusedError(400, f"Failed to download: {error}") from error
    system.change(of, last_downloaded=uploaded.created, origin=f"{buckets[0].place}/{locator}")
    return described(system, _put(system, made))


def restore(call: Call) -> Object:
    of, each = file_system_of(call, "fs_uid"), known_snapshot(call)
    if each.file_system != of.uid:
        raise RefusedError(400, f"Snapshot {each.name} is of another filesystem than {of.name}")
    replace_content(call.system.data_of(of), call.system.data_of_snapshot(each))
    return described(call.system, each)


def remove(call: Call) -> None:
    """With its objects in the local bucket, not those in a remote one."""
    each, system = known_snapshot(call), call.system
    locator = each.locators.get(LOCAL)
    if locator:
        bucket = system.buckets[each.uploaded_to[LOCAL]]
        try:
            uploads.remove(call.open_bucket(bucket), locator)
        except ObjectStoreError as error:
            raise RefusedError(400, f"Failed to remove the snapshot's objects: {error}") from error
        _lose(call, f"{bucket.place}/{locator}")
    del system.snapshots[each.uid]
    shutil.rmtree(system.data_of_snapshot(each), ignore_errors=True)
    system.save()


def _lose(call: Call, origin: str) -> None:
    """Whoever has downloaded it and still reads from the bucket has no data any more."""
    for system in call.others:
        for each in [one for one in system.file_systems.values() if one.origin == origin]:
            system.change(each, is_lost=True)
            empty = system.folder / "empty"
            empty.mkdir(exist_ok=True)
            replace_content(system.data_of(each), empty)


ROUTES: Final = (
    Route("GET", "snapshots", EVERYBODY, snapshots),
    Route("POST", "snapshots", DRIVERS, make),
    Route("POST", "snapshots/download", ADMINS, download),
    Route("GET", "snapshots/{uid}", EVERYBODY, snapshot),
    Route("DELETE", "snapshots/{uid}", DRIVERS, remove),
    Route("POST", "snapshots/{uid}/upload", ADMINS, upload),
    Route("POST", "snapshots/{fs_uid}/{uid}/restore", DRIVERS, restore),
)

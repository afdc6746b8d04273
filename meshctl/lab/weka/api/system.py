"""One WEKA cluster as its REST API knows it: file systems, snapshots, buckets, accounts, licence. EDGE: its file and
folders.

Made by `controllers.weka` when a WekaCluster forms; changed by `rest_api` and by the CSI driver (`controllers.
weka_volumes`), which run in one process and hold `lock` meanwhile. Kept in `<lab>/weka/<key>/system.json`, beside the
folders of file systems and snapshots.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meshctl.lab.state import read_json, write_atomically
from meshctl.lab.weka.credentials import ORGANIZATION, Account

FOLDER: Final = "weka"
FILE: Final = "system.json"
LOCAL, REMOTE = "local", "remote"
GROUP: Final = "default"


@dataclass(frozen=True)
class Bucket:
    """A bucket that the cluster knows. `site`: LOCAL or REMOTE. `bucket`: may have a prefix, `bucket/prefix`."""

    uid: str
    name: str
    site: str
    hostname: str
    port: int
    bucket: str
    protocol: str = "HTTP"
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    organization: str = ORGANIZATION

    @property
    def place(self) -> str:
        """The same for every cluster that knows it."""
        return f"{self.hostname}:{self.port}/{self.bucket}"

    @property
    def is_of_aws(self) -> bool:
        return self.hostname.endswith(".amazonaws.com")


@dataclass(frozen=True)
class FileSystem:
    """`buckets`: uids of those that are attached. `origin`: `place/locator` of the snapshot that it was downloaded
    from, while its data are still there alone. `last_downloaded`: when the latest snapshot that was downloaded into it
    was made. `is_lost`: its data were deleted on the cluster that uploaded them."""

    uid: str
    name: str
    group: str
    total_bytes: int
    ssd_bytes: int
    is_encrypted: bool = False
    buckets: tuple[str, ...] = ()
    origin: str = ""
    last_downloaded: str = ""
    is_lost: bool = False
    organization: str = ORGANIZATION


@dataclass(frozen=True)
class Snapshot:
    """`locators`: site -> where it was uploaded to."""

    uid: str
    name: str
    file_system: str
    created: str
    is_writable: bool = False
    locators: dict[str, str] = field(default_factory=dict)
    uploaded_to: dict[str, str] = field(default_factory=dict)  # site -> uid of the bucket


@dataclass(frozen=True)
class Organization:
    uid: str
    name: str
    ssd_quota: int = 0
    total_quota: int = 0


@dataclass(frozen=True)
class Quota:
    inode: str
    hard_limit_bytes: int
    soft_limit_bytes: int


@dataclass
class System:
    """`folder`: its own below the lab's. `uid`: of its WekaCluster. `kms`: which key encrypts, "" = none."""

    folder: Path
    name: str
    guid: str
    version: str
    uid: str = ""
    kms: str = ""
    capacity_bytes: int = 0
    licence: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)  # by `organization/username`
    groups: list[str] = field(default_factory=lambda: [GROUP])
    buckets: dict[str, Bucket] = field(default_factory=dict)
    file_systems: dict[str, FileSystem] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)  # by `file system/inode`
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def provisioned_bytes(self) -> int:
        return sum(each.ssd_bytes for each in self.file_systems.values())

    def data_of(self, file_system: FileSystem) -> Path:
        return self.folder / "filesystems" / file_system.uid

    def data_of_snapshot(self, snapshot: Snapshot) -> Path:
        return self.folder / "snapshots" / snapshot.uid

    def file_systems_in(self, organization: str) -> list[FileSystem]:
        return [each for each in self.file_systems.values() if each.organization == organization]

    def file_system_named(self, name: str, organization: str = ORGANIZATION) -> FileSystem | None:
        return next((each for each in self.file_systems_in(organization) if each.name == name), None)

    def buckets_in(self, organization: str) -> list[Bucket]:
        return [each for each in self.buckets.values() if each.organization == organization]

    def organization_named(self, name: str) -> Organization | None:
        """None for the one that each cluster has."""
        return next((each for each in self.organizations.values() if each.name == name), None)

    def add_file_system(self, made: FileSystem) -> FileSystem:
        self.data_of(made).mkdir(parents=True, exist_ok=True)
        self.file_systems[made.uid] = made
        self.save()
        return made

    def remove_file_system(self, uid: str) -> None:
        gone = self.file_systems.pop(uid)
        for snapshot in [each for each in self.snapshots.values() if each.file_system == uid]:
            self.snapshots.pop(snapshot.uid)
            shutil.rmtree(self.data_of_snapshot(snapshot), ignore_errors=True)
        shutil.rmtree(self.data_of(gone), ignore_errors=True)
        self.save()

    def change(self, file_system: FileSystem, **values: Any) -> FileSystem:
        changed = dataclasses.replace(file_system, **values)
        self.file_systems[changed.uid] = changed
        self.save()
        return changed

    def save(self) -> None:
        document = {
            name: _plain(getattr(self, name)) for name in _WRITTEN if getattr(self, name) not in ("", 0, {}, [])
        }
        write_atomically(self.folder / FILE, json.dumps(document, indent=1), 0o600)


_WRITTEN: Final = tuple(each.name for each in dataclasses.fields(System) if each.name not in ("folder", "lock"))
_VALUES: Final = {
    "accounts": Account,
    "buckets": Bucket,
    "file_systems": FileSystem,
    "snapshots": Snapshot,
    "organizations": Organization,
    "quotas": Quota,
}


def new_uid() -> str:
    return str(uuid.uuid4())


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def load(folder: Path) -> System | None:
    """The system that was kept in this folder; None if there is none."""
    document = read_json(folder / FILE)
    if not document:
        return None
    for name, kind in _VALUES.items():
        document[name] = {key: kind(**_tuples(value)) for key, value in document.get(name, {}).items()}
    return System(folder, **document)


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(inner) if isinstance(inner, list) else inner for key, inner in value.items()}


def folder_of(root: Path, kubernetes_cluster: str, namespace: str, name: str) -> Path:
    """Of a WekaCluster in a lab."""
    return root / FOLDER / f"{kubernetes_cluster}.{namespace}.{name}"


def replace_content(target: Path, source: Path) -> None:
    """Make what is in `target` equal to `source`; the folder itself stays, since it is mounted in pods."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in list(target.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def files_of(folder: Path) -> Iterator[Path]:
    """Every file and symbolic link below the folder, in order."""
    yield from sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())

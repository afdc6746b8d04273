"""Turns a mesh's storage into what carries it in an environment. PURE.

Called by `meshctl.resolve`; declared by `stacks.*`, mounted by `meshctl.render`, moved by `meshctl.migrate`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from meshctl.catalog import Catalog
from meshctl.model import environment as environment_model
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Block, FileSystem, Gap, ObjectStore, Price
from meshctl.model.observed import Facts
from meshctl.model.units import format_gib
from meshctl.resolve import prices

Addressing = Literal["auto", "path", "virtual"]

_BUCKET_MAX: Final = 63
# CoreWeave refuses these beginnings (docs.coreweave.com, object storage, configure-endpoints); AWS refuses xn-- too.
_BAD_PREFIXES: Final = ("cw-", "vip-", "log-stitcher-ch-", "int", "xn--")
_COREWEAVE_HOST: Final = "cwobject.com"
_LOTA_ENDPOINT: Final = "http://cwlota.com"  # cache on each CoreWeave node, reachable by pods only
_COREWEAVE_SHARED: Final = "shared-vast"
_FSX_UNITS: Final = (125, 250, 500, 1000)  # PERSISTENT_2 SSD, MB/s per TiB (FSx API, 2026-08-07)
# Source: EBS user guide, volume types; 16 TiB until 2025 (AWS re:Invent 2025, STG320).
_GP3_MAX_GIB: Final = 64 * 1024
_FOUND_LATER: Final = "claim on a storage class of the cluster"
_SHARED_PROVISIONERS: Final = ("nfs.csi.k8s.io", "cephfs.csi.ceph.com", "csi.weka.io", "lustre.csi")


@dataclass
class Storages:
    """What all of a mesh's storage became here; `words` says it in a few words for each name."""

    object_stores: list[ObjectStore] = field(default_factory=list)
    file_systems: list[FileSystem] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where storage is resolved. `zone` is the one that zonal storage goes to; `claims` counts pods by storage name."""

    mesh: mesh_model.Mesh
    name: str
    environment: environment_model.Environment
    catalog: Catalog
    facts: Facts | None
    zone: str
    claims: dict[str, int]

    @property
    def region(self) -> str:
        return self.environment.region or ""

    @property
    def classes(self) -> environment_model.StorageClasses:
        given = getattr(self.environment, "storage_classes", None)
        return given if isinstance(given, environment_model.StorageClasses) else environment_model.StorageClasses()

    @property
    def is_unseen(self) -> bool:
        """Whether a cluster that is there already was not looked at: then it may have any storage class."""
        is_existing = self.environment.provider in ("kubernetes", "onprem") and self.environment.kubernetes is not None
        return is_existing and self.facts is None

    def price(self, name: str, size_gib: float, service: str) -> Price:
        provider = self.environment.provider
        return prices.of_storage(f"storage/{name}", size_gib, self.catalog, provider, service, self.region)


def resolve(place: Place) -> Storages:
    made = Storages()
    for name, storage in place.mesh.storage.items():
        if storage.engine == "neuralmesh":
            made.gaps.append(
                _gap(name, "engine neuralmesh", "engine native", "NeuralMesh is not supported yet: use engine: native")
            )
        elif storage.kind == "object":
            _object(place, name, storage, made)
        elif storage.kind == "filesystem":
            _file_system(place, name, storage, made)
        else:
            _block(place, name, storage, made)
    if _FOUND_LATER in made.words.values() or f"{_FOUND_LATER} for each pod" in made.words.values():
        made.notes.append("storage classes are found in the cluster at plan and up; offline they are taken to be there")
    return made


def stays_behind(mesh: mesh_model.Mesh) -> dict[str, str]:
    """The storage that a migration would have to take along and can't, by name: its kind. What is `ephemeral` is made
    anew wherever the mesh goes."""
    return {
        name: storage.kind
        for name, storage in mesh.storage.items()
        if storage.kind != "object" and not storage.ephemeral
    }


def bucket_name(mesh: str, environment: str, store: str, salt: str) -> str:
    """A name that is valid everywhere: at most 63 characters, the same every time, with a hash of all its parts."""
    digest = hashlib.sha256("/".join((mesh, environment, store, salt)).encode()).hexdigest()[:8]
    readable = f"{mesh}-{environment}-{store}"
    readable = f"m-{readable}" if readable.startswith(_BAD_PREFIXES) else readable
    return f"{readable[: _BUCKET_MAX - 9].rstrip('-')}-{digest}"


def at_endpoint(store: ObjectStore, endpoint: str) -> ObjectStore:
    """The same store once its endpoint is known (the `endpoint_url` of its AWS profile), on which the rest depends."""
    addressing = store.addressing if store.addressing != "auto" else addressing_of(endpoint)
    pod_endpoint = store.pod_endpoint or pod_endpoint_of(endpoint)
    return store.model_copy(update={"endpoint": endpoint, "addressing": addressing, "pod_endpoint": pod_endpoint})


def addressing_of(endpoint: str) -> Addressing:
    """CoreWeave serves virtual-hosted names only; other S3 servers are sure to serve paths."""
    if not endpoint:
        return "auto"
    return "virtual" if urlsplit(endpoint).hostname == _COREWEAVE_HOST else "path"


def pod_endpoint_of(endpoint: str) -> str:
    return _LOTA_ENDPOINT if urlsplit(endpoint).hostname == _COREWEAVE_HOST else ""


def _object(place: Place, name: str, storage: mesh_model.Storage, made: Storages) -> None:
    environment = place.environment
    account = getattr(environment, "account", None)
    salt = "/".join(part for part in (environment.provider, place.region, account) if part is not None)
    bucket = bucket_name(place.mesh.name, place.name, name, salt)
    price = place.price(name, storage.size_gib, "object")
    if isinstance(environment, environment_model.AwsEnvironment):
        store = ObjectStore(
            name=name,
            bucket=bucket,
            size_gib=storage.size_gib,
            region=environment.region,
            profile=environment.profile or "",
            ephemeral=storage.ephemeral,
            price=price,
        )
        made.object_stores.append(store)
        made.words[name] = f"S3 bucket {bucket}"
        return
    given = environment.object_storage
    if given is None:
        hint = "add objectStorage: {profile: NAME} or {endpoint: URL} to the environment"
        made.gaps.append(_gap(name, "an object store", "no objectStorage in the environment", hint))
        return
    endpoint = given.endpoint or ""
    default_region = environment.region if environment.provider == "coreweave" else None
    store = ObjectStore(
        name=name,
        bucket=bucket,
        size_gib=storage.size_gib,
        endpoint=endpoint,
        region=given.region or default_region or "us-east-1",
        profile=given.profile or "",
        addressing=given.addressing or addressing_of(endpoint),
        pod_endpoint=pod_endpoint_of(endpoint),
        ephemeral=storage.ephemeral,
        price=price,
    )
    made.object_stores.append(store)
    where = endpoint or f"the endpoint of AWS profile {given.profile or 'default'}"
    made.words[name] = f"bucket {bucket} at {where}"


def fsx_size(size_gib: float, throughput_mbps: float) -> tuple[int, int]:
    """Size (GiB) and MB/s per TiB that FSx for Lustre sells: 1200, 2400, then steps of 2400; 125 to 1000.

    Grows the size where even the highest rate would be too slow.
    """
    needed_gib = max(size_gib, throughput_mbps / _FSX_UNITS[-1] * 1024)
    size = 1200 if needed_gib <= 1200 else math.ceil(needed_gib / 2400) * 2400
    fast_enough = (unit for unit in _FSX_UNITS if size / 1024 * unit >= throughput_mbps)
    return size, next(fast_enough, _FSX_UNITS[-1])


def _file_system(place: Place, name: str, storage: mesh_model.Storage, made: Storages) -> None:
    throughput = storage.throughput_mbps or 0
    common = {"name": name, "throughput_mbps": throughput, "ephemeral": storage.ephemeral}
    if place.environment.provider == "aws" and throughput:
        size, unit = fsx_size(storage.size_gib, throughput)
        price = place.price(name, size, "fsx-lustre")
        made.file_systems.append(
            FileSystem(
                **common,
                service="fsx-lustre",
                size_gib=size,
                per_unit_throughput=unit,
                deployment_type="PERSISTENT_2",
                zone=place.zone,
                price=price,
            )
        )
        made.words[name] = f"FSx for Lustre, {format_gib(size)} at {unit} MB/s per TiB, in {place.zone}"
        return
    size = math.ceil(storage.size_gib)
    if place.environment.provider == "aws":
        price = place.price(name, size, "efs")
        made.file_systems.append(FileSystem(**common, service="efs", size_gib=size, price=price))
        made.words[name] = "EFS, elastic throughput"
        return
    storage_class = _shared_class(place)
    if not storage_class and not place.is_unseen:
        hint = "add storageClasses: {filesystem: NAME} to the environment (a class with ReadWriteMany)"
        made.gaps.append(_gap(name, "a shared file system", _no_class(place, "shared"), hint))
        return
    price = place.price(name, size, storage_class)
    made.file_systems.append(
        FileSystem(**common, service="storage-class", size_gib=size, storage_class=storage_class, price=price)
    )
    made.words[name] = f"claim on storage class {storage_class}" if storage_class else _FOUND_LATER


def _shared_class(place: Place) -> str:
    if place.classes.filesystem:
        return place.classes.filesystem
    if place.environment.provider == "coreweave":
        return _COREWEAVE_SHARED
    found = place.facts.storage_classes if place.facts else ()
    shared = sorted(item.name for item in found if any(part in item.provisioner for part in _SHARED_PROVISIONERS))
    return shared[0] if shared else ""


def _block(place: Place, name: str, storage: mesh_model.Storage, made: Storages) -> None:
    storage_class = _block_class(place)
    if not storage_class and not place.is_unseen:
        hint = "add storageClasses: {block: NAME} to the environment, or make one the cluster's default"
        made.gaps.append(_gap(name, "block storage", _no_class(place, "the default"), hint))
        return
    size = math.ceil(storage.size_gib)
    if place.environment.provider == "aws" and size > _GP3_MAX_GIB:
        hint = "lower its size, or use kind: filesystem or object"
        best = f"an EBS gp3 volume of {format_gib(_GP3_MAX_GIB)}"
        made.gaps.append(_gap(name, f"a volume of {size:,} GiB for each pod", best, hint))
        return
    price = place.price(name, size * place.claims.get(name, 0), storage_class)
    made.blocks.append(
        Block(name=name, size_gib=size, storage_class=storage_class, ephemeral=storage.ephemeral, price=price)
    )
    claim = f"claim on storage class {storage_class}" if storage_class else _FOUND_LATER
    made.words[name] = f"{'EBS gp3 volume' if place.environment.provider == 'aws' else claim} for each pod"


def _block_class(place: Place) -> str:
    if place.environment.provider == "aws":
        return "gp3"
    if place.classes.block:
        return place.classes.block
    if place.environment.provider == "coreweave":  # has no class for block storage
        return _COREWEAVE_SHARED
    found = place.facts.storage_classes if place.facts else ()
    return next((item.name for item in found if item.default), "")


def _no_class(place: Place, wanted: str) -> str:
    """What the cluster has instead. `wanted`: which class would have been taken."""
    if place.facts is None:
        return "no storage class for it"
    names = sorted(item.name for item in place.facts.storage_classes)
    if not names:
        return "the cluster has no storage class"
    return f"none is {wanted} of the storage classes that the cluster has: {', '.join(names)}"


def _gap(name: str, wanted: str, best: str, hint: str) -> Gap:
    return Gap(subject=f"storage/{name}", wanted=wanted, best=best, hint=hint)

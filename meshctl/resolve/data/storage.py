"""Turns a mesh's storage into what carries it in an environment. PURE.

Called by `meshctl.resolve`; declared by `stacks.*`, mounted by `meshctl.render`, moved by `meshctl.migrate`. What
carries it is the platform's answer; what platforms on an existing cluster answer stands here: `given_store`,
`class_file_system` and `class_block`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from meshctl.catalog import Catalog
from meshctl.model import environment as environment_model
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Block, FileSystem, Gap, ObjectStore, Price
from meshctl.model.keys.neural_mesh import ENGINE
from meshctl.model.observed import Facts
from meshctl.model.pods import milvus
from meshctl.platforms import registry
from meshctl.platforms.interface import Platform, StoreHost
from meshctl.resolve.data import existing_file_systems, existing_storage
from meshctl.resolve.placement.machine_types import prices

Addressing = Literal["auto", "path", "virtual"]

_BUCKET_MAX: Final = 63
# CoreWeave refuses these beginnings (docs.coreweave.com, object storage, configure-endpoints); AWS refuses xn-- too.
_BAD_PREFIXES: Final = ("cw-", "vip-", "log-stitcher-ch-", "int", "xn--")
_FOUND_LATER: Final = "claim on a storage class of the cluster"
_SHARED_PROVISIONERS: Final = ("nfs.csi.k8s.io", "cephfs.csi.ceph.com", "csi.weka.io", "lustre.csi")


@dataclass(frozen=True)
class Stored:
    """What provides one storage here, and a few words that describe it."""

    carrier: ObjectStore | FileSystem | Block
    words: str


@dataclass
class Storages:
    """What provides all storage of a mesh here. `words` describes each in a few words, by its name."""

    object_stores: list[ObjectStore] = field(default_factory=list)
    file_systems: list[FileSystem] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, systems: Iterable[FileSystem], words: Mapping[str, str], order: list[str]) -> None:
        """Further file systems, with their words. `order`: the names of all storage, as the mesh has them."""
        self.file_systems = sorted([*self.file_systems, *systems], key=lambda system: order.index(system.name))
        self.words = {name: each for name in order if (each := {**self.words, **words}.get(name)) is not None}


@dataclass(frozen=True)
class Place:
    """Where storage is resolved. `zone` is the one that zonal storage goes to; `claims` counts pods by storage name,
    `most_claims` those that load can bring."""

    mesh: mesh_model.Mesh
    name: str
    environment: environment_model.PlatformEnvironment
    catalog: Catalog
    facts: Facts | None
    zone: str
    claims: dict[str, int]
    most_claims: dict[str, int]

    @property
    def region(self) -> str:
        return self.environment.region or ""

    @property
    def platform(self) -> Platform:
        return registry.platform(self.environment.provider)

    @property
    def is_unseen(self) -> bool:
        """Whether a cluster that is there already was not looked at: then it may have any storage class."""
        nodes_are_given = self.platform.nodes.made_of is None
        return nodes_are_given and self.platform.cluster.kubeconfig(self.environment) is not None and self.facts is None

    def price(self, name: str, size_gib: float, service: str) -> Price:
        provider = self.environment.provider
        return prices.of_storage(f"storage/{name}", size_gib, self.catalog, provider, service, self.region)


def resolve(place: Place) -> Storages:
    made, platform = Storages(), place.platform
    for name, storage in place.mesh.storage.items():
        if storage.kind == "local":
            made.words[name] = "the local disk of each pod's node"
            continue
        carried = _existing(place, name, storage)
        if carried is None and storage.engine == ENGINE:  # see `neural_mesh`
            continue
        if carried is None:
            carry = {"object": platform.objects.store, "filesystem": platform.storage.file_system}
            carried = carry.get(storage.kind, platform.storage.block)(place, name, storage)
            carried = _adopted(place, name, carried)
        if isinstance(carried, Gap):
            made.gaps.append(carried)
        else:
            _add(made, name, carried)
    made.notes.extend(adoption_notes(made.object_stores))
    mounted_by = {workload: each.mounts.keys() for workload, each in place.mesh.workloads.items()}
    made.notes.extend(existing_storage.notes(made.file_systems, made.blocks, mounted_by))
    if _FOUND_LATER in made.words.values() or f"{_FOUND_LATER} for each pod" in made.words.values():
        made.notes.append("storage classes are found in the cluster at plan and up; offline they are taken to be there")
    carriers: tuple[FileSystem | Block, ...] = (*made.file_systems, *made.blocks)
    if place.facts is None and any(each.existing_claim for each in carriers):
        made.notes.append(
            "existing claims are looked at at plan and up; offline they are taken to be as the mesh needs"
        )
    return made


def _existing(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap | None:
    """The claim or the export that environments.yaml names for a file system or a volume; None where it names none."""
    existing = place.environment.storage.get(name)
    if existing is None:
        return None
    if existing.claim is not None:
        made = place.platform.cluster.made
        if made is not None:
            return existing_storage.claim_in_made_cluster(place.mesh.name, name, existing.claim, made.product)
        use = existing_storage.use_of(place.mesh, name, place.most_claims.get(name, 0))
        carrier = existing_storage.claimed(place.mesh.name, name, storage, existing.claim, use, place.facts)
        return carrier if isinstance(carrier, Gap) else Stored(carrier, f"adopted: claim {existing.claim}")
    if existing.nfs is not None:
        system = existing_storage.exported(name, storage, existing.nfs, existing.mount_options)
        return Stored(system, f"adopted: NFS export {existing.nfs}")
    if existing.file_system is not None:
        if not place.environment.has_file_system_ids:
            return existing_file_systems.not_here(name, existing.file_system)
        adopted = existing_file_systems.adopted(name, storage, existing.file_system, place.facts)
        return adopted if isinstance(adopted, Gap) else Stored(*adopted)
    return None


def _adopted(place: Place, name: str, carried: Stored | Gap) -> Stored | Gap:
    """The existing bucket that environments.yaml names for a store, at the place where a new one would be."""
    existing = place.environment.storage.get(name)
    if existing is None or isinstance(carried, Gap) or not isinstance(carried.carrier, ObjectStore):
        return carried
    store = carried.carrier.model_copy(update={"bucket": existing.bucket, "is_adopted": True})
    return Stored(store, f"adopted: bucket {existing.bucket}")


def adoption_notes(stores: Iterable[ObjectStore]) -> list[str]:
    """Notes on existing storage, which meshctl uses and never changes."""
    promise = "is used; meshctl never creates or deletes it, nor objects in it that a migration has not copied"
    return [
        f"storage/{store.name}: adopted: the existing bucket {store.bucket} {promise}"
        for store in stores
        if store.is_adopted
    ]


def _add(made: Storages, name: str, stored: Stored) -> None:
    made.words[name] = stored.words
    if isinstance(stored.carrier, ObjectStore):
        made.object_stores.append(stored.carrier)
    elif isinstance(stored.carrier, FileSystem):
        made.file_systems.append(stored.carrier)
    else:
        made.blocks.append(stored.carrier)


def stays_behind(mesh: mesh_model.Mesh, adopted: Collection[str] = ()) -> dict[str, str]:
    """The kind of each storage, by name, that a migration can't move. `ephemeral` storage is not among them: it is
    made anew in the target. `adopted`: buckets of somebody else, which the target may use as well."""
    of_milvus = {
        name
        for workload in mesh.workloads.values()
        for name, mount in workload.mounts.items()
        if milvus.is_image(workload.image) and not mount.read_only and name not in adopted
    }
    return {
        name: storage.kind if storage.kind != "object" else "bucket of Milvus"
        for name, storage in mesh.storage.items()
        if not storage.ephemeral
        and (storage.kind in ("filesystem", "block") or (storage.kind == "object" and name in of_milvus))
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
    """How buckets are addressed at an endpoint: as the platform says whose it is; other S3 servers are sure to serve
    paths."""
    if not endpoint:
        return "auto"
    host = _known_host(endpoint)
    return host.addressing if host is not None else "path"


def pod_endpoint_of(endpoint: str) -> str:
    host = _known_host(endpoint)
    return host.pod_endpoint if host is not None else ""


def _known_host(endpoint: str) -> StoreHost | None:
    """The platform that an endpoint belongs to, by its host name: any environment may use any store."""
    return registry.merged(lambda platform: platform.objects.hosts).get(urlsplit(endpoint).hostname or "")


def salted_bucket_name(place: Place, name: str, account: str | None = None) -> str:
    """The bucket of a store: another one for each platform, region and, where it is named, account."""
    salt = "/".join(part for part in (place.environment.provider, place.region, account) if part is not None)
    return bucket_name(place.mesh.name, place.name, name, salt)


def given_store(
    place: Place,
    name: str,
    storage: mesh_model.Storage,
    given: environment_model.ObjectStorage | None,
    default_region: str,
) -> Stored | Gap:
    """A bucket at the store that an environment names by endpoint or profile."""
    if given is None:
        hint = "add objectStorage: {profile: NAME} or {endpoint: URL} to the environment"
        return gap(name, "an object store", "no objectStorage in the environment", hint)
    endpoint = given.endpoint or ""
    store = ObjectStore(
        name=name,
        bucket=salted_bucket_name(place, name),
        size_gib=storage.size_gib,
        endpoint=endpoint,
        region=given.region or default_region,
        profile=given.profile or "",
        addressing=given.addressing or addressing_of(endpoint),
        pod_endpoint=pod_endpoint_of(endpoint),
        ephemeral=storage.ephemeral,
        price=place.price(name, storage.size_gib, "object"),
    )
    where = endpoint or f"the endpoint of AWS profile {given.profile or 'default'}"
    return Stored(store, f"bucket {store.bucket} at {where}")


def class_file_system(place: Place, name: str, storage: mesh_model.Storage, storage_class: str) -> Stored | Gap:
    """A claim of many nodes on a class of the cluster. `storage_class`: as the environment or the platform names it; ""
    takes one that the cluster was seen to have."""
    storage_class = storage_class or _shared_class(place)
    if not storage_class and not place.is_unseen:
        hint = "add storageClasses: {filesystem: NAME} to the environment (a class with ReadWriteMany)"
        return gap(name, "a shared file system", _no_class(place, "shared"), hint)
    size = math.ceil(storage.size_gib)
    system = FileSystem(
        name=name,
        throughput_mbps=storage.throughput_mbps or 0,
        ephemeral=storage.ephemeral,
        service="storage-class",
        size_gib=size,
        storage_class=storage_class,
        price=place.price(name, size, storage_class),
    )
    return Stored(system, f"claim on storage class {storage_class}" if storage_class else _FOUND_LATER)


def _shared_class(place: Place) -> str:
    observed = place.facts.storage_classes if place.facts else ()
    shared = sorted(item.name for item in observed if any(part in item.provisioner for part in _SHARED_PROVISIONERS))
    return shared[0] if shared else ""


def class_block(place: Place, name: str, storage: mesh_model.Storage, storage_class: str) -> Stored | Gap:
    """A claim of each pod on a class of the cluster. `storage_class`: as for `class_file_system`; "" takes the
    cluster's default."""
    storage_class = storage_class or _default_class(place)
    if not storage_class and not place.is_unseen:
        hint = "add storageClasses: {block: NAME} to the environment, or make one the cluster's default"
        return gap(name, "block storage", _no_class(place, "the default"), hint)
    words = f"claim on storage class {storage_class}" if storage_class else _FOUND_LATER
    return Stored(block_of_class(place, name, storage, storage_class), f"{words} for each pod")


def block_of_class(place: Place, name: str, storage: mesh_model.Storage, storage_class: str) -> Block:
    size = math.ceil(storage.size_gib)
    price = place.price(name, size * place.claims.get(name, 0), storage_class)
    return Block(name=name, size_gib=size, storage_class=storage_class, ephemeral=storage.ephemeral, price=price)


def _default_class(place: Place) -> str:
    observed = place.facts.storage_classes if place.facts else ()
    return next((item.name for item in observed if item.default), "")


def _no_class(place: Place, wanted: str) -> str:
    """What the cluster has instead. `wanted`: which class would have been taken."""
    if place.facts is None:
        return "no storage class for it"
    names = sorted(item.name for item in place.facts.storage_classes)
    if not names:
        return "the cluster has no storage class"
    return f"none is {wanted} of the storage classes that the cluster has: {', '.join(names)}"


def gap(name: str, wanted: str, best: str, hint: str) -> Gap:
    return Gap(subject=f"storage/{name}", wanted=wanted, best=best, hint=hint)

"""File systems and volumes that exist already, as environments.yaml names them: claims and NFS exports. PURE.

Called by `storage`, for what `storage.NAME` of an environment says, and by `meshctl.resolve` for the workloads that
mount it. Where the cluster was looked at (`Facts`), a claim that pods could not use is a gap, before anything is made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Block, FileSystem, Gap, Mount, NfsExport, Price, Workload
from meshctl.model.files.units import format_gib
from meshctl.model.observed import Facts, ObservedClaim
from meshctl.words import pluralize

_MANY: Final = "ReadWriteMany"
_MANY_READ: Final = "ReadOnlyMany"
_ONE_POD: Final = "ReadWriteOncePod"
PAID_BY_OWNER: Final = "it exists already: what it costs is its owner's business"
_ROUNDING_GIB: Final = 0.001


@dataclass(frozen=True)
class Use:
    """How a mesh uses a storage: how many pods mount it, on how many nodes they may be, and whether one writes."""

    pods: int
    nodes: int
    writes: bool

    @property
    def spreads(self) -> bool:
        """Whether its pods may be on several nodes at once."""
        return self.pods > 1 and self.nodes > 1


def use_of(mesh: mesh_model.Mesh, storage: str, pods: int) -> Use:
    """`pods`: how many mount the storage."""
    users = [workload for workload in mesh.workloads.values() if storage in workload.mounts]
    pools = {workload.pool for workload in users}
    return Use(
        pods=pods,
        nodes=sum(max(mesh.pools[pool].nodes.max, 1) for pool in pools),
        writes=any(not workload.mounts[storage].read_only for workload in users),
    )


def claimed(
    mesh: str, name: str, storage: mesh_model.Storage, claim: str, use: Use, facts: Facts | None
) -> FileSystem | Block | Gap:
    """The claim `claim` of the namespace `mesh` for the storage `name`, or why pods could not use it."""
    if facts is not None and facts.claims_are_seen:
        fault = _fault(mesh, claim, math.ceil(storage.size_gib), use, facts.claims)
        if fault is not None:
            best, hint = fault
            return _gap(mesh, name, claim, best, hint)
    size = math.ceil(storage.size_gib)
    price = Price(subject=f"storage/{name}", usd_per_hour=None, source=PAID_BY_OWNER)
    if storage.kind == "block":
        return Block(
            name=name, size_gib=size, storage_class="", ephemeral=storage.ephemeral, existing_claim=claim, price=price
        )
    return FileSystem(
        name=name, service="claim", size_gib=size, ephemeral=storage.ephemeral, existing_claim=claim, price=price
    )


def claim_in_made_cluster(mesh: str, name: str, claim: str, product: str) -> Gap:
    """The gap of a claim that can't exist yet. `product`: what the platform calls the cluster."""
    hint = f"name what is behind it: `storage: {{{name}: {{nfs: HOST:/EXPORT}}}}`"
    return _gap(mesh, name, claim, f"meshctl makes the {product} cluster, which has no claims before", hint)


def _gap(mesh: str, name: str, claim: str, best: str, hint: str) -> Gap:
    wanted = f"the existing claim {claim} in the namespace {mesh}"
    return Gap(subject=f"storage/{name}", wanted=wanted, best=best, hint=hint)


def _fault(mesh: str, name: str, size_gib: int, use: Use, claims: Iterable[ObservedClaim]) -> tuple[str, str] | None:
    """What is wrong with the claim, and what to do."""
    claim = next((each for each in claims if (each.namespace, each.name) == (mesh, name)), None)
    if claim is None:
        return _missing(mesh, sorted(each.namespace for each in claims if each.name == name))
    return next(iter((*_unusable(claim), *_unfit(claim, size_gib), *_wrong_access(claim, use))), None)


def _missing(mesh: str, namespaces: list[str]) -> tuple[str, str]:
    if namespaces:
        hint = (
            f"pods can only mount claims of their own namespace: make a claim in {mesh} for a volume of the same data"
            f" (or write `nfs: HOST:/EXPORT` instead of `claim`), or call the mesh {namespaces[0]}"
        )
        return f"there is one in the namespace {', '.join(namespaces)}, and none in {mesh}", hint
    make = f"make the namespace (`kubectl create namespace {mesh}`) and the claim in it"
    return "there is no such claim", f"{make}, or correct the name of the claim"


def _unusable(claim: ObservedClaim) -> Iterator[tuple[str, str]]:
    describe = f"`kubectl describe pvc {claim.name} -n {claim.namespace}` says why"
    if claim.is_made_by_meshctl:
        hint = "remove it from `storage` of the environment: the mesh uses it already; or name another claim"
        yield "meshctl made it for an environment, and deletes it with that", hint
    if claim.is_leaving:
        yield "it is being deleted", "wait until it is gone, and make it anew; or name another claim"
    if claim.phase == "Lost":
        yield (
            "it is Lost: its volume is gone, or bound to another claim",
            f"{describe}; make a claim that gets a volume",
        )
    if claim.phase == "Pending" and not claim.binds_late:
        waits_for = f"it waits for {claim.waits_for}" if claim.waits_for else "no volume is bound to it"
        yield f"it is Pending: {waits_for}", f"{describe}; it must be Bound before pods can mount it"


def _unfit(claim: ObservedClaim, size_gib: int) -> Iterator[tuple[str, str]]:
    if claim.volume_mode == "Block":
        hint = "name a claim with `volumeMode: Filesystem`: pods mount it as a folder"
        yield "it is a raw device (volumeMode: Block)", hint
    if claim.size_gib + _ROUNDING_GIB < size_gib:
        hint = "lower the storage's `size` in mesh.yaml, or let the claim's owner make it larger: meshctl does not"
        yield f"it has {format_gib(claim.size_gib)}, and the mesh asks for {format_gib(size_gib)}", hint


def _wrong_access(claim: ObservedClaim, use: Use) -> Iterator[tuple[str, str]]:
    modes = set(claim.access_modes)
    listed = ", ".join(claim.access_modes)
    if use.writes and modes == {_MANY_READ}:
        hint = "add `readOnly: true` to the mounts of it, or name a claim with ReadWriteMany"
        yield f"it is {listed}, and the mesh mounts it to write", hint
        return
    pods = pluralize(use.pods, "pod")
    if modes == {_ONE_POD} and use.pods > 1:
        yield f"it is {listed}, and {pods} of the mesh mount it", "name a claim with ReadWriteMany"
    elif use.spreads and _of_one_node(claim, writes=use.writes):
        hint = "name a claim with ReadWriteMany, or run one pod that mounts it"
        yield f"it is {listed}, which one node has at a time, and {pods} on up to {use.nodes} nodes mount it", hint


def _of_one_node(claim: ObservedClaim, *, writes: bool) -> bool:
    modes = set(claim.access_modes)
    return _MANY not in modes and (writes or _MANY_READ not in modes)


def exported(name: str, storage: mesh_model.Storage, export: str, mount_options: tuple[str, ...]) -> FileSystem:
    """The NFS export `HOST:/PATH` for the storage `name`."""
    server, _, path = export.partition(":/")
    return FileSystem(
        name=name,
        service="nfs",
        size_gib=math.ceil(storage.size_gib),
        ephemeral=storage.ephemeral,
        nfs=NfsExport(server=server.strip("[]"), path=f"/{path}", mount_options=mount_options),
        price=Price(subject=f"storage/{name}", usd_per_hour=None, source=PAID_BY_OWNER),
    )


def mounted(
    workloads: tuple[Workload, ...],
    file_systems: Iterable[FileSystem],
    blocks: Iterable[Block],
    facts: Facts | None,
    namespace: str,
) -> tuple[Workload, ...]:
    """The workloads, whose mounts know of the claims that exist: whether pods share them, and on how many nodes."""
    carriers: tuple[FileSystem | Block, ...] = (*file_systems, *blocks)
    claims = {each.name: each for each in carriers if each.existing_claim}
    if not claims:
        return workloads
    observed = {claim.name: claim for claim in (facts.claims if facts else ()) if claim.namespace == namespace}
    return tuple(_with_claims(workload, claims, observed) for workload in workloads)


def _with_claims(
    workload: Workload, claims: Mapping[str, FileSystem | Block], observed: Mapping[str, ObservedClaim]
) -> Workload:
    mounts = (
        _with_claim(mount, adopted, observed.get(adopted.existing_claim))
        if (adopted := claims.get(mount.storage)) is not None
        else mount
        for mount in workload.mounts
    )
    return workload.model_copy(update={"mounts": tuple(mounts)})


def _with_claim(mount: Mount, adopted: FileSystem | Block, claim: ObservedClaim | None) -> Mount:
    """`claim`: None where nobody looked; then a volume is taken to be of one node, as most of them are."""
    of_one_node = isinstance(adopted, Block) if claim is None else _of_one_node(claim, writes=not mount.read_only)
    return mount.model_copy(update={"is_adopted": True, "of_one_node": of_one_node})


def notes(
    file_systems: Iterable[FileSystem], blocks: Iterable[Block], mounted_by: Mapping[str, Collection[str]]
) -> list[str]:
    """What is used and left to its owner. `mounted_by`: by workload, the names of the storage that it mounts."""
    texts = []
    carriers: tuple[FileSystem | Block, ...] = (*file_systems, *blocks)
    for each in carriers:
        if each.existing_claim:
            texts.append(
                f"storage/{each.name}: adopted: the existing claim {each.existing_claim} is used; meshctl never"
                " creates, resizes or deletes it, nor the namespace that it is in"
            )
        elif isinstance(each, FileSystem) and each.nfs is not None:
            texts.append(
                f"storage/{each.name}: adopted: the NFS export {each.nfs.server}:{each.nfs.path} is used; meshctl makes"
                " the volume and the claim for it, and never changes what is in it; its server must let the nodes and"
                " the user of the pods write"
            )
        elif isinstance(each, FileSystem) and each.existing is not None:
            texts.append(
                f"storage/{each.name}: adopted: the existing file system {each.existing.id} is used; meshctl makes what"
                " leads to it, and never changes, tags, resizes or deletes it"
            )
    return [*texts, *_notes_without_fs_group(carriers, mounted_by)]


def _notes_without_fs_group(
    carriers: Iterable[FileSystem | Block], mounted_by: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Of workloads that mount an adopted claim beside volumes that meshctl makes."""
    carrier_list = list(carriers)
    adopted = {each.name for each in carrier_list if each.existing_claim}
    made = {each.name for each in carrier_list if not each.is_adopted}
    for workload, names in mounted_by.items():
        own = sorted(made & set(names))
        if own and adopted & set(names):
            yield (
                f"workload/{workload}: its pods have no fsGroup, which would change the files of the adopted claim; the"
                f" folders of {', '.join(own)} stay root's, so that only root can write there: add `user: root` to the"
                " workload, or mount them in another one"
            )

"""File systems of a cloud that exist already, as environments.yaml names them by their ids. PURE.

Called by `storage`. Where the cloud was asked (`Facts`), one that pods could not mount is a gap. Whether they can reach
it depends on the network of the environment, which `deploy.guards.adopted_file_systems` looks at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import ExistingFileSystem, FileSystem, Gap, Pool, Price, Workload
from meshctl.model.files.units import format_gib
from meshctl.model.observed import Facts, ObservedFileSystem
from meshctl.resolve.data.existing_storage import PAID_BY_OWNER

_USABLE: Final = ("available", "AVAILABLE", "UPDATING", "updating")
_PRODUCTS: Final = {"efs": "EFS", "fsx-lustre": "FSx for Lustre"}


def adopted(name: str, storage: mesh_model.Storage, id_: str, facts: Facts | None) -> tuple[FileSystem, str] | Gap:
    """The file system `id_` for the storage `name` with a few words, or why pods could not use it."""
    observed = facts.file_systems if facts is not None else None
    if observed is None:
        guess = ObservedFileSystem(
            id=id_, service="fsx-lustre" if storage.throughput_mbps else "efs", state="available"
        )
        return _carrier(name, storage, guess), f"adopted: file system {id_}"
    system = next((each for each in observed if each.id == id_), None)
    if system is None:
        return _gap(name, id_, "there is none of this id in the account and region", "correct the id, or the region")
    fault = next(_faults(system, math.ceil(storage.size_gib)), None)
    if fault is not None:
        return _gap(name, id_, *fault)
    return _carrier(name, storage, system), f"adopted: {_PRODUCTS[system.service]} {id_}"


def _gap(name: str, id_: str, best: str, hint: str) -> Gap:
    return Gap(subject=f"storage/{name}", wanted=f"the existing file system {id_}", best=best, hint=hint)


def not_here(name: str, id_: str) -> Gap:
    """The gap of a platform whose file systems have no ids that meshctl could look up."""
    hint = f"write `storage: {{{name}: {{claim: CLAIM}}}}` for a claim of the cluster, or `{{nfs: HOST:/EXPORT}}`"
    return _gap(name, id_, "meshctl knows no file systems by id on this platform", hint)


def zone_gaps(systems: Iterable[FileSystem], workloads: Iterable[Workload], pools: Iterable[Pool]) -> Iterator[Gap]:
    """File systems of one zone whose pods may run in another, from which they could not be mounted."""
    zones, workload_list = {pool.name: pool.zones for pool in pools}, list(workloads)
    for system in systems:
        if system.existing is None or not system.existing.zone:
            continue
        zone = system.existing.zone
        users = (each for each in workload_list if any(mount.storage == system.name for mount in each.mounts))
        apart = next((each for each in users if zones.get(each.pool, ()) != (zone,)), None)
        if apart is not None:
            listed = ", ".join(zones.get(apart.pool, ())) or "any zone"
            user = f"{apart.name} of pool {apart.pool}, which mounts it,"
            best = f"it is of one zone, {zone}, and {user} may run in {listed}"
            hint = (
                f"name {zone} first in the environment's `zones`, and give the pool a fabric with `placement: cluster`,"
                " which keeps it in the first zone; or name a file system of all zones (Regional)"
            )
            yield _gap(system.name, system.existing.id, best, hint)


def _faults(system: ObservedFileSystem, size_gib: int) -> Iterator[tuple[str, str]]:
    if system.service not in _PRODUCTS:
        products = " or ".join(_PRODUCTS.values())
        yield f"it is of type {system.service}", f"name a file system of {products}, or write `nfs: HOST:/EXPORT`"
    if system.state not in _USABLE:
        yield f"it is {system.state}", "wait until it is available, or name another one"
    if 0 < system.size_gib < size_gib:
        hint = (
            "lower the storage's `size` in mesh.yaml, or let the file system's owner make it larger: meshctl does not"
        )
        yield f"it has {format_gib(system.size_gib)}, and the mesh asks for {format_gib(size_gib)}", hint


def _carrier(name: str, storage: mesh_model.Storage, system: ObservedFileSystem) -> FileSystem:
    return FileSystem.model_validate(
        {
            "name": name,
            "service": system.service,
            "size_gib": math.ceil(storage.size_gib),
            "throughput_mbps": storage.throughput_mbps or 0,
            "ephemeral": storage.ephemeral,
            "existing": ExistingFileSystem(
                id=system.id, dns_name=system.dns_name, mount_name=system.mount_name, zone=system.zone
            ),
            "price": Price(subject=f"storage/{name}", usd_per_hour=None, source=PAID_BY_OWNER),
        }
    )

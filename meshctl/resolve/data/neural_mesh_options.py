"""What `neuralMesh` of an environment says, as a NeuralMesh has it, and whether its organization can hold it. PURE.

Called by `neural_mesh`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Gap
from meshctl.model.files.units import format_gib
from meshctl.model.keys.neural_mesh import NeuralMeshOptions, Organization
from meshctl.model.neural_mesh import VENDORS_DRIVERS, WekaEncryption, WekaOrganization
from meshctl.resolve.data.storage import Place
from meshctl.resolve.placement.neural_mesh_places import Places


def drivers_service(options: NeuralMeshOptions) -> str:
    return "" if options.driver_service == "cluster" else options.driver_service or VENDORS_DRIVERS


def encryption(options: NeuralMeshOptions) -> WekaEncryption | None:
    if options.encryption is None:
        return None
    vault = options.encryption.vault
    return WekaEncryption(
        address=vault.address,
        role=vault.role,
        key_name=vault.key,
        auth_path=vault.auth_path,
        transit_path=vault.transit_path,
    )


def organization(options: NeuralMeshOptions) -> WekaOrganization | None:
    named = options.organization
    if named is None:
        return None
    return WekaOrganization(
        name=named.name,
        admin_secret=named.admin_password,
        driver_secret=named.driver_password,
        quota_gib=math.ceil(named.quota_gib or 0),
        drive_quota_gib=math.ceil(named.drive_quota_gib or 0),
    )


def gap_of_organization(place: Place, where: Places, on_drives_gib: Callable[[mesh_model.Storage], int]) -> Gap | None:
    """Why the file systems can't be in the organization that environments.yaml names. `on_drives_gib`: what a file
    system has there."""
    named = place.environment.neural_mesh.organization
    if named is None:
        return None
    if where.joined is not None:
        return _of_somebody_else(where.names[0], named)
    storages = {name: place.mesh.storage[name] for name in where.names}
    sizes_gib = {name: math.ceil(storage.size_gib) for name, storage in storages.items()}
    on_drives = {name: on_drives_gib(storage) for name, storage in storages.items()}
    return _too_small(named, "quota", named.quota_gib, sizes_gib) or _too_small(
        named, "driveQuota", named.drive_quota_gib, on_drives
    )


def _too_small(named: Organization, key: str, limit_gib: float | None, parts_gib: Mapping[str, int]) -> Gap | None:
    """WEKA counts what is allocated, not what is written: docs.weka.io, "Manage organizations using the CLI"."""
    total_gib = sum(parts_gib.values())
    if limit_gib is None or total_gib <= limit_gib:
        return None
    summed = " + ".join(format_gib(part) for part in parts_gib.values())
    where = " on drives" if key == "driveQuota" else ""
    return Gap(
        subject=f"storage/{next(iter(parts_gib))}",
        wanted=f"{format_gib(total_gib)}{where} in the organization {named.name} = {summed}",
        best=f"its `{key}` is {format_gib(limit_gib)}",
        hint=f"raise `neuralMesh.organization.{key}`, or lower `size`",
    )


def _of_somebody_else(name: str, named: Organization) -> Gap:
    """In a cluster that exists only its owner makes organizations."""
    return Gap(
        subject=f"storage/{name}",
        wanted=f"file systems in the organization {named.name}",
        best="the WEKA cluster exists, and its owner makes organizations: they are in that of the user whom meshctl is"
        " given",
        hint="remove `neuralMesh.organization`, and name the Secret of a user of the organization:"
        f" `storage: {{{name}: {{weka: {{…, secret: NAME}}}}}}`",
    )

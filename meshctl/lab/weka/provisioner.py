"""WEKA's CSI driver: claims become file systems and folders, and volumes lead to them. EDGE: the API, and folders.

Called by `controllers.weka` at each look. A volume's folder, `<lab>/volumes/<volume>`, is a link to that of its file
system; `pods.volumes` mounts none that is not there yet.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from pathlib import Path
from typing import Any, Final

from meshctl.lab.pods import api
from meshctl.lab.weka import volumes
from meshctl.lab.weka.api import file_system_calls
from meshctl.lab.weka.api.rest_api import RefusedError
from meshctl.lab.weka.api.system import FileSystem, System
from meshctl.lab.weka.credentials import ADMIN, CSI, ORGANIZATION_ADMIN, Account
from meshctl.lab.weka.operator.clients import DRIVERS, accessible
from meshctl.lab.weka.operator.world import World, key_of
from meshctl.lab.weka.volumes import Asked, ClaimError
from meshwire.kubernetes.errors import ApiError

Object = dict[str, Any]
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
RETRY_S: Final = 1.0
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
_READY: Final = "Ready"
_ROLES: Final = (ADMIN, ORGANIZATION_ADMIN, CSI)  # csi-wekafs, pkg/wekafs/apiclient/login.go, HasCSIPermissions


class Provisioner:
    """`refused`: the claims that were told why they get no volume, with the reason."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refused: dict[str, str] = {}

    async def step(self, world: World) -> float | None:
        """Serve what waits. Returns how many seconds to wait for a change at most."""
        drivers = {each["metadata"]["name"] for each in await api.items(world.client, DRIVERS)}
        drivers = {name for name in drivers if name.endswith(".weka.io")}
        if not drivers:
            return None
        classes = {
            each["metadata"]["name"]: each
            for each in await api.items(world.client, CLASSES)
            if each["provisioner"] in drivers
        }
        claims = await api.items(world.client, CLAIMS)
        waiting = [claim for claim in claims if _waits(claim, classes)]
        for claim in waiting:
            await self._serve(world, claim, classes[claim["spec"]["storageClassName"]])
        for volume in await api.items(world.client, VOLUMES):
            if (volume["spec"].get("csi") or {}).get("driver") in drivers:
                await self._look_after(world, volume, claims, classes)
        return RETRY_S if waiting else None

    async def _serve(self, world: World, claim: Object, chosen: Object) -> None:
        parameters = chosen.get("parameters") or {}
        try:
            made = volumes.parsed(claim, parameters)
            system, account = await _system(world, *volumes.secret_of(parameters))
            folder = await asyncio.to_thread(_make, system, account, made)  # an upload may hold the lock for long
        except (ClaimError, RefusedError) as error:
            await self._refuse(world, claim, chosen, str(error))
            return
        body = volumes.persistent_volume(claim, chosen, made, accessible(chosen["provisioner"]))
        self._link(body["metadata"]["name"], folder)
        with contextlib.suppress(ApiError):  # the next look tries again
            await api.ensure(world.client, VOLUMES, body)

    async def _look_after(self, world: World, volume: Object, claims: list[Object], classes: dict[str, Object]) -> None:
        spec, name = volume["spec"], volume["metadata"]["name"]
        if _is_to_be_deleted(volume):
            await self._remove(world, volume)
            return
        if not (self.root / "volumes" / name).exists():
            with contextlib.suppress(ClaimError):
                self._link(name, await _folder(world, volume))
        reference = spec.get("claimRef") or {}
        claim = next((each for each in claims if each["metadata"]["uid"] == reference.get("uid")), None)
        chosen = classes.get(spec.get("storageClassName", ""))
        if claim is not None and chosen is not None and chosen.get("allowVolumeExpansion"):
            await self._grow(world, volume, claim)

    async def _grow(self, world: World, volume: Object, claim: Object) -> None:
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        if volumes.bytes_of(wanted) <= volumes.bytes_of(volume["spec"]["capacity"]["storage"]):
            return
        try:
            system, each = await _file_system(world, volume)
            await asyncio.to_thread(_resize, system, each, volumes.bytes_of(wanted))
        except (ClaimError, RefusedError) as error:
            await self._refuse(world, claim, {"provisioner": volume["spec"]["csi"]["driver"]}, str(error))
            return
        await api.patch(
            world.client, f"{VOLUMES}/{volume['metadata']['name']}", {"spec": {"capacity": {"storage": wanted}}}
        )
        namespace, name = key_of(claim)
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}/status"
        await api.patch(world.client, path, {"status": {"capacity": {"storage": wanted}}})

    async def _remove(self, world: World, volume: Object) -> None:
        name = volume["metadata"]["name"]
        with contextlib.suppress(ClaimError):  # with its cluster all its file systems have gone
            system, each = await _file_system(world, volume)
            _, directory = volumes.part_of(volume["spec"]["csi"]["volumeHandle"])
            if not directory:
                await asyncio.to_thread(_delete, system, each)
        (self.root / "volumes" / name).unlink(missing_ok=True)
        await api.delete(world.client, f"{VOLUMES}/{name}")

    def _link(self, volume: str, folder: Path) -> None:
        link = self.root / "volumes" / volume
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(folder, target_is_directory=True)

    async def _refuse(self, world: World, claim: Object, chosen: Object, why: str) -> None:
        """Say why once for each reason."""
        metadata = claim["metadata"]
        if self.refused.get(metadata["uid"]) == why:
            return
        self.refused[metadata["uid"]] = why
        event = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: metadata[key] for key in ("name", "namespace", "uid")},
            },
            "type": "Warning",
            "reason": "ProvisioningFailed",
            "message": f"failed to provision volume: rpc error: code = Internal desc = {why}",
            "source": {"component": chosen["provisioner"]},
        }
        await api.post(world.client, f"/api/v1/namespaces/{metadata['namespace']}/events", event)


def _waits(claim: Object, classes: dict[str, Object]) -> bool:
    chosen = classes.get(claim["spec"].get("storageClassName") or "")
    if chosen is None or claim["status"].get("phase") != "Pending" or claim["spec"].get("volumeName"):
        return False
    waits = chosen.get("volumeBindingMode") == "WaitForFirstConsumer"
    return not waits or _SELECTED_NODE in (claim["metadata"].get("annotations") or {})


def _is_to_be_deleted(volume: Object) -> bool:
    """A driver takes only those for its own that say so, also of those that it has not made."""
    made_by = (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY)
    is_released = bool(volume.get("status", {}).get("phase") == "Released")
    return (
        is_released
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and made_by == volume["spec"]["csi"]["driver"]
    )


async def _system(world: World, namespace: str, name: str) -> tuple[System, Account]:
    """The system that a Secret leads to, and its account, if that may make volumes and the cluster serves. Raises:
    ClaimError."""
    secret = await api.get(world.client, f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if secret is None:
        raise ClaimError(f"the secret {namespace}/{name} is not there")
    values = {key: base64.b64decode(text).decode() for key, text in (secret.get("data") or {}).items()}
    system = world.registry.at(values.get("endpoints", ""))
    if system is None:
        raise ClaimError(f"no WEKA cluster answers at {values.get('endpoints', '')}")
    account = system.accounts.get(f"{values.get('organization') or 'Root'}/{values.get('username', '')}")
    if account is None or account.password != values.get("password") or account.role not in _ROLES:
        raise ClaimError(f"the user {values.get('username', '')} of {namespace}/{name} is not authorized")
    if not _serves(world, system):
        raise ClaimError(f"the WEKA cluster {system.name} is not ready")
    return system, account


def _serves(world: World, system: System) -> bool:
    """Whether its WekaCluster is Ready. Those of other Kubernetes clusters are taken to be."""
    prefix = f"{world.kubernetes_cluster}."
    own = [each for each in world.clusters if system.folder.name == prefix + ".".join(key_of(each))]
    return all(_is_ready(each) for each in own)


def _is_ready(cluster: Object) -> bool:
    is_leaving = "deletionTimestamp" in cluster["metadata"]
    return not is_leaving and (cluster.get("status") or {}).get("status") == _READY


def _make(system: System, account: Account, made: Asked) -> Path:
    """The folder of a claim's volume, in the organization of the account. Raises: ClaimError, RefusedError."""
    with system.lock:
        present = system.file_system_named(made.file_system, account.organization)
        if made.directory:
            if present is None:
                raise ClaimError(f"the file system {made.file_system} does not exist")
            folder = system.data_of(present) / made.directory
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        if present is None:
            body = {
                "name": made.file_system,
                "group_name": made.group,
                "total_capacity": made.size_bytes,
                "encrypted": made.is_encrypted,
            }
            present = system.add_file_system(file_system_calls.planned(system, body, account.organization))
        return system.data_of(present)


async def _file_system(world: World, volume: Object) -> tuple[System, FileSystem]:
    """Raises: ClaimError."""
    csi = volume["spec"]["csi"]
    reference = csi.get("nodePublishSecretRef") or csi.get("nodeStageSecretRef")
    if not reference:
        raise ClaimError("the volume names no secret")
    system, account = await _system(world, reference["namespace"], reference["name"])
    name, _ = volumes.part_of(csi["volumeHandle"])
    each = system.file_system_named(name, account.organization)
    if each is None:
        raise ClaimError(f"the file system {name} does not exist")
    return system, each


async def _folder(world: World, volume: Object) -> Path:
    """Raises: ClaimError."""
    system, each = await _file_system(world, volume)
    _, directory = volumes.part_of(volume["spec"]["csi"]["volumeHandle"])
    folder = system.data_of(each) / directory
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _delete(system: System, each: FileSystem) -> None:
    with system.lock:
        system.remove_file_system(each.uid)


def _resize(system: System, each: FileSystem, total_bytes: int) -> None:
    """Raises: RefusedError."""
    with system.lock:
        free = system.capacity_bytes - system.provisioned_bytes
        if total_bytes - each.total_bytes > free:
            raise RefusedError(400, f"Not enough SSD capacity: {max(free, 0)} bytes are unprovisioned")
        ssd = total_bytes if each.ssd_bytes == each.total_bytes else each.ssd_bytes
        more = total_bytes - each.total_bytes, ssd - each.ssd_bytes
        file_system_calls.check_quotas(system, each.organization, *more)
        system.change(each, total_bytes=total_bytes, ssd_bytes=ssd)

"""A pod's volumes as folders of this machine. EDGE.

Called by `lifecycle` before the containers start; `launch` binds the folders at the containers' mount paths.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshctl.lab.pods import api, environment
from meshwire.kubernetes.async_client import AsyncClient

Object = dict[str, Any]
TOKEN_LIFETIME_S = 3600


class VolumeNotReadyError(Exception):
    """A volume can't be mounted yet: the claim is not bound, or what it names doesn't exist."""


@dataclass(frozen=True)
class Place:
    """Where the volumes of a pod are: `folder` has the pod's own, `root`/volumes those that outlive it."""

    root: Path
    folder: Path
    client: AsyncClient


async def prepare(pod: Object, place: Place, data: environment.Data) -> dict[str, Path]:
    """Volume name -> folder, all made. Raises VolumeNotReadyError."""
    folders: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", []):
        own_folder = place.folder / "volumes" / volume["name"]
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            folders[volume["name"]] = await _claim(pod, claim, place)
        elif "ephemeral" in volume:
            folders[volume["name"]] = await _claim(pod, f"{pod['metadata']['name']}-{volume['name']}", place)
        elif "hostPath" in volume:
            node = place.root / "nodes" / pod["spec"]["nodeName"]
            folders[volume["name"]] = _made(node / volume["hostPath"]["path"].strip("/"))
        else:
            await _fill(pod, volume, own_folder, place, data)
            folders[volume["name"]] = own_folder
    return folders


async def _claim(pod: Object, claim: str, place: Place) -> Path:
    namespace = pod["metadata"]["namespace"]
    resource = await api.get(place.client, f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    if resource is None:
        raise VolumeNotReadyError(f'persistentvolumeclaim "{claim}" not found')
    name = resource["spec"].get("volumeName")
    if resource.get("status", {}).get("phase") != "Bound" or not name:
        raise VolumeNotReadyError(f'persistentvolumeclaim "{claim}" is not bound')
    volume = await api.get(place.client, f"/api/v1/persistentvolumes/{name}")
    if volume is None:
        raise VolumeNotReadyError(f'persistentvolume "{name}" not found')
    folder = folder_of(volume, place.root)
    await _check_weka(pod, volume, folder, place)
    return _made(folder)


async def _check_weka(pod: Object, volume: Object, folder: Path, place: Place) -> None:
    """A volume of the lab's WEKA can be mounted where a client runs, once its file system is there
    (`meshctl.lab.weka`). Raises VolumeNotReadyError."""
    driver = str((volume["spec"].get("csi") or {}).get("driver", ""))
    if not driver.endswith(".weka.io"):
        return
    name, node = volume["metadata"]["name"], pod["spec"]["nodeName"]
    labels = ((await api.get(place.client, f"/api/v1/nodes/{node}")) or {"metadata": {}})["metadata"].get(
        "labels"
    ) or {}
    if labels.get(f"topology.{driver}/accessible") != "true":
        raise VolumeNotReadyError(f'persistentvolume "{name}": no WEKA client runs on node {node}')
    if not folder.exists():
        raise VolumeNotReadyError(f'persistentvolume "{name}": its file system is not there')


def folder_of(volume: Object, root: Path) -> Path:
    """The folder that holds a PersistentVolume: a path below the lab's root as it is, all else in `<root>/volumes`."""
    spec = volume["spec"]
    path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
    if path and Path(path).is_relative_to(root):
        return Path(path)
    return root / "volumes" / str(volume["metadata"]["name"])


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


async def _fill(pod: Object, volume: Object, folder: Path, place: Place, data: environment.Data) -> None:
    _made(folder)
    sources = volume["projected"].get("sources", []) if "projected" in volume else [volume]
    for source in sources:
        if "secret" in source:
            name = source["secret"].get("secretName") or source["secret"]["name"]
            _write(folder, "Secret", name, source["secret"], data)
        elif "configMap" in source:
            _write(folder, "ConfigMap", source["configMap"]["name"], source["configMap"], data)
        elif "downwardAPI" in source:
            for item in source["downwardAPI"].get("items", []):
                if "fieldRef" in item:
                    _put(folder / item["path"], environment.field(pod, item["fieldRef"]["fieldPath"]).encode())
        elif "serviceAccountToken" in source:
            token = await _token(pod, source["serviceAccountToken"], place)
            _put(folder / source["serviceAccountToken"]["path"], token.encode())


def _write(folder: Path, kind: str, name: str, source: Object, data: environment.Data) -> None:
    values = data.get((kind, name))
    if values is None:
        # the bundle of certificates for service accounts: the controller that publishes it need not run in the lab
        if source.get("optional") or name == "kube-root-ca.crt":
            return
        raise VolumeNotReadyError(f'{kind.lower()} "{name}" not found')
    for key, path in {each["key"]: each["path"] for each in source.get("items", [])}.items() or {
        k: k for k in values
    }.items():
        if key not in values:
            raise VolumeNotReadyError(f'{kind.lower()} "{name}" has no key {key}')
        _put(folder / path, values[key])


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)


async def _token(pod: Object, source: Object, place: Place) -> str:
    account = pod["spec"].get("serviceAccountName", "default")
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/serviceaccounts/{account}/token"
    token_spec: Object = {"expirationSeconds": source.get("expirationSeconds", TOKEN_LIFETIME_S)}
    if source.get("audience"):
        token_spec["audiences"] = [source["audience"]]
    token_spec["boundObjectRef"] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
    }
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": token_spec}
    return str((await api.post(place.client, path, request))["status"]["token"])


def mounts(container: Object, folders: dict[str, Path], variables: dict[str, str]) -> list[tuple[str, str, bool]]:
    """(folder or file, path inside, read only) for each of the container's volume mounts, sub-paths resolved."""
    result = []
    for mount in container.get("volumeMounts", []):
        source = folders[mount["name"]]
        below = mount.get("subPath") or environment.expand(mount.get("subPathExpr", ""), variables)
        if below:
            source = source / below
            if not source.exists():
                source.mkdir(parents=True)
        result.append((str(source), mount["mountPath"].rstrip("/") or "/", bool(mount.get("readOnly"))))
    return result


def uncovered(placed: Sequence[tuple[str, str, bool]], own: Sequence[Path]) -> list[tuple[str, str, bool]]:
    """Mounts that show the lab's own folders, its interpreter and its code, where those of the pod would hide them: as
    an empty /tmp does where the lab runs from a folder in it."""
    shown: dict[Path, tuple[str, str, bool]] = {}
    for source, path, _ in placed:
        for folder in own:
            if folder.is_relative_to(path) and str(folder) != path and Path(source).is_dir():
                (Path(source) / folder.relative_to(path)).mkdir(parents=True, exist_ok=True)  # where it is mounted
                shown[folder] = (str(folder), str(folder), True)
    return [mount for folder, mount in shown.items() if not any(other in shown for other in folder.parents)]


def discard(folder: Path) -> None:
    """Remove the pod's own volumes (emptyDir, secrets); its logs stay for whoever wants to know why it ended."""
    shutil.rmtree(folder / "volumes", ignore_errors=True)

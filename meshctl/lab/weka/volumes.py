"""What WEKA's CSI driver makes of a claim: a file system of its own, or a folder in one; or why it can't. PURE.

Called by `provisioner`. Parameters of classes and forms of handles: weka/csi-wekafs, `docs` and chart 2.8.8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
FILE_SYSTEM, DIRECTORY = "weka/v2", "dir/v1"
SECRET: Final = "csi.storage.k8s.io/provisioner-secret-name"  # noqa: S105 (the name of a parameter)
SECRET_NAMESPACE: Final = "csi.storage.k8s.io/provisioner-secret-namespace"  # noqa: S105
_PREFIX: Final = "csivol-"
_DIRECTORIES: Final = "csi-volumes"
_UNITS: Final = {
    "": 1,
    **{unit: 1000 ** (number + 1) for number, unit in enumerate("kMGTPE")},
    **{f"{unit}i": 1024 ** (number + 1) for number, unit in enumerate("KMGTPE")},
}


class ClaimError(Exception):
    """Why a claim gets no volume, in the driver's manner."""


@dataclass(frozen=True)
class Asked:
    """`directory`: the folder in the file system; "" = all of it, which is made for the claim."""

    file_system: str
    group: str
    size_bytes: int
    is_encrypted: bool = False
    directory: str = ""

    @property
    def handle(self) -> str:
        if self.directory:
            return f"{DIRECTORY}/{self.file_system}/{self.directory}"
        return f"{FILE_SYSTEM}/{self.file_system}"


def parsed(claim: Object, parameters: Mapping[str, str]) -> Asked:
    """Raises: ClaimError for parameters that the driver refuses."""
    size = bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    kind, name = parameters.get("volumeType", DIRECTORY), parameters.get("filesystemName", "")
    uid = claim["metadata"]["uid"]
    encrypted = parameters.get("encryptionEnabled", "false") == "true"
    if kind == DIRECTORY:
        if not name:
            raise ClaimError("missing filesystemName in parameters: a dir/v1 volume is a folder of a file system")
        return Asked(name, "", size, directory=f"{_DIRECTORIES}/{_PREFIX}{uid}")
    if kind != FILE_SYSTEM:
        raise ClaimError(f"unsupported volumeType {kind}")
    if name:
        raise ClaimError("the lab makes no volumes that are snapshots of an empty file system (filesystemName)")
    group = parameters.get("filesystemGroupName", "")
    if not group:
        raise ClaimError("missing filesystemGroupName in parameters")
    return Asked(f"{_PREFIX}{uid.replace('-', '')[:20]}", group, size, encrypted)


def secret_of(parameters: Mapping[str, str]) -> tuple[str, str]:
    """(namespace, name) of the provisioner's Secret. Raises: ClaimError."""
    namespace, name = parameters.get(SECRET_NAMESPACE, ""), parameters.get(SECRET, "")
    if not namespace or not name:
        raise ClaimError("no API secret: csi.storage.k8s.io/provisioner-secret-name and -namespace must be set")
    return namespace, name


def part_of(handle: str) -> tuple[str, str]:
    """(file system, folder) of a volume's handle. Raises: ClaimError."""
    matched = re.fullmatch(r"weka/v2/([^/]+)|dir/v1/([^/]+)/(.+)", handle)
    if matched is None:
        raise ClaimError(f"unsupported volume handle {handle}")
    return (matched[1], "") if matched[1] else (matched[2], matched[3])


def bytes_of(quantity: str) -> int:
    """A quantity of Kubernetes. Raises: ClaimError."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", quantity)
    if matched is None or matched[2] not in _UNITS:
        raise ClaimError(f"not a size: {quantity}")
    return int(float(matched[1]) * _UNITS[matched[2]])


def persistent_volume(claim: Object, chosen: Object, made: Asked, label: str) -> Object:
    """`label`: of the nodes that can mount it. `chosen`: the StorageClass."""
    metadata, spec = claim["metadata"], claim["spec"]
    parameters = chosen.get("parameters") or {}
    namespace, name = secret_of(parameters)
    can_mount = {"key": label, "operator": "In", "values": ["true"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": chosen["provisioner"]},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": chosen["metadata"]["name"],
            "persistentVolumeReclaimPolicy": chosen.get("reclaimPolicy", "Delete"),
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [can_mount]}]}},
            "csi": {
                "driver": chosen["provisioner"],
                "volumeHandle": made.handle,
                "nodePublishSecretRef": {"namespace": namespace, "name": name},
            },
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }

"""The NVMe drives of nodes: which a policy signs, which have failed, and how a node shows them. PURE.

Called by `controllers.weka`. Annotations and the extended resource: weka/weka-operator, `doc/operator/operations/
drive-signing.md` and `block-drives.md`, as its releases up to 1.9 write them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SIGNED: Final = "weka.io/weka-drives"  # annotation of a node: a JSON list of serial numbers
BLOCKED: Final = "weka.io/blocked-drives"  # the same, of drives that are no longer used
RESOURCE: Final = "weka.io/drives"
HARDWARE: Final = "lab.meshctl.dev/nvme"  # what the lab's machine has: "4x7680" drives and GB
FAILED: Final = "lab.meshctl.dev/failed-drives"  # serial numbers with commas between them, on order
CLOUD_TYPES: Final = {"aws-all": "eks", "gcp-all": "gke"}  # a type that looks for the drives of one cloud
_AWS_DEVICE: Final = ("1d0f", "cd01")
Object = dict[str, Any]


class PolicyError(Exception):
    """Why a policy or operation can't be carried out."""


@dataclass(frozen=True)
class Drive:
    """One NVMe drive of a node."""

    serial: str
    path: str
    size_gb: float


def of_node(node: Object) -> tuple[Drive, ...]:
    """All that the machine has beside the one that it starts from, which is an NVMe device, too: the first."""
    count, _, size_gb = _annotation(node, HARDWARE).partition("x")
    name = node["metadata"]["name"]
    numbers = range(int(count or 0))
    return tuple(Drive(_serial(name, number), f"/dev/nvme{number + 1}n1", float(size_gb)) for number in numbers)


def signed(node: Object) -> tuple[str, ...]:
    return _listed(node, SIGNED)


def usable(node: Object) -> tuple[str, ...]:
    """Those that containers get."""
    blocked = _listed(node, BLOCKED)
    return tuple(serial for serial in signed(node) if serial not in blocked)


def failed(node: Object) -> tuple[str, ...]:
    """Those that the lab was told to let fail."""
    ordered = [serial.strip() for serial in _annotation(node, FAILED).split(",")]
    return tuple(serial for serial in ordered if serial in signed(node))


def to_sign(node: Object, payload: Mapping[str, Any], provider: str) -> tuple[str, ...]:
    """The serial numbers that this `signDrivesPayload` finds on a node. Raises: PolicyError."""
    kind, drives = payload["type"], of_node(node)
    if kind in CLOUD_TYPES:
        return tuple(drive.serial for drive in drives) if CLOUD_TYPES[kind] == provider else ()
    if kind == "device-identifiers":
        device = payload.get("pciDevices")
        if not device:
            raise PolicyError("pciDevices must be set for the type device-identifiers")
        wanted = (device["vendorId"].lower(), device["deviceId"].lower())
        return tuple(drive.serial for drive in drives) if provider == "eks" and wanted == _AWS_DEVICE else ()
    if kind == "device-paths":
        return _by_path(node, drives, payload.get("devicePaths", []))
    return tuple(drive.serial for drive in drives)  # all-not-root


def _by_path(node: Object, drives: Sequence[Drive], paths: Sequence[str]) -> tuple[str, ...]:
    by_path = {drive.path: drive.serial for drive in drives}
    missing = [path for path in paths if path not in by_path]
    if missing:
        raise PolicyError(f"node {node['metadata']['name']} has no device {', '.join(missing)}")
    return tuple(by_path[path] for path in paths)


def metadata_after(node: Object, serials: Sequence[str]) -> Object | None:
    """The node's annotations once these drives are signed; None where they are already. Drives are added, and never
    taken away."""
    present = signed(node)
    added = [serial for serial in serials if serial not in present]
    return {"annotations": {SIGNED: json.dumps([*present, *added])}} if added else None


def metadata_blocked(node: Object, serials: Sequence[str]) -> Object:
    """The node's annotations once these drives are blocked. Raises: PolicyError."""
    unknown = [serial for serial in serials if serial not in signed(node)]
    if unknown:
        raise PolicyError(f"node {node['metadata']['name']} has no signed drive {', '.join(unknown)}")
    both = dict.fromkeys([*_listed(node, BLOCKED), *serials])
    return {"annotations": {BLOCKED: json.dumps(list(both))}}


def status_after(node: Object) -> Object | None:
    """The node's status where its extended resource is not that of its usable drives."""
    count = str(len(usable(node)))
    status = node.get("status", {})
    shown = [status.get(section, {}).get(RESOURCE) for section in ("capacity", "allocatable")]
    if shown == [count, count] or (count == "0" and shown == [None, None]):
        return None
    return {"capacity": {RESOURCE: count}, "allocatable": {RESOURCE: count}}


def _listed(node: Object, annotation: str) -> tuple[str, ...]:
    return tuple(json.loads(_annotation(node, annotation) or "[]"))


def _annotation(node: Object, name: str) -> str:
    return str((node["metadata"].get("annotations") or {}).get(name, ""))


def _serial(node: str, number: int) -> str:
    return hashlib.sha256(f"{node} {number}".encode()).hexdigest()[:12].upper()

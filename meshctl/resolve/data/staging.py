"""What a pod copies to its node's disk before it starts: how much, and how long that may take (ADR 0005). PURE.

Called by `workloads`; `meshctl.render` waits for the pods accordingly.
"""

from __future__ import annotations

import math
from typing import Final

from meshctl.model import mesh as mesh_model

# Assumed, for the wait alone: rclone copies 16 objects at a time, and S3 gives 85 to 90 MB/s to each request ("Use
# byte-range fetches", S3 user guide, performance guidelines), which is five times as much.
_BYTES_PER_S: Final = 250e6
_SHORT_S: Final = 600  # the wait for a pod has room for that much in any case


def staged_gib(mesh: mesh_model.Mesh, workload: mesh_model.Workload) -> float:
    """Local disk that one pod takes: read-only object mounts are copied to it, and local storage is a folder of it."""
    local = (mesh.storage[name].size_gib for name in workload.mounts if mesh.storage[name].kind == "local")
    return sum(local) + _copied_gib(mesh, workload)


def staging_s(mesh: mesh_model.Mesh, workload: mesh_model.Workload) -> int:
    """How long the copy may take; 0 where that is short."""
    seconds = math.ceil(_copied_gib(mesh, workload) * 2**30 / _BYTES_PER_S)
    return seconds if seconds > _SHORT_S else 0


def _copied_gib(mesh: mesh_model.Mesh, workload: mesh_model.Workload) -> float:
    mounts = workload.mounts.items()
    return sum(
        mesh.storage[name].size_gib for name, mount in mounts if mesh.storage[name].kind == "object" and mount.read_only
    )

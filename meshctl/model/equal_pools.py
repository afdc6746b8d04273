"""What nodes of one pool lack for the work of another: the same hardware and the same fabric are needed. PURE.

Asked by `shift`, which gives nodes to another pool, and by `resolve`, for pools that lend nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import Fabric, Pool


def differences(giving: Pool, taking: Pool) -> Iterator[str]:
    """One text for each thing that the pools don't have in common, or of which the giving pool has too little."""
    if _accelerators(giving) != _accelerators(taking):
        yield f"{giving.name} has {_accelerators(giving)}, {taking.name} has {_accelerators(taking)}"
    if giving.arch != taking.arch:
        yield f"{giving.name} has {giving.arch} processors, {taking.name} has {taking.arch}"
    if giving.cpu_cores < taking.cpu_cores:
        yield f"{giving.name} has {giving.cpu_cores} cores per node, {taking.name} has {taking.cpu_cores}"
    if giving.memory_gib < taking.memory_gib:
        yield f"{giving.name} has {giving.memory_gib:g} GiB of memory per node, {taking.name} has {taking.memory_gib:g}"
    if giving.scratch_gb < taking.scratch_gb:
        has = f"{giving.scratch_gb:g} GB of local NVMe per node"
        yield f"{giving.name} has {has}, {taking.name} has {taking.scratch_gb:g}"
    elif 0 < giving.disk_gib < taking.disk_gib:  # 0: not known
        yield f"{giving.name} has {giving.disk_gib:.0f} GiB of disk per node, {taking.name} has {taking.disk_gib:.0f}"
    if _fabric(giving.fabric) != _fabric(taking.fabric):
        yield f"{giving.name} has {_fabric(giving.fabric)}, {taking.name} has {_fabric(taking.fabric)}"


def _accelerators(pool: Pool) -> str:
    if not pool.gpus_per_node:
        return "no accelerators"
    return f"{pool.gpus_per_node} x {pool.gpu_model} {pool.gpu_memory_gib:g} GiB ({pool.device_resource}) per node"


def _fabric(fabric: Fabric | None) -> str:
    if fabric is None:
        return "no fabric"
    devices = f", {fabric.resource_count} x {fabric.resource}" if fabric.resource else ""
    rack = ", NVLink in a rack" if fabric.nvlink else ""
    return f"{fabric.kind} at {fabric.bandwidth_gbps:g} Gbit/s{devices}{rack}"

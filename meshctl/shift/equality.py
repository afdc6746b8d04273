"""Whether nodes of one pool can do the work of another: the same hardware and the same fabric. PURE.

Called before nodes are chosen for a shift.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Fabric, Pool


def pools_of_shift(deployment: Deployment, giving: str, taking: str) -> tuple[Pool, Pool]:
    """The two pools. Raises: UsageError for a pool that does not exist, one pool twice, and unequal pools."""
    by_name = {pool.name: pool for pool in deployment.pools}
    for name in (giving, taking):
        if name not in by_name:
            raise UsageError(f"{deployment.environment} has no pool {name}", hint=f"its pools: {', '.join(by_name)}")
    if giving == taking:
        raise UsageError("a shift needs two different pools", hint="name another pool with --to")
    differences = list(_differences(by_name[giving], by_name[taking]))
    if differences:
        raise UsageError(
            f"nodes of pool {giving} can't do the work of pool {taking}",
            why="; ".join(differences),
            hint="shift between pools with the same accelerators and the same fabric",
        )
    return by_name[giving], by_name[taking]


def _differences(giving: Pool, taking: Pool) -> Iterator[str]:
    """One text for each thing that the pools don't have in common, or of which the giving pool has too little."""
    if _accelerators(giving) != _accelerators(taking):
        yield f"{giving.name} has {_accelerators(giving)}, {taking.name} has {_accelerators(taking)}"
    if giving.arch != taking.arch:
        yield f"{giving.name} has {giving.arch} processors, {taking.name} has {taking.arch}"
    if giving.cpu_cores < taking.cpu_cores:
        yield f"{giving.name} has {giving.cpu_cores} cores per node, {taking.name} has {taking.cpu_cores}"
    if giving.memory_gib < taking.memory_gib:
        yield f"{giving.name} has {giving.memory_gib:g} GiB of memory per node, {taking.name} has {taking.memory_gib:g}"
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

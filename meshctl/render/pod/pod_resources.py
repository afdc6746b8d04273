"""What a workload's pod requests of its node: CPU, memory, disk, accelerators, devices of the fabric. PURE.

Called by `pods`.
"""

from __future__ import annotations

from meshctl.model.deployment import HUGE_PAGES_MIB, Pool, Workload


def fabric_count(workload: Workload, pool: Pool) -> int:
    return pool.fabric_devices(workload.accelerators)


def hugepages_mib(workload: Workload, pool: Pool) -> int:
    if pool.fabric is None or pool.fabric.kind != "efa" or not fabric_count(workload, pool):
        return 0
    of_node = pool.fabric.huge_pages_mib
    of_whole_node_mib = HUGE_PAGES_MIB if of_node is None else min(HUGE_PAGES_MIB, of_node)
    share = of_whole_node_mib * min(workload.accelerators, pool.gpus_per_node) // pool.gpus_per_node
    return share - share % 2


def resources(workload: Workload, pool: Pool) -> dict[str, dict[str, str]]:
    """Requests and limits. CPU has no limit: an idle core is worth more than an even share."""
    devices: dict[str, str] = {}
    if workload.accelerators:
        devices[pool.device_resource] = str(workload.accelerators)
    if fabric_count(workload, pool) and pool.fabric is not None:
        devices[pool.fabric.resource] = str(fabric_count(workload, pool))
    hugepages = hugepages_mib(workload, pool)
    if hugepages:
        devices["hugepages-2Mi"] = f"{hugepages}Mi"
    memory = {"memory": quantity_of_gib(workload.memory_gib)} if workload.memory_gib else {}
    cpu = {"cpu": _cpu(workload.cpu)} if workload.cpu else {}
    if hugepages and not cpu and not memory:
        cpu = {"cpu": "1"}  # the API refuses huge pages without a request for CPU or memory
    # no limit, for a pod over its limit is evicted, and a store may hold more than the mesh says
    disk = {"ephemeral-storage": quantity_of_gib(workload.staged_gib)} if workload.staged_gib else {}
    by_kind = {"requests": {**cpu, **memory, **disk, **devices}, "limits": {**memory, **devices}}
    return {key: amounts for key, amounts in by_kind.items() if amounts}


def _cpu(cores: float) -> str:
    milli = round(cores * 1000)
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def quantity_of_gib(gib: float) -> str:
    mib = round(gib * 1024)
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"

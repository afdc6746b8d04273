"""Machine types of the same shape, which a node group may start where EC2 has none of its own type. PURE.

Part of the platform (`meshctl.platforms.aws`); called by `preflight`. EKS takes the types of a group in their order
("Managed node group capacity types", EKS user guide), so the pool's own stays the first choice. A group can't change
its types: what is up keeps what it has (`meshctl.deploy.guards.running.pools.running_machines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.catalog import Machine
from meshctl.model.deployment import Pool, Workload


def candidates(pool: Pool, workloads: Iterable[Workload], machines: Mapping[str, Machine]) -> tuple[str, ...]:
    """Those that fit the pool and have the shape of its machine, wherever they are offered. None for pools whose nodes
    depend on their type: by EFA, a placement group, a reservation, or what environments.yaml says of their pods."""
    own = machines.get(pool.machine)
    depends = pool.reservation or (pool.fabric is not None and _is_bound(pool))
    picks_nodes = any(each.pool == pool.name and {"nodeSelector", "affinity"} & set(each.pod) for each in workloads)
    if own is None or depends or picks_nodes:
        return ()
    others = (machines[name] for name in pool.alternatives if name in machines)
    return tuple(other.name for other in others if _has_shape(other, own))


def _is_bound(pool: Pool) -> bool:
    return pool.fabric is not None and (pool.fabric.kind == "efa" or pool.fabric.placement != "any")


def _has_shape(other: Machine, own: Machine) -> bool:
    """Pods are planned for what a node of the pool's own machine has: another one must have no less of anything."""
    exact = (
        "gpu_model",
        "gpu_count",
        "gpu_memory_gib",
        "gpu_fraction",
        "cpu_cores",
        "memory_gib",
        "arch",
        "quota_code",
    )
    is_equal = all(getattr(other, name) == getattr(own, name) for name in exact)
    has_disks = (other.scratch_gb > 0) == (own.scratch_gb > 0) and other.scratch_gb >= own.scratch_gb
    is_metal = other.name.endswith(".metal")  # takes many minutes more to start
    return other.verified and is_equal and has_disks and other.pods >= own.pods and not is_metal


def offered(names: Iterable[str], zones: Iterable[str], offerings: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Those that all of the zones have: EKS refuses a group with a type that one of its zones lacks."""
    places = {(each["InstanceType"], each["Location"]) for each in offerings}
    listed = tuple(zones)
    return tuple(name for name in names if all((name, zone) in places for zone in listed))

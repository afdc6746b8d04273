"""What pods can have of a machine: less than its label, by the kernel's, the kubelet's and the DaemonSets' share. PURE.
A gap must be true, so each share is the least that it can be.

Called by `meshctl.resolve`, for `workloads`. What a pool asks of a machine type (`cpu`) is compared with the label.
Nodes of an existing cluster say themselves what they have for pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from meshctl.catalog import Catalog, Machine
from meshctl.model.deployment import Pool
from meshctl.model.observed import Facts, ObservedNode
from meshctl.platforms import registry
from meshctl.resolve.placement import slices

# kube-reserved of the EKS images: of the first core, the second, the third and fourth, and of all others. Taken for
# CoreWeave too, which publishes none. Source: awslabs/amazon-eks-ami (nodeadm); eksctl, nodebootstrap/reserved.go.
_RESERVED_CPU: Final = ((1, 0.06), (1, 0.01), (2, 0.005))
_RESERVED_CPU_REST: Final = 0.0025
# A node reports 2-3% less memory than the label says: firmware and kernel.
REPORTED_MEMORY: Final = 0.97
# Requests of what runs on every node: aws-node 50 millicores, kube-proxy 100. Drivers and device plugins come on top,
# where there are any.
_DAEMON_SETS_CPU: Final = 0.15
# kube-reserved memory of the EKS images is 255 MiB and 11 MiB for each pod that a node may have (the same sources).
_RESERVED_MIB: Final = 255
_RESERVED_MIB_OF_A_POD: Final = 11
# How many that is depends on the type's network interfaces below 30 cores (29 on g4dn, 58, at most 110); above, it is
# the platform's `most_pods`. Source: awslabs/amazon-eks-ami, eni-max-pods.txt; EKS user guide, "Choose an optimal EC2
# instance type".
_LARGE_CORES: Final = 30
_FEWEST_PODS: Final = 29
_MOST_PODS: Final = 110
# The images' hard eviction threshold, memory.available<100Mi, which is the kubelet's default too:
# https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds
_EVICTION_MIB: Final = 100
# Accelerated EKS images with EFA set aside 110 pages of 2 MiB for each core and one more, which pods ask for as
# hugepages-2Mi: 42242 MiB on a p5.48xlarge, 21122 on a p4de. Source: awsome-distributed-training, nodes as they report
# themselves.
_HUGE_PAGES_OF_A_CORE: Final = 110
_HUGE_PAGE_MIB: Final = 2


@dataclass(frozen=True, slots=True)
class Usable:
    """What pods can use of one node, and how many pods it may have. 0 means unknown. `nodes`: the existing nodes
    that the pool got. `gained`: those that shifts have given to it; None for one that was not read, which is taken to
    be as the others and empty. `is_seen`: whether everything that runs on them was read. `storage_takes`: what storage
    has of each node, which is subtracted already, in words; "" for nothing."""

    cpu_cores: float
    memory_gib: float
    pods: int = 0
    rdma_devices: int = 0
    nodes: tuple[ObservedNode, ...] = ()
    gained: tuple[ObservedNode | None, ...] = ()
    is_seen: bool = False
    storage_takes: str = ""


def of_pool(pool: Pool, provider: str, catalog: Catalog, facts: Facts | None = None) -> Usable:
    """What pods can use of each node of a pool. `facts`: the nodes of an existing cluster, if it was read."""
    own = [node for node in (facts.nodes if facts else ()) if node.name in pool.node_names]
    nodes = slices.counted_as(own, pool.share)
    if nodes:
        return Usable(
            min(node.allocatable_cpu or node.cpu_cores for node in nodes),
            min(node.allocatable_memory_gib or node.memory_gib for node in nodes),
            min(node.allocatable_pods for node in nodes),
            min(node.rdma_devices(pool.fabric.resource) for node in nodes) if pool.fabric else 0,
            nodes=tuple(nodes),
            is_seen=facts is not None and facts.pods_are_seen,
        )
    efa = pool.fabric is not None and pool.fabric.kind == "efa"
    # without its nodes, of an existing cluster only what the mesh asks for is known: its nodes may have more
    return _of_type(catalog, provider, pool.machine, efa=efa) or Usable(0, 0)


@lru_cache(maxsize=1024)
def _of_type(catalog: Catalog, provider: str, name: str, *, efa: bool) -> Usable | None:
    machine = catalog.machine(provider, name)
    return of_machine(machine, efa=efa) if machine else None


def of_machine(machine: Machine, *, efa: bool = False) -> Usable:
    """What pods can use of a machine of this type. `efa`: whether the pool has an EFA fabric."""
    rdma = machine.rdma
    # the image of a GPU machine sets them aside for the devices that are there, whether or not the pool has a fabric
    huge_pages = efa or (machine.gpu_count > 0 and rdma is not None and rdma.kind == "efa")
    offer = registry.platform(machine.provider).nodes.made_of
    reported, most_pods = (offer.reported_memory, offer.most_pods) if offer else (REPORTED_MEMORY, _MOST_PODS)
    large = machine.cpu_cores >= _LARGE_CORES
    fewest_pods = _MOST_PODS if large else _FEWEST_PODS
    reserved_mib = _RESERVED_MIB + _RESERVED_MIB_OF_A_POD * min(machine.pods or fewest_pods, fewest_pods)
    kept_mib = reserved_mib + _EVICTION_MIB + (huge_pages_mib(machine.cpu_cores) if huge_pages else 0)
    return Usable(
        cpu_cores=machine.cpu_cores - _reserved_cpu(machine.cpu_cores) - _DAEMON_SETS_CPU,
        memory_gib=(machine.reported_gib or machine.memory_gib * reported) - kept_mib / 1024,
        pods=machine.pods or (most_pods if large else _MOST_PODS),
        # other fabrics' resources mark a node, and every pod may have one
        rdma_devices=rdma.resource_count if rdma is not None and rdma.kind == "efa" else 0,
    )


def huge_pages_mib(cores: int) -> int:
    """The huge pages, in MiB, that a node with EFA sets aside."""
    return _HUGE_PAGE_MIB * (_HUGE_PAGES_OF_A_CORE * cores + 1)


def _reserved_cpu(cores: int) -> float:
    reserved, left = 0.0, cores
    for step, share in _RESERVED_CPU:
        reserved += min(step, left) * share
        left -= min(step, left)
    return reserved + left * _RESERVED_CPU_REST

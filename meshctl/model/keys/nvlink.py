"""NVLink between nodes: racks whose nodes share it (NVL72), and what pods need to use it. PURE.

A pool's fabric asks for it (`nvlink: rack`). Pods of several nodes then reach each other's GPUs by an IMEX channel,
which a ComputeDomain of NVIDIA's DRA driver gives. Used by `meshctl.resolve` and `meshctl.render`.
Sources, read 2026-11-29: docs.nvidia.com, "NVIDIA DRA Driver for GPUs"; docs.coreweave.com, products/cks/clusters/
scheduling, "IMEX overview" and "IMEX with Dynamic Resource Allocation".
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Pool, Workload

DOMAIN_LABEL: Final = "nvidia.com/gpu.clique"  # the label of nodes by which those that share NVLink are known


def is_gang(workload: Workload) -> bool:
    """Whether the workload's pods work as one on accelerators of several nodes."""
    return workload.kind == "training" and workload.replicas > 1 and workload.accelerators > 0


def is_asked_for(pool: Pool) -> bool:
    return pool.fabric is not None and pool.fabric.nvlink == "rack"


def compute_domain_name(workload: Workload) -> str:
    """The name of a workload's ComputeDomain. It contains the size, since a ComputeDomain can't be changed."""
    return f"{workload.name}-nvlink-{workload.replicas}"

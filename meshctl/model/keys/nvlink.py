"""NVLink between nodes: racks whose nodes share it (NVL72), and what pods need to use it. PURE.

A pool's fabric asks for it (`nvlink: rack`). Pods of several nodes then reach each other's GPUs by an IMEX channel,
which a ComputeDomain of NVIDIA's DRA driver gives. Used by `meshctl.resolve` and `meshctl.render`.
Sources, read 2026-11-29: docs.nvidia.com, "NVIDIA DRA Driver for GPUs"; docs.coreweave.com, products/cks/clusters/
scheduling, "IMEX overview" and "IMEX with Dynamic Resource Allocation".
"""

from __future__ import annotations

from typing import Final, Literal

from meshctl.model.deployment import Pool, Workload

DOMAIN_LABEL: Final = "nvidia.com/gpu.clique"  # the label of nodes by which those that share NVLink are known


# By model: GB/s of one accelerator to the others of its rack, in one direction; NVIDIA names both together, 1.8 TB/s
# ("GB200 NVL72" and "GB300 NVL72", nvidia.com). An all-reduce in one rack has reached 847 (CoreWeave, 72 GB200) and 841
# (NVIDIA/aicr#1256, 8 GB300; both read 2026-11-29).
_GBYTES_PER_S: Final = {"GB200": 900.0, "GB300": 900.0}
_GPUS_OF_A_RACK: Final = 72

Between = Literal["rack", "node"]


def is_gang(workload: Workload) -> bool:
    """Whether the workload's pods work as one on accelerators of several nodes."""
    return workload.kind == "training" and workload.replicas > 1 and workload.accelerators > 0


def is_asked_for(pool: Pool) -> bool:
    return pool.fabric is not None and pool.fabric.nvlink == "rack"


def between(pool: Pool) -> Between | None:
    """What of a pool shares NVLink: the nodes of a rack, or only the accelerators of a node, where a rack could; None
    for accelerators that are not sold in such racks."""
    if is_asked_for(pool):
        return "rack"
    return "node" if _model(pool) else None


def gbytes_per_s_of_one_rack(pool: Pool) -> float:
    """Of NVLink of each accelerator, where all of the pool's share it; 0 where they don't, and of models whose rate is
    not known. New machines are made in whole racks; given nodes may be few of several."""
    fits = pool.nodes * pool.gpus_per_node <= _GPUS_OF_A_RACK
    is_one_rack = fits and (not pool.node_names or (pool.fabric is not None and pool.fabric.is_one_rack))
    return _GBYTES_PER_S.get(_model(pool), 0.0) if is_asked_for(pool) and is_one_rack else 0.0


def _model(pool: Pool) -> str:
    """Of those that are sold in racks, as its nodes name it: NVIDIA-GB200."""
    words = (pool.gpu_model or "").upper().replace("-", " ").split()
    return next((word for word in words if word in _GBYTES_PER_S), "")


def compute_domain_name(workload: Workload) -> str:
    """The name of a workload's ComputeDomain. It contains the size, since a ComputeDomain can't be changed."""
    return f"{workload.name}-nvlink-{workload.replicas}"

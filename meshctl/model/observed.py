"""What was found in an existing cluster: the nodes and storage classes that `resolve` may use. PURE.

Filled by `meshctl.operate` and `meshctl.engine` with read-only calls; read by `meshctl.resolve`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from meshctl.model.deployment import Value


class ObservedNode(Value):
    """One node as its cluster describes it. CPU and memory are what the node has; `allocatable_…` what is left of them
    for pods, 0 where that is not told."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    ready: bool = True
    gpu_model: str = ""
    gpu_count: int = 0
    gpu_memory_gib: float = 0
    cpu_cores: int
    memory_gib: float
    allocatable_cpu: float = 0
    allocatable_memory_gib: float = 0
    allocatable_pods: int = 0
    scratch_gb: float = 0
    rdma_resource: str = ""
    rdma_count: int = 0
    arch: Literal["amd64", "arm64"] = "amd64"


class StorageClass(Value):
    name: str
    provisioner: str = ""
    default: bool = False


class Facts(Value):
    nodes: tuple[ObservedNode, ...] = ()
    storage_classes: tuple[StorageClass, ...] = ()

"""An on-prem cluster as one finds it: nodes that are there already, with hardware labels and storage classes of its
own. EDGE.
"""

from __future__ import annotations

from collections.abc import Callable

from meshctl.catalog import Machine
from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.nodes import GROUP_LABEL, NODES, Group, keep
from meshctl.lab.controllers.volumes import storage_class
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient


def _machine(name: str, *, gpus: int, cpu_cores: int, memory_gib: float, scratch_gb: float) -> Machine:
    return Machine(
        provider="onprem",
        name=name,
        gpu_model="H100" if gpus else "",
        gpu_count=gpus,
        gpu_memory_gib=80 if gpus else 0,
        gpu_fraction=1,
        cpu_cores=cpu_cores,
        memory_gib=memory_gib,
        scratch_gb=scratch_gb,
        arch="amd64",
        network_gbps=None,
        network_burst=False,
        network_cards=1,
        rdma=None,
        placements=(),
        markets=(),
        zones=None,
        rack_nodes=0,
        quota_code="",
        prices=(),
        source="the lab",
        date="",
        verified=True,
    )


# what NVIDIA's GPU feature discovery labels on an H100 node
_GPU_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "feature.node.kubernetes.io/rdma.available": "true",
}
# the shared-device plugin's resource: one mark for each pod that wants InfiniBand
GPU_NODES = Group(
    name="gpu",
    machine=_machine("gpu-node-h100", gpus=8, cpu_cores=128, memory_gib=2048, scratch_gb=30720),
    count=6,
    zones=("row-1",),
    region="dc1",
    labels=_GPU_LABELS,
    extended={"rdma/ib": "63"},
)
CPU_NODES = Group(
    name="cpu",
    machine=_machine("cpu-node", gpus=0, cpu_cores=64, memory_gib=512, scratch_gb=2000),
    count=2,
    zones=("row-1",),
    region="dc1",
)


async def play(_lab: Lab, _cluster: api.Cluster, client: AsyncClient, stands: Callable[[], None]) -> None:
    """Make the nodes once, and again if one is lost."""
    await storage_class(client, "nfs", "nfs.csi.k8s.io", waits=False)
    await storage_class(client, "local-path", "rancher.io/local-path", waits=True)
    async with following(client, [NODES], labelSelector=GROUP_LABEL) as changes:
        while True:
            nodes = await keep(client, (GPU_NODES, CPU_NODES))
            if sum(nodes.counts.values()) >= GPU_NODES.count + CPU_NODES.count:
                stands()
            await changes.wait(nodes.look_again_s)

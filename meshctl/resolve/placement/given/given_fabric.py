"""A mesh's fabric on nodes that are given: what the nodes say of their RDMA devices, and what environments.yaml does.
PURE.

Called by `meshctl.resolve.placement.pools`; `meshctl.render` puts `env`, `resource` and `networks` on pods. What an
older version brought up otherwise stays so: `meshctl.deploy.guards.running.pods.given_fabrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from meshctl.catalog import Rdma
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Fabric, FabricKind, Gap, Pool
from meshctl.model.environment import FabricOptions
from meshctl.model.observed import Facts, ObservedNode
from meshctl.platforms import registry

_ETHERNET: Final = "ethernet"
_DEFAULT: Final = "rdma/ib"
# The AWS device plugin for EFA, whose name for the devices can't be set (aws/eks-charts, aws-efa-k8s-device-plugin).
_EFA: Final = "vpc.amazonaws.com/efa"
# The prefix that Mellanox/k8s-rdma-shared-dev-plugin gives its resources. It hands out the same devices `rdmaHcaMax`
# times (63 in the examples of NVIDIA's Network Operator, 64 on CoreWeave): one of them is all that a pod needs.
_SHARED_PREFIX: Final = "rdma/"


def of_nodes(
    name: str, fabric: mesh_model.Fabric, options: FabricOptions | None, nodes: tuple[ObservedNode, ...]
) -> Fabric:
    """The fabric of a pool of these nodes. Without nodes: what environments.yaml says of them."""
    gbps = fabric.bandwidth_gbps or 0
    if fabric.kind == _ETHERNET or options is None:
        return Fabric(name=name, kind="ethernet", bandwidth_gbps=gbps, placement=fabric.placement)
    resource = _resource(options, nodes)
    kind: FabricKind = options.kind or ("efa" if resource == _EFA else "infiniband")
    count = options.count or _whole_node(resource, nodes)
    given = settings(resource, count) if kind == "efa" else {}
    return Fabric(
        name=name,
        kind=kind,
        bandwidth_gbps=gbps,
        placement=fabric.placement,
        resource=resource,
        resource_count=count,
        env={**given, **options.env},
        networks=options.networks or (),
        huge_pages_mib=min(node.huge_pages_mib for node in nodes) if nodes and kind == "efa" else None,
        is_declared=options.count is not None or options.kind == "efa",
    )


def _resource(options: FabricOptions, nodes: tuple[ObservedNode, ...]) -> str:
    """The resource that environments.yaml names, if the nodes have it; else the usual name, or the first that they
    have."""
    seen = {node.rdma_resource for node in nodes if node.rdma_resource}
    wanted = options.resource or (_EFA if options.kind == "efa" else None)
    if wanted and (not seen or any(node.rdma_devices(wanted) for node in nodes)):
        return wanted
    return _DEFAULT if not seen or _DEFAULT in seen else min(seen)


def _whole_node(resource: str, nodes: tuple[ObservedNode, ...]) -> int:
    """How many devices a pod requests that uses a whole node: all of them, as no other pod could use the rest; one
    if each device stands for all adapters."""
    counts = [count for node in nodes if (count := node.rdma_devices(resource))]
    return 1 if is_shared(resource, nodes) else min(counts, default=1)


def is_shared(resource: str, nodes: Iterable[ObservedNode]) -> bool:
    """Whether each device of this resource stands for all of a node's adapters, as far as can be told.

    SR-IOV and host-device plugins hand out adapters one by one and may use the shared plugin's prefix as well
    (Azure/aks-rdma-infiniband: `rdma/ib: 8` beside 8 GPUs). They have no more than one for each GPU; a shared plugin
    offers more. Where it does not, a share of its devices is as good as one of them.
    """
    return resource.startswith(_SHARED_PREFIX) and any(node.rdma_devices(resource) > node.gpu_count for node in nodes)


def settings(resource: str, count: int) -> Mapping[str, str]:
    """The settings of the platform whose devices these are, as where it makes the nodes itself."""
    rdma = Rdma(
        kind="efa",
        adapters=count,
        resource=resource,
        resource_count=count,
        efa_cards=None,
        primary_efa=False,
        rdma_read=count > 1,  # all machines with several can; of those with one, g4dn and g5 can't
    )
    makers = (platform for platform in registry.platforms() if resource in platform.fabric.resources)
    return next((platform.fabric.settings(rdma) for platform in makers), {})


def gaps(pools: Iterable[Pool], options: FabricOptions | None) -> list[Gap]:
    """RoCE without networks: a pod's own network has no RoCE interface, and NCCL falls back to TCP without a word."""
    if options is None or options.kind != "roce" or options.networks is not None:
        return []
    return [
        Gap(
            subject=f"pool/{pool.name}",
            wanted="RDMA over RoCE",
            best="pods with the cluster's default network only, in which there is no RoCE interface",
            hint="name the NetworkAttachmentDefinitions in environments.yaml, `fabric: {kind: roce, networks: [NAME]}`;"
            " or `networks: []`, if the cluster attaches pods to them by itself",
        )
        for pool in pools
        if pool.fabric is not None and pool.fabric.kind == "roce"
    ]


def notes(pools: Iterable[Pool], facts: Facts | None, options: FabricOptions | None) -> list[str]:
    """Where the number of devices is a guess, or huge pages are missing."""
    nodes_by_name = {node.name: node for node in (facts.nodes if facts else ())}
    notes = []
    for pool in pools:
        nodes = [nodes_by_name[name] for name in pool.node_names if name in nodes_by_name]
        if pool.fabric is None or not pool.fabric.resource or not nodes or not pool.gpus_per_node:
            continue
        resource = pool.fabric.resource
        if is_shared(resource, nodes) and (options is None or options.count is None):
            count = min(node.rdma_devices(resource) for node in nodes)
            notes.append(
                f"pool {pool.name}: its nodes offer {count} {resource}, more than they have GPUs, so they are taken for"
                " shares of the same adapters, of which a pod needs one; `fabric.count` says otherwise"
            )
        if pool.fabric.huge_pages_mib == 0:
            notes.append(
                f"pool {pool.name}: its nodes have no huge pages (hugepages-2Mi), which libfabric uses for EFA where"
                " there are any"
            )
    return notes

"""A mesh's fabric in the terms of an environment: EFA, InfiniBand, RoCE or plain Ethernet. PURE.

Called by `meshctl.resolve.pools`; `meshctl.render` puts `env` and `resource` on pods, `stacks.aws` declares
`interfaces`.
"""

from __future__ import annotations

from meshctl.catalog import Machine
from meshctl.model import environment as environment_model
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Fabric, FabricKind
from meshctl.platforms import registry

_ETHERNET = "ethernet"


def of_machine(name: str, fabric: mesh_model.Fabric, machine: Machine) -> Fabric:
    """The fabric of a pool whose machine type is known from the catalog."""
    gbps, rdma = machine.network_gbps or 0, registry.platform(machine.provider).fabric
    if fabric.kind == _ETHERNET or machine.rdma is None:
        return Fabric(name=name, kind="ethernet", bandwidth_gbps=gbps, placement=fabric.placement)
    kind: FabricKind = {"efa": "efa", "roce": "roce"}.get(machine.rdma.kind, "infiniband")  # type: ignore[assignment]
    return Fabric(
        name=name,
        kind=kind,
        bandwidth_gbps=gbps,
        placement=fabric.placement,
        resource=machine.rdma.resource,
        resource_count=machine.rdma.resource_count,
        env=rdma.settings(machine.rdma),
        interfaces=rdma.interfaces(machine.rdma),
    )


def of_cluster(name: str, fabric: mesh_model.Fabric, options: environment_model.FabricOptions | None) -> Fabric:
    """The fabric of an existing cluster: what environments.yaml says of it, with `rdma/ib` as the common default."""
    gbps = fabric.bandwidth_gbps or 0
    if fabric.kind == _ETHERNET or options is None:
        return Fabric(name=name, kind="ethernet", bandwidth_gbps=gbps, placement=fabric.placement)
    return Fabric(
        name=name,
        kind=options.kind,
        bandwidth_gbps=gbps,
        placement=fabric.placement,
        resource=options.resource,
        resource_count=1,
        env=options.env,
    )

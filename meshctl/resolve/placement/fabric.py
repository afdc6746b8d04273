"""A mesh's fabric on machine types of the catalog: EFA, InfiniBand, RoCE or plain Ethernet. PURE.

Called by `meshctl.resolve.placement.pools`; `meshctl.render` puts `env` and `resource` on pods, `stacks.aws` declares
`interfaces`. `given_fabric` does the same for nodes that are given.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.catalog import Machine
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import HUGE_PAGES_MIB, Fabric, FabricKind
from meshctl.platforms import registry
from meshctl.resolve.placement import allocatable

_ETHERNET = "ethernet"


def of_machine(name: str, fabric: mesh_model.Fabric, machine: Machine, env: Mapping[str, str]) -> Fabric:
    """The fabric of a pool whose machine type is known from the catalog. `env`: what environments.yaml sets."""
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
        env={**rdma.settings(machine.rdma), **env},
        interfaces=rdma.interfaces(machine.rdma),
        huge_pages_mib=_fewer_huge_pages(machine) if kind == "efa" else None,
    )


def _fewer_huge_pages(machine: Machine) -> int | None:
    """Those of a small machine, which sets aside fewer than pods ask for otherwise."""
    pages_mib = allocatable.huge_pages_mib(machine.cpu_cores)
    return pages_mib if pages_mib < HUGE_PAGES_MIB else None

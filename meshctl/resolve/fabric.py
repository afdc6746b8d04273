"""A mesh's fabric in the terms of an environment: EFA, InfiniBand, RoCE or plain Ethernet. PURE.

Called by `meshctl.resolve.pools`; `meshctl.render` puts `env` and `resource` on pods, `stacks.aws` declares
`interfaces`.
"""

from __future__ import annotations

from typing import Literal

from meshctl.catalog import Machine, Rdma
from meshctl.model import environment as environment_model
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Fabric, FabricKind, NetworkInterface

# Source: aws-ofi-nccl and awslabs/awsome-distributed-training (2026-06-01).
_EFA_ENV = {"FI_PROVIDER": "efa", "FI_EFA_USE_DEVICE_RDMA": "1", "NCCL_SOCKET_IFNAME": "^docker,lo,veth"}
_ETHERNET = "ethernet"


def of_machine(name: str, fabric: mesh_model.Fabric, machine: Machine) -> Fabric:
    """The fabric of a pool whose machine type is known from the catalog."""
    gbps = machine.network_gbps or 0
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
        env=_EFA_ENV if kind == "efa" else _coreweave_env(machine.rdma),
        interfaces=efa_interfaces(machine.rdma) if kind == "efa" else (),
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


def efa_interfaces(rdma: Rdma) -> tuple[NetworkInterface, ...]:
    """Network interfaces of a launch template, one EFA for each card that carries one.

    Card 0 is the primary interface: `efa` where it can, else a plain `interface` (p6-b300). The other cards are
    `efa-only` (no IP address), at device 1 beside an EFA primary and at device 0 where the primary is plain.
    Source: layouts of eksctl, terraform-aws-eks and karpenter (2026), and for p6-b300 dstack.
    """
    if rdma.efa_cards is None:
        return ()
    first, last = rdma.efa_cards
    kind: Literal["efa", "interface"] = "efa" if rdma.primary_efa else "interface"
    primary = NetworkInterface(network_card_index=0, device_index=0, interface_type=kind)
    device = 1 if rdma.primary_efa else 0
    others = (
        NetworkInterface(network_card_index=card, device_index=device, interface_type="efa-only")
        for card in range(max(first, 1), last + 1)
    )
    return (primary, *others)


def _coreweave_env(rdma: Rdma) -> dict[str, str]:
    """Source: docs.coreweave.com, use-gpudirect-rdma (InfiniBand). RoCE types need networks of their own."""
    if rdma.kind != "infiniband":
        return {}
    env = {"NCCL_IB_HCA": "ibp", "NCCL_SOCKET_IFNAME": "eth0"}
    if rdma.adapters:
        env["UCX_NET_DEVICES"] = ",".join(f"ibp{index}:1" for index in range(rdma.adapters))
    return env

"""EFA: the network interfaces of a node, and the settings of its containers. PURE.

Part of the platform (`meshctl.platforms.aws`); `stacks.aws` declares the interfaces, `meshctl.render` the settings.
"""

from __future__ import annotations

from typing import Final, Literal

from meshctl.catalog import Rdma
from meshctl.model.deployment import NetworkInterface

# Source: aws-ofi-nccl and awslabs/awsome-distributed-training (2026-06-01).
_SETTINGS: Final = {"FI_PROVIDER": "efa", "NCCL_SOCKET_IFNAME": "^docker,lo,veth"}
# Since 1.18 libfabric uses RDMA by itself where it can (awsome-distributed-training, efa-cheatsheet). Where the adapter
# can't, it ends a program that asks for it (prov/efa/src/rdm/efa_rdm_util.c). Pods that are up have the variable, and
# would be replaced for nothing without it.
_WITH_RDMA: Final = {"FI_EFA_USE_DEVICE_RDMA": "1"}


def settings(rdma: Rdma) -> dict[str, str]:
    return {**_SETTINGS, **(_WITH_RDMA if rdma.rdma_read else {})}


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
    other_interfaces = (
        NetworkInterface(network_card_index=card, device_index=device, interface_type="efa-only")
        for card in range(max(first, 1), last + 1)
    )
    return (primary, *other_interfaces)

"""What a load balancer of AWS lets in, and through which node it sends a connection. PURE. Asked by `balancers`.

The balancer that EKS's own cloud controller makes has every node as a target and keeps the address of the client
(EnsureLoadBalancer and findInstancesForELB of kubernetes/cloud-provider-aws). kube-proxy of the node sends the
connection on to a pod, mostly of another node; it ends with either of the two.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]


def is_balanced(service: Object) -> bool:
    return bool(service["spec"].get("type") == "LoadBalancer")


def admits(service: Object, peer: str) -> bool:
    """Whether `loadBalancerSourceRanges` let the address in; without any they let in all."""
    ranges = service["spec"].get("loadBalancerSourceRanges") if is_balanced(service) else None
    address = ipaddress.ip_address(peer)
    return not ranges or any(address in ipaddress.ip_network(each, strict=False) for each in ranges)


def node_between(service: Object, nodes: Sequence[str], turn: int) -> str:
    """The node that a connection passes through on its way to the pod's; "" where it goes to the pod's at once, as it
    does under `externalTrafficPolicy: Local`, by which nodes without a ready pod are no healthy targets."""
    if not is_balanced(service) or service["spec"].get("externalTrafficPolicy") == "Local" or not nodes:
        return ""
    return nodes[turn % len(nodes)]


def is_ready(node: Object) -> bool:
    """Whether the node is a target: it is there, ready, and not on its way out."""
    conditions = node.get("status", {}).get("conditions") or []
    going = node["metadata"].get("deletionTimestamp") is not None
    return not going and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

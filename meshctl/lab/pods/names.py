"""How process pods find each other: an /etc/hosts file for each, kept up to date. PURE except `write`.

Headless Services by `hostname.subdomain`; every other Service by the loopback address that the lab's load balancer gave
it (`<root>/network/services.json`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOMAIN = "svc.cluster.local"


@dataclass(frozen=True)
class Peer:
    """A pod on this machine. `address`: its loopback address."""

    cluster: str
    namespace: str
    name: str
    hostname: str
    subdomain: str
    address: str


def hosts(own: Peer, peers: list[Peer], services: dict[str, str]) -> str:
    """The pod's hosts file. `services`: "cluster/namespace/name" -> loopback address."""
    lines = ["127.0.0.1 localhost", f"{own.address} {own.hostname or own.name}"]
    for peer in peers:
        if peer.cluster == own.cluster and peer.subdomain:
            lines.append(
                _line(peer.address, f"{peer.hostname or peer.name}.{peer.subdomain}", peer.namespace, own.namespace)
            )
            lines.append(_line(peer.address, peer.subdomain, peer.namespace, own.namespace))
    for key, address in sorted(services.items()):
        cluster, namespace, name = key.split("/")
        if cluster == own.cluster:
            lines.append(_line(address, name, namespace, own.namespace))
    return "\n".join(lines) + "\n"


def _line(address: str, name: str, namespace: str, own_namespace: str) -> str:
    forms = [f"{name}.{namespace}.{DOMAIN}", f"{name}.{namespace}.svc", f"{name}.{namespace}"]
    return " ".join([address, *forms, *([name] if namespace == own_namespace else [])])


def peer_of(cluster: str, pod: dict[str, Any], address: str) -> Peer:
    metadata, spec = pod["metadata"], pod["spec"]
    hostname, subdomain = spec.get("hostname", ""), spec.get("subdomain", "")
    return Peer(cluster, metadata["namespace"], metadata["name"], hostname, subdomain, address)


def read_services(root: Path) -> dict[str, str]:
    try:
        services: dict[str, str] = json.loads((root / "network" / "services.json").read_text())
    except (OSError, ValueError):
        return {}
    return services


def write(path: Path, text: str) -> None:
    """Replace the content and not the file, since the file is mounted in a running pod."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        data = text.encode()
        if os.pread(descriptor, len(data) + 1, 0) != data:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)

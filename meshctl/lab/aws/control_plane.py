"""The lab's Kubernetes control planes as EKS hands them out: which is free, where it is, what its CA is. EDGE.

Called by `eks.clusters`. Which EKS cluster took a plane is said in `ROOT/eks.json` alone.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshctl.lab.state import read_json


@dataclass(frozen=True)
class ControlPlane:
    """`ca_data` is the CA's PEM in base64, as `certificateAuthority.data` has it."""

    name: str
    endpoint: str
    ca_data: str


def free(root: Path, region: str, taken: Collection[str]) -> ControlPlane | None:
    """A control plane for EKS that no cluster has, one of the same region first; None when there is none."""
    planes: dict[str, Any] = read_json(root / "lab.json").get("clusters", {})
    names = [name for name, plane in planes.items() if plane["provider"] == "eks" and name not in taken]
    names.sort(key=lambda name: planes[name].get("region") != region)
    return _read(names[0], planes[names[0]]) if names else None


def _read(name: str, plane: dict[str, Any]) -> ControlPlane:
    config = yaml.safe_load(Path(plane["kubeconfig"]).read_text())
    wanted = plane.get("context") or config.get("current-context") or config["contexts"][0]["name"]
    context = next(item["context"] for item in config["contexts"] if item["name"] == wanted)
    cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == context["cluster"])
    data = cluster.get("certificate-authority-data") or ""
    if not data and cluster.get("certificate-authority"):
        path = Path(plane["kubeconfig"]).parent / cluster["certificate-authority"]
        data = base64.b64encode(path.read_bytes()).decode()
    return ControlPlane(name, cluster["server"], data)

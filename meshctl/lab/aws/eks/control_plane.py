"""The lab's Kubernetes control planes as EKS hands them out and takes them back. EDGE.

Called by `eks.clusters`. The one that `meshctl lab up` started goes to the first EKS cluster, others are started with
their clusters. With a deleted cluster its control plane goes, and all that was in it. Which EKS cluster took a plane
is said in `ROOT/eks.json` alone, which planes there are in `ROOT/lab.json` (after `up`, written here alone).
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshctl.lab import clusters
from meshctl.lab.images import foreign_registries
from meshctl.lab.network.ports import free_ports
from meshctl.lab.state import READY_FOLDER, Lab

AT_ONCE = 2  # starts or ends


@dataclass(frozen=True)
class ControlPlane:
    """`ca_data` is the CA's PEM in base64, as `certificateAuthority.data` has it."""

    endpoint: str
    ca_data: str


class ControlPlanes:
    def __init__(self, root: Path) -> None:
        self.lab = Lab(root)
        self._work = ThreadPoolExecutor(max_workers=AT_ONCE)
        self._writing = threading.Lock()

    def take(self, cluster: str, region: str, taken: Collection[str]) -> tuple[str, Future[ControlPlane]]:
        """A control plane for an EKS cluster: its name, and where it is once it answers.

        The future raises: LabError, ToolError when it doesn't start.
        """
        planes: dict[str, Any] = self.lab.read()["clusters"]
        eks = {name: plane for name, plane in planes.items() if plane["provider"] == "eks" and name not in taken}
        partition = foreign_registries.partition_of(region)
        free = [name for name, plane in eks.items() if foreign_registries.partition_of(plane["region"]) == partition]
        free.sort(key=lambda name: planes[name].get("region") != region)
        if free:
            return free[0], self._work.submit(_read, planes[free[0]])
        names = (f"eks-{cluster}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 100))))
        plane = clusters.Plane(next(name for name in names if name not in {*planes, *taken}), "eks", region)
        return plane.name, self._work.submit(self._start, plane)

    def give_back(self, name: str) -> Future[None]:
        """End a control plane; the future is done when nothing of it is left."""
        return self._work.submit(self._end, name)

    def _start(self, plane: clusters.Plane) -> ControlPlane:
        ports = {**self.lab.read()["ports"], f"apiserver_{plane.name}": free_ports(1)[0]}
        clusters.start(self.lab, plane, ports)
        entry = clusters.entry(self.lab, plane)
        self._change({plane.name: entry})
        return _read(entry)

    def _end(self, name: str) -> None:
        self._change({name: None})  # first: the controllers must not see their cluster die
        clusters.end(self.lab, name)
        (self.lab.root / READY_FOLDER / name).unlink(missing_ok=True)

    def _change(self, entries: dict[str, dict[str, str] | None]) -> None:
        with self._writing:
            document = self.lab.read()
            merged = {**document["clusters"], **entries}
            document["clusters"] = {name: entry for name, entry in merged.items() if entry is not None}
            self.lab.write(document)


def _read(plane: dict[str, Any]) -> ControlPlane:
    config = yaml.safe_load(Path(plane["kubeconfig"]).read_text())
    wanted = plane.get("context") or config.get("current-context") or config["contexts"][0]["name"]
    context = next(item["context"] for item in config["contexts"] if item["name"] == wanted)
    cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == context["cluster"])
    data = cluster.get("certificate-authority-data") or ""
    if not data and cluster.get("certificate-authority"):
        path = Path(plane["kubeconfig"]).parent / cluster["certificate-authority"]
        data = base64.b64encode(path.read_bytes()).decode()
    return ControlPlane(cluster["server"], data)

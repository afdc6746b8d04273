"""Small meshes, resolved for one environment of each platform."""

from __future__ import annotations

from typing import Any

from meshctl.catalog import load_catalog
from meshctl.model.deployment import Gap, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ObservedNode
from meshctl.resolve import resolve

CATALOG = load_catalog()
AWS = {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
CW = {"provider": "coreweave", "region": "US-EAST-04A", "objectStorage": {"profile": "cw"}}
DC = {
    "provider": "onprem",
    "kubernetes": {"context": "dc"},
    "objectStorage": {"endpoint": "https://s3.dc.example"},
    "storageClasses": {"filesystem": "nfs", "block": "local-path"},
}
GB200 = {"accelerator": {"model": "GB200", "count": 4}, "arch": "arm64"}
H100 = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}}


def resolved(pools: dict[str, Any], environment: dict[str, Any], facts: Facts | None = None, **more: Any) -> Resolution:
    dns = more.pop("dns", None)
    mesh = Mesh.model_validate({"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": pools, **more})
    document = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": environment}}
    environments = Environments.model_validate({**document, **({"dns": dns} if dns else {})})
    return resolve(mesh, environments, "e", CATALOG, facts)


def gap(resolution: Resolution, subject: str) -> Gap:
    return next(gap for gap in resolution.gaps if gap.subject == subject)


def reason(resolution: Resolution, name: str) -> str:
    return next(row.reason for row in resolution.rejected["p"] if row.machine == name)


def node(name: str, **more: Any) -> ObservedNode:
    return ObservedNode(**{"name": name, "cpu_cores": 64, "memory_gib": 500.0, **more})


def gpu_node(name: str, **more: Any) -> ObservedNode:
    more = {"gpu_model": "H100", "gpu_count": 8, "rdma_resource": "rdma/hca", "rdma_count": 1, **more}
    return node(name, **more)

"""Meshes with a pool that lends its nodes."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.observed import Facts
from meshctl.model.served_apis import CLUSTER_QUEUE
from tests.unit.resolve.meshes import AWS, DC, H100, gpu_node, resolved
from tests.unit.resolve.test_resolve_fit import service

SERVE = {**H100, "nodes": 3, "lend": {"upTo": 2}}
TRAIN = {**H100, "nodes": 1}
NODES = tuple(gpu_node(f"g{number}") for number in range(1, 6))


def chat(**more: Any) -> dict[str, Any]:
    return {**service(kind="inference", accelerators=8), "pool": "serve", **more}


def sweep(**more: Any) -> dict[str, Any]:
    return {**service(kind="batch", accelerators=8), "pool": "train", "burst": True, **more}


def lent(
    environment: dict[str, Any] = DC,
    served: tuple[str, ...] = (CLUSTER_QUEUE,),
    *,
    serve: dict[str, Any] = SERVE,
    train: dict[str, Any] = TRAIN,
    **workloads: Any,
) -> Resolution:
    facts = Facts(nodes=NODES, served_apis=served) if environment is not AWS else None
    all_workloads = {"chat": chat(), "sweep": sweep(), **workloads}
    workloads = {name: each for name, each in all_workloads.items() if each is not None}
    return resolved({"serve": serve, "train": train}, environment, facts, workloads=workloads)


def deployed(**more: Any) -> Deployment:
    resolution = lent(**more)
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


BURST: dict[str, Any] = {
    "burst": True,
    "replicas": {"min": 1, "max": 4},
    "scale": {"metric": "queue-depth", "target": 5},
    "ports": {"http": 8000},
    "metrics": {"port": "http"},
}


def bursting(environment: dict[str, Any] = DC, **more: Any) -> Resolution:
    """`chat` has room for three replicas on its own pool, and the trainers lend one of their two nodes."""
    defaults = {
        "serve": {**H100, "nodes": 3},
        "train": {**TRAIN, "nodes": 2, "lend": {"upTo": 1}},
        "chat": chat(**BURST),
        "sweep": None,
    }
    return lent(environment, **{**defaults, **more})


def serving_on_lent_nodes(**more: Any) -> Deployment:
    resolution = bursting(**more)
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment

"""Pools whose fabric is measured, and results of measurements."""

from __future__ import annotations

from typing import Any

from meshctl.measure import nccl
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment, Pool
from tests.unit.advise.situations import deployment


def with_pool(deployed: Deployment, *, expect: float = 0.8, **changes: Any) -> Deployment:
    """The pool `train` as two p4d.24xlarge, of which an all-reduce is published: 77.35 GB/s at 2 GiB."""
    update = {"machine": "p4d.24xlarge", "nodes": 2, **changes}

    def changed(pool: Pool) -> Pool:
        if pool.name != "train" or pool.fabric is None:
            return pool
        return pool.model_copy(update={"fabric": pool.fabric.model_copy(update={"expect": expect}), **update})

    return deployed.model_copy(update={"pools": tuple(map(changed, deployed.pools))})


def of_two_nodes(*rates: tuple[int, float]) -> list[Result]:
    taken = Taken(machine="p4d.24xlarge", date="2026-11-29", source="a test")
    setting = {"ranks": "16"}
    return [
        Result(
            what="fabric",
            metric=nccl.ALL_REDUCE,
            value=rate,
            unit="GB/s",
            taken=taken,
            setting={"size_bytes": str(size), **setting},
        )
        for size, rate in rates
    ]


def of_unknown_machines(deployed: Deployment, kind: str) -> tuple[Deployment, Pool]:
    """The pool `train` as machines of which nobody knows what they can give."""
    pool = deployed.pool("train")
    assert pool.fabric is not None
    unknown = pool.model_copy(
        update={
            "machine": "acme.8x",
            "fabric": pool.fabric.model_copy(update={"bandwidth_gbps": 0, "kind": kind}),
        }
    )
    pools = tuple(unknown if each.name == "train" else each for each in deployed.pools)
    return deployed.model_copy(update={"pools": pools}), unknown


def of_racks(nodes: int, *, nvlink: str, model: str = "GB200", machine: str = "gb200-4x", gbps: float = 0) -> Pool:
    """Nodes of NVL72 racks, four accelerators each."""
    pool = with_pool(deployment(), machine=machine, nodes=nodes, gpus_per_node=4, gpu_model=model).pool("train")
    assert pool.fabric is not None
    fabric = pool.fabric.model_copy(update={"nvlink": nvlink, "kind": "infiniband", "bandwidth_gbps": gbps})
    return pool.model_copy(update={"fabric": fabric})

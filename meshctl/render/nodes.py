"""Pools as Kubernetes objects where no cloud API makes them: CoreWeave NodePools, labels on existing nodes. PURE.

Called by `stacks.platform` for the environments on CoreWeave and on existing clusters.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Pool
from meshctl.render.objects import PlatformObject
from meshctl.render.pods import common_labels
from meshctl.render.templates import render

# node labels with these prefixes are CoreWeave's own and refused (docs.coreweave.com, products/cks/reference/node-pool)
_RESERVED_LABELS = ("coreweave.com", "coreweave.cloud")
# racks of 18 nodes: the platform refuses autoscaling (docs.coreweave.com, products/cks/nodes/autoscaling)
_RACK_MACHINES = ("gb200-", "gb300-", "verarubin-")


def nodepool_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """One NodePool for each pool, named `<mesh>-<pool>`: NodePools have no namespace."""
    return tuple(_nodepool(deployment, pool) for pool in deployment.pools)


def _nodepool(deployment: Deployment, pool: Pool) -> PlatformObject:
    autoscaling = pool.nodes_min < pool.nodes_max and not pool.machine.startswith(_RACK_MACHINES)
    labels = {key: value for key, value in pool.labels.items() if not _reserved(key)}
    values = {
        "name": f"{deployment.mesh}-{pool.name}",
        "labels": common_labels(deployment),
        "compute_class": "spot" if pool.market == "spot" else "default",
        "machine": pool.machine,
        "nodes": pool.nodes,
        "nodes_min": pool.nodes_min,
        "nodes_max": pool.nodes_max,
        "autoscaling": autoscaling,
        "node_labels": {**labels, **deployment.node_labels(pool.name)},
        "taints": [taint.model_dump() for taint in pool.taints],
    }
    (manifest,) = render("platform/nodepool.yaml.j2", ("NodePool",), values)
    # the autoscaler writes targetNodes: declared once, then left to it
    ignored = ("spec.targetNodes",) if autoscaling else ()
    return PlatformObject(f"pool/{pool.name}:nodepool", manifest, wait=True, ignore_changes=ignored)


def _reserved(label: str) -> bool:
    return label.partition("/")[0].endswith(_RESERVED_LABELS)


def node_label_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """The labels of mesh and pool on each existing node that was chosen for it."""
    objects = []
    for pool in deployment.pools:
        for node in pool.node_names:
            values = {"name": node, "labels": deployment.node_labels(pool.name)}
            (manifest,) = render("platform/node-label.yaml.j2", ("Node",), values)
            objects.append(PlatformObject(f"pool/{pool.name}:node-{node}", manifest, patch=True))
    return tuple(objects)

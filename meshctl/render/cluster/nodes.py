"""Pools on nodes that exist: the labels that give each node to its pool. PURE.

Called by the platforms whose nodes are given (`Nodes.objects`).
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render


def node_label_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """The objects that set the labels of mesh and pool on each existing node that was chosen."""
    objects = []
    for pool in deployment.pools:
        for node in pool.node_names:
            values = {"name": node, "labels": deployment.node_labels(pool.name)}
            (manifest,) = render("platform/node-label.yaml.j2", ("Node",), values)
            # the labels of a node that a shift has given to another pool are the shift's, until it is undone
            ignored = ("metadata.labels",) if node in deployment.shifted_nodes else ()
            objects.append(
                PlatformObject(f"pool/{pool.name}:node-{node}", manifest, patch=True, ignore_changes=ignored)
            )
    return tuple(objects)

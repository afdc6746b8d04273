"""For which objects of a NeuralMesh no run waits, since the nodes that carry it are not there. PURE. Called by
`platform`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshctl.model.deployment import Deployment
from meshctl.render.cluster import weka_operator
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import weka_volumes


def with_waits(deployment: Deployment, objects: Iterable[PlatformObject]) -> Iterator[PlatformObject]:
    """The objects; those of the storage are waited for only where its nodes are there. Its operator's Job has a place
    on any node, and is waited for where there is one: without it no object of its kinds can be made."""
    waiting = _without_nodes(deployment)
    awaited = {weka_operator.INSTALL} if any(pool.nodes_now for pool in deployment.pools) else set()
    for item in objects:
        yield replace(item, wait=False) if item.subject in waiting and item.name not in awaited else item


def _without_nodes(deployment: Deployment) -> set[str]:
    """The subjects of a storage whose nodes start at a later date, or are gone."""
    mesh = deployment.neural_mesh
    carrying = [pool for pool in deployment.pools if mesh is not None and pool.name == mesh.pool]
    if not any(pool.starts or pool.has_ended for pool in carrying):
        return set()
    return {"neuralmesh", *(f"storage/{system.name}" for system in weka_volumes.of_mesh(deployment))}

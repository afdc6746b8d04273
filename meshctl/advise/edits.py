"""What to write into a mesh for a change, and what the environment is then. PURE.

An edit is the line that the user writes, and the mesh with it: what a change costs is asked of `resolve`, as `meshctl
check` would after the line is written. Called by `inference`, `training` and `other_machine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meshctl.blueprints import places
from meshctl.catalog import Catalog
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.files.sections import ReplicaRange
from meshctl.model.mesh import Accelerator, Mesh, NodeRange, Pool, Workload
from meshctl.resolve import resolve


@dataclass(frozen=True, slots=True)
class Edit:
    """`line`: `path: value`, as YAML has it between braces; `made`: the mesh once it is written."""

    line: str
    made: Callable[[Mesh], Mesh]


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user has written."""

    mesh: Mesh
    environments: Environments

    def deployed(self, environment: str, catalog: Catalog, edits: Iterable[Edit]) -> Deployment | None:
        """What the environment is with these edits, where machine types are chosen for it; None where it can't be."""
        mesh = self.mesh
        for edit in edits:
            mesh = edit.made(mesh)
        return resolve(mesh, self.environments, environment, catalog).deployment


def lines(edits: Iterable[Edit]) -> str:
    return ", ".join(edit.line for edit in edits)


def replicas(mesh: Mesh, workload: str, count: int) -> Edit:
    """At least so many; a range stays one, as the load that moves the number needs it."""
    written = mesh.workloads[workload].replicas
    most = max(written.max, count + 1) if written is not None and written.min < written.max else count
    line = places.edit(mesh, workload, "replicas", _range(count, most))
    return Edit(line, lambda edited: _workload(edited, workload, replicas=ReplicaRange(min=count, max=most)))


def gang_nodes(mesh: Mesh, workload: str, count: int) -> Edit:
    line = places.edit(mesh, workload, "nodes", str(count))
    return Edit(line, lambda edited: _workload(edited, workload, nodes=count))


def accelerators_of_pod(mesh: Mesh, workload: str, count: int) -> Edit:
    resources = mesh.workloads[workload].resources.model_copy(update={"accelerators": count})
    line = places.edit(mesh, workload, "resources.accelerators", str(count))
    return Edit(line, lambda edited: _workload(edited, workload, resources=resources))


def pool_nodes(mesh: Mesh, pool: str, count: int) -> Edit:
    """At least so many; a range keeps its end, or the least is its end."""
    written = mesh.pools[pool].nodes
    most = max(written.max, count) if written.min < written.max else count
    nodes = NodeRange(min=count, max=most)
    return Edit(f"pools.{pool}.nodes: {_range(count, most)}", lambda edited: _pool(edited, pool, nodes=nodes))


def accelerator_of_pool(pool: str, model: str, count: int) -> Edit:
    """Of each node, in place of all alternatives that the pool lists."""
    accelerators = (Accelerator(model=(model,), count=count),)
    line = f"pools.{pool}.accelerator: {{model: {model}, count: {count}}}"
    return Edit(line, lambda edited: _pool(edited, pool, accelerators=accelerators))


def throughput(storage: str, mbps: float) -> Edit:
    """In whole MB/s: a fraction more would be the tier after the next."""
    whole = math.floor(mbps)

    def made(mesh: Mesh) -> Mesh:
        edited = mesh.storage[storage].model_copy(update={"throughput_mbps": float(whole)})
        return mesh.model_copy(update={"storage": {**mesh.storage, storage: edited}})

    return Edit(f"storage.{storage}.throughput: {whole}MB/s", made)


def _range(least: int, most: int) -> str:
    return f"{{min: {least}, max: {most}}}" if least < most else str(least)


def _workload(mesh: Mesh, name: str, **fields: object) -> Mesh:
    edited: Workload = mesh.workloads[name].model_copy(update=fields)
    return mesh.model_copy(update={"workloads": {**mesh.workloads, name: edited}})


def _pool(mesh: Mesh, name: str, **fields: object) -> Mesh:
    edited: Pool = mesh.pools[name].model_copy(update=fields)
    return mesh.model_copy(update={"pools": {**mesh.pools, name: edited}})

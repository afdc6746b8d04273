"""Where the NeuralMesh of a mesh is: in which WEKA cluster, on which pool, and whose pods mount it. PURE.

Called by `data.neural_mesh`, and by `pools`, which must know the pool before it has nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.model import mesh as mesh_model
from meshctl.model.environment import PlatformEnvironment
from meshctl.model.keys.neural_mesh import ENGINE, WekaCluster


@dataclass(frozen=True)
class Places:
    """`names`: the file systems that a NeuralMesh carries here. `joined`: the WEKA cluster that exists and has them.
    `candidates`: the pools that may carry them; the answer is one. `client_pools`: whose nodes have clients, since
    their pods mount; and one where none does, as volumes are made and deleted by the driver that comes with a client.
    """

    names: tuple[str, ...]
    joined: WekaCluster | None
    candidates: tuple[str, ...]
    client_pools: tuple[str, ...]

    @property
    def pool(self) -> str:
        """Whose nodes' drives carry them; "" where none do, or it is not known whose."""
        return self.candidates[0] if len(self.candidates) == 1 else ""


def places(mesh: mesh_model.Mesh, environment: PlatformEnvironment) -> Places:
    """A file system for which the environment names a claim, an export or another file system is that."""
    entries = environment.storage
    carried = tuple(name for name, storage in mesh.storage.items() if storage.engine == ENGINE)
    names = tuple(name for name in carried if name not in entries or entries[name].weka is not None)
    joined = next((weka for name in names if name in entries and (weka := entries[name].weka) is not None), None)
    users = [work for work in mesh.workloads.values() if not work.mounts.keys().isdisjoint(names)]
    # a burst job may run on nodes that other pools lend, and mounts there, too
    lenders = {name for name, pool in mesh.pools.items() if pool.lend is not None and any(work.burst for work in users)}
    mounting = {work.pool for work in users} | lenders
    mount_pools = tuple(name for name in mesh.pools if name in mounting)
    candidates = () if joined else _candidates(mesh, names, mount_pools)
    client_pools = mount_pools or _of_the_driver(mesh, names, joined, candidates)
    return Places(names, joined, candidates, client_pools)


def _of_the_driver(
    mesh: mesh_model.Mesh, names: tuple[str, ...], joined: WekaCluster | None, candidates: tuple[str, ...]
) -> tuple[str, ...]:
    """A pool for the client of file systems that nobody mounts yet, or nobody any more: the one that carries them, or
    any. The driver of a cluster elsewhere is its owner's, and comes with no client."""
    pools = candidates if joined is None else tuple(mesh.pools) if joined.cluster else ()
    return tuple(name for name in pools if name in mesh.pools)[:1] if names else ()


def _candidates(mesh: mesh_model.Mesh, names: tuple[str, ...], mount_pools: tuple[str, ...]) -> tuple[str, ...]:
    """The pool that the mesh names; else those with local NVMe whose pods mount."""
    named = next((pool for name in names if (pool := mesh.storage[name].pool) is not None), None)
    if named is not None:
        return (named,)
    return tuple(pool for pool in mount_pools if mesh.pools[pool].scratch_gb) if names else ()

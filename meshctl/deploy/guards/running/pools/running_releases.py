"""Nodes and add-ons that are up stay on the releases that somebody asked for, until somebody asks again. PURE.

Called by `running_pods`. A release of an image belongs to one Kubernetes version: where the files ask for another
version, its newest release comes with it.
"""

from __future__ import annotations

from meshctl.model.deployment import Cluster, Deployment, Pool


def with_running_releases(deployment: Deployment, up: Deployment | None) -> Deployment:
    """The deployment with the releases of what is up, where it asks for no others. `up`: what the last run declared."""
    if up is None or _goes_to_another_version(deployment.cluster, up.cluster):
        return deployment
    pools_up = {pool.name: pool for pool in up.pools}
    pools = tuple(_with_release(pool, pools_up.get(pool.name)) for pool in deployment.pools)
    versions = {**up.cluster.addon_versions, **deployment.cluster.addon_versions}
    cluster = deployment.cluster.model_copy(update={"addon_versions": versions})
    return deployment.model_copy(update={"pools": pools, "cluster": cluster})


def _with_release(pool: Pool, up: Pool | None) -> Pool:
    """Nodes that are made anew begin with the newest."""
    is_same = up is not None and (up.machine, up.ami_type, up.market) == (pool.machine, pool.ami_type, pool.market)
    if up is None or not is_same or pool.image_release:
        return pool
    return pool.model_copy(update={"image_release": up.image_release})


def _goes_to_another_version(cluster: Cluster, up: Cluster) -> bool:
    return cluster.version_asked and cluster.version != up.version

"""Which secrets of environments.yaml are credentials of a registry: Docker configuration files. PURE.

Asked by `meshctl.render`, which makes a Secret of each, and by `meshctl.deploy`, which reads their values.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment


def names(deployment: Deployment) -> frozenset[str]:
    """Those that the workloads name, and the one for WEKA's images."""
    of_workloads = {name for workload in deployment.workloads for name in workload.image_pull_secrets}
    mesh = deployment.neural_mesh
    return frozenset(
        of_workloads | ({mesh.image_pull_secret} if mesh is not None and mesh.image_pull_secret else set())
    )

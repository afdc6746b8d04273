"""What every environment's stack hands on: the deployment itself with its schema version, the endpoints' addresses,
the kubeconfig or which cluster it is in. Called by the stacks.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import as_outputs


def export(
    deployment: Deployment,
    addresses: Mapping[str, pulumi.Output[str]],
    kubeconfig: pulumi.Output[str] | None = None,
    *,
    cluster_uid: str = "",
) -> None:
    """`addresses` are by endpoint. Read by `meshctl.deploy.session`."""
    for name, value in as_outputs(deployment).items():
        pulumi.export(name, value)
    pulumi.export("endpoints", dict(addresses))
    if kubeconfig is not None:
        pulumi.export("kubeconfig", kubeconfig)
    if cluster_uid:
        pulumi.export("cluster_uid", cluster_uid)

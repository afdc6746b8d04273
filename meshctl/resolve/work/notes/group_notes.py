"""What a cluster without a controller for groups can't do for replicas of several nodes. PURE.

Called by `meshctl.resolve` for the notes of `check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshctl.model.deployment import Deployment

INSTALL: Final = (
    "helm install lws oci://registry.k8s.io/lws/charts/lws --version 0.7.0 --namespace lws-system --create-namespace"
    " --wait"
)


def notes(deployment: Deployment) -> Iterator[str]:
    if deployment.has_group_controller:
        return
    for workload in (each for each in deployment.workloads if each.is_grouped):
        text = (
            f"workload/{workload.name}: the cluster has no controller for groups of pods (LeaderWorkerSet), so a rank"
            " that ends is restarted alone, without its group: the program must let it rejoin, or end as well. To"
            f" restart whole groups, install the controller (`{INSTALL}`): it manages the groups that come up from then"
            " on"
        )
        yield text
        if workload.health is None:
            yield (
                f"workload/{workload.name}: without `health` nobody notices that a group has lost a rank: write a"
                " check that fails then, so that requests go to other groups and its rank 0 starts again"
            )

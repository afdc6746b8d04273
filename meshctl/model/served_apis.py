"""APIs that only some clusters serve, and that meshctl makes use of where they are there: `group/version/Kind`. PURE.

Asked for by `meshctl.clients.kubernetes.clusters` (`Facts.served_apis`); `meshctl.resolve` decides by them.
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment
from meshctl.model.environment import PlatformEnvironment
from meshctl.model.keys import lending

# Prometheus operator: which pods are scraped
POD_MONITOR: Final = "monitoring.coreos.com/v1/PodMonitor"
# cert-manager: who makes certificates and renews them
CERTIFICATE: Final = "cert-manager.io/v1/Certificate"
# NVIDIA's DRA driver for GPUs: nodes whose pods share NVLink
COMPUTE_DOMAIN: Final = "resource.nvidia.com/v1beta1/ComputeDomain"
# its controller keeps groups of pods
LEADER_WORKER_SET: Final = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"
# metrics-server, or what stands in for it: how much CPU pods use, which replicas may follow
POD_METRICS: Final = "metrics.k8s.io/v1beta1/PodMetrics"
# Kueue, from release 0.15 on: it counts what pools lend. Older ones serve only the other version.
CLUSTER_QUEUE: Final = "kueue.x-k8s.io/v1beta2/ClusterQueue"
OLDER_CLUSTER_QUEUE: Final = "kueue.x-k8s.io/v1beta1/ClusterQueue"

# KAI Scheduler, from release 0.12 on, which brings topologies of its own: pods say whether they may be taken back.
# Older ones know the queues alone. Asked for only where environments.yaml names it
KAI_QUEUE: Final = "scheduling.run.ai/v2/Queue"
KAI_TOPOLOGY: Final = "kai.scheduler/v1alpha1/Topology"
KAI: Final = (KAI_QUEUE, KAI_TOPOLOGY)

# WEKA's operator: who makes storage nodes of a mesh's machines. Asked for only where a mesh has a NeuralMesh
WEKA_CLUSTER: Final = "weka.weka.io/v1alpha1/WekaCluster"

# those of controllers that somebody may install in a cluster that meshctl has made
CONTROLLERS: Final = (LEADER_WORKER_SET, CLUSTER_QUEUE, OLDER_CLUSTER_QUEUE)

ASKED_FOR: Final = (
    POD_MONITOR,
    CERTIFICATE,
    COMPUTE_DOMAIN,
    LEADER_WORKER_SET,
    POD_METRICS,
    CLUSTER_QUEUE,
    OLDER_CLUSTER_QUEUE,
)


def asked_for(environment: PlatformEnvironment) -> tuple[str, ...]:
    """Those that an existing cluster is asked for."""
    return ASKED_FOR if environment.kai is None else (*ASKED_FOR, *KAI)


def relied_on(deployment: Deployment) -> tuple[str, ...]:
    """Those of `CONTROLLERS` that a deployment has objects of."""
    groups = (LEADER_WORKER_SET,) if deployment.has_group_controller else ()
    return (*groups, *((CLUSTER_QUEUE,) if lending.kueue_pools(deployment) else ()))

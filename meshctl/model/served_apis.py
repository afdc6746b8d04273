"""APIs that only some clusters serve, and that meshctl makes use of where they are there: `group/version/Kind`. PURE.

Asked for by `meshctl.clients.clusters` (`Facts.served_apis`); `meshctl.resolve` decides by them.
"""

from __future__ import annotations

from typing import Final

# Prometheus operator: which pods are scraped
POD_MONITOR: Final = "monitoring.coreos.com/v1/PodMonitor"
# NVIDIA's DRA driver for GPUs: nodes whose pods share NVLink
COMPUTE_DOMAIN: Final = "resource.nvidia.com/v1beta1/ComputeDomain"
# its controller keeps groups of pods
LEADER_WORKER_SET: Final = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"

ASKED_FOR: Final = (POD_MONITOR, COMPUTE_DOMAIN, LEADER_WORKER_SET)

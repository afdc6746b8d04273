"""Whether all pods of a Deployment or StatefulSet are new and ready. EDGE: reads the cluster; `not_rolled` is pure.

Called by `operate.rollouts`, which waits for it, and by the gateway of a migration.
"""

from __future__ import annotations

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.deployment import Workload
from meshctl.render.pod import file_mounts
from meshctl.words import pluralize
from meshwire.kubernetes.objects import Server
from meshwire.kubernetes.resources import DEPLOYMENTS


def not_declared(cluster: ClusterAccess, namespace: str, workload: Workload) -> str:
    """What is missing until all pods of a workload that keeps no blocks are ready and have its files as they are
    declared, in words; "" when nothing is. Raises: as `ClusterAccess.connected`."""
    with cluster.connected() as client:
        server = client.get(DEPLOYMENTS, workload.name, namespace=namespace)
    annotations = server.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations") or {}
    declared = file_mounts.pod_annotations(workload)
    if any(annotations.get(name) != value for name, value in declared.items()):
        return "its files are not those that are declared"
    return not_rolled(server)


def not_rolled(workload: Server) -> str:
    """What a Deployment or StatefulSet still lacks, in words; "" when all its pods are new and ready. PURE.

    Source of the rules: kubectl rollout status.
    """
    status = workload.get("status", {})
    replicas = workload.get("spec", {}).get("replicas", 1)
    if not status or status.get("observedGeneration", 0) < workload.get("metadata", {}).get("generation", 0):
        return "waiting for the controller"
    new_pods, all_pods = status.get("updatedReplicas", 0), status.get("replicas", 0)
    ready = status.get("availableReplicas", 0)
    if new_pods < replicas:
        return f"{new_pods} of {replicas} pods are new"
    if all_pods > new_pods:
        return f"{pluralize(all_pods - new_pods, 'old pod')} still there"
    return "" if ready >= replicas else f"{ready} of {replicas} pods are ready"

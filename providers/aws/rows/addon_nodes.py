"""Whether the pods of an EKS add-on have a node to run on: without one it is rightly `DEGRADED`. EDGE.

Called by the row in `eks_addons` while it waits. It looks at the node groups as they are, so that the row needs no
input for it: an add-on that is up would show a new input as a change.
"""

from __future__ import annotations

from typing import Any, Final

from providers.aws.rows_engine.row import Context

OPERATIONS: Final = ("ListNodegroups", "DescribeNodegroup")  # for `Row.optional_operations`
# They have no pods but those of DaemonSets, one on each node, whatever its taints: one broken node of many makes them
# `DEGRADED` ("Amazon EKS add-ons" and "Detect node health issues" in the EKS user guide).
_DAEMON_SETS_ALONE: Final = ("eks-node-monitoring-agent", "eks-pod-identity-agent", "kube-proxy", "vpc-cni")
# Of one that is being made, or whose machines are gone, nobody knows whether it has nodes.
_WITH_NODES: Final = ("ACTIVE", "UPDATING")
_KEEPS_AWAY: Final = ("NO_SCHEDULE", "NO_EXECUTE")  # a taint that pods without toleration do not pass
_MOST_GROUPS: Final = 100  # of one answer; a cluster has 30 by default ("Amazon EKS service quotas")


def has_place(client: Any, context: Context) -> bool:
    """Whether there is a node that takes pods without tolerations, for an add-on that has such pods.

    Raises: what botocore raises.
    """
    cluster, name = context["parts"]
    if name in _DAEMON_SETS_ALONE:
        return False
    groups = client.list_nodegroups(clusterName=cluster, maxResults=_MOST_GROUPS)["nodegroups"]
    return any(
        _takes_pods(client.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"])
        for group in groups
    )


def _takes_pods(group: dict[str, Any]) -> bool:
    is_tainted = any(taint["effect"] in _KEEPS_AWAY for taint in group.get("taints") or ())
    return group["status"] in _WITH_NODES and not is_tainted and group["scalingConfig"]["desiredSize"] > 0

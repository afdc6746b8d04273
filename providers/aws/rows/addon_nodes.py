"""Whether an EKS add-on that is `DEGRADED` is worth a wait: it has a node to run on, and others need it. EDGE.

Called by the row in `eks_addons` while it waits. It looks at the node groups as they are, so that the row needs no
input for it: an add-on that is up would show a new input as a change.
"""

from __future__ import annotations

from typing import Any, Final

from providers.aws.rows_engine.row import Context

OPERATIONS: Final = ("ListNodegroups", "DescribeNodegroup")  # for `Row.optional_operations`
# Without DNS no workload comes up (finding A11). The others are `DEGRADED` for reasons that keep nobody from work: a
# DaemonSet lacks a pod on one broken node of many (containers-roadmap issue 2799), or the second replica of a driver's
# controller finds no second node for its port, for good (aws-efs-csi-driver issues 563 and 728).
_NEEDED_BY_ALL: Final = ("coredns",)
# Of one that is being made, or whose machines are gone, nobody knows whether it has nodes.
_WITH_NODES: Final = ("ACTIVE", "UPDATING")
_KEEPS_AWAY: Final = ("NO_SCHEDULE", "NO_EXECUTE")  # a taint that pods without toleration do not pass
_MOST_GROUPS: Final = 100  # of one answer; a cluster has 30 by default ("Amazon EKS service quotas")


def is_worth_a_wait(client: Any, context: Context) -> bool:
    """Whether all workloads need the add-on, and there is a node that takes pods without tolerations. One that lacked
    the same before this update does not come by waiting, and the update is not to blame.

    Raises: what botocore raises.
    """
    cluster, name = context["parts"]
    if name not in _NEEDED_BY_ALL or _lacked_it_before(context):
        return False
    groups = client.list_nodegroups(clusterName=cluster, maxResults=_MOST_GROUPS)["nodegroups"]
    return any(
        _takes_pods(client.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"])
        for group in groups
    )


def _lacked_it_before(context: Context) -> bool:
    before, now = context["before"], context["outputs"]
    return before.get("status") == "DEGRADED" and _codes(now) <= _codes(before)


def _codes(addon: dict[str, Any]) -> set[str]:
    return {issue["code"] for issue in (addon.get("health") or {}).get("issues") or () if "code" in issue}


def _takes_pods(group: dict[str, Any]) -> bool:
    is_tainted = any(taint["effect"] in _KEEPS_AWAY for taint in group.get("taints") or ())
    return group["status"] in _WITH_NODES and not is_tainted and group["scalingConfig"]["desiredSize"] > 0

"""Replicas of several pods, written out: two StatefulSets for each group, one for its leader and one for its workers.
PURE.

Called by `platform`. Where the cluster has a controller for groups, a LeaderWorkerSet is made instead: see
`leader_worker_sets`.

The leader has the ports and the health check, and Services select leaders only. The pods find each other by a headless
Service, which also publishes pods that are not ready: a leader becomes ready only once its workers have joined it.

A group is replaced as a whole: a change of its pods makes both StatefulSets anew, and one group is ready again before
the next one is replaced. The limit of this form: a pod that ends is restarted alone, so the leader's `health` has to
notice that a worker was restarted (`resolve.work.notes.group_notes` says so).
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import object_names, pod_groups, pod_variables
from meshctl.render import gang_hold
from meshctl.render.controllers import leader_worker_sets
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods, probes
from meshctl.render.templates import render

_RANK_OF_SET: Final = f"metadata.labels['{pod_groups.SET_INDEX_LABEL}']"
END_S: Final = 30  # the time that a worker has to end after its leader has ended


def group_objects(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    """The StatefulSets of all groups, without their dependencies."""
    if leader_worker_sets.keeps(deployment, workload):
        return [leader_worker_sets.leader_worker_set(deployment, workload)]
    return [
        _set(deployment, workload, group, is_leader=is_leader)
        for group in range(workload.replicas)
        for is_leader in (True, False)
    ]


def workers(workload: Workload) -> frozenset[str]:
    """The logical names of the StatefulSets of workers, which get no requests."""
    if not workload.is_grouped:
        return frozenset()
    return frozenset(_logical_name(workload, group, pod_groups.WORKER) for group in range(workload.replicas))


def host(workload: Workload, group: int, rank: int) -> str:
    """The host name by which the pods of the workload reach one of them."""
    return f"{pod_groups.pod(workload.name, group, rank)}.{object_names.pods_service(workload.name)}"


def selector_of_requests(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The labels of the pods that get the workload's requests: all, or the leaders of its groups."""
    of_leaders = {pod_groups.ROLE_LABEL: pod_groups.LEADER} if workload.is_grouped else {}
    return {**pods.selector(deployment, workload), **of_leaders}


def _logical_name(workload: Workload, group: int, role: str) -> str:
    return f"workload/{workload.name}:group-{group}-{role}"


def _set(deployment: Deployment, workload: Workload, group: int, *, is_leader: bool) -> PlatformObject:
    role = pod_groups.LEADER if is_leader else pod_groups.WORKER
    member = workload if is_leader else pods.without_requests(workload)
    pod = pods.pod_values(deployment, member, _env(workload, group, is_leader=is_leader))
    gang = pod_groups.leader_set(workload.name, group)
    values = {
        **gang_hold.with_gate(workload, pod, size=workload.nodes_per_replica, gang=gang),
        **_of_set(workload, group, is_leader=is_leader),
        "namespace": deployment.namespace,
        "headless": object_names.pods_service(workload.name),
        "claims": [
            {"name": block.name, "spec": pods.claim_spec(block)} for block in pods.lasting_blocks(deployment, workload)
        ],
        "restart_policy": "",
        "subdomain": "",
        "bounds": [],  # a set for each group has no number that load could move: see `resolve.work.scaling`
        "zones": [],  # no spreading over zones: a group that lies in several is slow
    }
    of_group = {pod_groups.GROUP_LABEL: str(group)}
    of_set = {**of_group, pod_groups.ROLE_LABEL: role}
    for key in ("labels", "pod_labels"):
        values[key] = {**values[key], **of_set}
    values["set_labels"] = {**values["selector"], **of_set}
    values["selector"] = {**values["selector"], **of_group}  # those of one group are spread over nodes
    (manifest,) = render("platform/statefulset.yaml.j2", ("StatefulSet",), values)
    roles = (pod_groups.LEADER, pod_groups.WORKER)
    return PlatformObject(
        _logical_name(workload, group, role),
        overrides.applied(manifest, workload),
        wait=not workload.paused,
        replace_on=("spec.template",),
        after=tuple(_logical_name(workload, group - 1, each) for each in roles) if group else (),
    )


def _of_set(workload: Workload, group: int, *, is_leader: bool) -> dict[str, Any]:
    """The values in which leaders and workers differ. Workers end after their leader, which needs them to finish its
    open requests."""
    if is_leader:
        return {
            "set_name": pod_groups.leader_set(workload.name, group),
            "first_ordinal": 0,
            "replicas": 0 if workload.paused else 1,
            "rollout_s": str(probes.ready_s(workload)),
            "min_ready_s": 0 if workload.health else pods.STEADY_S,
        }
    leader_s = pods.grace_s(workload)
    return {
        "set_name": pod_groups.worker_set(workload.name, group),
        "first_ordinal": 1,
        "replicas": 0 if workload.paused else workload.nodes_per_replica - 1,
        "rollout_s": str(probes.ready_s(workload)),
        "min_ready_s": 0,
        "grace_s": leader_s + END_S,
        "stop_sleep_s": leader_s if workload.ports else 0,
    }


def _env(workload: Workload, group: int, *, is_leader: bool) -> dict[str, dict[str, Any]]:
    hosts = [host(workload, group, rank) for rank in range(workload.nodes_per_replica)]
    return {
        pod_variables.NODES: {"value": str(workload.nodes_per_replica)},
        pod_variables.RANK: {"value": "0"} if is_leader else pods.from_field(_RANK_OF_SET),
        pod_variables.LEADER: {"value": hosts[0]},
        pod_variables.HOSTS: {"value": ",".join(hosts)},
        pod_variables.REPLICA: {"value": str(group)},
    }

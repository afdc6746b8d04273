"""Groups of pods where the cluster has a controller for them: one LeaderWorkerSet for each workload. PURE.

Called by `groups`, which writes them out where there is no controller. Names, labels and what the controller adds are
those of sigs.k8s.io/lws v0.7.0 (api/leaderworkerset/v1, pkg/controllers, pkg/webhooks). The pods of group 0 of `llama`:

    llama-0    rank 0, the leader: has the ports and the health    llama-0.llama-0
    llama-0-1  rank 1                                              llama-0-1.llama-0

A group's Service, here `llama-0`, is the controller's own, so that the Service of the workload itself can be called
`llama`. Workers need not be told to outlive their leader: they go once it is gone, and at the same time only where the
group is made anew because one of its pods has failed.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import pod_groups, pod_variables
from meshctl.render import gang_hold
from meshctl.render.controllers import replica_counts
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods, probes
from meshctl.render.templates import render

_TEMPLATES: Final = ("leaderTemplate", "workerTemplate")


def keeps(deployment: Deployment, workload: Workload) -> bool:
    """Whether the cluster's controller keeps the groups of the workload. It can't keep blocks that outlive their pods:
    a LeaderWorkerSet of this version has no claims."""
    return deployment.has_group_controller and workload.is_grouped and not pods.is_stateful(deployment, workload)


def leader_worker_set(deployment: Deployment, workload: Workload) -> PlatformObject:
    """The LeaderWorkerSet of all groups of the workload, without its dependencies."""
    values = _pod_values(deployment, workload, workload)
    worker = _pod_values(deployment, workload, pods.without_requests(workload))
    values |= {
        "namespace": deployment.namespace,
        "replicas": replica_counts.declared_replicas(workload),
        "bounds": list(replica_counts.bounds_annotation(workload).items()),
        "size": workload.nodes_per_replica,
        "rollout_s": str(probes.rollout_s(workload)),
        "restart_policy": "",
        "subdomain": "",
        "zones": [],  # a group that lies in several zones is slow
        "env": _replica_first(values["env"]),
        "before": [{**step, "env": _replica_first(step["env"])} for step in values["before"]],
        "pod_labels": {**values["pod_labels"], pod_groups.ROLE_LABEL: pod_groups.LEADER},
        "worker_labels": {**worker["pod_labels"], pod_groups.ROLE_LABEL: pod_groups.WORKER},
        "worker_annotations": worker["annotations"],
        "worker_stop_sleep_s": worker["stop_sleep_s"],
        "spread_by": [pod_groups.LWS_GROUP_KEY],
    }
    (manifest,) = render("platform/leader-worker-set.yaml.j2", ("LeaderWorkerSet",), values)
    name = f"workload/{workload.name}:leader-worker-set"
    return PlatformObject(
        name,
        _with_overrides(manifest, workload),
        wait=not workload.paused,
        number_range=replica_counts.replica_range(workload),
    )


def _pod_values(deployment: Deployment, workload: Workload, member: Workload) -> dict[str, Any]:
    """Of one of the two templates. All groups have the same, so the gang of a pod is told by the controller's label."""
    values = pods.pod_values(deployment, member, _group_env(workload))
    return gang_hold.with_gate(workload, values, size=workload.nodes_per_replica)


def _group_env(workload: Workload) -> dict[str, dict[str, Any]]:
    group = f"{workload.name}-$({pod_variables.REPLICA})"
    hosts = [f"{group}.{group}", *(f"{group}-{rank}.{group}" for rank in range(1, workload.nodes_per_replica))]
    return {
        pod_variables.NODES: {"value": str(workload.nodes_per_replica)},
        pod_variables.RANK: pods.from_field(f"metadata.labels['{pod_groups.LWS_RANK}']"),
        pod_variables.LEADER: {"value": hosts[0]},
        pod_variables.HOSTS: {"value": ",".join(hosts)},
        pod_variables.REPLICA: pods.from_field(f"metadata.labels['{pod_groups.LWS_GROUP}']"),
    }


def _replica_first(env: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Moves MESH_REPLICA to the front: the kubelet expands a variable only in those that come after it, and the host
    names of a group contain its number."""
    return sorted(env, key=lambda entry: entry["name"] != pod_variables.REPLICA)


def _with_overrides(manifest: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """Applies the overrides of environments.yaml to both pod templates."""
    of_groups = manifest["spec"]["leaderWorkerTemplate"]
    changed = {
        key: overrides.applied({**manifest, "spec": {"template": of_groups[key]}}, workload) for key in _TEMPLATES
    }
    templates = {key: each["spec"]["template"] for key, each in changed.items()}
    metadata = changed["workerTemplate"]["metadata"]
    return {
        **manifest,
        "metadata": metadata,
        "spec": {**manifest["spec"], "leaderWorkerTemplate": {**of_groups, **templates}},
    }
